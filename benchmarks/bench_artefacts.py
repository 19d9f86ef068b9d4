"""Artefacts: how much of those made up in real tiles is found, how much is said of tiles without, and what it takes.

The thresholds were chosen on the Kumar training tiles and TNBC's patients 1 to 7. Measured is on the others: the Kumar
test tiles, TNBC's patients 8 to 11, and tiles of colon from another scanner.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from _defects import INKS, blurred, bubbled, folded, inked
from _table import Row, shared, timed
from _tiles import COLON_MPP, MPP, colon
from napari_nucleigan.base.events import run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.segmentation.artefacts import KINDS, find_artefacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHOOSE = bool(os.environ.get("NUCLEIGAN_BENCH_CHOOSE"))
"""Whether to measure on the tiles that thresholds may be chosen by."""

BLURS = (1.5, 2.0, 3.0)
"""Microns of the Gaussians that tissue is put out of focus with."""


def pictures() -> list[tuple[str, HEImage]]:
    """Return tiles of 250 microns and more: those of TNBC are put together, four of a patient."""
    kumar = Dataset.open(shared("data/kumar")).subset("train" if CHOOSE else "test")
    found = [("Kumar", HEImage(kumar.image(name).pixels, MPP, name)) for name in kumar.names]
    tnbc = Dataset.open(shared("data/tnbc"))
    for patient in range(1, 8) if CHOOSE else range(8, 12):
        names = [name for name in tnbc.names if int(name.split("_")[1]) == patient]
        for start in range(0, len(names) - 3, 4):
            one, two, three, four = (tnbc.image(name).pixels for name in names[start : start + 4])
            pixels = np.concatenate([np.concatenate([one, two], 1), np.concatenate([three, four], 1)])
            found.append(("TNBC", HEImage(pixels, MPP, f"patient {patient}")))
    if not CHOOSE:
        found += [("colon", HEImage(image.pixels, COLON_MPP, image.name)) for image in colon()]
    return found


def _marked(image: HEImage, kind: str, inside: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Count squares of tissue in an artefact: those called by its name, those called by any, and all."""
    found = run(find_artefacts(image, image.mpp or MPP))
    rows, columns = ((np.arange(n) + 0.5) * s for n, s in zip(found.kinds.shape, found.square, strict=True))
    rows, columns = (p.astype(int).clip(0, n - 1) for p, n in zip((rows, columns), inside.shape, strict=True))
    mine = inside[np.ix_(rows, columns)] & found.tissue
    kinds = found.kinds[mine]
    return int((kinds == KINDS.index(kind) + 1).sum()), int((kinds > 0).sum()), int(mine.sum())


def measure() -> list[Row]:
    chosen = pictures()
    rows = []
    for group in dict.fromkeys(name for name, _ in chosen):
        maps = [(image.name, run(find_artefacts(image, image.mpp or MPP))) for name, image in chosen if name == group]
        false = sum(int((one.kinds > 0).sum()) for _, one in maps) / sum(int(one.tissue.sum()) for _, one in maps)
        said = [f"{name} {one.shares()}" for name, one in maps if one.shares()]
        note = f"{len(said)} of {len(maps)} pictures; {'; '.join(said[:4])}"
        rows.append(Row(f"tissue without artefacts that is called one, {group}", false, "", "<= 0.01", note))
    for name, kind, draw in _drawn():
        counts = np.array(
            [
                _marked(HEImage(drawn[0], image.mpp, ""), kind, drawn[1])
                for number, (group, image) in enumerate(chosen)
                if group != "colon" or number % 4 == 0
                for drawn in [draw(image.pixels, image.mpp or MPP, number)]
            ]
        )
        own, some, every = counts.sum(axis=0)
        note = f"by any name {some / every:.3f}; in {int((counts[:, 0] > 0).sum())} of {len(counts)} pictures"
        rows.append(Row(f"found of {name}", own / every, "", ">= 0.7", note))
    image = chosen[0][1]
    spent = timed(lambda: run(find_artefacts(image, MPP)), 5)
    area = image.pixels.shape[0] * image.pixels.shape[1] / 1e6
    rows.append(
        Row("time to look for artefacts", 1e3 * spent.cpu / area, "ms", "", "a megapixel, without smaller levels")
    )
    return rows


def _drawn():
    yield from (
        (f"tissue blurred by {sigma:g} microns", "blur", lambda p, m, s, by=sigma: blurred(p, m, by, s))
        for sigma in BLURS
    )
    yield "folds", "fold", folded
    yield from ((f"strokes of a {ink} pen", "pen", lambda p, m, s, of=ink: inked(p, m, of, s)) for ink in INKS)
    yield "bubbles of air", "air", bubbled
