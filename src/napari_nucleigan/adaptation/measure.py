"""Measurements of a model before and after: scores on labelled images, and how far it agrees with itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan import metrics
from napari_nucleigan.adaptation.pseudo_labels import settings_for
from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.events import Progress, quiet
from napari_nucleigan.base.files import write_text
from napari_nucleigan.base.reading import read_json
from napari_nucleigan.data.datasets.dataset import only_known
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.segmentation import segment
from napari_nucleigan.segmentation.confidence import CONFIDENCE

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.data.datasets.dataset import Dataset
    from napari_nucleigan.models import Model

ASKED = 12
"""Unlabelled images of which a model is asked twice; more would take long and say little more."""


@dataclass(frozen=True)
class Measurements:
    """What was measured of one model.

    Attributes
    ----------
    scores : dict of str to Scores
        Of each labelled image; empty where there are none.
    agreement : dict of str to dict of str to float
        Of each unlabelled image that was asked about: ``mirror_aji`` between it and its mirror image, and the mean
        ``confidence`` where the model tells it. Neither needs labels, and neither is accuracy: a model can be wrong
        twice alike, and sure of it.
    """

    scores: dict[str, metrics.Scores]
    agreement: dict[str, dict[str, float]]


def refuse_shared(images: Dataset, judged: Dataset, learns: str) -> Job[None]:
    """Refuse to measure with images that something learns from, whatever they are called.

    Raises
    ------
    DatasetError
        If an image is in both.
    """
    seen: dict[bytes, str] = {}
    for number, (dataset, name) in enumerate([(judged, n) for n in judged.names] + [(images, n) for n in images.names]):
        yield Progress(number, len(judged) + len(images), "comparing images")
        pixels = dataset.image(name).pixels
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
        if dataset is judged:
            seen[digest] = name
        elif digest in seen:
            raise DatasetError(
                f"{name!r} is both an image {learns} and one to measure with; keep them apart, or the figures flatter."
            )


def measure(
    model: Model, name: str, found: Dataset, judged: Dataset | None, file: Path, device: str
) -> Job[Measurements]:
    """Measure a model; what was measured of the same model on the same images is read from a file.

    Parameters
    ----------
    model : Model
        A segmenter.
    name : str
        What it is called.
    found : Dataset
        The unlabelled images, of which `ASKED` are taken.
    judged : Dataset or None
        Labelled images; where nobody knows their labels, nothing is scored.
    file : Path
        Where the measurements are kept, as JSON.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...

    Returns
    -------
    Measurements
    """
    asked = found.names[:: -(-len(found) // ASKED)]
    truth = None if judged is None else {name: _digest(judged, name) for name in judged.names}
    record = {"sha256": model.card.sha256, "asked": list(asked), "truth": truth}
    kept = read_json(file) if file.is_file() else {}
    if any(kept.get(key) != value for key, value in record.items()):
        scores = {} if judged is None else (yield from _scored(judged, model, name, device))
        agreement = yield from _agreement(found.only(asked), model, name, device)
        kept = record | {
            "scores": {image: each.to_json() for image, each in scores.items()},
            "agreement": agreement,
        }
        write_text(file, json.dumps(kept, indent=2))
    return Measurements({image: _scores(values) for image, values in kept["scores"].items()}, kept["agreement"])


def _digest(judged: Dataset, name: str) -> str:
    """Tell the labels of an image, and where they are known, from others: they may be corrected between two calls."""
    digest = hashlib.sha256(judged.labels(name).tobytes())
    if (known := judged.regions(name)) is not None:
        digest.update(known.tobytes())
    return digest.hexdigest()


def _scores(values: dict[str, Any]) -> metrics.Scores:
    return metrics.Scores(**values)


def _scored(judged: Dataset, model: Model, name: str, device: str) -> Job[dict[str, metrics.Scores]]:
    scores = {}
    for number, each in enumerate(judged.names):
        now = Progress(number, len(judged), f"{name}: scoring {each}")
        yield now
        image, labels = judged.pair(each)
        result = yield from quiet(segment(image, settings_for(image, model, device), model), now)
        known = judged.regions(each)
        truth, found = only_known(labels, known), only_known(result.labels, known)
        scores[each] = metrics.evaluate(truth, found, hausdorff=False)
    return scores


def _agreement(images: Dataset, model: Model, name: str, device: str) -> Job[dict[str, dict[str, float]]]:
    found: dict[str, dict[str, float]] = {}
    for number, each in enumerate(images.names):
        now = Progress(number, len(images), f"{name}: asking twice about {each}")
        yield now
        image = images.image(each)
        other = HEImage(np.ascontiguousarray(image.pixels[:, ::-1]), image.mpp, image.name)
        settings = settings_for(image, model, device)
        first = yield from quiet(segment(image, settings, model), now)
        second = yield from quiet(segment(other, settings, model), now)
        found[each] = {"mirror_aji": metrics.evaluate(first.labels, second.labels[:, ::-1], hausdorff=False).aji}
        confidence = first.features.get(CONFIDENCE)
        if confidence is not None and len(confidence) and np.isfinite(confidence).any():
            found[each]["confidence"] = float(np.nanmean(confidence))
    return found
