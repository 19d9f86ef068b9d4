"""The application: one function for each command. What they need is imported when they run."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from napari_nucleigan.base.events import run
from napari_nucleigan.cli import models as models_command
from napari_nucleigan.cli import runs as runs_command
from napari_nucleigan.cli import train as train_command
from napari_nucleigan.cli.compare import compare
from napari_nucleigan.cli.console import Bar, answer, complain, guarded, print_message
from napari_nucleigan.cli.corrections import corrections
from napari_nucleigan.cli.evaluate import evaluate
from napari_nucleigan.cli.import_export import export, import_
from napari_nucleigan.cli.masks import masks
from napari_nucleigan.cli.options import Json, Out
from napari_nucleigan.cli.segment import segment
from napari_nucleigan.cli.synthesize import synthesize

app = typer.Typer(
    name="nucleigan",
    help="Segment the nuclei of H&E images, train and evaluate the networks that do it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.add_typer(models_command.app, name="models")
app.add_typer(train_command.app, name="train")
app.add_typer(runs_command.app, name="runs")


def _version(asked: bool) -> None:
    if asked:
        from napari_nucleigan.base.version import __version__

        print(f"nucleigan {__version__}")
        raise typer.Exit


@app.callback()
def _nucleigan(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
@guarded
def demo(
    screenshot: Annotated[Path | None, typer.Option(help="Save a picture of the window there, and close it.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Save the label image there (.tif).")] = None,
) -> None:
    """Open napari with the sample image, its nuclei and a line of figures."""
    from napari_nucleigan.cli.display import run_in_virtual_display, wants_virtual_display

    if wants_virtual_display():
        screenshot, labels = screenshot or Path("demo.png"), labels or Path("demo-labels.tif")
        code = run_in_virtual_display(["demo", "--screenshot", str(screenshot), "--labels", str(labels)])
        raise typer.Exit(code)
    from napari_nucleigan.widgets.segment.demo import run_demo

    code = run_demo(screenshot, labels)
    for path in (screenshot, labels):
        if path is not None and path.is_file():
            print(path)
    raise typer.Exit(code)


app.command()(segment)


@app.command()
@guarded
def normalize(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT", help="Images, and folders of them.", show_default=False),
    ],
    out: Out,
    to: Annotated[
        Path | None,
        typer.Option(help="Image whose stains to take. By default a typical H&E section."),
    ] = None,
    method: Annotated[
        Literal["vahadane", "macenko", "reinhard"], typer.Option(help="Method of normalisation.")
    ] = "vahadane",
    as_json: Json = False,
) -> None:
    """Bring the stains of H&E images to those of a reference."""
    from napari_nucleigan.cli.normalize import normalize_files

    with Bar() as bar:
        results = run(normalize_files(inputs, out, to, method), bar)
    if as_json:
        answer([result.to_json() for result in results])
    else:
        for result in results:
            if not result.error:
                print(f"{result.source.name} -> {result.outputs[0]}")
    complain(results)


app.command()(masks)
app.command()(corrections)
app.command()(synthesize)
app.command("import")(import_)
app.command()(export)
app.command()(compare)
app.command()(evaluate)


@app.command("benchmark", hidden=True)
@functools.wraps(compare)
def _benchmark(*args: Any, **kwargs: Any) -> None:
    print_message("'nucleigan benchmark' is called 'nucleigan compare' now.")
    compare(*args, **kwargs)
