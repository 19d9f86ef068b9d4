"""``nucleigan segment``: images and folders of them to nuclei."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_nucleigan.cli.console import Bar, Stopped, answer, complain, guarded
from napari_nucleigan.cli.options import Json, Out, with_options
from napari_nucleigan.errors import RecipeError
from napari_nucleigan.events import run
from napari_nucleigan.segmentation.settings import SegmentSettings

if TYPE_CHECKING:
    from napari_nucleigan.segmentation import FileResult


class Format(StrEnum):
    """Formats of results."""

    TIF = "tif"
    GEOJSON = "geojson"
    CSV = "csv"


def _settings(**values: object) -> SegmentSettings:
    try:
        return SegmentSettings.checked(**values)
    except RecipeError as error:
        raise typer.BadParameter(str(error)) from error


@guarded
@with_options(SegmentSettings, _settings)
def segment(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT", help="Images, and folders of them.", show_default=False),
    ],
    out: Out,
    formats: Annotated[
        list[Format] | None,
        typer.Option(
            "--format",
            "-f",
            help="tif: label image; geojson: polygons for QuPath; csv: a row of measurements for "
            "each nucleus. May be given several times.",
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Take the images of subfolders too, and keep these in the output.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Do again what an earlier run with the same settings has done.")
    ] = False,
    as_json: Json = False,
    *,
    settings: SegmentSettings,
) -> None:
    """Segment the nuclei of H&E images. Broken off, the same command goes on with a folder."""
    from napari_nucleigan.segmentation import segment_files
    from napari_nucleigan.segmentation.ledger import REPORT
    from napari_nucleigan.segmentation.plan import results_folder

    folder = results_folder(inputs, out)
    try:
        with Bar() as bar:
            job = segment_files(inputs, out, settings, formats or (), again=again, recursive=recursive)
            results = run(job, bar)
    except KeyboardInterrupt as stop:
        on = ", and the same command goes on from it" if folder is not None else ""
        raise Stopped(f"Interrupted; what was finished is kept{on}.") from stop
    if as_json:
        answer([result.to_json() for result in results])
    else:
        _show(results)
    complain(results, f" All reasons are in {folder / REPORT}." if folder is not None else "")


def _show(results: list[FileResult]) -> None:
    for result in results:
        if not result.error:
            how = "done before" if result.skipped else _how(result)
            print(f"{result.source.name}: {result.nuclei} nuclei, {how} -> {', '.join(map(str, result.outputs))}")
    if len(results) > 1:
        states = Counter(result.state for result in results)
        parts = [
            f"{states['done']} segmented",
            f"{states['skipped']} done before" if states["skipped"] else "",
            f"{states['failed']} failed" if states["failed"] else "",
        ]
        print(f"{len(results)} images: {', '.join(filter(None, parts))}; {sum(each.nuclei for each in results)} nuclei")


def _how(result: FileResult) -> str:
    record = result.provenance
    return f"{record['seconds']:.1f} s, {record['mpp']:.3g} µm per pixel, {record['model']} on {record['device']}"
