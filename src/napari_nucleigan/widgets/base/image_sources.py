"""Image sources: layers and files that jobs read; no Qt here."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import ImageError, NucleiganError
from napari_nucleigan.base.events import Job, Note, Progress
from napari_nucleigan.contributions.layers import (
    LayerData,
    density_layer,
    image_layer,
    labels_layer,
    pyramid_layer,
    slide_layer,
)
from napari_nucleigan.data.images.convert import to_rgb
from napari_nucleigan.data.images.files import HEImage, list_images, read_image, read_labels, read_mpp
from napari_nucleigan.data.slides import Slide, is_slide, list_slides, open_slide
from napari_nucleigan.labels import geojson
from napari_nucleigan.segmentation.formats import format_of
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.layers import METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image

    from napari_nucleigan.segmentation.file_plan import FileTask
    from napari_nucleigan.segmentation.slides.worker import Polygons
    from napari_nucleigan.widgets.base.layers import Box

MOST_IMAGES = 100
"""More images than this at once belong to the widget of folders, or the command line."""


@dataclass(frozen=True)
class Region:
    """A part of an image.

    Attributes
    ----------
    box : Box or None
        What is read; None for the whole image.
    polygons : tuple of polygons
        Where the centroids of nuclei must lie, if anywhere: corners (row, column); the middle of the first pixel of the
        image is (0, 0).
    """

    box: Box | None = None
    polygons: Polygons = ()

    @property
    def region(self) -> Polygons | None:
        """Polygons whose nuclei are wanted, from the corner of the first pixel; None for the whole image."""
        if self.polygons:
            return tuple(tuple((row + 0.5, column + 0.5) for row, column in polygon) for polygon in self.polygons)
        if self.box is None:
            return None
        top, bottom, left, right = map(float, self.box)
        return (((top, left), (top, right), (bottom, right), (bottom, left)),)

    def pixels(self, image: Image) -> int:
        """Count the pixels that are read of an image."""
        height, width = layers.image_shape(image)
        top, bottom, left, right = self.box or (0, height, 0, width)
        return (bottom - top) * (right - left)


WHOLE_IMAGE = Region()


@dataclass(frozen=True)
class Source:
    """What is to be segmented: the array of a layer, and what is known of it.

    Attributes
    ----------
    data : ndarray
        As from `layers.pixels`.
    name : str
        Name of the layer.
    mpp : float or None
        Microns per pixel; None where they are not known.
    part : Region
        What of it is wanted.
    channel_first : bool
        Whether the first axis holds the colours.
    """

    data: np.ndarray[Any, Any]
    name: str
    mpp: float | None
    part: Region = WHOLE_IMAGE
    channel_first: bool = False

    @classmethod
    def of(cls, layer: Image, mpp: float | None, part: Region = WHOLE_IMAGE) -> Source:
        """Return what is to be read of a layer."""
        return cls(layers.pixels(layer), layer.name, mpp, part, layers.is_channel_first(layer))

    def image(self) -> HEImage:
        """Make the core's image; for a worker, since it may load from disk."""
        data, box = self.data, self.part.box
        plane = data.shape[1:] if self.channel_first else data.shape[:2]
        if box is not None and (data.dtype == np.uint8 or math.prod(plane) > layers.LARGE):
            # Bytes are taken as they are, so that the part can be cut out before anything is loaded. Of other numbers
            # the range of the whole image counts, if that can be loaded.
            rows, columns = slice(*box[:2]), slice(*box[2:])
            data, box = data[..., rows, columns] if self.channel_first else data[rows, columns], None
        rgb, notes = to_rgb(np.asarray(data), 0 if self.channel_first else None)
        if box is not None:
            rgb = rgb[slice(*box[:2]), slice(*box[2:])]
        return HEImage(np.ascontiguousarray(rgb), self.mpp, self.name, notes=notes)


def load_images(paths: Sequence[str | Path]) -> Job[list[LayerData]]:
    """Read images, and open slides without reading them; those that cannot be read are said and left out.

    Parameters
    ----------
    paths : sequence of str or Path
        Image files and slides, or folders of them.

    Returns
    -------
    list of LayerData
        Images, in microns where the files know them.

    Raises
    ------
    ImageError
        If none can be read.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        inside = path.is_dir() and not is_slide(path)
        files.extend([*list_images(path), *list_slides(path)] if inside else [path])
    if not files:
        raise ImageError(f"There are no images in {paths[0]}; choose another folder, or files.")
    if len(files) > MOST_IMAGES:
        yield Note(
            f"Only the first {MOST_IMAGES} of {len(files)} images were opened; segment so many "
            "with “Segment a folder”, or with “nucleigan segment FOLDER -o OUT”.",
            "warning",
        )
        files = files[:MOST_IMAGES]
    images: list[LayerData] = []
    for index, file in enumerate(files):
        yield Progress(index, len(files), f"opening {file.name}")
        try:
            image: Slide | HEImage = open_slide(file) if is_slide(file) else read_image(file)
        except NucleiganError as error:
            if len(files) == 1:
                raise
            yield Note(str(error), "warning")
            continue
        images.append(slide_layer(image) if isinstance(image, Slide) else image_layer(image))
        for note in image.notes:
            yield Note(f"{file.name}: {note}")
    if not images:
        raise ImageError(f"None of the {len(files)} images can be read; see the messages for the reasons.")
    return images


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
    # One that was made again since is another result.
    known = {"path": str(drawn), "written": drawn.stat().st_mtime_ns}
    return [image_layer(replace(image, mpp=mpp)), (data, arguments | {"metadata": {METADATA_KEY: known}}, kind)]


def _slide_result(task: FileTask) -> list[LayerData]:
    """Open a slide, and of its results those that are read where they are looked at."""
    from napari_nucleigan.data.images.tiff import read_density
    from napari_nucleigan.data.slides.label_pyramids import open_label_pyramid

    made = [slide_layer(open_slide(task.source))]
    for path in task.outputs:
        if not path.exists() or format_of(path) not in (".ome.zarr", ".density.tif"):
            continue
        pyramid = format_of(path) == ".ome.zarr"
        data, arguments, kind = (
            pyramid_layer(open_label_pyramid(path)) if pyramid else density_layer(read_density(path))
        )
        known = {**arguments.get("metadata", {}).get(METADATA_KEY, {})}
        known |= {"path": str(path), "written": path.stat().st_mtime_ns}
        made.append((data, arguments | {"visible": pyramid, "metadata": {METADATA_KEY: known}}, kind))
    return made
