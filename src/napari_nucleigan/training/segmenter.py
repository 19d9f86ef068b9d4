"""Train a segmenter: data in, run folder out."""

from __future__ import annotations

import datetime
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage.io import imsave

from napari_nucleigan import metrics
from napari_nucleigan.base.errors import DatasetError, RecipeError, RunError
from napari_nucleigan.base.events import Event, Job, Note, Preview, Progress, ValidationScores
from napari_nucleigan.base.files import atomic_write
from napari_nucleigan.base.version import __version__
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.datasets.patches import MixedSampler
from napari_nucleigan.masks.encoding import FARTHEST, THRESHOLD, decode, encode
from napari_nucleigan.models import ModelCard, load_model, save_model
from napari_nucleigan.training.distributed.launch import joined, the_same
from napari_nucleigan.training.images import (
    TrainingImage,
    in_bfloat16,
    in_parts,
    prepare_all,
    sampler,
    split,
    stain_reference,
)
from napari_nucleigan.training.instances import trainer_of
from napari_nucleigan.training.loop import Schedule, follow, train
from napari_nucleigan.training.recipes import SegmenterRecipe, read_recipe
from napari_nucleigan.training.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from napari_nucleigan.data.datasets.patches import PatchSampler
    from napari_nucleigan.training.cgan import ConditionalGAN
    from napari_nucleigan.training.distributed.ranks import Ranks

SMOOTHING = 1.25
"""Gaussian on the predicted distance, in pixels: what a network paints is never as smooth as what `encode` makes."""

MIN_AREA = 2.5
"""Smallest nucleus in square microns; the smallest that anyone annotates by hand is about that large."""


@dataclass(frozen=True)
class DecodingTrials:
    """How fields of an encoding are cut before validation images decide, and what is tried on these then.

    Attributes
    ----------
    start : dict
        ``threshold`` and ``prominence`` at first.
    trials : dict
        Values to try of each.
    """

    start: Mapping[str, float]
    trials: Mapping[str, Sequence[float]]


_PROBABILITIES = {"threshold": (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8)}
# Where nothing but the threshold parts nuclei, the best one may be high.
_SURFACES = DecodingTrials({"threshold": THRESHOLD}, {"threshold": (*_PROBABILITIES["threshold"], 0.9)})

DECODINGS = {
    # What a network paints dips less between two nuclei than what `encode` makes.
    "distance": DecodingTrials(
        {"threshold": THRESHOLD, "prominence": 0.16},
        {**_PROBABILITIES, "prominence": (0.08, 0.12, 0.16, 0.2, 0.25, 0.3)},
    ),
    "binary": _SURFACES,
    "contour": _SURFACES,
    "three-class": _SURFACES,
    "pixel-distance": DecodingTrials(
        {"threshold": 1 / FARTHEST, "prominence": 1 / FARTHEST},
        {
            name: tuple(pixels / FARTHEST for pixels in (0.5, 0.75, 1, 1.5, 2, 3))
            for name in ("threshold", "prominence")
        },
    ),
}
"""By encoding."""


def train_segmenter(
    data: str | Path | Dataset,
    recipe: SegmenterRecipe,
    run: str | Path | RunFolder,
    *,
    resume: bool = False,
    device: str = "auto",
    card: Mapping[str, Any] | None = None,
    synthetic: str | Path | Dataset | None = None,
) -> Job[Path]:
    """Train a conditional GAN that segments nuclei.

    Parameters
    ----------
    data : str, Path or Dataset
        The data set. Images whose split is ``"train"`` are used, those of ``"val"`` validate; where there are
        none of these, the recipe's share of the training images is held out. Others are never touched.
    recipe : SegmenterRecipe
        How to train. With `resume` the run's own recipe is used instead.
    run : str, Path or RunFolder
        Folder of the run.
    resume : bool
        Go on from the newest checkpoint.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    card : mapping, optional
        Fields of the model's card: name, training_data, data_licence, licence, notes.
    synthetic : str, Path or Dataset, optional
        Synthetic pairs, of which ``recipe.synthetic_share`` of the crops are cut; only those of the split ``"train"``.
        They never validate. With `resume` it is only needed if the folder has moved.

    Yields
    ------
    Event
        Progress, losses, scores, previews, checkpoints; all but the progress also in ``events.jsonl``.

    Returns
    -------
    Path
        The best model: by validation AJI, or the last where nothing validates.

    Raises
    ------
    DatasetError, RecipeError, RunError, DeviceError, OutputError
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    with joined(device) as ranks:
        if not ranks.leads:
            yield from _help(dataset, synthetic, ranks)
            return folder.best
        if resume and not folder.exists:
            raise RunError(f"There is no run to resume in {folder.path}; start it without 'resume'.")
        with folder.locked():
            if resume:
                recipe = read_recipe(folder.path / "recipe.json", None, SegmenterRecipe)
                ranks.share(recipe.batch)
                parts = folder.data()
            else:
                ranks.share(recipe.batch)
                training, validation = split(dataset, recipe)
                synthetic = mixed = _synthetic_pairs(synthetic, recipe)
                parts = {
                    "folder": str(dataset.folder.resolve()),
                    "train": list(training.names),
                    "val": list(validation.names),
                    "card": dict(card or {}),
                }
                if mixed is not None:
                    parts["synthetic"] = {"folder": str(mixed.folder.resolve()), "names": list(mixed.names)}
                folder.start(recipe, parts)
            # Recorded here and not in the loop, so that events reach the file before anyone who listens.
            yield from folder.recorded(_train(dataset, synthetic, parts, recipe, folder, ranks, resume))
    return folder.best


def _train(
    dataset: Dataset,
    synthetic: str | Path | Dataset | None,
    parts: dict[str, Any],
    recipe: SegmenterRecipe,
    run: RunFolder,
    ranks: Ranks,
    resume: bool,
) -> Job[None]:
    ranks.take_cores()
    training, validation = dataset.only(parts["train"]), dataset.only(parts["val"])
    mixed = _mixed(parts, synthetic)
    bfloat16 = in_bfloat16(recipe, ranks.device)
    gan, decoding = _network(recipe, ranks.device, bfloat16)
    ranks.broadcast((recipe, parts, bfloat16))
    gan.join(ranks)
    yield Note(
        f"{len(training)} images train, {len(validation)} validate, on {ranks} in "
        f"{'bfloat16' if bfloat16 else 'float32'}."
    )
    tiles, crops_of = yield from _material(training, mixed, recipe)
    held = yield from prepare_all(validation, recipe)
    validator = _Validator(gan, recipe, run, held or tiles[:1], bool(held), dict(parts["card"]), decoding)
    schedule, batches = _schedule(recipe, crops_of), _batches(recipe, crops_of, ranks)
    yield from train(gan, batches, validator, schedule, run, recipe.batch, recipe.lr, resume, ranks)
    if held:
        yield from validator.calibrate()


def _help(dataset: Dataset, synthetic: str | Path | Dataset | None, ranks: Ranks) -> Job[None]:
    """Make the share of another process in what `_train` does."""
    ranks.take_cores()
    recipe, parts, bfloat16 = ranks.receive()
    gan, _ = _network(recipe, ranks.device, bfloat16)
    gan.join(ranks)
    training, mixed = the_same(dataset.only(parts["train"]), parts["train"]), _mixed(parts, synthetic)
    if mixed is not None:
        the_same(mixed, parts["synthetic"]["names"])
    _, crops_of = yield from _material(training, mixed, recipe)
    follow(gan, _batches(recipe, crops_of, ranks), _schedule(recipe, crops_of), ranks)


def _network(recipe: SegmenterRecipe, device: str, bfloat16: bool) -> tuple[ConditionalGAN, dict[str, Any]]:
    """Return the networks as they are at first, and how fields were decoded by the model that they start from."""
    gan = trainer_of(recipe)(recipe, device, bfloat16)
    decoding: dict[str, Any] = {}
    if recipe.start_from:
        base = load_model(recipe.start_from, "segmenter")
        architecture = recipe.model_dump(mode="json")["generator"]
        if base.card.architecture != architecture or base.card.encoding != recipe.encoding:
            raise RecipeError(
                f"{recipe.start_from!r} is another network ({base.card.architecture}) than the recipe asks for "
                f"({architecture}); choose the recipe that it was trained with."
            )
        gan.start_from(base.network.state_dict())
        decoding = dict(base.card.decode)
    return gan, decoding


def _material(
    training: Dataset, mixed: Dataset | None, recipe: SegmenterRecipe
) -> Job[tuple[list[TrainingImage], PatchSampler | MixedSampler]]:
    """Return the training images, and what cuts crops from them and from synthetic ones."""
    tiles = yield from prepare_all(training, recipe)
    real = yield from sampler(tiles, recipe, recipe.blur, recipe.noise)
    if mixed is None:
        return tiles, real
    yield Note(f"{recipe.synthetic_share:.0%} of the crops are cut from {len(mixed)} synthetic images.")
    synthetic = yield from prepare_all(mixed, recipe)
    pairs = yield from sampler(synthetic, recipe, recipe.blur, recipe.noise)
    return tiles, MixedSampler(real, pairs, recipe.synthetic_share, recipe.seed)


def _schedule(recipe: SegmenterRecipe, crops_of: PatchSampler | MixedSampler) -> Schedule:
    crops = recipe.crops_per_epoch or crops_of.crops_per_epoch
    return Schedule(
        steps_per_epoch=-(-crops // recipe.batch),
        constant=recipe.epochs_constant,
        decay=recipe.epochs_decay,
        warmup=recipe.warmup_steps,
        validate_every=recipe.validate_every,
        checkpoint_every=recipe.checkpoint_every,
        patience=recipe.patience,
        minutes=recipe.minutes,
    )


def _batches(
    recipe: SegmenterRecipe, crops_of: PatchSampler | MixedSampler, ranks: Ranks
) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    share = ranks.share(recipe.batch)
    return lambda step: crops_of.batch(step, len(share), share.start)


def _synthetic_pairs(source: str | Path | Dataset | None, recipe: SegmenterRecipe) -> Dataset | None:
    if source is None:
        if recipe.synthetic_share:
            raise RecipeError(
                f"The recipe asks for {recipe.synthetic_share:.0%} synthetic crops (synthetic_share), but no folder of "
                "synthetic pairs was given; name one, or set synthetic_share to 0."
            )
        return None
    if not recipe.synthetic_share:
        raise RecipeError(
            "A folder of synthetic pairs was given, but synthetic_share is 0; set it to the share of the crops that "
            "are to be synthetic."
        )
    pairs = (source if isinstance(source, Dataset) else Dataset.open(source)).subset("train")
    if not len(pairs):
        raise DatasetError(f"{pairs.folder} has no images to train on: split.csv calls none of them 'train'.")
    return pairs


def _mixed(parts: Mapping[str, Any], source: str | Path | Dataset | None) -> Dataset | None:
    record = parts.get("synthetic")
    if record is None:
        return None
    found = source if source is not None else record["folder"]
    return (found if isinstance(found, Dataset) else Dataset.open(found)).only(record["names"])


class _Validator:
    """Segments whole images with the averaged weights and keeps the best model."""

    def __init__(
        self,
        gan: ConditionalGAN,
        recipe: SegmenterRecipe,
        run: RunFolder,
        tiles: list[TrainingImage],
        selects: bool,
        card: dict[str, Any],
        decoding: dict[str, Any],
    ) -> None:
        self._gan = gan
        self._recipe = recipe
        self._run = run
        self._tiles = tiles
        self._selects = selects
        self._card = card
        self._decoding = decoding
        self._best = -1.0

    def __call__(self, step: int) -> Generator[Event, None, bool]:
        fields = yield from self._fields(2 * len(self._tiles))
        scores = yield from self._scores(fields, self._decoding, Progress(len(fields), 2 * len(fields), "validating"))
        # Without validation images nothing may select: the newest is the model.
        better = not self._selects or scores["aji"] > self._best
        if better:
            self._best = scores["aji"]
            self._save(self._gan.average.state_dict(), scores, self._decoding)
        values = scores if self._selects else {f"train_{key}": v for key, v in scores.items()}
        yield ValidationScores(step, values, better)
        path = self._run.previews / f"{step:08d}.png"
        with atomic_write(path) as temporary:
            imsave(temporary, self._preview(self._tiles[0], fields[0]), check_contrast=False)
        yield Preview(step, str(path))
        return better

    def calibrate(self) -> Generator[Event, None, None]:
        """Choose the decoding on the validation images, and write it and their scores on the card."""
        best = load_model(self._run.best)
        self._gan.average.load_state_dict(best.network.state_dict())
        fields = yield from self._fields(len(self._tiles))
        tried = DECODINGS[self._recipe.encoding].trials
        trials = [dict(zip(tried, values, strict=True)) for values in itertools.product(*tried.values())]
        reached = []
        for number, trial in enumerate(trials):
            begun = Progress(number * len(fields), len(trials) * len(fields), "choosing the decoding")
            reached.append((yield from self._scores(fields, trial, begun)))
        best_trial = int(np.argmax([scores["aji"] for scores in reached]))
        found, scores = trials[best_trial], reached[best_trial]
        yield Note(f"Decoding chosen on the validation images: {found}, AJI {scores['aji']:.4f}.")
        self._save(best.network.state_dict(), scores, {**self._decoding, **found})

    def state(self) -> dict[str, Any]:
        return {"best": self._best}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._best = float(state["best"])

    def _fields(self, total: int) -> Job[list[NDArray[np.float32]]]:
        fields = []
        gan = self._gan
        for number, tile in enumerate(self._tiles):
            # Told for each part of an image, so that a stop need not wait for the last one.
            progress = Progress(number, total, "validating")
            halo, stride = gan.average.halo, gan.average.stride
            fields.append((yield from in_parts(gan.predict, tile.pixels, halo, stride, progress)))
        return fields

    def _scores(
        self, fields: Sequence[NDArray[np.float32]], decoding: Mapping[str, Any], begun: Progress
    ) -> Job[dict[str, float]]:
        rows = []
        for number, (tile, field) in enumerate(zip(self._tiles, fields, strict=True)):
            yield replace(begun, done=begun.done + number)
            found = self._decode(field, decoding)
            rows.append(metrics.evaluate(tile.certain(tile.labels), tile.certain(found), hausdorff=False))
        names = ("aji", "f1", "pq", "dice")
        return {name: float(np.mean([getattr(row, name) for row in rows])) for name in names}

    def _decode(self, field: NDArray[np.float32], decoding: Mapping[str, Any]) -> NDArray[np.int32]:
        recipe = self._recipe
        known = DECODINGS[recipe.encoding].start.keys() & decoding.keys()
        return decode(
            field,
            recipe.encoding,
            **{**DECODINGS[recipe.encoding].start, **{name: decoding[name] for name in known}},
            smoothing=SMOOTHING,
            min_area=round(MIN_AREA / recipe.mpp**2),
        )

    def _preview(self, tile: TrainingImage, field: NDArray[np.float32], side: int = 384) -> NDArray[np.uint8]:
        """Input, input with contours, predicted field and true field, side by side."""
        pixels, field = tile.pixels[:side, :side], field[:, :side, :side]
        found = self._decode(field, self._decoding)
        marked = pixels.copy()
        marked[ndimage.grey_dilation(found, 3) != ndimage.grey_erosion(found, 3)] = (0, 220, 60)
        truth = encode(tile.labels[:side, :side], self._recipe.encoding)
        painted = [np.rint((np.moveaxis(part, 0, -1) + 1) * 127.5).astype(np.uint8) for part in (field, truth)]
        return np.concatenate([pixels, marked, *painted], axis=1)

    def _save(self, state: Mapping[str, torch.Tensor], scores: dict[str, float], decoding: dict[str, Any]) -> None:
        which = "validation images, mean" if self._selects else "one training image, no validation"
        recipe = self._recipe
        card = ModelCard(
            **{
                "name": self._run.path.name,
                **self._card,
                "kind": "segmenter",
                "architecture": recipe.generator,
                "encoding": recipe.encoding,
                "mpp": recipe.mpp,
                "stain": stain_reference(recipe).to_json() if recipe.normalize != "none" else None,
                "decode": {
                    **DECODINGS[recipe.encoding].start,
                    "smoothing": SMOOTHING,
                    "min_area_um2": MIN_AREA,
                    **decoding,
                },
                "recipe": recipe.model_dump(mode="json"),
                "scores": {which: {name: round(value, 4) for name, value in scores.items()}},
                "version": __version__,
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            }
        )
        save_model(self._run.best, state, card, half=True)
