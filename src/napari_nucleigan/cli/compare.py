"""``nucleigan compare``: the methods of the paper's table, side by side."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from napari_nucleigan.base.errors import NucleiganError, StopRequested
from napari_nucleigan.cli.console import (
    FAILED,
    Stopped,
    handle_errors,
    print_json,
    print_message,
    print_table,
    progress_bar,
    run_interruptible,
)
from napari_nucleigan.cli.options import Json, parse_changes

_SAVED = "Stopped; what was finished is kept, and the same command goes on from it."


def _list(asked: bool) -> None:
    if asked:
        from napari_nucleigan.comparison import METHODS

        for method in METHODS.values():
            print(f"{method.name}: {method.title}, on {method.data} pairs. {method.differences}")
        raise typer.Exit


@handle_errors
def compare(
    data: Annotated[
        Path,
        typer.Argument(help="Data set whose split.csv says which images train and which test.", show_default=False),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder of the comparison: a run for each method, predictions, results.json, report.md, report.png.",
            show_default=False,
        ),
    ],
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method", "-m", metavar="NAME", help="Method to compare; may be given several times. By default all."
        ),
    ] = None,
    epochs: Annotated[
        tuple[int, int] | None,
        typer.Option(
            min=0,
            help="Epochs at the full learning rate, and epochs in which it falls to 0; the same for all methods. By "
            "default those of the runs that are there, else 20 24.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option(
            "--seed", min=0, help="Seed; may be given several times to train each method so often. By default 0."
        ),
    ] = None,
    synthetic: Annotated[
        Path | None,
        typer.Option(help="Data set of synthetic pairs. By default 48 pairs are painted by the bundled synthesizer."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a field of the recipe of all methods; VALUE may be JSON."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of split.csv to test on.")] = "test",
    device: Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Train nothing; compare what is finished, say why the rest is not.")
    ] = False,
    list_methods: Annotated[
        bool,
        typer.Option(
            "--list",
            help="Show the methods, and how they differ from the published ones.",
            callback=_list,
            is_eager=True,
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train the methods of the paper's table with one budget, and compare them; broken off, it goes on."""
    from napari_nucleigan import comparison
    from napari_nucleigan.comparison.chart import MISSING
    from napari_nucleigan.comparison.report import summary

    job = comparison.compare(
        data,
        out,
        methods or None,
        epochs=epochs,
        seeds=tuple(seeds or (0,)),
        synthetic=synthetic,
        changes=parse_changes(changes),
        split=split,
        device=device,
        train=not report_only,
    )
    try:
        with progress_bar() as bar:
            found = run_interruptible(job, bar, partial(_stop, out))
    except (Stopped, StopRequested) as stop:
        raise Stopped(_SAVED) from stop
    _, text, picture = comparison.write_report(found, out)
    if picture is None:
        print_message(MISSING)
    if as_json:
        print_json(found.to_json())
    else:
        print_table(*summary(found))
        print(text)
        if picture is not None:
            print(picture)
    failed = [outcome for outcome in found.outcomes if outcome.failed]
    if failed:
        print_message(f"Error: {len(failed)} methods failed; the first, {failed[0].method.title}: {failed[0].reason}")
        raise typer.Exit(FAILED)


def _stop(out: Path) -> None:
    """Ask the run that this process trains to stop: its loop looks for requests after every step."""
    from napari_nucleigan.comparison.methods import runs_here
    from napari_nucleigan.training.runs.status import ask, state_of

    for run in runs_here(out):
        with suppress(NucleiganError):
            if state_of(run).pid == os.getpid():
                ask(run, "stop")
