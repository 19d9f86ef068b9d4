"""Adaptation: from unlabelled images of a tissue to a segmenter that has learnt their look, and whether that helped.

::

    OUT/found/          the images, what the model finds in them, and where it is sure: a data set
    OUT/masks.json      what the masks of these nuclei are like
    OUT/runs/NAME       the training runs: generator, synthetic, self-training
    OUT/pairs/          synthetic pairs of the images' look
    OUT/adaptation.json, adaptation.md

Each part is kept: what is there is not done again, and what was broken off goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_nucleigan import metrics
from napari_nucleigan.adaptation.report import REPORT, Adaptation
from napari_nucleigan.base.errors import DatasetError, LabelsError, RecipeError, RunError
from napari_nucleigan.base.events import Note, Progress, quiet, with_prefix
from napari_nucleigan.base.files import is_whole, refuse_foreign_report, write_text
from napari_nucleigan.base.reading import read_json
from napari_nucleigan.base.version import __version__
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import HEImage, write_image, write_labels
from napari_nucleigan.masks.polygons import fit, save
from napari_nucleigan.models import Model, load_model
from napari_nucleigan.segmentation import Segmentation, SegmentSettings, segment
from napari_nucleigan.segmentation.confidence import CONFIDENCE
from napari_nucleigan.synthesis import SetSettings, synthesize_set
from napari_nucleigan.training import RunFolder, SynthesizerRecipe, read_recipe, train_segmenter, train_synthesizer
from napari_nucleigan.training.images import prepare_all
from napari_nucleigan.training.recipes import FINE_TUNING
from napari_nucleigan.training.runs.status import RunState, state_of
from napari_nucleigan.training.starts import as_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.training import SegmenterRecipe
    from napari_nucleigan.training.recipes import Recipe

METHODS = {
    "self-training": "what the model finds and is sure of, taken for true",
    "synthetic": "synthetic pairs of the images' look",
}
"""Ways to adapt, and what each learns from; self-training is the one to beat."""

SURE = (0.2, 0.8)
"""Confidence up to which a nucleus is none, and from which on it is one; between, nothing is learnt there."""

PAIRS = SetSettings(count=96, size=256, min_consistency=0.4)
"""The synthetic pairs."""

SHARE = 0.5
"""Share of the crops that are cut from synthetic pairs."""

_MODEL = "model.json"
_ROUND_ABOUT = 2  # pixels around an unsure nucleus of which nobody knows either


def adapt(
    images: str | Path | Dataset,
    out: str | Path,
    model: str,
    methods: Sequence[str] = tuple(METHODS),
    *,
    real: str | Path | Dataset | None = None,
    truth: str | Path | Dataset | None = None,
    paired: bool = False,
    changes: Mapping[str, Any] | None = None,
    generator_changes: Mapping[str, Any] | None = None,
    pairs: SetSettings = PAIRS,
    device: str = "auto",
) -> Job[Adaptation]:
    """Adapt a segmenter to the look of unlabelled images.

    The present model finds nuclei in the images. Masks like these are painted by a generator that has learnt the look
    of the images, and the segmenter is fine-tuned on real and on these synthetic pairs. Beside it, plain self-training
    fine-tunes it on what it has found itself.

    Parameters
    ----------
    images : str, Path or Dataset
        Folder of H&E images, or a data set; its labels, if it has any, are not read.
    out : str or Path
        Where everything is kept. What is there already is used.
    model : str
        Name or file of the segmenter to start from.
    methods : sequence of str
        Keys of `METHODS`.
    real : str, Path or Dataset, optional
        Labelled data to go on learning from beside the synthetic pairs, such as what the model was trained on. By
        default what the model is sure of in the images.
    truth : str, Path or Dataset, optional
        Labelled images of the same look, to measure with; they play no other part. Without, only agreement is measured.
    paired : bool
        Whether the generator learns from the nuclei found as pairs; by default it learns unpaired.
    changes, generator_changes : mapping, optional
        Fields of the recipes of the fine-tuning and of the generator to change.
    pairs : SetSettings
        How many synthetic pairs of which size, and how consistent.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...

    Yields
    ------
    Event
        Of the trainings and of all else. Closing the generator stops the work; what is finished is kept.

    Returns
    -------
    Adaptation

    Raises
    ------
    RecipeError
        If there is no such method, or a value is not valid.
    DatasetError
        If there are no images, or one to measure with is among those to adapt to.
    LabelsError
        If the model finds too little in them to learn from.
    ModelError, RunError, DeviceError, OutputError
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        raise RecipeError(f"There is no such way to adapt: {', '.join(unknown)}; choose of {', '.join(METHODS)}.")
    dataset = images if isinstance(images, Dataset) else Dataset.open(images, labelled=False)
    if not len(dataset):
        raise DatasetError(f"{dataset.folder} has no images to adapt to.")
    judged = None if truth is None else truth if isinstance(truth, Dataset) else Dataset.open(truth)
    # At once, and not after hours of the other method.
    labelled = None if real is None else real if isinstance(real, Dataset) else Dataset.open(real)
    if judged is not None and (shared := _shared(dataset, judged)):
        raise DatasetError(
            f"{shared!r} is both an image to adapt to and one to measure with; keep them apart, or the figures flatter."
        )
    root = Path(out)
    refuse_foreign_report(root, *REPORT)
    start = load_model(model, "segmenter")
    fixed = {**as_model(model), "validation": 0.0}
    recipe = read_recipe(FINE_TUNING, {**fixed, **(changes or {})})
    found = yield from _found(dataset, start, root / "found", device)
    runs = {}
    for method in methods:
        run = runs[method] = RunFolder(root / "runs" / method)
        if method == "self-training":
            job = _finished(run, recipe) or train_segmenter(found, recipe, run, resume=run.exists, device=device)
        else:
            mixed = recipe.model_copy(update={"synthetic_share": SHARE})
            old = found if labelled is None else labelled
            job = _finished(run, mixed) or _by_synthesis(
                root, found, old, mixed, run, dict(generator_changes or {}), paired, pairs, model, device
            )
        yield from with_prefix(job, f"{method}: ")
    models = {"start": start} | {name: load_model(run.path, "segmenter") for name, run in runs.items()}
    agreement = {}
    scores: dict[str, dict[str, metrics.Scores]] = {}
    for name, each in models.items():
        agreement[name] = yield from _agreement(found, each, name, device)
        if judged is not None:
            scores[name] = yield from _scored(judged, each, name, device)
    provenance = {
        "version": __version__,
        "images": dataset.folder.resolve().name,
        "count": len(dataset),
        "start": start.card.name,
        "real": None if real is None else Path(real.folder if isinstance(real, Dataset) else real).resolve().name,
        "truth": None if judged is None else judged.folder.resolve().name,
        "generator": "paired" if paired else "unpaired",
        "pairs": pairs.count,
    }
    return Adaptation({name: str(run.path) for name, run in runs.items()}, scores, agreement, provenance)


def _shared(dataset: Dataset, judged: Dataset) -> str:
    if dataset.folder.resolve() != judged.folder.resolve():
        return ""
    return next((name for name in judged.names if name in dataset.names), "")


def _found(dataset: Dataset, model: Model, folder: Path, device: str) -> Job[Dataset]:
    """Write what a model finds in images as a data set whose regions tell where it is sure."""
    record = {"sha256": model.card.sha256, "images": list(dataset.names)}
    marker = folder / _MODEL
    if marker.is_file() and read_json(marker) != record:
        raise RunError(f"{folder} holds what another model found, or other images; choose another folder.")
    write_text(marker, json.dumps(record))
    nuclei = 0
    for number, name in enumerate(dataset.names):
        now = Progress(number, len(dataset), f"finding nuclei in {name}")
        yield now
        if all(is_whole(folder / kind / f"{name}.tif") for kind in ("labels", "regions", "images")):
            nuclei += 1
            continue
        image = dataset.image(name)
        result = yield from quiet(segment(image, _settings(image, model, device), model), now)
        labels, known = sure_parts(result)
        nuclei += int(labels.max(initial=0))
        # The image comes last: without one, labels are no part of a data set.
        write_labels(folder / "regions" / f"{name}.tif", known.astype(np.uint8), result.mpp)
        write_labels(folder / "labels" / f"{name}.tif", labels, result.mpp)
        write_image(folder / "images" / f"{name}.tif", image.pixels, result.mpp)
    if not nuclei:
        raise LabelsError(
            f"The model {model.card.name!r} is sure of no nucleus in these images, so there is nothing to begin with; "
            "check their microns per pixel, or correct a few regions by hand and fine-tune on them."
        )
    return Dataset.open(folder)


def sure_parts(result: Segmentation) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the nuclei that a model is sure of, and where it knows: (H, W) int32 labels and a (H, W) bool array.

    Where the model's card holds no calibration, it is taken at its word everywhere.
    """
    labels, confidence = result.labels, result.features.get(CONFIDENCE)
    if confidence is None or not np.isfinite(confidence).all():
        return labels, np.ones(labels.shape, bool)
    sure = np.concatenate([[False], confidence >= SURE[1]])
    unsure = np.concatenate([[False], (confidence > SURE[0]) & (confidence < SURE[1])])
    doubtful = ndimage.binary_dilation(unsure[labels], iterations=_ROUND_ABOUT)
    return np.where(sure[labels], labels, 0).astype(np.int32), ~doubtful | sure[labels]


def _by_synthesis(
    root: Path,
    found: Dataset,
    real: Dataset,
    recipe: SegmenterRecipe,
    run: RunFolder,
    changes: dict[str, Any],
    paired: bool,
    pairs: SetSettings,
    model: str,
    device: str,
) -> Job[None]:
    """Train a generator on the images, paint pairs, and fine-tune on real and synthetic ones."""
    statistics, generator = root / "masks.json", RunFolder(root / "runs" / "generator")
    if not statistics.is_file():
        tiles = yield from prepare_all(found, recipe)
        save(fit([tile.labels for tile in tiles], recipe.mpp), statistics)
    asked = {"validation": 0.0, "paired": paired, "masks": "fit" if paired else str(statistics), **changes}
    painting = read_recipe("compact-synthesizer", asked, SynthesizerRecipe)
    yield from _finished(generator, painting) or train_synthesizer(
        found, painting, generator, resume=generator.exists, device=device
    )
    asked_pairs = {"model": str(generator.path), "like": str(statistics), "segmenter": model, "device": device}
    yield from synthesize_set(root / "pairs", pairs.model_copy(update=asked_pairs))
    yield from train_segmenter(real, recipe, run, resume=run.exists, device=device, synthetic=root / "pairs")


def _finished(run: RunFolder, recipe: Recipe) -> Job[None] | None:
    """Return a job that does nothing where a run has been trained to the end by this recipe; else None.

    Raises
    ------
    RunError
        If it was trained by another one.
    """
    if not run.exists or state_of(run).state is not RunState.FINISHED:
        return None
    if type(recipe).model_validate(run.recipe()) != recipe:
        raise RunError(f"{run.path} was trained otherwise than is asked for; ask for the same, or another folder.")
    return _nothing(f"{run.path.name} is trained already.")


def _nothing(text: str) -> Job[None]:
    yield Note(text)


def _settings(image: HEImage, model: Model, device: str) -> SegmentSettings:
    # Images that do not say their scale are taken to be at the model's, as in training.
    return SegmentSettings(model=model.card.name, device=device, mpp=image.mpp or model.card.mpp)


def _scored(judged: Dataset, model: Model, name: str, device: str) -> Job[dict[str, metrics.Scores]]:
    """Score what a model finds in labelled images."""
    scores = {}
    for number, each in enumerate(judged.names):
        now = Progress(number, len(judged), f"{name}: scoring {each}")
        yield now
        image, labels = judged.pair(each)
        result = yield from quiet(segment(image, _settings(image, model, device), model), now)
        scores[each] = metrics.evaluate(labels, result.labels, hausdorff=False)
    return scores


def _agreement(found: Dataset, model: Model, name: str, device: str) -> Job[dict[str, float]]:
    """Tell how far a model agrees with itself: AJI between an image and its mirror image, and its mean confidence.

    Neither needs labels, and neither is accuracy: a model can be wrong twice alike, and sure of it.
    """
    mirrored, confidence = [], []
    for number, each in enumerate(found.names):
        now = Progress(number, len(found), f"{name}: asking twice about {each}")
        yield now
        image = found.image(each)
        other = HEImage(np.ascontiguousarray(image.pixels[:, ::-1]), image.mpp, image.name)
        settings = _settings(image, model, device)
        first = yield from quiet(segment(image, settings, model), now)
        second = yield from quiet(segment(other, settings, model), now)
        mirrored.append(metrics.evaluate(first.labels, second.labels[:, ::-1], hausdorff=False).aji)
        if CONFIDENCE in first.features and len(first.features[CONFIDENCE]):
            confidence.append(float(np.nanmean(first.features[CONFIDENCE])))
    agreement = {"mirror_aji": float(np.nanmean(mirrored))}
    return agreement | ({"confidence": float(np.mean(confidence))} if confidence else {})
