"""Classes by a few clicks: how soon all nuclei have their colours, how right they are in colon, and a million at once.

Of colon the classifier learns from n clicks of each type at random in three tiles, drawn ten times, and is scored on
all other tiles. Nothing that is learnt there is kept but the figures. What the bundled segmenter sees of the tiles is
measured once (`_colon_nuclei`), which takes minutes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from _colon_nuclei import ColonTile, colon_nuclei
from _table import Row, Skip, timed
from _tiles import COLON_MPP
from napari_nucleigan.classification import Classifier, ClassifierCard, Examples, NucleusClass, train
from napari_nucleigan.classification.training import COLUMNS
from napari_nucleigan.labels.classes import colours
from napari_nucleigan.metrics.classes import ClassTally, pool_classes, tally_points
from napari_nucleigan.segmentation.description import Description
from napari_nucleigan.segmentation.slides.neighbours import SlideTable
from napari_nucleigan.widgets.classify.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence


CLICKS, BARS = (20, 100), {20: ">= 0.52", 100: ">= 0.62"}
DRAWS, TILES = 10, 3
SHOWN = 2_000
MANY, PART, VECTOR = 1_000_000, 5_000, 144
_CLASSES = [NucleusClass(name=name, color=color) for name, color in colours(map(str, range(4))).items()]


def measure() -> list[Row]:
    rows = [_recolouring(), *_million()]
    try:
        return rows + _colon(colon_nuclei())
    except Skip as reason:
        return [*rows, Row("classes in colon", None, note=f"skipped: {reason}")]


def _recolouring() -> Row:
    """Time what follows a click, but for the drawing of the canvas: fit, classes, and the colour of each label."""
    from napari.utils.colormaps import DirectLabelColormap

    random = np.random.default_rng(0)
    table = {name: random.normal(size=SHOWN) for name in COLUMNS}
    vectors = random.normal(size=(SHOWN, VECTOR)).astype(np.float32)
    numbers = np.arange(1, SHOWN + 1)
    found = Description("a", np.zeros((1, 1), np.int32), numbers, table, vectors, 0.25, "model", "0")
    session = Session({"a": found}, list(_CLASSES))
    for row in range(80):
        session.click("a", [row], [_CLASSES[row % 4].name])

    def follow() -> None:
        session.click("a", [100], [_CLASSES[0].name])
        session.classifier = session.fit(scored=False)
        kinds, _ = session.kinds("a")
        paint = {each.name: (*(part / 255 for part in each.color), 1.0) for each in session.classes}
        known = {number: paint[kind] for number, kind in zip(numbers.tolist(), kinds, strict=True)}
        DirectLabelColormap(color_dict={None: (0.6, 0.6, 0.6, 1.0), 0: (0, 0, 0, 0), **known})

    note = f"{SHOWN} nuclei, 81 clicked, {len(COLUMNS)} measurements and {VECTOR} numbers seen of each"
    return timed(follow, 7).row("recolour after a click", "<= 0.3", note)


def _million() -> list[Row]:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    wall, cpu, peak = map(float, done.stdout.split())
    note = f"{VECTOR} numbers seen of each, neighbours counted; {cpu:.0f} s of processor time"
    return [
        Row(f"classify {MANY} nuclei of a slide", wall, "s", "<= 60", note),
        Row("its peak memory", peak, "MiB", "<= 2048", "a process of its own"),
    ]


def _classify_many() -> None:
    """Classify the nuclei of a slide tile by tile, as its results are written; print seconds and MiB."""
    random = np.random.default_rng(0)
    wide = len(COLUMNS) + VECTOR
    card = ClassifierCard(classes=tuple(_CLASSES), columns=COLUMNS, embedding=VECTOR, mpp=0.25)
    classifier = Classifier(card, np.zeros(wide), np.ones(wide), random.normal(size=(4, wide)), np.zeros(4))
    side = float(np.sqrt(MANY / 4000) * 1000)  # microns, of 4000 nuclei in a square millimetre
    centres = random.uniform(0, side / 0.25, (MANY, 2))
    length = int(side / 0.25)
    slide = SlideTable(lambda: centres, (length, length), 0.25, classifier)
    table: dict[str, Any] = {name: random.normal(size=PART) for name in COLUMNS}
    table["embedding"] = random.normal(size=(PART, VECTOR)).astype(np.float16)
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, MANY, PART):
        slide.completed(table, slice(start, start + PART))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(time.perf_counter() - wall, time.process_time() - cpu, peak)


def _colon(tiles: list[ColonTile]) -> list[Row]:
    width = tiles[0].rows.shape[1] - len(COLUMNS)
    names = sorted({name for tile in tiles for name in tile.point_types.tolist()})
    rows: list[Row] = []
    pairs = _pairs(tiles, names)
    for clicks in CLICKS:
        for embedding in (True, False):
            tallies, counts = [], []
            for draw in range(DRAWS):
                chosen, clicked = drawn(tiles, names, clicks, np.random.default_rng(draw))
                counts.append(len(clicked.types))
                if not embedding:
                    clicked = replace(clicked, rows=clicked.rows[:, : len(COLUMNS)], embedding=0)
                classifier = train(clicked, _named(names), mpp=COLON_MPP)
                others = [tile for place, tile in enumerate(tiles) if place not in chosen]
                tallies.append(score(classifier, others, names))
            f1 = [tally.weighted_f1 or 0.0 for tally in tallies]
            each = ", ".join(
                f"{one.name} {np.mean([tally.scores[place].f1 or 0 for tally in tallies]):.2f}"
                for place, one in enumerate(tallies[0].scores)
                if one.name
            )
            known = np.mean([tally.accuracy or 0 for tally in tallies])
            how = "with" if embedding else "without"
            rows.append(
                Row(
                    f"colon, {clicks} clicks of each type, {how} embedding: weighted F1",
                    float(np.mean(f1)),
                    "",
                    BARS[clicks] if embedding else "",
                    f"{DRAWS} draws, {min(f1):.3f} to {max(f1):.3f}; {np.mean(counts):.0f} clicks; {each}; of pairs "
                    f"{known:.3f} have their type; {width if embedding else 0} numbers seen of each",
                )
            )
    rows.append(
        Row("colon, if all types were right: weighted F1", pairs, "", "", "what the segmenter's detection allows")
    )
    return rows


def drawn(
    tiles: Sequence[ColonTile], names: Sequence[str], clicks: int, random: np.random.Generator
) -> tuple[list[int], Examples]:
    """Draw three tiles in which each type has 20 nuclei at least, and so many clicks of each, or all there are."""
    while True:
        chosen = random.choice(len(tiles), TILES, replace=False).tolist()
        types = np.concatenate([tiles[place].types for place in chosen])
        if all((types == name).sum() >= CLICKS[0] for name in names):
            break
    rows = np.concatenate([tiles[place].rows for place in chosen])
    of = np.repeat([tiles[place].name for place in chosen], [len(tiles[place].rows) for place in chosen])
    picked = np.concatenate(
        [
            random.choice(there, min(clicks, len(there)), replace=False)
            for name in names
            for there in [np.flatnonzero(types == name)]
        ]
    )
    width = rows.shape[1] - len(COLUMNS)
    return chosen, Examples(rows[picked], width, tuple(types[picked].tolist()), tuple(of[picked].tolist()))


def score(classifier: Classifier, tiles: Sequence[ColonTile], names: Sequence[str]) -> ClassTally:
    """Compare found nuclei and their types with the points of some tiles."""
    wide = len(classifier.mean)
    tallies = []
    for tile in tiles:
        best = classifier.of_rows(tile.rows[:, :wide]).argmax(axis=1)
        found = [classifier.names[place] for place in best.tolist()]
        tallies.append(tally_points(tile.points, tile.centres, tile.point_types.tolist(), found, ["", *names]))
    return pool_classes(tallies)


def _pairs(tiles: Sequence[ColonTile], names: Sequence[str]) -> float:
    """Score nuclei that have the type of the point that they are paired with; others have the commonest."""
    from napari_nucleigan.metrics.classes import RADIUS, match_points

    tallies = []
    for tile in tiles:
        types = np.full(len(tile.centres), "epithelial", dtype=object)
        rows, columns = match_points(tile.points, tile.centres, RADIUS)
        types[columns] = tile.point_types[rows]
        tallies.append(tally_points(tile.points, tile.centres, tile.point_types.tolist(), types.tolist(), ["", *names]))
    return pool_classes(tallies).weighted_f1 or 0.0


def _named(names: Sequence[str]) -> list[NucleusClass]:
    return [NucleusClass(name=name, color=each.color) for name, each in zip(names, _CLASSES, strict=True)]


if __name__ == "__main__":
    _classify_many()
