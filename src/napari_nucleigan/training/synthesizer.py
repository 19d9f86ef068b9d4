"""Training of a synthesizer: images and masks in, run folder out."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from napari_nucleigan import metrics
from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.base.events import Event, Job, Note, Progress, ValidationScores
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.masks.encoding import decode
from napari_nucleigan.masks.polygons import MOST_TISSUES, fit_tissue
from napari_nucleigan.models.tissue import classes_on
from napari_nucleigan.tissue.classes import fit_classes, tissue_map
from napari_nucleigan.tissue.features import spread
from napari_nucleigan.tissue.record import UNKNOWN, TissueClasses
from napari_nucleigan.training.cyclegan import CycleBatch, CycleGAN
from napari_nucleigan.training.frame import BestModel, Training, run_training, the_same
from napari_nucleigan.training.images import TrainingImage, prepare_all, sampler
from napari_nucleigan.training.mask_batches import MaskBatches, check_masks, open_masks
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
    unlabelled: str | Path | Dataset | None = None,
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
    unlabelled : str, Path or Dataset, optional
        Further images to train on, whose labels, if they have any, are left aside; only those of the split ``"train"``.
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
    return (yield from run_training(_SynthesizerTraining(dataset, recipe, unlabelled), run, resume, device, card))


class _SynthesizerTraining(Training[SynthesizerRecipe]):
    """Crops of images, their styles, and masks to paint."""

    crops_per_image = 2
    gan: CycleGAN
    classes: TissueClasses | None
    _known: TissueClasses | None

    def __init__(self, dataset: Dataset, recipe: SynthesizerRecipe, unlabelled: str | Path | Dataset | None) -> None:
        super().__init__(dataset, recipe)
        self._unlabelled = None if unlabelled is None else Dataset.of(unlabelled, labelled=False)

    def build(self, device: str, bfloat16: bool) -> None:
        recipe = self.recipe
        labelled = self.parts.get("labelled")
        if labelled is None:  # a run of 0.1.0, for which some labels were as good as none
            labelled = self.dataset.names if self.dataset.labelled else ()
        # A run that is gone on with has the labels that it began with, whatever lies in the folder by now.
        self.dataset = self.dataset.hide_labels(set(self.dataset.names) - set(labelled))
        gan = self.gan = CycleGAN(recipe, device, bfloat16)
        if recipe.patch % gan.generator.stride or recipe.patch % gan.segmenter.stride:
            raise RecipeError(
                f"Crops of {recipe.patch} pixels do not fit these networks; choose a multiple of "
                f"{np.lcm(gan.generator.stride, gan.segmenter.stride)}."
            )
        base = self.starting_model()
        self._known = None
        if base is not None:
            gan.start_from(base.network.state_dict())
            self._known = classes_on(base.card)
        check_masks(recipe, bool(self.dataset.only(self.parts["train"]).labelled_names))

    def goes_on(self, there: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
        if there == asked:
            return True
        # A painter that knows no tissue can learn it.
        rest = {key: value for key, value in asked.items() if key not in ("name", "classes", "features")}
        return (there.get("name"), asked.get("name")) == ("painter", "tissue-unet") and rest == {
            key: value for key, value in there.items() if key != "name"
        }

    def further_parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"labelled": list(self.dataset.labelled_names)}
        if self._unlabelled is not None:
            further = self._unlabelled = self._unlabelled.part("train", "to train on")
            parts["unlabelled"] = {"folder": str(further.folder.resolve()), "names": list(further.names)}
        return parts

    def describe(self, training: Dataset, validation: Dataset) -> str:
        labelled = len(training.labelled_names) if self.recipe.paired else 0
        count = len(training) + len((self.parts.get("unlabelled") or {}).get("names", ()))
        some = f"{labelled} of them " if 0 < labelled < count else ""
        return (
            f"{count} images train, {some}{'with' if labelled else 'without'} their labels, "
            f"{len(validation)} are held out, masks: {self.recipe.masks}"
        )

    def prepare(self, training: Dataset) -> Job[None]:
        tiles = yield from prepare_all(training, self.recipe)
        self._labelled = [tile for tile in tiles if training.has_labels(tile.name)]
        if record := self.parts.get("unlabelled"):
            found = Dataset.of(self._unlabelled or record["folder"], labelled=False).only(record["names"])
            further = the_same(found, record["names"]).hide_labels(record["names"])
            # No mask is like theirs, whatever they are called.
            tiles += [
                replace(tile, name=f"{further.folder}: {tile.name}")
                for tile in (yield from prepare_all(further, self.recipe))
            ]
        self._tiles = tiles
        classes = self.classes = yield from self._find_classes()
        maps = None if classes is None else (yield from _tissues(tiles, classes))
        self._masks = yield from open_masks(self.recipe, self._labelled, classes, maps)
        self._sources = []
        pairs = {tile.name for tile in self._labelled} if self.recipe.paired else set()
        for paired in (True, False):
            # Where no labels are used, it does not matter where they are known.
            some = [tile if paired else replace(tile, known=None) for tile in tiles if (tile.name in pairs) is paired]
            if some:
                tissues = None if maps is None else [maps[tile.name] for tile in some]
                crops = yield from sampler(some, self.recipe, tissues=tissues)
                self._sources.append(_Source(crops, [tile.name for tile in some], paired))
        self.crops_per_epoch = sum(source.crops.crops_per_epoch for source in self._sources)

    def batch(self, step: int, share: range) -> CycleBatch:
        # Where some images have labels and others have none, they take turns.
        source = self._sources[step % len(self._sources)]
        images, fields, others, indices, tissues = source.crops.styled_batch(step, len(share), share.start)
        masks, mask_tissues = self._masks.batch(step, [source.names[index] for index in indices], share.start)
        true = fields if source.paired else None
        if tissues is None:
            return CycleBatch(images, true, others, masks)
        for number, index in enumerate(share):
            random = np.random.default_rng([self.recipe.seed, step, index, 78])
            for each in (tissues, mask_tissues):
                if random.random() < self.recipe.tissue_dropout:
                    each[number] = UNKNOWN
        return CycleBatch(images, true, others, masks, tissues, mask_tissues)

    def _find_classes(self) -> Job[TissueClasses | None]:
        """Find the classes of tissue in the training images, or take those that the network knows already."""
        count = self.gan.generator.tissue_classes
        if not count:
            return None
        if self._known is not None:
            return self._known
        yield Progress(0, 1, "finding classes of tissue")
        return fit_classes([tile.pixels for tile in self._tiles], self.recipe.mpp, count, self.recipe.seed)

    def tissue(self) -> dict[str, Any] | None:
        """Return what the card is to hold of the tissue: its classes, and masks with it where there are labels."""
        if self.classes is None:
            return None
        masks = None
        if self._labelled:
            # Many images tell no more than some of them.
            some = self._labelled[:: -(-len(self._labelled) // MOST_TISSUES)]
            with suppress(LabelsError):
                pixels, labels = [tile.pixels for tile in some], [tile.labels for tile in some]
                masks = fit_tissue(pixels, labels, self.recipe.mpp, self.classes).model_dump(mode="json")
        return {"classes": self.classes.model_dump(mode="json"), "masks": masks}

    def validator(self, held: Sequence[TrainingImage], run: RunFolder) -> BestModel:
        return _Validator(self, run, self._tiles, held or self._tiles, self._masks)


class _Source(NamedTuple):
    """Images that a batch can be made of: all with labels, or all without."""

    crops: PatchSampler
    names: list[str]
    paired: bool


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
        names = [tile.name for tile in shown]
        self._labels = masks.draw(0, names)
        self._fields, self._masks_tissue = masks.batch(0, names)
        self._tissue = training.tissue()

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
        card = self.card({f"{PAINTED} masks in training": values}, styles=styles, tissue=self._tissue)
        self.save(self._gan.average.state_dict(), card)
        yield self.preview(step, self._picture([one.fake for one in painted], [one.returned for one in painted]))
        return True

    def _paint(self, number: int) -> _Painted:
        """Paint a mask, and read it back from the picture and from a noisy one."""
        gan, field = self._gan, self._fields[number : number + 1]
        told = torch.cat([field, self._masks_tissue[number : number + 1]], 1) if self._tissue else field
        fake = gan.paint(told, gan.style_of(self._others[number : number + 1]), seed=number)
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


def _tissues(tiles: Sequence[TrainingImage], classes: TissueClasses) -> Job[dict[str, NDArray[np.uint8]]]:
    """Find the tissue of each pixel of the tiles, by their names."""
    found = {}
    for number, tile in enumerate(tiles):
        yield Progress(number, len(tiles), "mapping tissue")
        shape = tile.labels.shape
        found[tile.name] = spread(tissue_map(tile.pixels, classes), (shape[0], shape[1]))
    return found


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


MaskSource = MaskBatches
"""Its name in version 0.1.0."""
