"""The application: one function for each command. What they need is imported when they run."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.cli import classify as classify_command
from napari_nucleigan.cli import cluster as cluster_command
from napari_nucleigan.cli import models as models_command
from napari_nucleigan.cli import runs as runs_command
from napari_nucleigan.cli import train as train_command
from napari_nucleigan.cli.adapt import adapt
from napari_nucleigan.cli.compare import compare
from napari_nucleigan.cli.console import handle_errors, print_line, print_message
from napari_nucleigan.cli.datasets import corrections, export, import_
from napari_nucleigan.cli.evaluate import evaluate
from napari_nucleigan.cli.filter import filter_
from napari_nucleigan.cli.propose import propose
from napari_nucleigan.cli.segment import normalize, segment
from napari_nucleigan.cli.synthesize import masks, synthesize

app = typer.Typer(
    name="nucleigan",
    help="Segment the nuclei of H&E images, train and evaluate the networks that do it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.add_typer(classify_command.app, name="classify")
app.add_typer(cluster_command.app, name="cluster")
app.add_typer(models_command.app, name="models")
app.add_typer(train_command.app, name="train")
app.add_typer(runs_command.app, name="runs")


def _version(asked: bool) -> None:
    if asked:
        from napari_nucleigan.base.version import __version__

        print_line(f"nucleigan {__version__}")
        raise typer.Exit


@app.callback()
def _nucleigan(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
@handle_errors
def demo(
    screenshot: Annotated[Path | None, typer.Option(help="Save a picture of the window there, and close it.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Save the label image there (.tif).")] = None,
) -> None:
    """Open napari with the sample image, its nuclei and a line of figures."""
    if wants_virtual_display():
        screenshot, labels = screenshot or Path("demo.png"), labels or Path("demo-labels.tif")
        code = run_in_virtual_display(["demo", "--screenshot", str(screenshot), "--labels", str(labels)])
        raise typer.Exit(code)
    from napari_nucleigan.widgets.segment.demo import run_demo

    # The window's loop would not hear of it: nothing is half-made that this could not end at once.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    code = run_demo(screenshot, labels)
    for path in (screenshot, labels):
        if path is not None and path.is_file():
            print_line(path)
    raise typer.Exit(code)


def wants_virtual_display() -> bool:
    """Tell whether this is a Linux without any display, on which Qt could not open a window."""
    chosen = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return sys.platform.startswith("linux") and not any(os.environ.get(name) for name in chosen)


def run_in_virtual_display(arguments: list[str]) -> int:
    """Run ``nucleigan`` again under Xvfb.

    Parameters
    ----------
    arguments : list of str
        Its arguments.

    Returns
    -------
    int
        Its exit code.

    Raises
    ------
    NucleiganError
        If there is no Xvfb.
    """
    runner = shutil.which("xvfb-run")
    if runner is None:
        raise NucleiganError(
            "There is no display to open napari on; install xvfb ('apt install xvfb') to draw into a "
            "picture, or use 'nucleigan segment' for label images."
        )
    screen = ["-a", "-s", "-screen 0 1400x900x24 +extension GLX"]
    code = "from napari_nucleigan.cli import main; main()"
    command = [runner, *screen, sys.executable, "-c", code, *arguments]
    software = {"LIBGL_ALWAYS_SOFTWARE": "1", "QT_QPA_PLATFORM": "xcb"}
    return subprocess.run(command, env=os.environ | software, check=False).returncode


app.command()(segment)
app.command("filter")(filter_)
app.command()(normalize)
app.command()(masks)
app.command()(propose)
app.command()(corrections)
app.command()(synthesize)
app.command("import")(import_)
app.command()(export)
app.command()(adapt)
app.command()(compare)
app.command()(evaluate)


@app.command("benchmark", hidden=True)
@functools.wraps(compare)
def _benchmark(*args: Any, **kwargs: Any) -> None:
    print_message("'nucleigan benchmark' is called 'nucleigan compare' now.")
    compare(*args, **kwargs)
