"""``nucleigan adapt``: a segmenter learns the look of unlabelled images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nucleigan.adaptation.settings import METHODS, AdaptationSettings
from napari_nucleigan.cli.console import (
    handle_errors,
    print_answer,
    print_json,
    print_line,
    print_table,
    progress_bar,
    run_with_bar,
    usage_errors,
)
from napari_nucleigan.cli.in_line import quietly, run_in_line
from napari_nucleigan.cli.options import Json, parse_changes, with_options

if TYPE_CHECKING:
    from napari_nucleigan.adaptation import Adaptation
    from napari_nucleigan.training import RunFolder

SAVED = "Stopped; what was finished is kept, and the same command goes on from it."
"""What is said where a job of several trainings is broken off."""

_ELSEWHERE = ("kind", "name", "methods", "changes", "generator_changes")


@handle_errors
@with_options(AdaptationSettings, dict, without=_ELSEWHERE)
def adapt(
    images: Annotated[
        Path,
        typer.Argument(
            help="Folder of H&E images, or a data set, of which the split train is taken; labels are not read.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of all that is made: runs, pairs, the report.", show_default=False),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="|".join(METHODS),
            help="Way to adapt; may be given several times. By default both.",
        ),
    ] = None,
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
    queue: Annotated[
        bool, typer.Option("--queue", help="Wait until the trainings that started earlier on the device have ended.")
    ] = False,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only tell how much time it would take.")] = False,
    as_json: Json = False,
    *,
    settings: dict[str, Any],
) -> None:
    """Adapt a segmenter to unlabelled images: by synthetic pairs of their look, and by self-training beside it."""
    given = settings | {
        "changes": parse_changes(changes),
        "generator_changes": parse_changes(generator_changes, "--set-generator"),
        **({"methods": tuple(methods)} if methods else {}),
    }
    with usage_errors():
        asked = AdaptationSettings.checked(**given)
    if estimate:
        _estimate(images, asked, device, as_json)
        return
    if out is None:
        raise typer.BadParameter("Say with --out in which folder everything is to be kept.")

    from napari_nucleigan.training import RunFolder

    found = _adapt(images, RunFolder(out, dedicated=True), asked, device, queue)
    if as_json:
        print_json(found.to_json())
        return
    for line in found.verdict.splitlines():
        print_line(line)
    print_table(*found.table())
    print_line(out / "adaptation.md")
    print_line(f"nucleigan segment IMAGE -o OUT --model {out}")


def adapt_as_ordered(folder: RunFolder, order: dict[str, Any], estimate: bool) -> None:
    """Do what an ``order.json`` says: adapt in its folder, or only estimate that."""
    from napari_nucleigan.training import RunFolder
    from napari_nucleigan.training.runs.processes import TOKEN

    # What was begun goes on as it was asked for last.
    asked = AdaptationSettings.checked(**(folder.recipe() if not estimate and folder.exists else order["recipe"]))
    if estimate:
        _estimate(Path(order["data"]), asked, order["device"], True)
        return
    folder = RunFolder(folder.path, token=os.environ.pop(TOKEN, ""), dedicated=True)
    _adapt(Path(order["data"]), folder, asked, order["device"], bool(order.get("queue")))


def _adapt(images: Path, folder: RunFolder, settings: AdaptationSettings, device: str, queue: bool) -> Adaptation:
    from napari_nucleigan import adaptation

    job = adaptation.adapt(images, folder, settings, device=device)
    with progress_bar() as bar:
        return run_in_line(job, folder, device, queue, quietly(bar), SAVED)


def _estimate(images: Path, settings: AdaptationSettings, device: str, as_json: bool) -> None:
    from napari_nucleigan import adaptation

    found = run_with_bar(adaptation.estimate_adaptation(images, settings, device=device))
    print_answer(as_json, found.to_json(), found)
