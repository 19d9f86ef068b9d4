"""``nucleigan adapt``: a segmenter learns the look of unlabelled images."""

from __future__ import annotations

import os
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.cli.console import (
    Stopped,
    handle_errors,
    print_json,
    print_line,
    print_table,
    progress_bar,
    run_interruptible,
)
from napari_nucleigan.cli.options import Json, parse_changes
from napari_nucleigan.models.registry import DEFAULT_SEGMENTER

SAVED = "Stopped; what was finished is kept, and the same command goes on from it."
"""What is said where a job of several trainings is broken off."""


class Method(StrEnum):
    """Ways to adapt."""

    SYNTHETIC = "synthetic"
    SELF_TRAINING = "self-training"


@handle_errors
def adapt(
    images: Annotated[
        Path, typer.Argument(help="Folder of H&E images, or a data set; labels are not read.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder of all that is made: runs, pairs, the report.", show_default=False),
    ],
    model: Annotated[str, typer.Option(help="Segmenter to start from.")] = DEFAULT_SEGMENTER,
    methods: Annotated[
        list[Method] | None,
        typer.Option("--method", "-m", help="Way to adapt; may be given several times. By default both."),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(
            help="Labelled data to go on learning from beside the synthetic pairs. By default what the model is sure "
            "of in the images.",
            show_default=False,
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="Labelled images of the same look, to measure with; nothing learns from them."),
    ] = None,
    paired: Annotated[
        bool, typer.Option("--paired", help="Let the generator learn from what the model finds, as pairs.")
    ] = False,
    pairs: Annotated[int, typer.Option(min=1, help="Synthetic pairs.")] = 96,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a field of the recipe of the fine-tuning; VALUE may be JSON."
        ),
    ] = None,
    generator_changes: Annotated[
        list[str] | None,
        typer.Option("--set-generator", metavar="KEY=VALUE", help="Change a field of the recipe of the generator."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    as_json: Json = False,
) -> None:
    """Adapt a segmenter to unlabelled images: by synthetic pairs of their look, and by self-training beside it."""
    from napari_nucleigan import adaptation
    from napari_nucleigan.adaptation.adapt import PAIRS

    job = adaptation.adapt(
        images,
        out,
        model,
        [str(method) for method in methods] if methods else tuple(adaptation.METHODS),
        real=real,
        truth=truth,
        paired=paired,
        changes=parse_changes(changes),
        generator_changes=parse_changes(generator_changes, "--set-generator"),
        pairs=PAIRS.model_copy(update={"count": pairs}),
        device=device,
    )
    try:
        with progress_bar() as bar:
            found = run_interruptible(job, bar, partial(stop_runs, out))
    except Stopped as stop:
        raise Stopped(SAVED, stop.number) from stop
    report = adaptation.write_adaptation_report(found, out)
    if as_json:
        print_json(found.to_json())
        return
    print_line(found.verdict)
    print_table(*found.table())
    print_line(report)
    for name, run in found.runs.items():
        print_line(f"{name}: nucleigan segment IMAGE -o OUT --model {run}")


def stop_runs(out: Path) -> None:
    """Ask the run that this process trains to stop: its loop looks for requests after every step."""
    from napari_nucleigan.comparison.methods import runs_here
    from napari_nucleigan.training.runs.status import ask, state_of

    for run in runs_here(out):
        with suppress(NucleiganError):
            if state_of(run).pid == os.getpid():
                ask(run, "stop")
