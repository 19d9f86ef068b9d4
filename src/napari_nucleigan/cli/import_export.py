"""``nucleigan import`` and ``nucleigan export``: data sets as others publish them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_nucleigan.base.events import run
from napari_nucleigan.cli.console import Bar, Stopped, answer, guarded, print_message
from napari_nucleigan.data.datasets.formats.registry import EXPORTS, FORMATS

Import = StrEnum("Import", {name: name for name in FORMATS})  # type: ignore[misc]
"""Formats that can be imported."""

Export = StrEnum("Export", {name: name for name in EXPORTS})  # type: ignore[misc]
"""Formats that can be exported to."""

_IMPORTS = " ".join(f"{name}: {form.source}." for name, form in FORMATS.items())
_EXPORTS = " ".join(f"{name}: {FORMATS[name].target}." for name in EXPORTS)
_Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout.")]


@guarded
def import_(
    form: Annotated[Import, typer.Argument(metavar="FORMAT", help=_IMPORTS, show_default=False)],
    source: Annotated[Path, typer.Argument(metavar="SRC", help="What to import.", show_default=False)],
    out: Annotated[
        Path, typer.Argument(metavar="DST", help="Folder of the data set; absent or empty.", show_default=False)
    ],
    mpp: Annotated[
        float | None, typer.Option(help="Microns per pixel. By default as annotations and images say.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="CSV file with the columns name,organ,split. By default split.csv of SRC, if there is one."),
    ] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out what cannot be imported, and say so.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Import a data set of another format. Broken off, the same command goes on."""
    from napari_nucleigan.data.datasets.formats.importing import import_dataset

    try:
        with Bar() as bar:
            report = run(import_dataset(form.value, source, out, mpp=mpp, table=table, skip_broken=skip_broken), bar)
    except KeyboardInterrupt as stop:
        raise Stopped("Interrupted; what was converted is kept, and the same command goes on from it.") from stop
    for text in report.sentences():
        print_message(text)
    for name, reason in report.left_out.items():
        print_message(f"Left out, {name}: {reason}")
    if as_json:
        answer(report.to_json())
    else:
        kept = f" ({report.kept} by an earlier attempt)" if report.kept else ""
        print(f"{report.images} images{kept} with {report.nuclei} nuclei -> {out}")


@guarded
def export(
    form: Annotated[Export, typer.Argument(metavar="FORMAT", help=_EXPORTS, show_default=False)],
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of the data set.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="DST", help="Folder to make; absent or empty.", show_default=False)],
    split: Annotated[str | None, typer.Option(help="Only the images of this split of split.csv.")] = None,
    as_json: _Json = False,
) -> None:
    """Export a data set to another format."""
    from napari_nucleigan.data.datasets.formats.exporting import export_dataset

    with Bar() as bar:
        report = run(export_dataset(form.value, source, out, split=split), bar)
    if as_json:
        answer(report.to_json())
    else:
        print(f"{report.images} images with {report.nuclei} nuclei -> {out}")
