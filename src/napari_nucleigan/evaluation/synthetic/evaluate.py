"""Evaluation of a set of synthetic images by a set of real ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.events import Event, Job, Note, Progress, relay
from napari_nucleigan.base.version import __version__
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.evaluation.synthetic.appearance import REGIONS, colour_distance, sum_colours
from napari_nucleigan.evaluation.synthetic.features import DEPTHS, FEWEST, Encoder, kid, mmd2, real_or_synthetic
from napari_nucleigan.evaluation.synthetic.measure import SetMeasurements, measure
from napari_nucleigan.evaluation.synthetic.report import QualityReport, SetDistance
from napari_nucleigan.evaluation.synthetic.settings import QualitySettings
from napari_nucleigan.models import Model, load_model
from napari_nucleigan.segmentation.segmenter import Segmenter
from napari_nucleigan.segmentation.settings import SegmentSettings

HALVINGS = 10
"""Ways to halve the real set that a reference without a split for validation is the mean of."""

_MIXED = 0.2  # difference of the shares of organs from which it is said


def evaluate_synthetic(
    synthetic: str | Path | Dataset,
    real: str | Path | Dataset,
    settings: QualitySettings | None = None,
    *,
    split: str | None = None,
    segmenter: Model | None = None,
) -> Job[QualityReport]:
    """Compare a set of synthetic images with a set of real ones, and the real ones with one another.

    Both are cut into crops of one size at one scale. If ``split.csv`` of the real set has the splits ``train``
    and ``val``, the reference compares these two; otherwise it is the mean over 10 random halvings of the images,
    each organ by itself.

    Parameters
    ----------
    synthetic, real : str, Path or Dataset
        Data sets: pictures with the masks that made them, and pictures with their true nuclei.
    settings : QualitySettings, optional
        How.
    split : str, optional
        Take only the real images of this split. By default all but those of the split ``test``, which is meant for
        final figures.
    segmenter : Model, optional
        A loaded segmenter; by default the one that the settings name.

    Yields
    ------
    Progress or Note
        After each image; closing the generator stops the work.

    Returns
    -------
    QualityReport

    Raises
    ------
    DatasetError
        If a set is missing, incomplete or too small.
    ModelError, DeviceError
        If a network cannot be used.
    """
    settings = settings or QualitySettings()
    painted = Dataset.of(synthetic)
    photographed = _real(Dataset.of(real), split)
    notes: list[str] = []

    def keep(event: Event) -> Event:
        if isinstance(event, Note):
            notes.append(event.text)
        return event

    for note in _mismatches(painted, photographed):
        yield keep(note)
    total = len(painted) + len(photographed)
    yield Progress(0, total, "loading the model")
    model = segmenter or load_model(settings.segmenter, "segmenter")
    how = SegmentSettings(model=settings.segmenter, device=settings.device, tta=settings.views)
    finder = Segmenter.of_patches(model, how)
    encoder = Encoder(settings.features or model, settings.device)
    sets: list[SetMeasurements] = []
    for data, what, first in ((painted, "synthetic", 0), (photographed, "real", len(painted))):
        job = measure(data, finder, encoder, settings.crop, what, first, total)
        sets.append((yield from relay(job, keep)))
    made, true = sets
    for found, data in ((made, painted), (true, photographed)):
        if len(found.groups) < FEWEST:
            raise DatasetError(
                f"{data.folder} gives {len(found.groups)} crops of {settings.crop}x{settings.crop} pixels, but a "
                f"judgement needs {FEWEST} or more; add images or take smaller crops."
            )
    yield Progress(total, total, "comparing")
    comparison = _compare("synthetic to real", true, made, settings)
    reference = _reference(true, photographed, settings)
    if reference is None:
        note = Note(f"{photographed.folder} has too few images for a reference of real with real.", "warning")
        yield keep(note)
    provenance = {
        "version": __version__,
        "segmenter": {"name": model.card.name, "sha256": model.card.sha256},
        "features": {"name": encoder.model.card.name, "sha256": encoder.model.card.sha256},
        "synthetic": str(painted.folder),
        "real": str(photographed.folder),
        "split": split,
        "views": finder.predictor.tta,
        "device": finder.predictor.device,
        "settings": settings.model_dump(mode="json"),
    }
    return QualityReport(made.figures(), true.figures(), comparison, reference, tuple(notes), provenance)


def _real(data: Dataset, split: str | None) -> Dataset:
    chosen = data.subset(split) if split else data.only(name for name in data.names if data.splits[name] != "test")
    if not len(chosen):
        what = f"of the split {split!r}" if split else "outside the split 'test'"
        raise DatasetError(f"{data.folder} has no images {what}; check split.csv, or give another --split.")
    return chosen


def _mismatches(synthetic: Dataset, real: Dataset) -> list[Note]:
    """Say where the sets differ by choice, which every distance between them shows."""
    shares = [_organ_shares(data) for data in (synthetic, real)]
    if any("unknown" in found for found in shares):
        return []
    organs = shares[0].keys() | shares[1].keys()
    apart = sum(abs(shares[0].get(organ, 0) - shares[1].get(organ, 0)) for organ in organs) / 2
    if apart < _MIXED:
        return []
    mixes = [", ".join(f"{organ} {share:.0%}" for organ, share in sorted(found.items())) for found in shares]
    return [
        Note(
            f"The sets mix organs differently (synthetic: {mixes[0]}; real: {mixes[1]}); part of every distance "
            "comes from that.",
            "warning",
        )
    ]


def _organ_shares(data: Dataset) -> dict[str, float]:
    counts = Counter(data.organs[name] for name in data.names)
    return {organ: count / len(data) for organ, count in counts.items()}


def _compare(what: str, first: SetMeasurements, second: SetMeasurements, settings: QualitySettings) -> SetDistance:
    options: dict[str, Any] = {
        "subsets": settings.subsets,
        "subset_size": settings.subset_size,
        "seed": settings.seed,
    }
    deep, fine = (kid(first.features[depth], second.features[depth], **options) for depth in DEPTHS)
    return SetDistance(what, *deep, *fine, *_rest(first, second, settings.seed))


def _rest(first: SetMeasurements, second: SetMeasurements, seed: int) -> tuple[dict[str, float], float]:
    """Distance of the colours, and accuracy of the classifier."""
    colour = colour_distance(sum_colours(first.colours), sum_colours(second.colours))
    if min(len(first.colours), len(second.colours)) < 2:
        return colour, float("nan")
    names = first.image_names, second.image_names
    return colour, real_or_synthetic(first.all_features, second.all_features, *names, seed=seed)


def _reference(true: SetMeasurements, data: Dataset, settings: QualitySettings) -> SetDistance | None:
    splits = np.array([data.splits[name] for name in true.names])
    train, held = (true.only(np.flatnonzero(splits == split)) for split in ("train", "val"))
    if min(len(train.groups), len(held.groups)) >= FEWEST:
        return _compare("real: train to val", train, held, settings)
    random = np.random.default_rng(settings.seed)
    organs = np.array([data.organs[name] for name in true.names])
    halvings = [[true.only(half) for half in _halves(organs, random)] for _ in range(HALVINGS)]
    if min(len(half.groups) for halves in halvings for half in halves) < FEWEST:
        return None
    deep, fine = (
        [mmd2(first.features[depth], second.features[depth]) for first, second in halvings] for depth in DEPTHS
    )
    rest = [_rest(first, second, settings.seed) for first, second in halvings]
    return SetDistance(
        "real: half to half",
        kid=float(np.mean(deep)),
        kid_std=float(np.std(deep)),
        fine_kid=float(np.mean(fine)),
        fine_kid_std=float(np.std(fine)),
        colour={region: float(np.mean([colour[region] for colour, _ in rest])) for region in REGIONS},
        accuracy=float(np.mean([accuracy for _, accuracy in rest])),
    )


def _halves(organs: NDArray[np.str_], random: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split images, by their indices, into halves at random; each organ by itself."""
    order = random.permutation(len(organs))
    order = order[np.argsort(organs[order], kind="stable")]
    return order[::2], order[1::2]
