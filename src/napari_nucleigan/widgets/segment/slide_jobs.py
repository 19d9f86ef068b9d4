"""The job that segments a slide for the Segment widget; nothing here touches Qt or a viewer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.data.slides import Slide, open_slide
from napari_nucleigan.data.slides.levels import plane_of
from napari_nucleigan.data.slides.slide import completed
from napari_nucleigan.segmentation.slides import segment_slide
from napari_nucleigan.widgets.segment.slide_levels import LabelLevel, open_levels

if TYPE_CHECKING:
    import threading

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation import SegmentSettings
    from napari_nucleigan.segmentation.slides import SlideResult
    from napari_nucleigan.segmentation.slides.worker import Polygons

MOST_ROWS = 300_000
"""Nuclei up to which their table goes into the layer; the file has all of them."""

_LOOK = 256  # side in pixels of the part by which a file is known to be what a layer shows
_TICK = 0.2


@dataclass(frozen=True, eq=False)
class SlideOrder:
    """What is wanted of a slide.

    Attributes
    ----------
    name : str
        Name of the results.
    path : Path or None
        The slide's file, where it is known.
    levels : tuple of arrays of uint8, shape (H, W, 3)
        What the layer shows, the full resolution first.
    out : Path
        Folder of the results.
    settings : SegmentSettings
        How to segment.
    region : Polygons or None
        Where nuclei are wanted; None for everywhere.
    scheduler : str
        Address of a dask cluster's scheduler; empty for this machine.
    """

    name: str
    path: Path | None
    levels: tuple[Any, ...]
    out: Path
    settings: SegmentSettings
    region: Polygons | None = None
    scheduler: str = ""


@dataclass(frozen=True, eq=False)
class SlideFindings:
    """What was found in a slide, ready to be shown.

    Attributes
    ----------
    result : SlideResult
        What was written.
    levels : list of LabelLevel
        The labels.
    features : DataFrame or None
        A row for each nucleus, as napari wants them; None for too many nuclei.
    density : ndarray of float32 or None
        Nuclei per square millimetre.
    """

    result: SlideResult
    levels: list[LabelLevel]
    features: Any | None = None
    density: NDArray[np.float32] | None = None

    def output(self, suffix: str) -> Path:
        """Return the file of a format."""
        return next(path for path in self.result.outputs if path.name.endswith(suffix))


def segment_levels(order: SlideOrder, turn: threading.Lock) -> Job[SlideFindings]:
    """Segment a slide, while its labels can be looked at.

    Parameters
    ----------
    order : SlideOrder
        What is wanted.
    turn : Lock
        Held while the work goes on: a run that was cancelled may be in the middle of a step.

    Yields
    ------
    Progress, Note, Painted or SlideFindings
        The last as soon as the labels are written, without table and density.

    Returns
    -------
    SlideFindings
    """
    while not turn.acquire(timeout=_TICK):
        yield Progress(0, 1, "waiting for the run before")
    try:
        yield Progress(0, 1, "opening the slide")
        with _slide_of(order) as slide:
            result = yield from segment_slide(
                slide, order.out, order.settings, region=order.region, scheduler=order.scheduler, live=True
            )
    finally:
        turn.release()
    found = SlideFindings(result, [])
    found = replace(found, levels=open_levels(found.output(".ome.zarr")))
    yield found  # type: ignore[misc]  # what watches the job takes it like any event
    yield Progress(0, 1, "reading the table")
    return replace(found, features=_features(found), density=_density(found))


def _slide_of(order: SlideOrder) -> Slide:
    """Open the slide's file, if it holds what the layer shows, else make a slide of what the layer shows."""
    if order.path is not None:
        try:
            slide = replace(open_slide(order.path), name=order.name)
        except NucleiganError:
            if order.scheduler:
                raise
        else:
            if order.scheduler or _same(slide, order.levels[0]):
                return slide
            slide.close()
    path = order.path or Path(order.name)
    levels, _ = completed([plane_of(level, path.name) for level in order.levels])
    return Slide(order.name, path, levels, order.settings.mpp)


def _same(slide: Slide, shown: Any) -> bool:
    if slide.shape != tuple(shown.shape[:2]):
        return False
    top, left = (max(0, length // 2 - _LOOK) for length in slide.shape)
    part = np.asarray(shown[top : top + _LOOK, left : left + _LOOK])
    return np.array_equal(part, slide.region((top, top + part.shape[0], left, left + part.shape[1])))


def _features(found: SlideFindings) -> Any | None:
    import pandas as pd

    if not 0 < found.result.nuclei <= MOST_ROWS:
        return None
    # napari finds the row of a label by a column of this name.
    return pd.read_csv(found.output(".csv")).rename(columns={"label": "index"})


def _density(found: SlideFindings) -> NDArray[np.float32]:
    from napari_nucleigan.data.slides.density import read_density

    return read_density(found.output(".density.tif")).values
