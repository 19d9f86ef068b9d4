"""``nucleigan train``: training with a live view on the terminal."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from napari_nucleigan.cli.console import SAVED, Stopped, drive, guarded
from napari_nucleigan.errors import NucleiganError, RecipeError, StopRequested

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.events import Job
    from napari_nucleigan.training.recipes import Recipe

_Kind = TypeVar("_Kind", bound="Recipe")

app = typer.Typer(help="Train a network.", no_args_is_help=True)


@app.callback()
def _callback() -> None:
    """Train a network."""


Run = Annotated[
    Path, typer.Option("--run", help="Folder of the run: checkpoints, events, best model.", show_default=False)
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; VALUE may be JSON."),
]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, mps.")]
Name = Annotated[str | None, typer.Option(help="Name on the model's card. By default the folder's name.")]
Json = Annotated[bool, typer.Option("--json", help="Write every event as a line of JSON on stdout.")]


@app.command()
@guarded
def segmenter(
    data: Annotated[
        Path,
        typer.Argument(
            help="Data set: a folder with images/NAME.png and labels/NAME.tif, and split.csv if "
            "some images are to validate (val) or to be left out (test).",
            show_default=False,
        ),
    ],
    run: Run,
    recipe: Annotated[
        str | None, typer.Option(help="Name or JSON file of a recipe. By default compact-segmenter.")
    ] = None,
    resume: Resume = False,
    changes: Changes = None,
    device: Device = "auto",
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Train a conditional GAN to segment nuclei; stops with Ctrl-C, goes on with --resume."""
    from napari_nucleigan.training import SegmenterRecipe, train_segmenter

    chosen = _recipe(SegmenterRecipe, recipe, run, resume, changes or [], name)
    _train(train_segmenter, data, chosen, run, resume, device, name, as_json)


@app.command()
@guarded
def synthesizer(
    data: Annotated[
        Path,
        typer.Argument(
            help="H&E: a data set as for the segmenter, or a folder of images without labels.",
            show_default=False,
        ),
    ],
    run: Run,
    masks: Annotated[
        str | None,
        typer.Option(
            help="What to paint: fit (random polygons like the data's labels), a preset of the polygon sampler, a "
            "folder of label images, or labels (the data's own). By default the recipe's, which is fit.",
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
    as_json: Json = False,
) -> None:
    """Train a cycleGAN to paint H&E from masks; stops with Ctrl-C, goes on with --resume."""
    from napari_nucleigan.training import SynthesizerRecipe, train_synthesizer

    given = [*(changes or []), *([f"masks={json.dumps(masks)}"] if masks else [])]
    chosen = _recipe(SynthesizerRecipe, recipe, run, resume, given, name)
    _train(train_synthesizer, data, chosen, run, resume, device, name, as_json)


def _recipe(
    kind: type[_Kind], recipe: str | None, run: Path, resume: bool, changes: list[str], name: str | None
) -> _Kind:
    if resume and (recipe or changes or name):
        raise typer.BadParameter("--resume goes on with the run's own recipe and name; leave the others out.")
    given = _changes(changes)

    from napari_nucleigan.training import RunFolder, read_recipe

    if resume and RunFolder(run).exists:
        return read_recipe(run / "recipe.json", None, kind)
    return read_recipe(recipe or str(kind.model_fields["name"].default), given, kind)


def _train(
    train: Callable[..., Job[Path]],
    data: Path,
    recipe: Recipe,
    run: Path,
    resume: bool,
    device: str,
    name: str | None,
    as_json: bool,
) -> None:
    from napari_nucleigan.cli.live import JsonLines, TrainingView
    from napari_nucleigan.training import RunFolder
    from napari_nucleigan.training.control import ask
    from napari_nucleigan.training.processes import TOKEN

    folder = RunFolder(run, token=os.environ.pop(TOKEN, ""), dedicated=True)

    def stop() -> None:
        # The loop looks for requests after every step, and yields events more rarely.
        with suppress(NucleiganError):
            ask(folder, "stop")

    job = train(data, recipe, folder, resume=resume, device=device, card={"name": name} if name else None)
    try:
        with JsonLines() if as_json else TrainingView() as view:
            best = drive(job, view, stop)
    except StopRequested as request:
        raise Stopped(SAVED) from request
    if not as_json:
        print(best)


def _changes(pairs: list[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"--set needs KEY=VALUE, not {pair!r}.")
        try:
            changes[key.strip()] = json.loads(value)
        except ValueError:
            changes[key.strip()] = value
    return changes


@app.command()
@guarded
def recipes(
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout.")] = False,
    name: Annotated[str | None, typer.Argument(help="Show this recipe only.")] = None,
) -> None:
    """Show the recipes and their fields."""
    from napari_nucleigan.cli.console import answer
    from napari_nucleigan.training import RECIPES

    if name is not None and name not in RECIPES:
        raise RecipeError(f"There is no recipe {name!r}; choose one of {', '.join(RECIPES)}.")
    chosen = {key: recipe for key, recipe in RECIPES.items() if name in (None, key)}
    if as_json:
        answer({key: recipe.model_dump(mode="json") for key, recipe in chosen.items()})
        return
    for key, recipe in chosen.items():
        print(key)
        for field, value in recipe.model_dump(mode="json").items():
            description = type(recipe).model_fields[field].description
            print(f"  {field} = {json.dumps(value)}  {description}")
