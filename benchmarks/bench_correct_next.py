"""Correct here next: whether regions that are proposed teach more than regions at random.

Tiles of one TNBC patient, whom the model has not met, are laid side by side to a picture. Five regions of it are
corrected by a simulated user, who puts the true nuclei there: once those that `segmentation.propose` names, once as
many of the same size at random. The model learns from each by the recipe of the corrections, as many steps for
both.

Two figures: the AJI of the whole picture as the user has it in the end, segmented again and with the corrected regions;
and that of what lies outside of the regions of both, where only what was learnt tells.

``NUCLEIGAN_BENCH_STEPS`` changes the steps, ``NUCLEIGAN_BENCH_SEEDS`` the number of random choices for each patient.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from _table import Row, shared
from _tiles import MODEL
from napari_nucleigan import Dataset, load_model, metrics, segment
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.segmentation import SegmentSettings, propose
from napari_nucleigan.tiling import Box
from napari_nucleigan.training import read_recipe, train_segmenter
from napari_nucleigan.training.corrections import write_corrections
from napari_nucleigan.training.recipes import FINE_TUNING
from napari_nucleigan.training.starts import as_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = int(os.environ.get("NUCLEIGAN_BENCH_STEPS", "12"))
SEEDS = int(os.environ.get("NUCLEIGAN_BENCH_SEEDS", "1"))
PATIENTS = {"01": 3, "03": 2, "04": 4, "05": 2}
"""Patients of 1 to 7 with four tiles at least, and how many columns of two tiles the picture has."""

MPP = 0.25
SIDE = 48.0  # microns, of a region: five of them are a sixth of the smallest picture
BAR = ">= 0.03"


class Outcome(NamedTuple):
    """AJI of the whole picture, and of what nobody corrected."""

    whole: float
    rest: float


def measure() -> list[Row]:
    tnbc = Dataset.open(shared("data/tnbc"))
    gains, learnt, before = [], [], []
    for patient, columns in PATIENTS.items():
        image, truth = _picture(tnbc, patient, columns)
        found = run(segment(image, SegmentSettings(model=MODEL, tta=1)))
        chosen = [each.box for each in propose(found, side=SIDE)]
        before.append(metrics.evaluate(truth, found.labels, hausdorff=False).aji)
        for seed in range(SEEDS):
            drawn = _drawn(truth, chosen, seed)
            outside = ~(_mask(truth, chosen) | _mask(truth, drawn))
            ours, theirs = (_learnt(image, truth, boxes, outside, seed) for boxes in (chosen, drawn))
            print(
                f"patient {patient}, seed {seed}: before {before[-1]:.3f}, proposed {ours}, random {theirs}", flush=True
            )
            gains.append(ours.whole - theirs.whole)
            learnt.append(ours.rest - theirs.rest)
    note = f"{len(gains)} comparisons of {len(PATIENTS)} patients, {STEPS} steps each; before {np.mean(before):.3f}; "
    return [
        Row(
            "AJI of the picture, corrected where proposed over at random",
            np.mean(gains),
            "",
            BAR,
            note + _spread(gains),
        ),
        Row("AJI outside of all corrected regions, likewise", np.mean(learnt), note=_spread(learnt)),
    ]


def _spread(values: list[float]) -> str:
    return f"{min(values):+.3f} to {max(values):+.3f}, positive in {np.mean(np.array(values) > 0):.0%}"


def _picture(tnbc: Dataset, patient: str, columns: int) -> tuple[HEImage, NDArray[np.int32]]:
    """Lay the tiles of a patient side by side, in two rows."""
    names = [name for name in tnbc.names if name.split("_")[1] == patient][: 2 * columns]
    pairs = [tnbc.pair(name) for name in names]
    start, labels = 0, []
    for _, truth in pairs:
        labels.append(np.where(truth > 0, truth + start, 0))
        start += int(truth.max())

    def laid(parts: list[NDArray[np.generic]]) -> NDArray[np.generic]:
        return np.concatenate([np.concatenate(parts[row::2], axis=1) for row in range(2)])

    pixels, truth = laid([image.pixels for image, _ in pairs]), laid(labels)
    return HEImage(pixels, MPP, f"patient {patient}"), truth.astype(np.int32)


def _drawn(truth: NDArray[np.int32], like: list[Box], seed: int) -> list[Box]:
    """Draw as many regions of the same size at random that do not touch; each holds nuclei."""
    random = np.random.default_rng(seed)
    (height, width), boxes = like[0].shape, []
    while len(boxes) < len(like):
        top, left = (
            int(random.integers(0, full - side + 1)) for full, side in zip(truth.shape, (height, width), strict=True)
        )
        box = Box(top, top + height, left, left + width)
        if truth[box.slices].any() and not any(box.grown(2, truth.shape).meets(other) for other in boxes):
            boxes.append(box)
    return boxes


def _mask(truth: NDArray[np.int32], boxes: list[Box]) -> NDArray[np.bool_]:
    mask = np.zeros(truth.shape, bool)
    for box in boxes:
        mask[box.slices] = True
    return mask


def _learnt(
    image: HEImage, truth: NDArray[np.int32], boxes: list[Box], outside: NDArray[np.bool_], seed: int
) -> Outcome:
    """Correct regions, fine-tune, segment again, and keep the corrected regions."""
    known = _mask(truth, boxes)
    with tempfile.TemporaryDirectory() as folder:
        run(write_corrections(image, truth, known, Path(folder) / "data", "picture"))
        changes = {
            "seed": seed,
            "crops_per_epoch": 8,
            "epochs_constant": STEPS // 2,
            "epochs_decay": STEPS - STEPS // 2,
        }
        recipe = read_recipe(FINE_TUNING, {**as_model(MODEL), **changes, "validate_every": STEPS, "minutes": 0.0})
        model = load_model(run(train_segmenter(Path(folder) / "data", recipe, Path(folder) / "run")))
    labels = run(segment(image, SegmentSettings(model=MODEL, tta=1), model)).labels
    rest = metrics.evaluate(truth * outside, labels * outside, hausdorff=False).aji
    return Outcome(metrics.evaluate(truth, _kept(labels, truth, known), hausdorff=False).aji, rest)


def _kept(labels: NDArray[np.int32], truth: NDArray[np.int32], known: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Put the corrected nuclei over what was found: what lies in a region for the greater part is the user's."""

    def mostly(numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
        area = np.bincount(numbers.ravel())
        share = np.bincount(numbers[known], minlength=area.size) / np.maximum(area, 1)
        share[0] = 0
        return share > 0.5

    rest = np.where(mostly(labels)[labels], 0, labels)
    own = mostly(truth)[truth]
    return np.where(own, truth + labels.max(), np.where(known & (rest == 0), 0, rest)).astype(np.int32)
