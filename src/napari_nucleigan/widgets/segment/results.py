"""Results: the Labels layers that a dock made, what they were made from, and filters moved afterwards."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal

from napari_nucleigan.base.events import Note
from napari_nucleigan.base.pixels import sides
from napari_nucleigan.segmentation.settings import FILTERS
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import (
    CONTOUR,
    METADATA_KEY,
    Box,
    image_shape,
    is_large,
    labels_place,
    moved,
    nuclei_colormap,
)
from napari_nucleigan.widgets.base.run_bar import Figures
from napari_nucleigan.widgets.segment.colours import OWN, colour
from napari_nucleigan.widgets.segment.jobs import refilter_job

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari.layers import Image, Labels
    from napari.viewer import Viewer
    from qtpy.QtCore import QObject

    from napari_nucleigan.segmentation import Segmentation, SegmentSettings
    from napari_nucleigan.widgets.base.image_sources import Region

KEPT_PIXELS = 100_000_000
"""Pixels of all masks that are kept for moving filters, 6 bytes each."""


@dataclass(eq=False)
class Result:
    """One segmented image.

    Attributes
    ----------
    image : Image
        The layer that was segmented.
    labels : Labels
        The layer that shows the nuclei.
    segmentation : Segmentation
        What the labels come from; it keeps the mask, so that filters can be moved.
    part : Region
        What of the image was wanted.
    key : tuple
        What a run must have in common with this one to be the same.
    edited : bool
        Whether the user has painted in the labels since.
    """

    image: Image
    labels: Labels
    segmentation: Segmentation
    part: Region
    key: tuple[Any, ...]
    edited: bool = field(default=False)

    @property
    def figures(self) -> Figures:
        """What is said of it."""
        found = self.segmentation
        return Figures(len(found.features["label"]), found.seconds, found.mpp, str(found.provenance["model"]))

    def mark_edited(self, _: object = None) -> None:
        """Note that the labels hold the user's own work from now on."""
        self.edited = True


def run_key(image: Image, settings: SegmentSettings, mpp: float, part: Region) -> tuple[Any, ...]:
    """Return what two runs share that are of the same image and settings.

    The filters are left out, because they can be moved on the result, and so is the device.
    """
    return (image.unique_id, settings.model, settings.normalize, round(mpp, 6), part)


class Results:
    """The results of one widget in one viewer."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._all: list[Result] = []
        self.look = OWN
        """How nuclei are coloured."""

    def __iter__(self) -> Iterator[Result]:
        """Go through the results, the oldest first."""
        return iter(self._all)

    def prune(self) -> None:
        """Forget results whose image or labels were removed from the viewer."""
        layers = self._viewer.layers
        self._all = [item for item in self._all if item.image in layers and item.labels in layers]

    def clear(self) -> None:
        """Forget all results; their layers stay."""
        self._all = []

    def latest(self, images: Iterable[Image], model: str) -> list[Result]:
        """Return the newest result of each image by a model."""
        self.prune()
        newest = {item.image.unique_id: item for item in self._all if item.segmentation.settings.model == model}
        return [newest[image.unique_id] for image in images if image.unique_id in newest]

    def newest(self, image: Image) -> Result | None:
        """Return the newest result of an image, by whatever model."""
        self.prune()
        return next((item for item in reversed(self._all) if item.image is image), None)

    def show(
        self,
        image: Image,
        segmentation: Segmentation,
        key: tuple[Any, ...],
        part: Region,
        replace: bool,
    ) -> Result:
        """Show a segmentation as a Labels layer.

        Parameters
        ----------
        image : Image
            The layer that was segmented.
        segmentation : Segmentation
            Its nuclei.
        key : tuple
            As from `run_key`.
        part : Region
            What of the image was wanted.
        replace : bool
            Whether a result of the same `key` is replaced; one with the user's paint never is.

        Returns
        -------
        Result
        """
        self.prune()
        if replace:
            for item in self._all:
                if item.key == key and not item.edited:
                    self.update(item, segmentation)
                    return item
        place = labels_place(image)
        if is_large(image) and part.box is not None:
            place = moved(place, (1, 1), (part.box[0], part.box[2]))
        labels = self._viewer.add_labels(
            _shown(image, segmentation, part.box),
            name=f"{image.name} nuclei",
            visible=image.visible,
            opacity=1.0,
            colormap=nuclei_colormap(),
            **place,
        )
        labels.contour = CONTOUR
        result = Result(image, labels, segmentation, part, key)
        self._describe(result)
        labels.events.paint.connect(result.mark_edited)
        self._all.append(result)
        self._forget()
        return result

    def update(self, result: Result, segmentation: Segmentation) -> None:
        """Put other nuclei into the layer of a result."""
        result.segmentation = segmentation
        result.labels.data = _shown(result.image, segmentation, result.part.box)
        self._describe(result)
        self._forget()

    def _forget(self) -> None:
        """Let go of the oldest masks when all of them take too much memory."""
        total = 0
        for item in reversed(self._all):
            if item.segmentation.field is not None:
                total += item.segmentation.field[0].size
                if total > KEPT_PIXELS:
                    item.segmentation = replace(item.segmentation, field=None)

    def _describe(self, result: Result) -> None:
        table = dict(result.segmentation.features)
        box = result.part.box
        if box is not None:
            lengths = sides(result.segmentation.mpp)
            for axis, offset, length in zip("yx", (box[0], box[2]), lengths, strict=True):
                table[f"centroid_{axis}_px"] = table[f"centroid_{axis}_px"] + offset
                table[f"centroid_{axis}_um"] = table[f"centroid_{axis}_um"] + offset * length
        # napari finds the row of a label by a column of this name.
        table = {"index": table.pop("label"), **table}
        result.labels.features = table
        metadata = dict(result.labels.metadata)
        metadata[METADATA_KEY] = {
            **result.segmentation.provenance,
            "image": result.image.name,
            "region": box,
            **({"drawn": result.part.polygons} if result.part.polygons else {}),
            "notes": list(result.segmentation.notes),
        }
        result.labels.metadata = metadata
        colour(result.labels, self.look)


def _shown(image: Image, segmentation: Segmentation, box: Box | None) -> np.ndarray[Any, Any]:
    """Labels of the size of the image, with background around a region; of a large one those of the region only."""
    if box is None or is_large(image):
        return segmentation.labels
    labels = np.zeros(image_shape(image), np.int32)
    labels[slice(*box[:2]), slice(*box[2:])] = segmentation.labels
    return labels


class Refilter(Runner):
    """Cuts the kept masks of results into nuclei again, one after the other.

    Parameters
    ----------
    results : Results
        Whose layers follow.
    parent : QObject
        The widget that owns it.
    """

    shown = Signal(object)
    """A `results.Result` whose layer shows the new nuclei."""

    def __init__(self, results: Results, parent: QObject) -> None:
        super().__init__(parent)
        self._results = results
        self._waiting: deque[Result] = deque()
        self._wanted: SegmentSettings | None = None
        self.finished.connect(self._finished)

    def filter(self, results: Iterable[Result], settings: SegmentSettings) -> None:
        """Give results the filters of some settings; what is still on its way is left."""
        self.cancel()
        self._waiting, self._wanted = deque(results), settings
        self._next()

    def cancel(self) -> None:
        """Leave the results as they are."""
        self._waiting.clear()
        super().cancel()

    def _next(self) -> None:
        while self._waiting and self._waiting[0].segmentation.field is None:
            name = self._waiting.popleft().image.name
            self.noted.emit(Note(f"The mask of “{name}” was too large to keep: press Run to apply the filters."))
        if self._waiting:
            item = self._waiting[0]
            before = item.segmentation
            update = {name: getattr(self._wanted, name) for name in FILTERS}
            settings = before.settings.model_copy(update=update)
            self.start(refilter_job(before, settings, item.part), "filtering the nuclei")

    def _finished(self, segmentation: Segmentation) -> None:
        item = self._waiting.popleft()
        self._results.prune()
        if item not in self._results:
            pass
        elif item.edited:
            item = self._results.show(item.image, segmentation, item.key, item.part, replace=False)
            self.noted.emit(Note("You have painted in the labels: they were kept, a new layer was added."))
        else:
            self._results.update(item, segmentation)
        self.shown.emit(item)
        self._next()
