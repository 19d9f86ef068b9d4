"""``nucleigan runs``: the training runs there are, and what may be done with them."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_nucleigan.base.events import duration
from napari_nucleigan.base.tables import to_text
from napari_nucleigan.base.text import printable
from napari_nucleigan.cli.console import handle_errors, print_json, print_line, print_message
from napari_nucleigan.cli.options import Json

if TYPE_CHECKING:
    from napari_nucleigan.training.runs.processes import RunProcess
    from napari_nucleigan.training.runs.status import RunStatus

app = typer.Typer(help="List training runs, look into them, pause, resume and stop them.", no_args_is_help=True)

Run = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Folder of the run, or its name in the folder of the runs.", show_default=False),
]


@app.command("list")
@handle_errors
def list_(
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the runs. By default NUCLEIGAN_RUNS, or the user's own.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the runs, the last active first."""
    from napari_nucleigan.training.runs.run_library import default_folder, list_runs
    from napari_nucleigan.training.runs.status import RunState

    found = list_runs(folder)
    if as_json:
        print_json([status.to_json() for status in found])
        return
    if not found:
        print_message(f"There are no runs in {folder or default_folder()}.")
        return
    print(to_text(("run", "state", "recipe", "step", "best", "last active"), map(_row, found)))
    for status in found:
        if status.state is RunState.UNREADABLE:
            print_message(f"{status.name}: {status.message}")


@app.command()
@handle_errors
def show(run: Run, as_json: Json = False) -> None:
    """Show the state of a run, and the last lines of its log."""
    status = _found(run).status()
    if as_json:
        print_json(status.to_json())
        return
    facts = {
        "run": str(status.path),
        "state": str(status.state),
        "": status.message,
        "kind": status.kind,
        "recipe": status.recipe,
        "step": _step(status),
        "time left": "" if status.seconds_left is None else duration(status.seconds_left),
        "best": _best(status),
        "last active": _moment(status.activity),
        "process": "" if status.pid is None else f"{status.pid} on {status.host}",
        "model": "" if status.model is None else str(status.model),
    }
    for name, value in facts.items():
        if value:
            print_line(f"{name}: {value}" if name else value)
    if status.log:
        print("log:")
        for line in status.log:
            print_line(f"  {line}")


@app.command()
@handle_errors
def resume(
    run: Run,
    data: Annotated[Path | None, typer.Option(help="Where the data set is now, if it has moved.")] = None,
    device: Annotated[str | None, typer.Option(help="Another device than before.")] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Wait for the trainings that started earlier.")] = False,
    as_json: Json = False,
) -> None:
    """Let a paused run go on, or go on with one that has ended too early, in the background."""
    from napari_nucleigan.training.runs import processes

    process = _found(run)
    if process.status().state.alive:
        if data or device or queue:
            raise typer.BadParameter("The process of this run is there; it keeps its data set and its device.")
        process.resume()
    else:
        processes.resume(process.path, data=data, device=device, queue=queue)
    _tell(process, as_json, f"Going on; `nucleigan train --watch {run}` shows it.")


@app.command()
@handle_errors
def pause(run: Run, as_json: Json = False) -> None:
    """Let a run save its state and wait after the present step; its process and memory stay."""
    process = _found(run)
    process.pause()
    _tell(process, as_json, "Pausing after the present step; `nucleigan runs resume` goes on.")


@app.command()
@handle_errors
def stop(
    run: Run,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")] = True,
    as_json: Json = False,
) -> None:
    """Let a run save its state after the present step, and end."""
    process = _found(run)
    process.stop()
    text = process.wait().message if wait else "Stopping after the present step."
    _tell(process, as_json, text)


@app.command()
@handle_errors
def kill(run: Run, as_json: Json = False) -> None:
    """End the process of a run at once; the steps since the last checkpoint are lost."""
    process = _found(run)
    process.kill()
    _tell(process, as_json, process.status().message)


@app.command()
@handle_errors
def rename(run: Run, name: Annotated[str, typer.Argument(help="The new name.", show_default=False)]) -> None:
    """Give a run another name."""
    from napari_nucleigan.training.runs import run_library

    print_line(run_library.rename(_found(run).path, name))


@app.command()
@handle_errors
def delete(run: Run) -> None:
    """Move a run to the folder .trash beside it."""
    from napari_nucleigan.training.runs import run_library

    print_line(run_library.delete(_found(run).path))


def _found(run: str) -> RunProcess:
    from napari_nucleigan.training.runs.processes import RunProcess
    from napari_nucleigan.training.runs.run_library import find_run

    return RunProcess(find_run(run))


def _tell(process: RunProcess, as_json: bool, text: str) -> None:
    if as_json:
        print_json(process.status().to_json())
    else:
        print_line(text)


def _row(status: RunStatus) -> tuple[str, ...]:
    return (
        printable(status.name),
        str(status.state),
        printable(status.recipe),
        _step(status),
        _best(status),
        _moment(status.activity),
    )


def _step(status: RunStatus) -> str:
    if status.step is None:
        return "-"
    return f"{status.step}" if status.steps is None else f"{status.step} of {status.steps}"


def _best(status: RunStatus) -> str:
    # Synthesizers have no score that says which is best, so the newest is meant.
    shown = {name: value for name, value in status.best.items() if name in ("aji", "f1", "own_aji")}
    return ", ".join(f"{name} {value:.4g}" for name, value in shown.items()) or "-"


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M") if seconds else "-"
