"""``nucleigan train``: training with a live view on the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_nucleigan.cli.console import drive, guarded
from napari_nucleigan.errors import RecipeError

app = typer.Typer(help="Train a network.", no_args_is_help=True)


@app.callback()
def _train() -> None:
    """Train a network."""


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
    run: Annotated[Path, typer.Option(help="Folder of the run: checkpoints, events, best model.", show_default=False)],
    recipe: Annotated[
        str | None, typer.Option(help="Name or JSON file of a recipe. By default compact-segmenter.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; VALUE may be JSON."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    name: Annotated[str | None, typer.Option(help="Name on the model's card. By default the folder's name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write every event as a line of JSON on stdout.")] = False,
) -> None:
    """Train a conditional GAN to segment nuclei; stops with Ctrl-C, goes on with --resume."""
    if resume and (recipe or changes or name):
        raise typer.BadParameter("--resume goes on with the run's own recipe and name; leave the others out.")
    given = _changes(changes or [])

    from napari_nucleigan.cli.live import JsonLines, TrainingView
    from napari_nucleigan.training import RunFolder, SegmenterRecipe, read_recipe, train_segmenter

    if resume and RunFolder(run).exists:
        chosen = SegmenterRecipe.model_validate(RunFolder(run).recipe())
    else:
        chosen = read_recipe(recipe or "compact-segmenter", given)
    card = {"name": name} if name else None
    job = train_segmenter(data, chosen, run, resume=resume, device=device, card=card)
    with JsonLines() if as_json else TrainingView() as view:
        best = drive(job, view)
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
