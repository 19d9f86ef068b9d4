"""Jobs of the widget that segments folders; nothing here touches Qt or a viewer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.events import Progress
from napari_nucleigan.contributions.layers import (
    LayerData,
    density_layer,
    image_layer,
    labels_layer,
    pyramid_layer,
    slide_layer,
)
from napari_nucleigan.data.images.files import read_image, read_labels, read_mpp
from napari_nucleigan.labels import geojson
from napari_nucleigan.segmentation.file_plan import plan_files, results_folder
from napari_nucleigan.segmentation.folders import segment_files
from napari_nucleigan.segmentation.formats import IMAGE_FORMATS, SLIDE_FORMATS, format_of
from napari_nucleigan.segmentation.resume_log import ResumeLog
from napari_nucleigan.widgets.base.layers import METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_nucleigan.base.events import Event, Job
    from napari_nucleigan.segmentation import FileResult, SegmentSettings
    from napari_nucleigan.segmentation.file_plan import FileTask


@dataclass(frozen=True)
class BatchOrder:
    """Images to be segmented.

    Attributes
    ----------
    inputs : tuple of Path
        Files and folders.
    out : Path
        Folder of the results.
    formats : tuple of str
        Suffixes of the results.
    recursive : bool
        Whether subfolders are meant too.
    again : bool
        Whether to do again what is done.
    """

    inputs: tuple[Path, ...]
    out: Path
    formats: tuple[str, ...]
    recursive: bool = False
    again: bool = False


def look_into(order: BatchOrder) -> Job[list[FileTask]]:
    """Find the images of an order.

    Raises
    ------
    ImageError, OutputError
        If there are none, or they cannot be segmented into that folder.
    """
    yield Progress(0, 1, "looking for images")
    for path in order.inputs:
        if not path.exists():
            raise ImageError(f"There is no {path}; choose a folder of images, or image files.")
    results = ResumeLog(results_folder(order.inputs, order.out)).results()
    return plan_files(
        order.inputs,
        order.out,
        IMAGE_FORMATS,
        order.formats,
        recursive=order.recursive,
        results=results,
        slides=SLIDE_FORMATS,
    )


def segment_order(
    order: BatchOrder, settings: SegmentSettings
) -> Generator[Event | list[FileTask], None, list[FileResult]]:
    """Segment the images of an order, which may have become others since they were looked for; see `segment_files`.

    Yields
    ------
    Event or list of FileTask
        The images, before anything is done with them.
    """
    yield (yield from look_into(order))
    return (
        yield from segment_files(
            order.inputs, order.out, settings, order.formats, again=order.again, recursive=order.recursive
        )
    )


def read_result(task: FileTask) -> Job[list[LayerData]]:
    """Read the layers of an image: itself, and its nuclei where they were written as labels or polygons.

    Raises
    ------
    ImageError, LabelsError
        If a file cannot be read.
    """
    yield Progress(0, 1, f"opening {task.source.name}")
    if task.slide:
        return _slide_result(task)
    image = read_image(task.source)
    drawn = next((path for path in task.outputs if path.suffix != ".csv" and path.is_file()), None)
    if drawn is None:
        return [image_layer(image)]
    tiff = drawn.suffix == ".tif"
    labels = read_labels(drawn) if tiff else geojson.read_geojson(drawn, image.pixels.shape[:2])
    # Both lie where the result has them: the user may have known better than the image.
    mpp = (read_mpp(drawn) if tiff else geojson.read_mpp(drawn)) or image.mpp
    data, arguments, kind = labels_layer(labels, mpp, f"{image.name} nuclei")
    # One that was made anew since is another result.
    known = {"path": str(drawn), "written": drawn.stat().st_mtime_ns}
    return [image_layer(replace(image, mpp=mpp)), (data, arguments | {"metadata": {METADATA_KEY: known}}, kind)]


def _slide_result(task: FileTask) -> list[LayerData]:
    """Open a slide, and of its results those that are read where they are looked at."""
    from napari_nucleigan.data.slides import open_slide
    from napari_nucleigan.data.slides.density import read_density
    from napari_nucleigan.data.slides.label_pyramids import open_label_pyramid

    layers = [slide_layer(open_slide(task.source))]
    for path in task.outputs:
        if not path.exists() or format_of(path) not in (".ome.zarr", ".density.tif"):
            continue
        pyramid = format_of(path) == ".ome.zarr"
        data, arguments, kind = (
            pyramid_layer(open_label_pyramid(path)) if pyramid else density_layer(read_density(path))
        )
        known = {**arguments.get("metadata", {}).get(METADATA_KEY, {})}
        known |= {"path": str(path), "written": path.stat().st_mtime_ns}
        layers.append((data, arguments | {"visible": pyramid, "metadata": {METADATA_KEY: known}}, kind))
    return layers
