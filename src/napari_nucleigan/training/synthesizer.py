"""Train a synthesizer: images and masks in, run folder out."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from skimage.io import imsave

from napari_nucleigan import metrics
from napari_nucleigan.base.errors import RecipeError, RunError
from napari_nucleigan.base.events import Event, Job, Note, Preview, Progress, ValidationScores
from napari_nucleigan.base.files import atomic_write
from napari_nucleigan.base.version import __version__
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.masks.encoding import decode, encode
from napari_nucleigan.models import ModelCard, load_model, save_model
from napari_nucleigan.training.cyclegan import CycleBatch, CycleGAN
from napari_nucleigan.training.distributed.launch import joined, the_same
from napari_nucleigan.training.images import TrainingImage, in_bfloat16, prepare_all, sampler, split, stain_reference
from napari_nucleigan.training.loop import Schedule, follow, train
from napari_nucleigan.training.mask_batches import MaskBatches, check_masks, open_masks
from napari_nucleigan.training.recipes import SynthesizerRecipe, read_recipe
from napari_nucleigan.training.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_nucleigan.data.datasets.patches import PatchSampler
    from napari_nucleigan.training.distributed.ranks import Ranks

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
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    dataset = data if isinstance(data, Dataset) else Dataset.open(data, labelled=False)
    with joined(device) as ranks:
        if not ranks.leads:
            yield from _help(dataset, ranks)
            return folder.best
        if resume and not folder.exists:
            raise RunError(f"There is no run to resume in {folder.path}; start it without 'resume'.")
        with folder.locked():
            if resume:
                recipe = read_recipe(folder.path / "recipe.json", None, SynthesizerRecipe)
                parts = folder.data()
            else:
                training, validation = split(dataset, recipe)
                parts = {
                    "folder": str(dataset.folder.resolve()),
                    "train": list(training.names),
                    "val": list(validation.names),
                    "card": dict(card or {}),
                }
            # What cannot be is said before the folder holds a run.
            ranks.share(recipe.batch)
            gan = _networks(recipe, ranks.device, in_bfloat16(recipe, ranks.device), dataset.labelled)
            check_masks(recipe, dataset.labelled)
            if not resume:
                folder.start(recipe, parts)
            # Recorded here and not in the loop, so that events reach the file before anyone who listens.
            yield from folder.recorded(_train(gan, dataset, parts, folder, ranks, resume))
    return folder.best


def _networks(recipe: SynthesizerRecipe, device: str, bfloat16: bool, labelled: bool) -> CycleGAN:
    gan = CycleGAN(recipe, device, bfloat16, labelled)
    if recipe.patch % gan.painter.stride or recipe.patch % gan.segmenter.stride:
        raise RecipeError(
            f"Crops of {recipe.patch} pixels do not fit these networks; choose a multiple of "
            f"{np.lcm(gan.painter.stride, gan.segmenter.stride)}."
        )
    if recipe.start_from:
        base = load_model(recipe.start_from, "synthesizer")
        architecture = recipe.model_dump(mode="json")["generator"]
        if base.card.architecture != architecture or base.card.encoding != recipe.encoding:
            raise RecipeError(
                f"{recipe.start_from!r} is another network ({base.card.architecture}) than the recipe asks for "
                f"({architecture}); choose the recipe that it was trained with."
            )
        gan.start_from(base.network.state_dict())
    return gan


def _train(
    gan: CycleGAN, dataset: Dataset, parts: dict[str, Any], run: RunFolder, ranks: Ranks, resume: bool
) -> Job[None]:
    ranks.take_cores()
    recipe = gan.recipe
    bfloat16 = in_bfloat16(recipe, ranks.device)
    training, validation = dataset.only(parts["train"]), dataset.only(parts["val"])
    ranks.broadcast((recipe, parts, bfloat16))
    gan.join(ranks)
    yield Note(
        f"{len(training)} images train, {'with' if gan.paired else 'without'} their labels, {len(validation)} are held "
        f"out, masks: {recipe.masks}, on {ranks} in {'bfloat16' if bfloat16 else 'float32'}."
    )
    tiles, masks, crops_of = yield from _material(training, recipe)
    held = (yield from prepare_all(validation, recipe)) or tiles
    validator = _Validator(gan, recipe, run, tiles, held, masks, dict(parts["card"]))
    schedule, batches = _schedule(recipe, crops_of), _batches(recipe, tiles, masks, crops_of, ranks)
    yield from train(gan, batches, validator, schedule, run, 2 * recipe.batch, recipe.lr, resume, ranks)


def _help(dataset: Dataset, ranks: Ranks) -> Job[None]:
    """Make the share of another process in what `_train` does."""
    ranks.take_cores()
    recipe, parts, bfloat16 = ranks.receive()
    gan = _networks(recipe, ranks.device, bfloat16, dataset.labelled)
    gan.join(ranks)
    tiles, masks, crops_of = yield from _material(the_same(dataset.only(parts["train"]), parts["train"]), recipe)
    follow(gan, _batches(recipe, tiles, masks, crops_of, ranks), _schedule(recipe, crops_of), ranks)


def _material(
    training: Dataset, recipe: SynthesizerRecipe
) -> Job[tuple[list[TrainingImage], MaskBatches, PatchSampler]]:
    """Return the training images, the masks that are painted, and what cuts crops."""
    tiles = yield from prepare_all(training, recipe)
    masks = yield from open_masks(recipe, tiles)
    return tiles, masks, (yield from sampler(tiles, recipe))


def _schedule(recipe: SynthesizerRecipe, crops_of: PatchSampler) -> Schedule:
    return Schedule(
        steps_per_epoch=-(-(recipe.crops_per_epoch or crops_of.crops_per_epoch) // recipe.batch),
        constant=recipe.epochs_constant,
        decay=recipe.epochs_decay,
        validate_every=recipe.validate_every,
        checkpoint_every=recipe.checkpoint_every,
        minutes=recipe.minutes,
    )


def _batches(
    recipe: SynthesizerRecipe, tiles: Sequence[TrainingImage], masks: MaskBatches, crops_of: PatchSampler, ranks: Ranks
) -> Callable[[int], CycleBatch]:
    share = ranks.share(recipe.batch)

    def batch(step: int) -> CycleBatch:
        images, fields, others, indices = crops_of.styled_batch(step, len(share), share.start)
        names = [tiles[index].name for index in indices]
        return CycleBatch(images, fields, others, masks.fields(step, names, share.start))

    return batch


class _Painted(NamedTuple):
    fake: Tensor
    returned: Tensor
    aji: float
    errors: tuple[float, float]


class _Validator:
    """Paints masks, asks S what it finds in the pictures, and saves the newest model."""

    def __init__(
        self,
        gan: CycleGAN,
        recipe: SynthesizerRecipe,
        run: RunFolder,
        tiles: Sequence[TrainingImage],
        held: Sequence[TrainingImage],
        masks: MaskBatches,
        card: Mapping[str, Any],
    ) -> None:
        self._gan = gan
        self._recipe = recipe
        self._run = run
        self._card = card
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
        self._save(values, styles)
        path = self._run.previews / f"{step:08d}.png"
        with atomic_write(path) as temporary:
            imsave(
                temporary,
                self._preview([one.fake for one in painted], [one.returned for one in painted]),
                check_contrast=False,
            )
        yield Preview(step, str(path))
        return True

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing is remembered from one validation to the next."""

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

    def _preview(self, fakes: Sequence[Tensor], returned: Sequence[Tensor]) -> NDArray[np.uint8]:
        """Four rows of mask, fake, mask that comes back, and real image."""
        parts = (self._fields, fakes, returned, self._real)
        columns = [np.concatenate([np.moveaxis(each.numpy(), 0, -1) for each in part[:4]]) for part in parts]
        return np.rint((np.concatenate(columns, axis=1) + 1) * 127.5).astype(np.uint8)

    def _save(self, scores: dict[str, float], styles: dict[str, list[list[float]]]) -> None:
        recipe, gan = self._recipe, self._gan
        card = ModelCard(
            **{
                "name": self._run.path.name,
                **self._card,
                "kind": "synthesizer",
                "architecture": recipe.generator,
                "encoding": recipe.encoding,
                "mpp": recipe.mpp,
                "stain": stain_reference(recipe).to_json() if recipe.normalize != "none" else None,
                "styles": styles if gan.painter.style_size else {},
                "recipe": recipe.model_dump(mode="json"),
                "scores": {f"{PAINTED} masks in training": {name: round(value, 4) for name, value in scores.items()}},
                "version": __version__,
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            }
        )
        save_model(self._run.best, gan.average.state_dict(), card, half=True)


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
