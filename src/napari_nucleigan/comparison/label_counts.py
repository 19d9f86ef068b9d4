"""Label counts: how good a segmenter gets by the number of labelled images, with and without synthetic pairs.

::

    FOLDER/masks/NAME.json      what the masks of the labelled images are like
    FOLDER/runs/NAME-ARM/       the training run of a segmenter, NAME-ARM-generator of the synthesizer that helped it
    FOLDER/pairs/NAME-ARM/      the synthetic pairs that it trained on
    FOLDER/predictions/NAME-ARM/
    FOLDER/labels.json, labels.md, labels.png

NAME tells how many images are labelled, and the seed. Each part is kept: what is there is not done again, and what was
broken off goes on.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import DatasetError, RecipeError, RunError
from napari_nucleigan.base.events import with_prefix
from napari_nucleigan.base.files import make_folder, refuse_foreign_report
from napari_nucleigan.base.version import __version__
from napari_nucleigan.comparison.experiment import PAIRS, tested, unfinished
from napari_nucleigan.comparison.label_report import REPORT
from napari_nucleigan.comparison.label_results import ARMS, LabelComparison
from napari_nucleigan.comparison.methods import (
    EPOCHS,
    METHODS,
    Plan,
    recipe_of,
    refuse_other,
    refuse_tested,
)
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.masks.polygons import fit, save
from napari_nucleigan.networks import build_synthesizer
from napari_nucleigan.synthesis import SetSettings, synthesize_set
from napari_nucleigan.training import (
    RunFolder,
    SynthesizerRecipe,
    read_recipe,
    train_segmenter,
    train_synthesizer,
)
from napari_nucleigan.training.budget import GENERATOR_EPOCHS, budget
from napari_nucleigan.training.images import prepare_all
from napari_nucleigan.training.runs.status import RunState, state_of

if TYPE_CHECKING:
    from napari_nucleigan.base.events import Job
    from napari_nucleigan.comparison.results import Trial
    from napari_nucleigan.training.recipes import Recipe

CROPS = 11_264
"""Crops that a segmenter sees, whatever the number of images: the budget is the same for all."""

GENERATOR_CROPS = 12_000
"""Crops that a synthesizer sees, whatever the number of images."""


def labelled_images(training: Dataset, seed: int) -> list[str]:
    """Put training images in the order in which they are labelled: at random, the organs in turn.

    Fewer images are thus always among more, and two are of two organs.
    """
    random = np.random.default_rng([seed, 2])
    organs = sorted({training.organs[name] for name in training.names})
    waiting = [
        [str(name) for name in random.permutation([name for name in training.names if training.organs[name] == organ])]
        for organ in (organs[index] for index in random.permutation(len(organs)))
    ]
    longest = max(map(len, waiting), default=0)
    return [names[turn] for turn in range(longest) for names in waiting if turn < len(names)]


def compare_labels(
    data: str | Path | Dataset,
    folder: str | Path,
    counts: Sequence[int] = (1, 2, 4, 8, 16),
    seeds: int = 3,
    *,
    unlabelled: bool = False,
    epochs: tuple[int, int] = EPOCHS,
    crops: int = CROPS,
    generator_crops: int = GENERATOR_CROPS,
    changes: Mapping[str, Any] | None = None,
    generator_changes: Mapping[str, Any] | None = None,
    pairs: SetSettings = PAIRS,
    split: str = "test",
    device: str = "auto",
) -> Job[LabelComparison]:
    """Train segmenters on few labelled images, with and without synthetic pairs of a generator trained on the same.

    All have one budget. There is no validation: the last weights and the recipe's own decoding are tested, so that no
    label beyond those that are counted plays any part.

    Parameters
    ----------
    data : str, Path or Dataset
        The data set; its ``split.csv`` says which images train and which test.
    folder : str or Path
        Where everything is kept. What is there already is used.
    counts : sequence of int
        Numbers of labelled images.
    seeds : int
        How often everything is done, each time with other images, weights and crops.
    unlabelled : bool
        Whether to train further generators on all training images, of which only the labelled ones have their labels.
    epochs : (int, int)
        Epochs of a segmenter at the full learning rate, and epochs in which it falls.
    crops, generator_crops : int
        Crops that each segmenter and each synthesizer sees.
    changes, generator_changes : mapping, optional
        Fields of the recipes of segmenters and synthesizers to change.
    pairs : SetSettings
        How many synthetic pairs of which size.
    split : str
        Split to test on.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...

    Yields
    ------
    Event
        Of the trainings and of all else. Closing the generator stops the work; what is finished is kept.

    Returns
    -------
    LabelComparison

    Raises
    ------
    RecipeError
        If a count or a value is not valid.
    DatasetError
        If there is nothing to train or to test on, or a run has seen test images.
    RunError
        If a run in the folder was trained otherwise, or on other data, than is asked for here, or is being trained.
    OutputError
        If a file cannot be written.
    """
    dataset = Dataset.of(data)
    training, test = dataset.part("train", "to train on"), dataset.part(split, "to test on")
    if set(training.names) & set(test.names):
        raise DatasetError(
            f"Nothing can be tested on the images of the split {split!r}, which train; name another split."
        )
    counts = sorted(dict.fromkeys(counts))
    if not counts or counts[0] < 1 or seeds < 1:
        raise RecipeError("There is nothing to compare; give numbers of labelled images and of seeds from 1 on.")
    if counts[-1] > len(training):
        raise RecipeError(
            f"{counts[-1]} labelled images are asked for, and {dataset.folder} has {len(training)} that train."
        )
    root = Path(folder)
    refuse_foreign_report(root, *REPORT)
    arms = tuple(ARMS) if unlabelled else tuple(ARMS)[:2]
    recipes = (
        budget(crops, epochs) | dict(changes or {}),
        budget(generator_crops, GENERATOR_EPOCHS) | dict(generator_changes or {}),
    )
    order = {seed: labelled_images(training, seed) for seed in range(seeds)}
    cells = [
        _Cell(root, training, tuple(order[seed][:count]), seed, *recipes) for count in counts for seed in range(seeds)
    ]
    build_synthesizer(cells[0].generator_recipe.generator)
    for cell in cells:
        for arm in arms:
            refuse_tested(cell.plan(arm), test)
            refuse_other(cell.plan(arm))
            # Of pairs that must be consistent some may have been given up.
            cell.refuse_other(arm, None if pairs.min_consistency else pairs.count)
    for number, cell in enumerate(cells):
        for arm in arms:
            prefix = f"{cell.name}-{arm} ({number + 1} of {len(cells)}): "
            yield from with_prefix(_trained(cell, arm, pairs, device), prefix)
    trials: dict[tuple[int, str], tuple[Trial, ...]] = {}
    for arm in arms:
        for cell in cells:
            trial = yield from tested(cell.plan(arm), test, root, split, device)
            trials[cell.count, arm] = (*trials.get((cell.count, arm), ()), trial)
    provenance = {
        "version": __version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "data": dataset.folder.resolve().name,
        "seeds": seeds,
        "crops": _crops(cells[0].plan("real").recipe),
        "generator_crops": _crops(cells[0].generator_recipe),
        "changes": dict(changes or {}),
        "generator_changes": dict(generator_changes or {}),
        "pairs": {"count": pairs.count, "size": pairs.size},
    }
    labelled = {(cell.count, cell.seed): cell.labelled.names for cell in cells}
    return LabelComparison(trials, labelled, test.names, split, provenance)


def _crops(recipe: Recipe) -> int:
    return (recipe.crops_per_epoch or 0) * (recipe.epochs_constant + recipe.epochs_decay)


@dataclass(frozen=True)
class _Cell:
    """One number of labelled images, which `names` tells, and one seed."""

    root: Path
    training: Dataset
    names: tuple[str, ...]
    seed: int
    changes: dict[str, Any]
    generator_changes: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.count}-labels-seed{self.seed}"

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def labelled(self) -> Dataset:
        return self.training.only(self.names)

    def plan(self, arm: str) -> Plan:
        method = "cgan" if arm == "real" else "cgan-both"
        changes = {**self.changes, "validation": 0.0, "seed": self.seed}
        recipe = recipe_of(method, changes["epochs_constant"], changes["epochs_decay"], changes)
        return Plan(METHODS[method], recipe, RunFolder(self.root / "runs" / f"{self.name}-{arm}"))

    @property
    def generator_recipe(self) -> SynthesizerRecipe:
        asked = {"validation": 0.0, "seed": self.seed, **self.generator_changes}
        return read_recipe("compact-synthesizer", asked, SynthesizerRecipe)

    def generator(self, arm: str) -> tuple[Dataset, RunFolder]:
        """Return what the synthesizer of an arm is trained on, and its run."""
        images = self.labelled
        if arm == "unlabelled":
            images = self.training.hide_labels(set(self.training.names) - set(self.names))
        return images, RunFolder(self.root / "runs" / f"{self.name}-{arm}-generator")

    def refuse_other(self, arm: str, pairs: int | None) -> None:
        """Refuse runs of an arm that have learnt from other images, from another number of `pairs`, or otherwise."""
        run = self.plan(arm).run
        learnt = [(run, self.names)]
        if arm != "real":
            images, generator = self.generator(arm)
            learnt.append((generator, images.names))
            if generator.exists and SynthesizerRecipe.model_validate(generator.recipe()) != self.generator_recipe:
                raise RunError(
                    f"{generator.path} was trained otherwise than is asked for; ask for the same, or choose another "
                    "folder."
                )
            there = len(run.data().get("synthetic", {}).get("names", ())) if run.exists else pairs
            if pairs and there != pairs:
                raise RunError(
                    f"{run.path} was trained with {there} synthetic pairs, not {pairs}; ask for as many, or choose "
                    "another folder."
                )
        for each, names in learnt:
            parts = each.data() if each.exists else {"train": names, "val": ()}
            if {*parts["train"], *parts["val"]} != set(names):
                raise RunError(
                    f"{each.path} was trained on other images than would be labelled now; the data set has changed. "
                    "Choose another folder."
                )

    def statistics(self) -> Job[Path]:
        """Learn what the masks of the labelled images are like."""
        path, recipe = self.root / "masks" / f"{self.name}.json", self.plan("real").recipe
        if not path.is_file():
            make_folder(path.parent)
            tiles = yield from prepare_all(self.labelled, recipe)
            save(fit([tile.labels for tile in tiles], recipe.mpp), path)
        return path


def _trained(cell: _Cell, arm: str, pairs: SetSettings, device: str) -> Job[None]:
    """Train the segmenter of a cell, and what it needs; what is finished is kept."""
    plan = cell.plan(arm)
    if not unfinished(plan):
        return
    card = {"name": plan.name, "training_data": cell.training.folder.name}
    synthetic = None
    if arm != "real":
        (images, run), recipe = cell.generator(arm), cell.generator_recipe
        if not (run.exists and state_of(run).state is RunState.FINISHED):
            yield from train_synthesizer(images, recipe, run, resume=run.exists, device=device, card=card)
        statistics = yield from cell.statistics()
        synthetic = cell.root / "pairs" / plan.name
        asked_pairs = {"model": str(run.path), "like": str(statistics), "seed": cell.seed, "device": device}
        yield from synthesize_set(synthetic, pairs.model_copy(update=asked_pairs))
    yield from train_segmenter(
        cell.labelled, plan.recipe, plan.run, resume=plan.run.exists, device=device, card=card, synthetic=synthetic
    )
