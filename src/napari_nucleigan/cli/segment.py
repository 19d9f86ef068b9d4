"""``nucleigan segment``: images, whole slides and folders of them to nuclei."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.base.events import run
from napari_nucleigan.cli.console import Bar, Stopped, answer, complain, guarded
from napari_nucleigan.cli.options import Json, Out, with_options
from napari_nucleigan.segmentation.settings import SegmentSettings

if TYPE_CHECKING:
    from napari_nucleigan.segmentation import FileResult
    from napari_nucleigan.segmentation.slides.worker import Polygons


class Format(StrEnum):
    """Formats of results."""

    TIF = "tif"
    GEOJSON = "geojson"
    CSV = "csv"
    OME_ZARR = "ome.zarr"
    GEOJSON_GZ = "geojson.gz"
    DENSITY = "density.tif"


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
        typer.Argument(metavar="INPUT", help="Images, whole slides, and folders of them.", show_default=False),
    ],
    out: Out,
    formats: Annotated[
        list[Format] | None,
        typer.Option(
            "--format",
            "-f",
            help="tif: label image; geojson: polygons for QuPath; csv: a row of measurements for "
            "each nucleus. Of slides also ome.zarr: a pyramid of labels; geojson.gz: compressed polygons; density.tif: "
            "nuclei per square millimetre; by default these three and csv. May be given several times.",
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Take the images of subfolders too, and keep these in the output.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Do again what an earlier run with the same settings has done.")
    ] = False,
    slide: Annotated[
        bool, typer.Option("--slide", help="Take each INPUT as one slide, such as a folder of its tiles.")
    ] = False,
    region: Annotated[
        Path | None,
        typer.Option(
            help="GeoJSON with polygons in pixels of the slide, as QuPath exports annotations: only nuclei whose "
            "centre lies in them count. For slides.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    scheduler: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Scheduler of a dask cluster that segments slides.")
    ] = "",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that segment a slide here. By default 2.", show_default=False)
    ] = None,
    as_json: Json = False,
    *,
    settings: SegmentSettings,
) -> None:
    """Segment the nuclei of H&E images and whole slides. Broken off, the same command goes on."""
    from napari_nucleigan.segmentation import SlideOptions, segment_files
    from napari_nucleigan.segmentation.file_plan import results_folder
    from napari_nucleigan.segmentation.resume_log import REPORT

    folder = results_folder(inputs, out)
    slides = SlideOptions(scheduler, workers, _polygons(region) if region else None, slide or region is not None)
    try:
        with Bar() as bar:
            job = segment_files(inputs, out, settings, formats or (), again=again, recursive=recursive, slides=slides)
            results = run(job, bar)
    except KeyboardInterrupt as stop:
        on = ", and the same command goes on from it" if folder is not None else ""
        raise Stopped(f"Interrupted; what was finished is kept{on}.") from stop
    if as_json:
        answer([result.to_json() for result in results])
    else:
        _show(results)
    complain(results, f" All reasons are in {folder / REPORT}." if folder is not None else "")


def _polygons(path: Path) -> Polygons:
    from napari_nucleigan.labels.geojson import read_polygons

    features, _ = read_polygons(path)
    return tuple(tuple((float(y), float(x)) for x, y in polygon[0]) for polygons in features for polygon in polygons)


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
