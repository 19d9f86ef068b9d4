"""Frame: what a training of either kind does around what is its own.

Data is dealt out, the folder locked and begun or gone on with, the networks built, and the other processes led.
"""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from skimage.io import imsave

from napari_nucleigan.base.devices import choose_device
from napari_nucleigan.base.errors import DatasetError, RecipeError, RunError
from napari_nucleigan.base.events import Event, Job, Note, Preview
from napari_nucleigan.base.files import atomic_write
from napari_nucleigan.base.version import __version__
from napari_nucleigan.models import ModelCard, load_model, read_card, resolve, save_model
from napari_nucleigan.training.images import in_bfloat16, prepare_all, split, stain_reference
from napari_nucleigan.training.loop import Schedule, Validator, follow, train
from napari_nucleigan.training.ranks import Dismissed, Ranks, started
from napari_nucleigan.training.recipe_files import read_recipe
from napari_nucleigan.training.recipes import Recipe
from napari_nucleigan.training.runs.run_folder import RunFolder
from napari_nucleigan.training.starts import inherited

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from napari_nucleigan.data.datasets.dataset import Dataset
    from napari_nucleigan.models import Model
    from napari_nucleigan.training.images import TrainingImage

_Recipe = TypeVar("_Recipe", bound=Recipe)


class Training(ABC, Generic[_Recipe]):
    """What is a kind's own of a training.

    Parameters
    ----------
    dataset : Dataset
        The data set.
    recipe : Recipe
        How to train. When a run is gone on with, its own recipe takes the place of this one.

    Attributes
    ----------
    parts : dict
        What ``data.json`` says: the data set, and which images train and which validate.
    gan : AdversarialTrainer
        The networks, once `build` has made them.
    crops_per_epoch : int
        How many crops fit side by side into the training images, once `prepare` has read them.
    leads : bool
        Whether this process is the leader.
    """

    crops_per_image: ClassVar[int] = 1
    """How many crops each of a batch counts for, where the speed is told."""
    beats_start: ClassVar[bool] = False
    """Whether a model that training starts from is validated first, so that nothing worse is taken for the best.

    It can be where scores tell of the model alone. Pictures of a synthesizer are judged by a network that begins with
    random weights in every run.
    """

    leads = True
    gan: Any
    crops_per_epoch: int

    def __init__(self, dataset: Dataset, recipe: _Recipe) -> None:
        self.dataset = dataset
        self.recipe = recipe
        self.parts: dict[str, Any] = {}

    def further_parts(self) -> dict[str, Any]:
        """Return what ``data.json`` is to hold of other data."""
        return {}

    @abstractmethod
    def build(self, device: str, bfloat16: bool) -> None:
        """Make the networks as they are at first, and check what can be checked of the recipe."""

    @abstractmethod
    def describe(self, training: Dataset, validation: Dataset) -> str:
        """Tell people what trains."""

    @abstractmethod
    def prepare(self, training: Dataset) -> Job[None]:
        """Read the training images, and what else batches are made of."""

    @abstractmethod
    def batch(self, step: int, share: range) -> Any:
        """Make the share of a step's batch."""

    @abstractmethod
    def validator(self, held: Sequence[TrainingImage], run: RunFolder) -> BestModel:
        """Return what validates on the images held out, if there are any, and keeps the best model."""

    def goes_on(self, there: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
        """Tell whether a network of one architecture can begin with the weights of another."""
        return there == asked

    def starting_model(self) -> Model | None:
        """Return the model that training starts from, if the recipe names one.

        Raises
        ------
        RecipeError
            If it is another network than the recipe asks for.
        """
        recipe = self.recipe
        if not recipe.start_from:
            return None
        base = load_model(recipe.start_from, recipe.kind)
        architecture = recipe.model_dump(mode="json")["generator"]
        if not self.goes_on(base.card.architecture, architecture) or base.card.encoding != recipe.encoding:
            own = base.card.recipe.get("name")
            raise RecipeError(
                f"{recipe.start_from!r} is another network ({base.card.architecture}) than the recipe asks for "
                f"({architecture}); choose the recipe that it was trained with{f', {own}' if own else ''}."
            )
        return base


class BestModel(Validator):
    """Validates, and keeps the best model.

    Parameters
    ----------
    training : Training
        What trains.
    run : RunFolder
        Where the model and the previews go.
    """

    def __init__(self, training: Training[Any], run: RunFolder) -> None:
        self._recipe = training.recipe
        self._card: Mapping[str, Any] = training.parts["card"]
        self._run = run

    def calibrate(self) -> Generator[Event, None, None]:
        """Choose, at the end of the training, what is chosen by the validation images."""
        yield from ()

    def preview(self, step: int, pixels: NDArray[np.uint8]) -> Preview:
        """Write a picture for people."""
        path = self._run.previews / f"{step:08d}.png"
        with atomic_write(path) as temporary:
            imsave(temporary, pixels, check_contrast=False)
        return Preview(step, str(path))

    def card(self, scores: Mapping[str, Mapping[str, float]], **fields: Any) -> ModelCard:
        """Return the card of the model, with its scores by what they were measured on, and further fields."""
        recipe = self._recipe
        return ModelCard(
            **{
                "name": self._run.path.name,
                **self._card,
                "kind": recipe.kind,
                "architecture": recipe.generator,
                "encoding": recipe.encoding,
                "mpp": recipe.mpp,
                "stain": stain_reference(recipe).to_json() if recipe.normalize != "none" else None,
                "recipe": recipe.model_dump(mode="json"),
                "scores": {
                    name: {key: round(value, 4) for key, value in each.items()} for name, each in scores.items()
                },
                "version": __version__,
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                **fields,
            }
        )

    def save(self, weights: Mapping[str, torch.Tensor], card: ModelCard) -> None:
        """Write the model."""
        save_model(self._run.best, weights, card, half=True)


def run_training(
    training: Training[Any], run: str | Path | RunFolder, resume: bool, device: str, card: Mapping[str, Any] | None
) -> Job[Path]:
    """Train in a run folder, as `train_segmenter` and `train_synthesizer` promise."""
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    with joined(device) as ranks:
        ranks.take_cores()
        if not ranks.leads:
            yield from _help(training, ranks)
        elif resume and not folder.exists:
            raise RunError(f"There is no run to resume in {folder.path}; start it without 'resume'.")
        else:
            with folder.locked():
                yield from _lead(training, folder, ranks, resume, card)
    return folder.best


def _lead(
    training: Training[Any], run: RunFolder, ranks: Ranks, resume: bool, card: Mapping[str, Any] | None
) -> Job[None]:
    if resume:
        training.recipe = read_recipe(run.path / "recipe.json", None, type(training.recipe))
        training.parts = run.data()
    else:
        images, held = split(training.dataset, training.recipe)
        training.parts = {
            "folder": str(training.dataset.folder.resolve()),
            "train": list(images.names),
            "val": list(held.names),
            "card": {**_inherited(training.recipe), **(card or {})},
            **training.further_parts(),
        }
    # What cannot be is said before the folder holds a run.
    ranks.share(training.recipe.batch)
    bfloat16 = in_bfloat16(training.recipe, ranks.device)
    training.build(ranks.device, bfloat16)
    if not resume:
        run.start(training.recipe, training.parts)
    # Recorded here and not in the loop, so that events reach the file before anyone who listens.
    yield from run.recorded(_train(training, run, ranks, resume, bfloat16))


def _inherited(recipe: Recipe) -> dict[str, str]:
    return inherited(read_card(resolve(recipe.start_from))) if recipe.start_from else {}


def _train(training: Training[Any], run: RunFolder, ranks: Ranks, resume: bool, bfloat16: bool) -> Job[None]:
    recipe, parts = training.recipe, training.parts
    images, validation = training.dataset.only(parts["train"]), training.dataset.only(parts["val"])
    ranks.broadcast((recipe, parts, bfloat16))
    training.gan.join(ranks)
    precision = "bfloat16" if bfloat16 else "float32"
    yield Note(f"{training.describe(images, validation)}, on {ranks} in {precision}.")
    yield from training.prepare(images)
    validator = training.validator((yield from prepare_all(validation, recipe)), run)
    share = ranks.share(recipe.batch)
    yield from train(
        training.gan,
        lambda step: training.batch(step, share),
        validator,
        Schedule.of(recipe, training.crops_per_epoch),
        run,
        training.crops_per_image * recipe.batch,
        recipe.lr,
        resume,
        ranks,
        baseline=training.beats_start and bool(recipe.start_from),
    )
    yield from validator.calibrate()


def _help(training: Training[Any], ranks: Ranks) -> Job[None]:
    """Make the share of another process in what `_train` does."""
    training.leads = False
    training.recipe, training.parts, bfloat16 = ranks.receive()
    training.build(ranks.device, bfloat16)
    training.gan.join(ranks)
    names = training.parts["train"]
    yield from training.prepare(the_same(training.dataset.only(names), names))
    share = ranks.share(training.recipe.batch)
    schedule = Schedule.of(training.recipe, training.crops_per_epoch)
    follow(training.gan, lambda step: training.batch(step, share), schedule, ranks)


def the_same(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Make sure that another process than the leader has found the leader's images.

    Raises
    ------
    DatasetError
        If some are not there.
    """
    missing = [name for name in names if name not in dataset.names]
    if missing:
        raise DatasetError(
            f"{dataset.folder} has no image {missing[0]!r} in process {started()[0]}; all processes need the same data "
            "set under the same path."
        )
    return dataset


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Meet the other processes of the training, if ``torchrun`` has started several.

    Parameters
    ----------
    device : str
        As `napari_nucleigan.base.devices.choose_device` takes it. Of several processes on a machine each takes a GPU of
        its own.

    Yields
    ------
    Ranks
        When the leader leaves the block, however it does, it dismisses the others; they leave it quietly.

    Raises
    ------
    DeviceError
        If that device is not to be had, or there are more processes than GPUs.
    ExtraError
        If Lightning Fabric is not installed.
    RunError
        If the processes cannot reach one another.
    """
    if started()[1] == 1:
        yield Ranks(choose_device(device))
        return
    # Its import takes seconds, and it comes with an extra.
    from napari_nucleigan.training.fabric import FabricRanks

    ranks = FabricRanks(device)
    try:
        with suppress(Dismissed):
            yield ranks
    finally:
        ranks.dismiss()
