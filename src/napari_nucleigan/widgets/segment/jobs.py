"""Jobs of the Segment dock: images and slides to nuclei, and filters moved afterwards; no Qt here, and no viewer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import Job, Note, Progress
from napari_nucleigan.data.slides import Slide, open_slide
from napari_nucleigan.data.slides.slide import ArrayLevel, as_level, with_overview
from napari_nucleigan.segmentation import Segmentation, SegmentSettings, refilter, segment
from napari_nucleigan.segmentation.slides import segment_slide

if TYPE_CHECKING:
    import threading
    from collections.abc import Collection

    from numpy.typing import NDArray

    from napari_nucleigan.labels.regions import Bounds
    from napari_nucleigan.segmentation.settings import NucleiFilter
    from napari_nucleigan.segmentation.slides import SlideResult
    from napari_nucleigan.segmentation.slides.worker import Polygons
    from napari_nucleigan.widgets.base.image_sources import Region, Source

MOST_ROWS = 300_000
"""Nuclei up to which their table goes into the layer; the file has all of them."""

_LOOK = 256  # side in pixels of the part by which a file is known to be what a layer shows
_TICK = 0.2
_STEP = 256


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
    image = source.image()
    for note in image.notes:
        yield Note(note)
    return _within(source.part, (yield from segment(image, settings)))


def refilter_job(segmentation: Segmentation, settings: SegmentSettings, part: Region) -> Job[Segmentation]:
    """Cut the kept mask of a part of an image into nuclei again."""
    yield from ()
    return _within(part, refilter(segmentation, settings))


def _within(part: Region, segmentation: Segmentation) -> Segmentation:
    """Leave out nuclei whose centroid lies in no drawn region."""
    if not part.polygons:
        return segmentation
    from napari_nucleigan.labels.polygons import inside
    from napari_nucleigan.segmentation.instances import renumbered

    top, _, left, _ = part.box or (0, 0, 0, 0)
    table = segmentation.features
    centres = np.column_stack([table["centroid_y_px"] + top, table["centroid_x_px"] + left])
    keep = inside(centres, [np.array(polygon) for polygon in part.polygons])
    features = {name: values[keep] for name, values in table.items()} | {"label": np.arange(1, keep.sum() + 1)}
    labels = renumbered(segmentation.labels, np.concatenate([[False], keep]))
    seen = segmentation.embeddings
    return replace(segmentation, labels=labels, features=features, embeddings=None if seen is None else seen[keep])


@dataclass(frozen=True, eq=False)
class SlideJob:
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


def segment_levels(request: SlideJob, turn: threading.Lock) -> Job[SlideFindings]:
    """Segment a slide, while its labels can be looked at.

    Parameters
    ----------
    request : SlideJob
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
        with _slide_of(request) as slide:
            result = yield from segment_slide(
                slide, request.out, request.settings, region=request.region, scheduler=request.scheduler, live=True
            )
    finally:
        turn.release()
    found = SlideFindings(result, [])
    found = replace(found, levels=open_levels(found.output(".ome.zarr")))
    yield found  # type: ignore[misc]  # what watches the job takes it like any event
    yield Progress(0, 1, "reading the table")
    return replace(found, features=_features(found), density=_density(found))


def _slide_of(request: SlideJob) -> Slide:
    """Open the slide's file, if it holds what the layer shows, else make a slide of what the layer shows."""
    if request.path is not None:
        try:
            slide = replace(open_slide(request.path), name=request.name)
        except NucleiganError:
            if request.scheduler:
                raise
        else:
            if request.scheduler or _same(slide, request.levels[0]):
                return slide
            slide.close()
    path = request.path or Path(request.name)
    levels, _ = with_overview([as_level(level, path.name) for level in request.levels])
    mpp = request.settings.mpp
    return Slide(request.name, path, levels, mpp if isinstance(mpp, float) else None)


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
    from napari_nucleigan.data.images.tiff import read_density

    return read_density(found.output(".density.tif")).values


class LabelLevel(ArrayLevel):
    """A level that is read where it is sliced, and of which nothing is kept: it may still be painted.

    Of a dask array napari keeps what it has read. Of a zarr array it reads whole chunks, whose outlines take longer to
    draw than what is in view.

    Parameters
    ----------
    array : zarr.Array
        Integers, shape (H, W).
    """

    chunks = (_STEP, _STEP)

    def __init__(self, array: zarr.Array[Any]) -> None:
        super().__init__(str(array.store_path), array)
        self.size = array.size
        self._keep: NDArray[np.bool_] | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all."""
        return np.asarray(self[:], dtype)

    def hiding(self, keep: NDArray[np.bool_]) -> LabelLevel:
        """Return the same level without the labels that `keep` is false for; of larger ones its last value tells."""
        level = LabelLevel(self._array)
        level._keep = keep
        return level

    def _read(self, box: Bounds) -> NDArray[Any]:
        found = super()._read(box)
        return found if self._keep is None else found * self._keep[np.minimum(found, len(self._keep) - 1)]


def open_levels(folder: Path) -> list[LabelLevel]:
    """Open a pyramid that this package has written, the full resolution first."""
    group = zarr.open_group(folder, mode="r")
    known: Any = group.attrs["ome"]
    return [LabelLevel(group[part["path"]]) for part in known["multiscales"][0]["datasets"]]


@dataclass(frozen=True, eq=False)
class SlideTable:
    """What filters look at of a slide's finished result.

    Attributes
    ----------
    columns : dict of str to ndarray, shape (n,)
        As `napari_nucleigan.segmentation.filters.COLUMNS` names them.
    extent : (float, float)
        Microns that the slide is high and wide.
    """

    columns: dict[str, NDArray[Any]]
    extent: tuple[float, float]


@dataclass(frozen=True, eq=False)
class SlideView:
    """What is left of a slide's nuclei by a filter.

    Attributes
    ----------
    table : SlideTable
        Of all nuclei.
    keep : ndarray of bool, shape (largest label + 2,)
        Which labels are left; the last value stands for all that have no row.
    left : int
        How many.
    density : ndarray of float32
        Nuclei per square millimetre of these.
    """

    table: SlideTable
    keep: NDArray[np.bool_]
    left: int
    density: NDArray[np.float32]

    @property
    def hidden(self) -> int:
        """How many nuclei are not left."""
        return len(self.table.columns["label"]) - self.left


def filter_slide(
    path: Path, wanted: NucleiFilter, table: SlideTable | None, classes: Collection[str]
) -> Job[SlideView]:
    """Tell which nuclei of a slide's finished result a filter leaves.

    Parameters
    ----------
    path : Path
        The labels.
    wanted : NucleiFilter
        The filter.
    table : SlideTable or None
        As an earlier filter has read it.
    classes : collection of str
        Classes that nuclei may have.
    """
    from napari_nucleigan.segmentation.density import count_per_mm2
    from napari_nucleigan.segmentation.filters import COLUMNS, kept
    from napari_nucleigan.segmentation.stored import open_labels, read_table

    if table is None:
        yield Progress(0, 1, "reading the table")
        table = SlideTable(read_table(path, COLUMNS), open_labels(path).extent_um)
    columns = table.columns
    rows = kept(wanted, columns, path.name, classes)
    keep = np.zeros(int(columns["label"].max(initial=0)) + 2, bool)
    keep[columns["label"][rows]] = True
    places = {name: columns[name][rows] for name in ("centroid_y_um", "centroid_x_um")}
    return SlideView(table, keep, int(rows.sum()), count_per_mm2([places], table.extent)[0])
