"""The jobs that the Segment widget runs in threads; nothing here touches Qt or a viewer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan._layers import LayerData, image_layer, slide_layer
from napari_nucleigan.data.images import HEImage, list_images, read_image
from napari_nucleigan.data.slides import Slide, is_slide, list_slides, open_slide
from napari_nucleigan.errors import ImageError, NucleiganError
from napari_nucleigan.events import Job, Note, Progress
from napari_nucleigan.models import ModelFile, list_models
from napari_nucleigan.segmentation import (
    Device,
    Segmentation,
    SegmentSettings,
    devices,
    refilter,
    segment,
)
from napari_nucleigan.widgets.layers import he_image
from napari_nucleigan.widgets.parts import WHOLE_IMAGE, Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.models import Kind

MOST_IMAGES = 100
"""More images than this at once belong to the widget of folders, or the command line."""


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
    part : Part
        What of it is wanted.
    channel_first : bool
        Whether the first axis holds the colours.
    """

    data: np.ndarray[Any, Any]
    name: str
    mpp: float | None
    part: Part = WHOLE_IMAGE
    channel_first: bool = False


@dataclass(frozen=True)
class Survey:
    """The models and the devices that there are."""

    models: list[ModelFile]
    devices: list[Device]


def survey(kind: Kind = "segmenter") -> Job[Survey]:
    """Look for models of a kind and devices; a job, because it imports torch, which takes seconds."""
    yield Progress(0, 2, "looking for models")
    models = list_models(kind)
    yield Progress(1, 2, "looking for devices")
    return Survey(models, devices())


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
            "with the widget “Segment a folder”, or with “nucleigan segment FOLDER -o OUT”.",
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


def segment_source(source: Source, settings: SegmentSettings) -> Job[Segmentation]:
    """Segment a layer's array.

    Parameters
    ----------
    source : Source
        What to segment.
    settings : SegmentSettings
        How.
    """
    yield Progress(0, 1, "loading the image")
    image = he_image(source.data, source.name, source.mpp, source.part.box, source.channel_first)
    for note in image.notes:
        yield Note(note)
    return _within(source.part, (yield from segment(image, settings)))


def refilter_job(segmentation: Segmentation, settings: SegmentSettings, part: Part) -> Job[Segmentation]:
    """Cut the kept mask of a part of an image into nuclei anew."""
    yield from ()
    return _within(part, refilter(segmentation, settings))


def _within(part: Part, segmentation: Segmentation) -> Segmentation:
    """Leave out nuclei whose centroid lies in no drawn region."""
    if not part.polygons:
        return segmentation
    from napari_nucleigan.segmentation.slides.worker import inside

    top, _, left, _ = part.box or (0, 0, 0, 0)
    table = segmentation.features
    centres = np.column_stack([table["centroid_y_px"] + top, table["centroid_x_px"] + left])
    keep = inside(centres, [np.array(polygon) for polygon in part.polygons])
    count = int(keep.sum())
    names = np.zeros(len(keep) + 1, np.int32)
    names[1:][keep] = np.arange(1, count + 1)
    features = {name: values[keep] for name, values in table.items()} | {"label": np.arange(1, count + 1)}
    return replace(segmentation, labels=names[segmentation.labels], features=features)
