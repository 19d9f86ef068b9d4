"""Training of a synthesizer: images and masks in, run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from napari_nucleigan import metrics
from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.base.events import Event, Job, Note, Progress, ValidationScores
from napari_nucleigan.data.datasets.dataset import Dataset, read_nuclei
from napari_nucleigan.data.images.files import read_mpp
from napari_nucleigan.masks.encoding import decode, encode
from napari_nucleigan.masks.polygons import (
    PRESETS,
    PolygonMasks,
    fit,
    is_statistics,
    label_files,
    open_statistics,
    preset,
    sample,
)
from napari_nucleigan.training.cyclegan import CycleBatch, CycleGAN
from napari_nucleigan.training.frame import BestModel, Training, run_training
from napari_nucleigan.training.images import TrainingImage, prepare_all, rescaled_labels, sampler
from napari_nucleigan.training.recipes import SynthesizerRecipe

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_nucleigan.data.datasets.patches import PatchSampler
    from napari_nucleigan.training.runs.run_folder import RunFolder

CODES = 4
"""Style codes kept on the card for each training image; each is read off another part of it."""

LENDERS = 64
"""Training images of each organ whose styles are kept; more would say little that is new."""

PAINTED = 8
"""Masks that a validation paints."""

PROMINENCE = 0.16
"""Splitting of the masks that S draws."""

DISTURBANCE = 0.05
"""Least noise, as a share of black to white, by which a signal hidden in the fakes is looked for."""

HIDES = 1.5
"""Factor by which noise on the fakes may raise the error of the masks that come back before a note is made of it."""


def train_synthesizer(
    data: str | Path | Dataset,
    recipe: SynthesizerRecipe,
    run: str | Path | RunFolder,
    *,
    resume: bool = False,
    device: str = "auto",
    card: Mapping[str, Any] | None = None,
) -> Job[Path]:
    """Train a cycleGAN that paints H&E from masks.

    Parameters
    ----------
    data : str, Path or Dataset
        A data set, or a folder of H&E images without labels. Images whose split is ``"train"`` are used, those of
        ``"val"`` are shown beside what is painted; where there are none of these, the recipe's share of the training
        images is held out. Others are never touched.
    recipe : SynthesizerRecipe
        How to train, and on which masks. With `resume` the run's own recipe is used instead.
    run : str, Path or RunFolder
        Folder of the run.
    resume : bool
        Go on from the newest checkpoint.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    card : mapping, optional
        Fields of the model's card: name, training_data, data_licence, licence, notes.

    Yields
    ------
    Event
        Progress, losses, scores, previews, checkpoints; all but the progress also in ``events.jsonl``.

    Returns
    -------
    Path
        The newest model: no figure that is quick to compute tells when pictures are best, so none selects.

    Raises
    ------
    DatasetError, RecipeError, RunError, DeviceError, OutputError
    """
    dataset = Dataset.of(data, labelled=False)
    return (yield from run_training(_SynthesizerTraining(dataset, recipe), run, resume, device, card))


class _SynthesizerTraining(Training[SynthesizerRecipe]):
    """Crops of images, their styles, and masks to paint."""

    crops_per_image = 2
    gan: CycleGAN
    crops: PatchSampler

    def build(self, device: str, bfloat16: bool) -> None:
        recipe = self.recipe
        gan = self.gan = CycleGAN(recipe, device, bfloat16, self.dataset.labelled)
        if recipe.patch % gan.generator.stride or recipe.patch % gan.segmenter.stride:
            raise RecipeError(
                f"Crops of {recipe.patch} pixels do not fit these networks; choose a multiple of "
                f"{np.lcm(gan.generator.stride, gan.segmenter.stride)}."
            )
        base = self.starting_model()
        if base is not None:
            gan.start_from(base.network.state_dict())
        check_masks(recipe, self.dataset.labelled)

    def describe(self, training: Dataset, validation: Dataset) -> str:
        return (
            f"{len(training)} images train, {'with' if self.gan.paired else 'without'} their labels, "
            f"{len(validation)} are held out, masks: {self.recipe.masks}"
        )

    def prepare(self, training: Dataset) -> Job[None]:
        self._tiles = yield from prepare_all(training, self.recipe)
        self._masks = yield from open_masks(self.recipe, self._tiles)
        self.crops = yield from sampler(self._tiles, self.recipe)

    def batch(self, step: int, share: range) -> CycleBatch:
        images, fields, others, indices = self.crops.styled_batch(step, len(share), share.start)
        names = [self._tiles[index].name for index in indices]
        return CycleBatch(images, fields, others, self._masks.fields(step, names, share.start))

    def validator(self, held: Sequence[TrainingImage], run: RunFolder) -> BestModel:
        return _Validator(self, run, self._tiles, held or self._tiles, self._masks)


class _Painted(NamedTuple):
    fake: Tensor
    returned: Tensor
    aji: float
    errors: tuple[float, float]


class _Validator(BestModel):
    """Paints masks, asks S what it finds in the pictures, and saves the newest model."""

    def __init__(
        self,
        training: _SynthesizerTraining,
        run: RunFolder,
        tiles: Sequence[TrainingImage],
        held: Sequence[TrainingImage],
        masks: MaskBatches,
    ) -> None:
        super().__init__(training, run)
        recipe = self._recipe
        self._gan = training.gan
        random = np.random.default_rng([recipe.seed, 1])
        self._parts = {
            organ: [_cut(tile, recipe.patch, random) for tile in [t for t in tiles if t.organ == organ][:LENDERS]]
            for organ in sorted({tile.organ for tile in tiles})
        }
        # Held-out images lend their style to the pictures and are shown beside them.
        shown = [held[index % len(held)] for index in range(PAINTED)]
        self._others = torch.cat([_cut(tile, recipe.patch, random)[:1] for tile in shown])
        self._real = torch.cat([_cut(tile, recipe.patch, random)[:1] for tile in shown])
        self._labels = masks.draw(0, [tile.name for tile in shown])
        self._fields = torch.from_numpy(np.stack([encode(labels, recipe.encoding) for labels in self._labels]))

    def __call__(self, step: int) -> Generator[Event, None, bool]:
        painted, total = [], PAINTED + sum(map(len, self._parts.values()))
        for number in range(PAINTED):
            # One at a time, so that a stop need not wait for all of them.
            yield Progress(number, total, "validating")
            painted.append(self._paint(number))
        styles: dict[str, list[list[float]]] = {}
        for organ, parts in self._parts.items():
            styles[organ] = []
            for part in parts:
                yield Progress(PAINTED + sum(map(len, styles.values())) // CODES, total, "validating")
                styles[organ] += np.round(self._gan.style_of(part).cpu().numpy().astype(float), 4).tolist()
        errors = np.mean([one.errors for one in painted], axis=0)
        values = {
            "own_aji": float(np.mean([one.aji for one in painted])),
            "mask_error": float(errors[0]),
            # Far above 1, S reads the mask off a signal that noise destroys, not off the nuclei.
            "hidden_signal": float(errors[1] / max(errors[0], 1e-6)),
        }
        yield ValidationScores(step, values, True)
        if values["hidden_signal"] > HIDES:
            yield Note(
                f"Noise on the painted images makes the masks that come back {values['hidden_signal']:.2f} times "
                "worse: the mask may be hidden in the images as a faint signal. Raise hiding_noise.",
                "warning",
            )
        styles = styles if self._gan.generator.style_size else {}
        card = self.card({f"{PAINTED} masks in training": values}, styles=styles)
        self.save(self._gan.average.state_dict(), card)
        yield self.preview(step, self._picture([one.fake for one in painted], [one.returned for one in painted]))
        return True

    def _paint(self, number: int) -> _Painted:
        """Paint a mask, and read it back from the picture and from a noisy one."""
        gan, field = self._gan, self._fields[number : number + 1]
        fake = gan.paint(field, gan.style_of(self._others[number : number + 1]), seed=number)
        noise = torch.randn(fake.shape, generator=torch.Generator().manual_seed(number)).to(fake)
        disturbance = 2 * max(self._recipe.hiding_noise, DISTURBANCE)
        returned, disturbed = gan.draw(fake).cpu(), gan.draw(fake + disturbance * noise).cpu()
        found = decode(returned[0].numpy(), self._recipe.encoding, prominence=PROMINENCE, smoothing=1.0)
        return _Painted(
            fake[0].cpu(),
            returned[0],
            metrics.evaluate(self._labels[number], found, hausdorff=False).aji,
            (float((returned - field).abs().mean()), float((disturbed - field).abs().mean())),
        )

    def _picture(self, fakes: Sequence[Tensor], returned: Sequence[Tensor]) -> NDArray[np.uint8]:
        """Four rows of mask, fake, mask that comes back, and real image."""
        parts = (self._fields, fakes, returned, self._real)
        columns = [np.concatenate([np.moveaxis(each.numpy(), 0, -1) for each in part[:4]]) for part in parts]
        return np.rint((np.concatenate(columns, axis=1) + 1) * 127.5).astype(np.uint8)


def _cut(tile: TrainingImage, side: int, random: np.random.Generator) -> Tensor:
    """Cut squares out of a tile at random, (CODES, 3, side, side) float32 in [-1, 1]."""
    pixels = tile.pixels
    spare = [(0, max(0, side - length)) for length in pixels.shape[:2]]
    pixels = np.pad(pixels, [*spare, (0, 0)], mode="symmetric")
    cuts = []
    for _ in range(CODES):
        top, left = (int(random.integers(length - side + 1)) for length in pixels.shape[:2])
        cuts.append(torch.from_numpy(np.moveaxis(pixels[top : top + side, left : left + side], -1, 0).copy()))
    return torch.stack(cuts).float() / 127.5 - 1


_OWN = ("fit", "labels")


class MaskBatches:
    """Draws fields of masks; the same ones for the same seed and step.

    Parameters
    ----------
    masks : mapping of str to PolygonMasks or sequence of (H, W) int arrays
        Statistics to draw polygons from, or label images to cut from, by the image that they suit. An image that is
        not there gets those of any other.
    recipe : SynthesizerRecipe
        Size, scale, encoding and seed.
    """

    def __init__(
        self, masks: Mapping[str, PolygonMasks | Sequence[NDArray[np.integer]]], recipe: SynthesizerRecipe
    ) -> None:
        self._masks = masks
        self._recipe = recipe

    def draw(
        self, step: int, images: Sequence[str], size: int | None = None, first: int = 0
    ) -> list[NDArray[np.int32]]:
        """Draw one label image to suit each image.

        Parameters
        ----------
        step : int
            Number of the step.
        images : sequence of str
            Names of the images whose tissue the masks are to be of.
        size : int, optional
            Side in pixels; by default the recipe's patch.
        first : int
            Number in the batch of the first image.

        Returns
        -------
        list of (size, size) int32 arrays
        """
        side = size or self._recipe.patch
        return [
            self._one(image, np.random.default_rng([self._recipe.seed, step, i, 77]), side)
            for i, image in enumerate(images, first)
        ]

    def fields(self, step: int, images: Sequence[str], first: int = 0) -> torch.Tensor:
        """Draw masks as `draw` does, as a (N, 3, H, W) float32 tensor of fields in [-1, 1]."""
        drawn = self.draw(step, images, first=first)
        return torch.from_numpy(np.stack([encode(labels, self._recipe.encoding) for labels in drawn]))

    def _one(self, image: str, random: np.random.Generator, side: int) -> NDArray[np.int32]:
        names = sorted(self._masks)
        masks = self._masks[image if image in self._masks else names[int(random.integers(len(names)))]]
        if isinstance(masks, PolygonMasks):
            return sample(masks, (side, side), self._recipe.mpp, int(random.integers(2**31)))
        labels = masks[int(random.integers(len(masks)))]
        labels = np.pad(labels, [(0, max(0, side - length)) for length in labels.shape])
        top, left = (int(random.integers(length - side + 1)) for length in labels.shape)
        labels = np.rot90(labels[top : top + side, left : left + side], int(random.integers(4)))
        return np.ascontiguousarray(labels[::-1] if random.random() < 0.5 else labels).astype(np.int32)


MaskSource = MaskBatches
"""Its name in version 0.1.0."""


def check_masks(recipe: SynthesizerRecipe, labelled: bool) -> None:
    """Make sure that there is what the recipe calls its masks, before anything is begun.

    Parameters
    ----------
    recipe : SynthesizerRecipe
        Its field `masks` says what.
    labelled : bool
        Whether the training images have labels.

    Raises
    ------
    RecipeError
        If the masks are to come from labels that are not there, or from nothing that is known, or a file does not
        hold statistics.
    LabelsError
        If a folder holds no label images, or its first is none.
    """
    if recipe.masks in _OWN and not labelled:
        raise RecipeError(
            f"The images have no labels, so masks cannot be taken from them (masks = {recipe.masks!r}); give a "
            f"folder of label images or a preset: {', '.join(PRESETS)}."
        )
    if recipe.masks in (*_OWN, *PRESETS):
        return
    path = _there(recipe.masks)
    if is_statistics(path):
        open_statistics(path)
    else:
        read_nuclei(label_files(path)[0])


def open_masks(recipe: SynthesizerRecipe, tiles: Sequence[TrainingImage]) -> Job[MaskBatches]:
    """Open what the recipe calls its masks.

    Parameters
    ----------
    recipe : SynthesizerRecipe
        Its field `masks` says what.
    tiles : sequence of TrainingImage
        Training tiles.

    Raises
    ------
    RecipeError, LabelsError
        As `check_masks`; or if masks are to be like those of the tiles, and none has nuclei, or a label image is
        damaged.
    """
    if recipe.masks == "labels":
        return MaskBatches({tile.name: [tile.labels] for tile in tiles}, recipe)
    if recipe.masks == "fit":
        return MaskBatches((yield from _fits(tiles, recipe.mpp)), recipe)
    if recipe.masks in PRESETS:
        return MaskBatches({recipe.masks: preset(recipe.masks)}, recipe)
    path = _there(recipe.masks)
    if is_statistics(path):
        return MaskBatches({"all": open_statistics(path)}, recipe)
    files, masks = label_files(path), []
    for number, file in enumerate(files):
        yield Progress(number, len(files), "reading masks")
        masks.append(rescaled_labels(read_nuclei(file), (read_mpp(file) or recipe.mpp) / recipe.mpp))
    return MaskBatches({"all": masks}, recipe)


def _fits(tiles: Sequence[TrainingImage], mpp: float) -> Job[dict[str, PolygonMasks | Sequence[NDArray[np.integer]]]]:
    """Fit each tile alone, since a discriminator soon learns which nuclei go with which colours."""
    found: dict[str, PolygonMasks | Sequence[NDArray[np.integer]]] = {}
    for number, tile in enumerate(tiles):
        yield Progress(number, len(tiles), "fitting masks")
        try:
            found[tile.name] = fit([tile.labels], mpp)
        except LabelsError:
            # Of too few nuclei to learn from: the tile's own labels are like it.
            found[tile.name] = [tile.labels]
    if not any(isinstance(masks, PolygonMasks) for masks in found.values()):
        fit([tile.labels for tile in tiles], mpp)
    return found


def _there(masks: str) -> Path:
    path = Path(masks).expanduser()
    if not path.exists():
        raise RecipeError(
            f"masks = {masks!r} is neither a file nor a folder, nor one of {', '.join((*_OWN, *PRESETS))}."
        )
    return path
