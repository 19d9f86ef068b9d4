"""Training of a segmenter: data in, run folder out."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_nucleigan import metrics
from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.base.events import Event, Job, Note, Progress, ValidationScores
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.datasets.patches import MixedSampler, PatchSampler
from napari_nucleigan.masks.encoding import ENCODINGS, encode
from napari_nucleigan.models import load_model
from napari_nucleigan.segmentation.decoding import Decoding
from napari_nucleigan.segmentation.settings import SegmentSettings
from napari_nucleigan.training.cgan import trainer_of
from napari_nucleigan.training.frame import BestModel, Training, run_training, the_same
from napari_nucleigan.training.images import (
    TrainingImage,
    in_parts,
    prepare_all,
    sampler,
)
from napari_nucleigan.training.recipes import SegmenterRecipe

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from napari_nucleigan.models import ModelCard
    from napari_nucleigan.training.cgan import ConditionalGAN
    from napari_nucleigan.training.runs.run_folder import RunFolder

SMOOTHING = 1.25
"""Gaussian on the predicted distance, in pixels: what a network paints is never as smooth as what `encode` makes."""

MIN_AREA = 2.5
"""Smallest nucleus in square microns; the smallest that anyone annotates by hand is about that large."""


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
    return (yield from run_training(_SegmenterTraining(Dataset.of(data), recipe, synthetic), run, resume, device, card))


class _SegmenterTraining(Training[SegmenterRecipe]):
    """Crops of real and of synthetic images, and a network that may go on from a model."""

    gan: ConditionalGAN
    beats_start = True

    def __init__(self, dataset: Dataset, recipe: SegmenterRecipe, synthetic: str | Path | Dataset | None) -> None:
        super().__init__(dataset, recipe)
        self._synthetic = synthetic
        self._tiles: list[TrainingImage] = []
        self._decoding: dict[str, Any] = {}
        self.confidence: dict[str, Any] | None = None
        """What tells how sure the model is, of the model that training starts from; until somebody fits another."""

    def further_parts(self) -> dict[str, Any]:
        share = self.recipe.synthetic_share
        if self._synthetic is None:
            if share:
                raise RecipeError(
                    f"The recipe asks for {share:.0%} synthetic crops (synthetic_share), but no folder of synthetic "
                    "pairs was given; name one, or set synthetic_share to 0."
                )
            return {}
        if not share:
            raise RecipeError(
                "A folder of synthetic pairs was given, but synthetic_share is 0; set it to the share of the crops "
                "that are to be synthetic."
            )
        self._synthetic = pairs = Dataset.of(self._synthetic).part("train", "to train on")
        return {"synthetic": {"folder": str(pairs.folder.resolve()), "names": list(pairs.names)}}

    def build(self, device: str, bfloat16: bool) -> None:
        self.gan = trainer_of(self.recipe)(self.recipe, device, bfloat16)
        base = self.starting_model()
        if base is not None:
            self.gan.start_from(base.network.state_dict())
            # As fields were decoded there, they are decoded at first.
            self._decoding = dict(base.card.decode)
            self.confidence = base.card.confidence

    def describe(self, training: Dataset, validation: Dataset) -> str:
        return f"{len(training)} images train, {len(validation)} validate"

    def prepare(self, training: Dataset) -> Job[None]:
        recipe, record = self.recipe, self.parts.get("synthetic")
        mixed = None
        if record is not None:
            found = record["folder"] if self._synthetic is None else self._synthetic
            mixed = Dataset.of(found).only(record["names"])
            the_same(mixed, record["names"])
        self._tiles = yield from prepare_all(training, recipe)
        real = yield from sampler(self._tiles, recipe)
        self._crops: PatchSampler | MixedSampler = real
        # An epoch stays what it is without synthetic pairs.
        self.crops_per_epoch = real.crops_per_epoch
        if mixed is not None:
            yield Note(f"{recipe.synthetic_share:.0%} of the crops are cut from {len(mixed)} synthetic images.")
            synthetic = yield from prepare_all(mixed, recipe)
            pairs = yield from sampler(synthetic, recipe)
            self._crops = MixedSampler(real, pairs, recipe.synthetic_share, recipe.seed)

    def batch(self, step: int, share: range) -> tuple[torch.Tensor, torch.Tensor]:
        return self._crops.batch(step, len(share), share.start)

    def validator(self, held: Sequence[TrainingImage], run: RunFolder) -> BestModel:
        return _Validator(self, run, held or self._tiles[:1], bool(held), self._decoding)


class _Validator(BestModel):
    """Segments whole images with the averaged weights and keeps the best model."""

    def __init__(
        self,
        training: _SegmenterTraining,
        run: RunFolder,
        tiles: Sequence[TrainingImage],
        selects: bool,
        decoding: dict[str, Any],
    ) -> None:
        super().__init__(training, run)
        self._gan = training.gan
        self._confidence = training.confidence
        self._tiles = tiles
        self._selects = selects
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
        yield self.preview(step, self._picture(self._tiles[0], fields[0]))
        return better

    def calibrate(self) -> Generator[Event, None, None]:
        """Choose the decoding on the validation images, and write it and their scores on the card."""
        if not self._selects:
            return
        best = load_model(self._run.best)
        self._gan.average.load_state_dict(best.network.state_dict())
        fields = yield from self._fields(len(self._tiles))
        tried = ENCODINGS[self._recipe.encoding].trials
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
        """Find the nuclei in a field as `napari_nucleigan.segmentation` does with the saved model."""
        found = Decoding.of(SegmentSettings(), self._described({}, decoding))
        return found.nuclei(field, (field.shape[1], field.shape[2]), self._recipe.mpp)

    def _picture(self, tile: TrainingImage, field: NDArray[np.float32], side: int = 384) -> NDArray[np.uint8]:
        """Input, input with contours, predicted field and true field, side by side."""
        pixels, field = tile.pixels[:side, :side], field[:, :side, :side]
        found = self._decode(field, self._decoding)
        marked = pixels.copy()
        marked[ndimage.grey_dilation(found, 3) != ndimage.grey_erosion(found, 3)] = (0, 220, 60)
        truth = encode(tile.labels[:side, :side], self._recipe.encoding)
        painted = [np.rint((np.moveaxis(part, 0, -1) + 1) * 127.5).astype(np.uint8) for part in (field, truth)]
        return np.concatenate([pixels, marked, *painted], axis=1)

    def _save(self, weights: Mapping[str, torch.Tensor], scores: dict[str, float], decoding: dict[str, Any]) -> None:
        measured_on = "validation images, mean" if self._selects else "one training image, no validation"
        self.save(weights, self._described({measured_on: scores}, decoding))

    def _described(self, scores: Mapping[str, Mapping[str, float]], decoding: Mapping[str, Any]) -> ModelCard:
        start = ENCODINGS[self._recipe.encoding].start
        decode = {**start, "smoothing": SMOOTHING, "min_area_um2": MIN_AREA, **decoding}
        return self.card(scores, decode=decode, confidence=self._confidence)
