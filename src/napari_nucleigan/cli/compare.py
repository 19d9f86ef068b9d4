"""``nucleigan compare``: methods side by side, and what synthetic pairs bring by the number of labelled images."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.text import printable
from napari_nucleigan.cli.adapt import SAVED
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

if TYPE_CHECKING:
    from napari_nucleigan.base.events import Job

_Result = TypeVar("_Result")
_LABELS = "With --labels"


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
    labels: Annotated[
        str,
        typer.Option(
            metavar="N,N,...",
            help="Instead of methods, compare segmenters that are trained on so few labelled images, as in 1,2,4,8,16: "
            "on real pairs alone, and on real and synthetic pairs whose generator has seen the same images only. "
            "Writes labels.json, labels.md and labels.png.",
            rich_help_panel=_LABELS,
            show_default=False,
        ),
    ] = "",
    repeats: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            min=1,
            max=100,
            help="How often, each time with other images. By default 3.",
            rich_help_panel=_LABELS,
            show_default=False,
        ),
    ] = None,
    crops: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Crops that each segmenter sees, whatever the number of images. By default 11264.",
            rich_help_panel=_LABELS,
            show_default=False,
        ),
    ] = None,
    generator_crops: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Crops that each generator sees; it takes most of the time. By default 12000.",
            rich_help_panel=_LABELS,
            show_default=False,
        ),
    ] = None,
    unlabelled: Annotated[
        bool,
        typer.Option(
            "--unlabelled",
            help="Also train generators on all training images, with the labels of the labelled ones alone.",
            rich_help_panel=_LABELS,
        ),
    ] = False,
    generator_changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set-generator",
            metavar="KEY=VALUE",
            help="Change a field of the recipe of the generators; VALUE may be JSON.",
            rich_help_panel=_LABELS,
        ),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Synthetic pairs of each generator. By default 48.",
            rich_help_panel=_LABELS,
            show_default=False,
        ),
    ] = None,
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
    from napari_nucleigan.comparison.results import summary

    if labels:
        for name, given in (("--method", methods), ("--seed", seeds), ("--synthetic", synthetic)):
            if given:
                raise typer.BadParameter(f"{name} does not go with --labels.")
        if report_only:
            raise typer.BadParameter("--report-only does not go with --labels.")
        asked = {
            "unlabelled": unlabelled,
            **({"epochs": epochs} if epochs else {}),
            **({"crops": crops} if crops else {}),
            **({"generator_crops": generator_crops} if generator_crops else {}),
            "changes": parse_changes(changes),
            "generator_changes": parse_changes(generator_changes, "--set-generator"),
            "split": split,
            "device": device,
        }
        _compare_labels(data, out, _counts(labels), repeats or 3, pairs, asked, as_json)
        return
    for name, value in (
        ("--seeds", repeats),
        ("--crops", crops),
        ("--generator-crops", generator_crops),
        ("--unlabelled", unlabelled),
        ("--set-generator", generator_changes),
        ("--pairs", pairs),
    ):
        if value:
            raise typer.BadParameter(f"{name} goes with --labels only.")
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
    found = _run(job, out)
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


def _compare_labels(
    data: Path, out: Path, counts: list[int], seeds: int, pairs: int | None, asked: dict[str, Any], as_json: bool
) -> None:
    from napari_nucleigan import comparison
    from napari_nucleigan.comparison.chart import MISSING
    from napari_nucleigan.comparison.experiment import PAIRS
    from napari_nucleigan.comparison.label_report import label_table

    settings = PAIRS.model_copy(update={"count": pairs or PAIRS.count})
    found = _run(comparison.compare_labels(data, out, counts, seeds, pairs=settings, **asked), out)
    _, text, picture = comparison.write_label_report(found, out)
    if picture is None:
        print_message(MISSING)
    if as_json:
        print_json(found.to_json())
        return
    print_table(*label_table(found))
    for path in filter(None, (text, picture)):
        print(path)


def _counts(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"--labels needs numbers with commas between, as in 1,2,4, not {printable(text, 80)!r}."
        ) from None


def _run(job: Job[_Result], out: Path) -> _Result:
    try:
        with progress_bar() as bar:
            return run_interruptible(job, bar, partial(_stop_runs, out))
    except Stopped as stop:
        raise Stopped(SAVED, stop.number) from stop


def _stop_runs(out: Path) -> None:
    """Ask the run that this process trains to stop: its loop looks for requests after every step."""
    from napari_nucleigan.comparison.methods import runs_here
    from napari_nucleigan.training.runs.status import ask, state_of

    for run in runs_here(out):
        with suppress(NucleiganError):
            if state_of(run).pid == os.getpid():
                ask(run, "stop")
