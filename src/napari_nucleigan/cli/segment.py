"""``nucleigan segment`` and ``normalize``: images, whole slides and folders of them to nuclei, or to other stains."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_nucleigan.base.errors import ImageError, LabelsError, explain
from napari_nucleigan.base.events import Job, Note, Progress
from napari_nucleigan.cli.console import (
    CONTINUES_TEXT,
    INTERRUPTED_TEXT,
    fail_if_any_failed,
    handle_errors,
    print_json,
    print_line,
    print_message,
    run_with_bar,
    usage_errors,
)
from napari_nucleigan.cli.options import Json, Out, with_options
from napari_nucleigan.segmentation.formats import FORMATS
from napari_nucleigan.segmentation.settings import SegmentSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.segmentation import FileResult
    from napari_nucleigan.segmentation.slides.worker import Polygons


FormatName = StrEnum("FormatName", {each.suffix: each.suffix[1:] for each in FORMATS})  # type: ignore[misc]
_IMAGE, _ONLY_SLIDES = (
    "; ".join(f"{each.suffix[1:]}: {each.what}" for each in FORMATS if (each.write is None) is only)
    for only in (False, True)
)


@handle_errors
@with_options(SegmentSettings, usage_errors()(SegmentSettings.checked))
def segment(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT", help="Images, whole slides, and folders of them.", show_default=False),
    ],
    out: Out,
    formats: Annotated[
        list[FormatName] | None,
        typer.Option(
            "--format",
            "-f",
            help=f"{_IMAGE}. Of slides also {_ONLY_SLIDES}; by default these three and csv. "
            "May be given several times.",
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
            "centre lies in them, and in none of their holes, count. For slides.",
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
    from napari_nucleigan.segmentation.file_plan import REPORT, results_folder

    whole = slide or region is not None
    folder = results_folder(inputs, out, whole=whole)
    slides = SlideOptions(scheduler, workers, _polygons(region) if region else None, whole)
    job = segment_files(inputs, out, settings, formats or (), again=again, recursive=recursive, slides=slides)
    results = run_with_bar(job, INTERRUPTED_TEXT if folder is None else CONTINUES_TEXT)
    if as_json:
        print_json([result.to_json() for result in results])
    else:
        _show(results)
    fail_if_any_failed(results, f" All reasons are in {folder / REPORT}." if folder is not None else "")


def _polygons(path: Path) -> Polygons:
    from napari_nucleigan.labels.geojson import read_annotations
    from napari_nucleigan.labels.polygons import one_ring

    known = read_annotations(path)
    for note in known.notes:
        print_message(note)
    if not known.nuclei:
        raise LabelsError(f"{path} holds no polygon; draw one around what is to be segmented.")
    rings = (one_ring(polygon) for polygons in known.nuclei for polygon in polygons)
    return tuple(tuple((y, x) for x, y in ring.tolist()) for ring in rings)


def _show(results: list[FileResult]) -> None:
    for result in results:
        if not result.error:
            how = "done before" if result.skipped else _how(result)
            print_line(f"{result.source.name}: {result.nuclei} nuclei, {how} -> {', '.join(map(str, result.outputs))}")
    if len(results) > 1:
        states = Counter(result.state for result in results)
        parts = [
            f"{states['done']} segmented",
            f"{states['skipped']} done before" if states["skipped"] else "",
            f"{states['failed']} failed" if states["failed"] else "",
        ]
        print_line(
            f"{len(results)} images: {', '.join(filter(None, parts))}; {sum(each.nuclei for each in results)} nuclei"
        )


def _how(result: FileResult) -> str:
    record = result.provenance
    guess = " (estimated)" if record.get("mpp_source") == "estimated" else ""
    return (
        f"{record['seconds']:.1f} s, {record['mpp']:.3g} µm per pixel{guess}, {record['model']} on {record['device']}"
    )


@handle_errors
def normalize(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT", help="Images, and folders of them.", show_default=False),
    ],
    out: Out,
    to: Annotated[
        Path | None,
        typer.Option(help="Image whose stains to take. By default a typical H&E section."),
    ] = None,
    method: Annotated[
        Literal["vahadane", "macenko", "reinhard"], typer.Option(help="Method of normalisation.")
    ] = "vahadane",
    as_json: Json = False,
) -> None:
    """Bring the stains of H&E images to those of a reference."""
    results = run_with_bar(normalize_files(inputs, out, to, method))
    if as_json:
        print_json([result.to_json() for result in results])
    else:
        for result in results:
            if not result.error:
                print_line(f"{result.source.name} -> {result.outputs[0]}")
    fail_if_any_failed(results)


def normalize_files(
    inputs: Sequence[Path], out: Path, to: Path | None = None, method: str = "vahadane"
) -> Job[list[FileResult]]:
    """Normalise image files, and go on where one fails.

    Parameters
    ----------
    inputs : sequence of Path
        Image files, and folders whose images are taken.
    out : Path
        For one image file: the file to write (``.tif`` or ``.png``). Else a folder.
    to : Path, optional
        Image whose stains to take; by default the project's reference.
    method : {"vahadane", "macenko", "reinhard"}
        How.

    Returns
    -------
    list of FileResult

    Raises
    ------
    ImageError
        If the reference cannot be read, or has no stains to take.
    OutputError
        As `plan_files`.
    """
    from napari_nucleigan import stains
    from napari_nucleigan.base.files import refuse_foreign
    from napari_nucleigan.data.images.files import read_image, write_image
    from napari_nucleigan.segmentation import FileResult
    from napari_nucleigan.segmentation.file_plan import plan_files

    tasks = plan_files(inputs, out, (".tif", ".png"))
    for path in (path for task in tasks for path in task.outputs):
        refuse_foreign(path)
    target = replace(stains.REFERENCE, method=method)
    if to is not None:
        target = stains.fit(read_image(to).pixels, method)
        if target.method == "identity":
            raise ImageError(f"{to} cannot be the reference: {' '.join(target.notes)}")
        for note in target.notes:
            yield Note(f"{to.name}: {note}", "warning")
    results: list[FileResult] = []
    for index, task in enumerate(tasks):
        yield Progress(index, len(tasks), f"normalising {task.source.name}")
        try:
            image = read_image(task.source)
            source = stains.fit(image.pixels, method)
            pixels = stains.normalize(image.pixels, target, source)
            write_image(task.outputs[0], pixels, image.mpp)
        except Exception as failure:
            error = explain(failure, f"normalising {task.source.name}")
            results.append(FileResult(task.source, error=str(error)))
            if len(tasks) > 1:
                yield Note(f"{task.source.name}: {error}", "warning")
            continue
        notes = (*image.notes, *source.notes)
        results.append(FileResult(task.source, task.outputs, notes=notes))
        for text in notes:
            yield Note(f"{task.source.name}: {text}")
    return results
