"""``nucleigan train``: training with a live view on the terminal."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from napari_nucleigan.adaptation.settings import KIND
from napari_nucleigan.base.errors import RecipeError, RunError
from napari_nucleigan.base.reading import reading
from napari_nucleigan.cli.adapt import adapt_as_ordered
from napari_nucleigan.cli.console import (
    USAGE,
    Stopped,
    handle_errors,
    print_answer,
    print_event,
    print_json,
    print_line,
    print_message,
    run_with_bar,
)
from napari_nucleigan.cli.in_line import quietly, run_in_line
from napari_nucleigan.cli.options import Json, parse_changes
from napari_nucleigan.cli.training_view import TrainingView

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.training.recipes import Recipe, SegmenterRecipe, SynthesizerRecipe

DEFAULT_SHARE = 0.5
"""Share of the crops that are synthetic where a folder of synthetic pairs is named and no share."""

_Kind = TypeVar("_Kind", bound="Recipe")

app = typer.Typer(help="Train a network.")

EventsJson = Annotated[bool, typer.Option("--json", help="Write every event as a line of JSON on stdout.")]


@app.callback(invoke_without_command=True)
@handle_errors
def _callback(
    context: typer.Context,
    watch: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Show a run as it trains: its folder, or its name among the runs."),
    ] = None,
    as_json: EventsJson = False,
) -> None:
    """Train a network, or watch a run that another process trains."""
    if watch is None and as_json:
        raise typer.BadParameter("--json stands behind the command that it belongs to.")
    if watch is None and context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(USAGE)
    if watch is not None and context.invoked_subcommand is not None:
        raise typer.BadParameter("--watch shows a run that is there; it cannot start one as well.")
    if watch is not None:
        _watch(watch, as_json)


Run = Annotated[
    Path | None, typer.Option("--run", help="Folder of the run: checkpoints, events, best model.", show_default=False)
]
Queue = Annotated[
    bool, typer.Option("--queue", help="Wait until the trainings that started earlier on the device have ended.")
]
Estimate = Annotated[
    bool, typer.Option("--estimate", help="Only tell how many images, steps, how much time and memory it would take.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; VALUE may be JSON."),
]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, mps.")]
Name = Annotated[str | None, typer.Option(help="Name on the model's card. By default the folder's name.")]


@app.command()
@handle_errors
def segmenter(
    data: Annotated[
        Path,
        typer.Argument(
            help="Data set: a folder with images/NAME.png and labels/NAME.tif, and split.csv if "
            "some images are to validate (val) or to be left out (test).",
            show_default=False,
        ),
    ],
    run: Run = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Go on from a model: its name or file, or the folder of a run. Its network, encoding, pixel size and "
            "stains are kept.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Name or JSON file of a recipe. By default compact-segmenter, or fine-tune-segmenter with --from."
        ),
    ] = None,
    synthetic: Annotated[
        Path | None,
        typer.Option(help="Data set of synthetic pairs to mix in, as `nucleigan synthesize` makes it."),
    ] = None,
    synthetic_share: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.99, help="Share of the crops that are synthetic. By default the recipe's, or half of them."
        ),
    ] = None,
    resume: Resume = False,
    changes: Changes = None,
    device: Device = "auto",
    name: Name = None,
    queue: Queue = False,
    estimate: Estimate = False,
    as_json: EventsJson = False,
) -> None:
    """Train a conditional GAN to segment nuclei; stops with Ctrl-C, goes on with --resume."""
    from napari_nucleigan.training import SegmenterRecipe

    given = [*(changes or [])]
    if synthetic_share is not None:
        given.append(f"synthetic_share={synthetic_share}")
    chosen = _recipe(SegmenterRecipe, recipe, run, resume, given, name, start)
    if synthetic is not None and synthetic_share is None and not chosen.synthetic_share and not resume:
        chosen = chosen.model_copy(update={"synthetic_share": DEFAULT_SHARE})
    _train(data, chosen, run, resume, device, name, queue, estimate, as_json, synthetic)


@app.command()
@handle_errors
def synthesizer(
    data: Annotated[
        Path,
        typer.Argument(
            help="H&E: a data set as for the segmenter, or a folder of images without labels.",
            show_default=False,
        ),
    ],
    run: Run = None,
    masks: Annotated[
        str | None,
        typer.Option(
            help="What to paint: fit (random polygons like the data's labels), a preset of the polygon sampler (all, "
            "breast, kidney, liver, prostate), statistics that `nucleigan masks` saved, a folder of label images, or "
            "labels (the data's own). By default the recipe's, which is fit.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Name or JSON file of a recipe. By default compact-synthesizer.")
    ] = None,
    resume: Resume = False,
    changes: Changes = None,
    device: Device = "auto",
    name: Name = None,
    queue: Queue = False,
    estimate: Estimate = False,
    as_json: EventsJson = False,
) -> None:
    """Train a cycleGAN to paint H&E from masks; stops with Ctrl-C, goes on with --resume."""
    from napari_nucleigan.training import SynthesizerRecipe

    given = [*(changes or []), *([f"masks={json.dumps(masks)}"] if masks else [])]
    chosen = _recipe(SynthesizerRecipe, recipe, run, resume, given, name)
    _train(data, chosen, run, resume, device, name, queue, estimate, as_json)


@app.command(hidden=True)
@handle_errors
def ordered(run: Annotated[str, typer.Argument(help="Folder of the run, or - to estimate what stdin orders.")]) -> None:
    """Do what order.json in the folder of a run says: so begin the trainings in the background."""
    from napari_nucleigan.training import RunFolder, SegmenterRecipe, SynthesizerRecipe, read_recipe

    folder, estimate = RunFolder(run), run == "-"
    with reading(run, RunError, "order in JSON"):
        order = json.load(sys.stdin) if estimate else folder.order()
    if not isinstance(order, dict):
        raise RunError(f"{run} holds no order.json, which says what is to be trained.")
    resume = not estimate and folder.exists
    # A run that goes on has its recipe already.
    needed = "kind", "data", "device", *(() if resume else ("recipe",))
    if missing := [name for name in needed if name not in order]:
        raise RunError(f"The order.json of {run} does not say what is to be trained ({missing[0]} is missing).")
    if order["kind"] == KIND:
        adapt_as_ordered(folder, order, estimate)
        return
    kind: type[SegmenterRecipe | SynthesizerRecipe]
    kind = SynthesizerRecipe if order["kind"] == "synthesizer" else SegmenterRecipe
    usual = str(kind.model_fields["name"].default)
    recipe = read_recipe(folder.path / "recipe.json" if resume else usual, None if resume else order["recipe"], kind)
    name, queue, synthetic = order.get("name"), bool(order.get("queue")), order.get("synthetic")
    _train(
        Path(order["data"]), recipe, folder.path, resume, order["device"], name, queue, estimate, estimate, synthetic
    )


def _recipe(
    kind: type[_Kind],
    recipe: str | None,
    run: Path | None,
    resume: bool,
    changes: list[str],
    name: str | None,
    start: str | None = None,
) -> _Kind:
    if resume and (recipe or changes or name or start):
        raise typer.BadParameter("--resume goes on with the run's own recipe and name; leave the others out.")
    given = parse_changes(changes)

    from napari_nucleigan.training import RunFolder, read_recipe

    if resume and run is not None and RunFolder(run).exists:
        return read_recipe(run / "recipe.json", None, kind)
    usual = str(kind.model_fields["name"].default)
    if start is not None:
        from napari_nucleigan.training.recipes import FINE_TUNING
        from napari_nucleigan.training.starts import as_model

        given, usual = {**as_model(start), **given}, FINE_TUNING
    return read_recipe(recipe or usual, given, kind)


def _train(
    data: Path,
    recipe: SegmenterRecipe | SynthesizerRecipe,
    run: Path | None,
    resume: bool,
    device: str,
    name: str | None,
    queue: bool,
    estimate: bool,
    as_json: bool,
    synthetic: Path | None = None,
) -> None:
    """Train, or only estimate what that would take."""
    if estimate:
        _estimate(data, recipe, device, synthetic, as_json)
        return
    if run is None:
        raise typer.BadParameter("Say with --run in which folder the run is to be kept.")
    from napari_nucleigan.base.events import run as finish
    from napari_nucleigan.training import RunFolder, train_segmenter, train_synthesizer
    from napari_nucleigan.training.ranks import started
    from napari_nucleigan.training.runs.processes import TOKEN

    train: Callable[..., Job[Path]] = partial(train_segmenter, synthetic=synthetic)
    if recipe.kind == "synthesizer":
        train = train_synthesizer
    number, size = started()
    if queue and size > 1:
        raise typer.BadParameter("--queue is for a single process; let the cluster's own queue start several.")
    if number:
        # The leader speaks for all, and dismisses the others when it is asked to stop.
        for request in (signal.SIGINT, signal.SIGTERM):
            signal.signal(request, signal.SIG_IGN)
        finish(train(data, recipe, run, resume=resume, device=device))
        return
    folder = RunFolder(run, token=os.environ.pop(TOKEN, ""), dedicated=True)

    job = train(data, recipe, folder, resume=resume, device=device, card={"name": name} if name else None)
    with nullcontext(print_event) if as_json else TrainingView() as view:
        best = run_in_line(job, folder, device, queue, view if as_json else quietly(view))
    if not as_json:
        print_line(best)


def _watch(name: str, as_json: bool) -> None:
    from napari_nucleigan.training.runs.run_library import find_run
    from napari_nucleigan.training.runs.status import RunState, state_of, watch

    run = find_run(name)
    try:
        with nullcontext(print_event) if as_json else TrainingView() as view:
            for event in watch(run):
                view(event)
    except KeyboardInterrupt as stop:
        raise Stopped("No longer watched; the run is as it was.") from stop
    status = state_of(run)
    if status.state is RunState.FAILED:
        raise RunError(f"{run} has failed: {status.message}")
    print_message(status.message)


def _estimate(
    data: Path, recipe: SegmenterRecipe | SynthesizerRecipe, device: str, synthetic: Path | None, as_json: bool
) -> None:
    from napari_nucleigan.training.estimate import estimate
    from napari_nucleigan.training.ranks import started

    if started()[1] > 1:
        raise typer.BadParameter("--estimate is for a single process.")
    found = run_with_bar(estimate(data, recipe, device=device, synthetic=synthetic))
    print_answer(as_json, found.to_json(), found)


@app.command()
@handle_errors
def recipes(
    as_json: Json = False,
    name: Annotated[str | None, typer.Argument(help="Show this recipe only.")] = None,
) -> None:
    """Show the recipes and their fields."""
    from napari_nucleigan.training import RECIPES

    if name is not None and name not in RECIPES:
        raise RecipeError(f"There is no recipe {name!r}; choose one of {', '.join(RECIPES)}.")
    chosen = {key: recipe for key, recipe in RECIPES.items() if name in (None, key)}
    if as_json:
        print_json({key: recipe.model_dump(mode="json") for key, recipe in chosen.items()})
        return
    for key, recipe in chosen.items():
        print(key)
        for field, value in recipe.model_dump(mode="json").items():
            description = type(recipe).model_fields[field].description
            print(f"  {field} = {json.dumps(value)}  {description}")
