"""Evaluation of a set of synthetic images by a set of real ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_nucleigan.base.errors import DatasetError, ExtraError
from napari_nucleigan.base.events import Event, Job, Note, Progress, relay
from napari_nucleigan.base.version import __version__
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.datasets.splits import split_name
from napari_nucleigan.evaluation.synthetic.appearance import REGIONS, colour_distance, sum_colours
from napari_nucleigan.evaluation.synthetic.distances import FEWEST, kid, mmd2, real_or_synthetic
from napari_nucleigan.evaluation.synthetic.features import DEPTHS, PRETRAINED, Encoder, PretrainedEncoder
from napari_nucleigan.evaluation.synthetic.measure import SetMeasurements, measure
from napari_nucleigan.evaluation.synthetic.report import QualityReport, SetDistance
from napari_nucleigan.evaluation.synthetic.settings import QualitySettings
from napari_nucleigan.models import Model, load_model
from napari_nucleigan.segmentation.segmenter import Segmenter
from napari_nucleigan.segmentation.settings import SegmentSettings

if TYPE_CHECKING:
    from napari_nucleigan.evaluation.synthetic.features import Depth

HALVINGS = 10
"""Ways to halve the real set that a reference without a split for validation is the mean of."""

_UNKNOWN = (float("nan"), float("nan"))
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

    Both are cut into crops of one size at one scale. The reference of real with real compares the images of the
    split ``train`` with those of `split`, or of ``val`` where no split is given; where there are none of these, it is
    the mean over 10 random halvings of the images, each organ by itself.

    Parameters
    ----------
    synthetic, real : str, Path or Dataset
        Data sets: pictures with the masks that made them, and pictures with their true nuclei.
    settings : QualitySettings, optional
        How.
    split : str, optional
        Take only the real images of this split: those that the generator has not learnt from tell most. By default
        all but those of the split ``test``, which is meant for final figures.
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
    painted, whole = Dataset.of(synthetic), Dataset.of(real)
    photographed = _real(whole, split)
    parts = [(painted, "synthetic"), (photographed, "real")]
    held = split_name(split or "val")
    if split and held != "train" and len(training := whole.subset("train")):
        parts.append((training, "real, train"))
    notes: list[str] = []

    def keep(event: Event) -> Event:
        if isinstance(event, Note):
            notes.append(event.text)
        return event

    for note in _mismatches(painted, photographed):
        yield keep(note)
    total = sum(len(data) for data, _ in parts)
    yield Progress(0, total, "loading the model")
    model = segmenter or load_model(settings.segmenter, "segmenter")
    how = SegmentSettings(model=settings.segmenter, device=settings.device, tta=settings.views)
    finder = Segmenter.of_patches(model, how)
    encoder = Encoder(settings.features or model, settings.device)
    pretrained = yield from relay(_pretrained(settings.device), keep)
    sets: list[SetMeasurements] = []
    done = 0
    for data, what in parts:
        job = measure(data, finder, encoder, settings.crop, what, done, total, pretrained)
        sets.append((yield from relay(job, keep)))
        done += len(data)
    made, true, *beside = sets
    for found, data in ((made, painted), (true, photographed)):
        if len(found.groups) < FEWEST:
            raise DatasetError(
                f"{data.folder} gives {len(found.groups)} crops of {settings.crop}x{settings.crop} pixels, but a "
                f"judgement needs {FEWEST} or more; add images or take smaller crops."
            )
    yield Progress(total, total, "comparing")
    comparison = _compare("synthetic to real", true, made, settings)
    reference = _reference(true, photographed, beside, held, settings)
    if reference is None:
        note = Note(f"{photographed.folder} has too few images for a reference of real with real.", "warning")
        yield keep(note)
    provenance = {
        "version": __version__,
        "segmenter": {"name": model.card.name, "sha256": model.card.sha256},
        "features": {"name": encoder.model.card.name, "sha256": encoder.model.card.sha256},
        "pretrained": pretrained.name if pretrained else None,
        "synthetic": str(painted.folder),
        "real": str(photographed.folder),
        "split": split,
        "views": finder.predictor.tta,
        "device": finder.predictor.device,
        "settings": settings.model_dump(mode="json"),
    }
    return QualityReport(made.figures(), true.figures(), comparison, reference, tuple(notes), provenance)


def _pretrained(device: str) -> Job[PretrainedEncoder | None]:
    """Return the encoder that has learnt from photographs, or say why it is not there."""
    try:
        return PretrainedEncoder(device)
    except ExtraError as error:
        yield Note(f"KID on a pretrained encoder is left out. {error}")
        return None


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
    kids = {depth: kid(first.features[depth], second.features[depth], **options) for depth in _depths(first)}
    return _distance(what, kids, *_rest(first, second, settings.seed))


def _depths(measurements: SetMeasurements) -> tuple[Depth, ...]:
    return (*DEPTHS, PRETRAINED) if PRETRAINED in measurements.features else DEPTHS


def _distance(
    what: str, kids: dict[Depth, tuple[float, float]], colour: dict[str, float], told: tuple[float, float]
) -> SetDistance:
    deep, fine = (kids[depth] for depth in DEPTHS)
    return SetDistance(what, *deep, *fine, *kids.get(PRETRAINED, _UNKNOWN), colour, *told)


def _rest(first: SetMeasurements, second: SetMeasurements, seed: int) -> tuple[dict[str, float], tuple[float, float]]:
    """Distance of the colours, and accuracy of the classifier with its spread."""
    colour = colour_distance(sum_colours(first.colours), sum_colours(second.colours))
    if min(len(first.colours), len(second.colours)) < 2:
        return colour, _UNKNOWN
    names = first.image_names, second.image_names
    return colour, real_or_synthetic(first.all_features, second.all_features, *names, seed=seed)


def _reference(
    true: SetMeasurements, data: Dataset, beside: list[SetMeasurements], held: str, settings: QualitySettings
) -> SetDistance | None:
    """Compare the split train, measured beside or a part of the real set, with the split that was held out."""
    splits = np.array([data.splits[name] for name in true.names])
    train, other = (
        [*beside, true] if beside else [true.only(np.flatnonzero(splits == each)) for each in ("train", held)]
    )
    # The split train by itself has nothing that was held out.
    enough = min(len(train.groups), len(other.groups)) >= max(FEWEST, settings.subset_size or 0)
    if held != "train" and enough:
        return _compare(f"real: train to {held}", train, other, settings)
    random = np.random.default_rng(settings.seed)
    organs = np.array([data.organs[name] for name in true.names])
    halvings = [[true.only(half) for half in _halves(organs, random)] for _ in range(HALVINGS)]
    if min(len(half.groups) for halves in halvings for half in halves) < FEWEST:
        return None
    kids = {
        depth: _over_halvings([mmd2(first.features[depth], second.features[depth]) for first, second in halvings])
        for depth in _depths(true)
    }
    rest = [_rest(first, second, settings.seed) for first, second in halvings]
    colour = {region: float(np.mean([colours[region] for colours, _ in rest])) for region in REGIONS}
    return _distance("real: half to half", kids, colour, _over_halvings([accuracy for _, (accuracy, _) in rest]))


def _over_halvings(values: list[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values))


def _halves(organs: NDArray[np.str_], random: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split images, by their indices, into halves at random; each organ by itself."""
    order = random.permutation(len(organs))
    order = order[np.argsort(organs[order], kind="stable")]
    return order[::2], order[1::2]
