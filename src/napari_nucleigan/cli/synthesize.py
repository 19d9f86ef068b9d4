"""``nucleigan synthesize``: data sets of masks and the H&E painted from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.base.events import run
from napari_nucleigan.cli.console import FAILED, Bar, Stopped, answer, guarded, print_message
from napari_nucleigan.cli.options import with_options
from napari_nucleigan.synthesis.settings import SetSettings


def _settings(**values: object) -> SetSettings:
    try:
        return SetSettings.checked(**values)
    except RecipeError as error:
        raise typer.BadParameter(str(error)) from error


@guarded
@with_options(SetSettings, _settings)
def synthesize(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder of the data set: images/, labels/, split.csv.", show_default=False),
    ],
    masks: Annotated[
        Path | None,
        typer.Argument(
            metavar="MASKS",
            help="What to paint: a label image, a folder of them, or a data set. Without it masks are drawn by the "
            "polygon sampler, as --like says.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout.")] = False,
    *,
    settings: SetSettings,
) -> None:
    """Paint H&E from masks: a data set of pairs. Broken off, the same command goes on."""
    if masks is None and settings.count is None:
        raise typer.BadParameter("Say how many pairs to make (-n), or give masks to be painted.")
    from napari_nucleigan.synthesis import synthesize_set

    try:
        with Bar() as bar:
            report = run(synthesize_set(out, settings, masks), bar)
    except KeyboardInterrupt as stop:
        raise Stopped("Interrupted; what was finished is kept, and the same command goes on from it.") from stop
    if as_json:
        answer(report.to_json())
    else:
        kept = f", {report.kept} were there" if report.kept else ""
        pace = f" ({report.made / report.seconds:.1f} a second)" if report.made else ""
        scored = "" if report.consistency is None else f"; mean consistency {report.consistency:.3f}"
        print(f"{report.made} pairs made{pace}{kept}{scored} -> {report.out}")
        if report.redrawn:
            print_message(
                f"{report.redrawn} pictures were drawn again, their consistency was below {settings.min_consistency}."
            )
    if report.dropped:
        print_message(f"Left out, not consistent even when drawn again: {', '.join(report.dropped)}")
    if report.failed:
        name, reason = next(iter(report.failed.items()))
        print_message(f"Error: {len(report.failed)} masks could not be painted; the first, {name}: {reason}")
        raise typer.Exit(FAILED)
