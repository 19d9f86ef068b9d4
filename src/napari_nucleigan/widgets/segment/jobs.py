"""Jobs of the Segment dock: images to nuclei, and filters moved afterwards; nothing here touches Qt or a viewer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.events import Job, Note, Progress
from napari_nucleigan.segmentation import Segmentation, SegmentSettings, refilter, segment
from napari_nucleigan.widgets.base.layers import he_image

if TYPE_CHECKING:
    from napari_nucleigan.widgets.base.image_sources import Region, Source


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


def refilter_job(segmentation: Segmentation, settings: SegmentSettings, part: Region) -> Job[Segmentation]:
    """Cut the kept mask of a part of an image into nuclei anew."""
    yield from ()
    return _within(part, refilter(segmentation, settings))


def _within(part: Region, segmentation: Segmentation) -> Segmentation:
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
