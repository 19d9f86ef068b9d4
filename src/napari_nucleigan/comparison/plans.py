"""The trainings that a comparison wants, and the runs that are there for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.errors import DatasetError, RecipeError, RunError
from napari_nucleigan.base.events import Finished, Losses, Note
from napari_nucleigan.comparison.methods import METHODS, Method, recipe_of
from napari_nucleigan.comparison.results import Budget
from napari_nucleigan.networks import build
from napari_nucleigan.training import RunFolder, SegmenterRecipe, read_recipe
from napari_nucleigan.training.runs.status import RunState, state_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.data.datasets.dataset import Dataset

EPOCHS = (20, 24)
"""Epochs at the full learning rate and epochs in which it falls, where neither the caller nor a run tells."""

# Fields that decide where and how often something is written, but not what is learnt.
_FREE = {"name", "checkpoint_every", "precision"}


@dataclass(frozen=True)
class Plan:
    """One training that is wanted.

    Attributes
    ----------
    method : Method
        What is trained.
    recipe : SegmenterRecipe
        How.
    run : RunFolder
        Where; it need not be there yet.
    """

    method: Method
    recipe: SegmenterRecipe
    run: RunFolder

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.run.path.name


def runs_here(folder: str | Path) -> list[RunFolder]:
    """Return the runs of a comparison's folder."""
    return [RunFolder(path) for path in sorted((Path(folder) / "runs").glob("*")) if path.is_dir()]


def make_plans(
    root: Path,
    methods: Sequence[str] | None,
    seeds: Sequence[int],
    epochs: tuple[int, int] | None,
    changes: dict[str, Any],
) -> list[Plan]:
    """Plan a training for each method and seed; the arguments are those of `compare`.

    Raises
    ------
    RecipeError
        If there is no such method, nothing to plan, or a value is not valid.
    """
    names = list(METHODS) if methods is None else list(dict.fromkeys(methods))
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise RecipeError(f"There is no method {unknown[0]!r}; choose of {', '.join(METHODS)}.")
    if not names or not seeds:
        raise RecipeError("There is nothing to compare; name a method and a seed.")
    folders = {
        (name, seed): RunFolder(root / "runs" / (name if seed == 0 else f"{name}-seed{seed}"))
        for name in names
        for seed in dict.fromkeys(seeds)
    }
    if epochs is None:
        there = next((run.recipe() for run in folders.values() if run.exists), {})
        epochs = (there["epochs_constant"], there["epochs_decay"]) if there else EPOCHS
    return [
        Plan(METHODS[name], recipe_of(name, *epochs, {**changes, "seed": seed}), run)
        for (name, seed), run in folders.items()
    ]


def refuse_tested(plan: Plan, test: Dataset) -> None:
    """Refuse a run that has seen test images."""
    if not plan.run.exists:
        return
    parts = plan.run.data()
    seen = sorted({*parts["train"], *parts["val"]} & set(test.names))
    if seen:
        raise DatasetError(
            f"{plan.run.path} has trained or validated on {len(seen)} of the test images, {seen[0]!r} first; remove "
            "the run, or test on another split."
        )


def refuse_other(plan: Plan) -> None:
    """Refuse a run that is not what is asked for, or that another process trains."""
    if not plan.run.exists:
        return
    if state_of(plan.run).state.alive:
        raise RunError(f"{plan.run.path} is being trained already; wait for it, or only report what is finished.")
    other = differences(plan)
    if other:
        name, (here, asked) = next(iter(other.items()))
        raise RunError(
            f"{plan.run.path} was trained otherwise than is asked for: {name} is {here}, not {asked}. Ask for the "
            "same, choose another folder, or only report what is finished."
        )


def differences(plan: Plan) -> dict[str, tuple[Any, Any]]:
    """Fields of the run's recipe that are not what is asked for."""
    here = read_recipe(plan.run.path / "recipe.json", None, SegmenterRecipe).model_dump(mode="json")
    asked = plan.recipe.model_dump(mode="json")
    return {name: (here[name], asked[name]) for name in asked if name not in _FREE and here[name] != asked[name]}


def unfinished(plan: Plan) -> str:
    """Tell why a training has no result; nothing where it has one."""
    if not plan.run.exists:
        return obstacle(plan) or "its training has not been started"
    status = state_of(plan.run)
    if status.state is not RunState.FINISHED:
        far = "" if status.step is None else f" after {status.step} steps"
        return f"its training is {status.state}{far}"
    if not plan.run.best.is_file():
        return "its model is missing"
    return ""


def obstacle(plan: Plan) -> str:
    """Tell why a method cannot be had here; nothing where it can."""
    try:
        build(plan.recipe.generator)
    except RecipeError as error:
        return str(error)
    return ""


def budget_of(plan: Plan) -> Budget:
    """Tell what a finished training has cost, from its own story."""
    recipe = read_recipe(plan.run.path / "recipe.json", None, SegmenterRecipe)
    parts = plan.run.data()
    steps, seconds, before, where = 0, 0.0, 0, ""
    for event in plan.run.events():
        match event:
            case Losses():
                seconds += (event.step - before) * recipe.batch / max(event.images_per_second, 1e-9)
                before = event.step
            case Finished():
                steps = event.step
            case Note() if " validate, on " in event.text and not where:
                where = event.text.split(" validate, on ")[1].rstrip(".")
    return Budget(
        epochs=recipe.epochs_constant + recipe.epochs_decay,
        steps=steps,
        crops=steps * recipe.batch,
        seconds=round(seconds, 1),
        training=len(parts["train"]),
        validation=len(parts["val"]),
        synthetic=len(parts.get("synthetic", {}).get("names", ())),
        where=where,
    )
