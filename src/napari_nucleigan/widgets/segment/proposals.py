"""Correct here next: the regions whose correction would teach most, shown and flown to, one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_nucleigan.base.events import Job, Note
from napari_nucleigan.labels.polygons import polygons_to_labels
from napari_nucleigan.segmentation.confidence import CONFIDENCE
from napari_nucleigan.segmentation.proposals import COUNT, Proposal, propose
from napari_nucleigan.tiling import Box, resize_labels
from napari_nucleigan.widgets.base.drawn_shapes import ShapesPicker, edge_width
from napari_nucleigan.widgets.base.fields import enable, push_button, row, set_text, small_label
from napari_nucleigan.widgets.base.flight import Flight
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import METADATA_KEY, VIEW_KEY, labels_place, selection_kept
from napari_nucleigan.widgets.base.transforms import unit_factors
from napari_nucleigan.widgets.segment.regions import regions_reader

if TYPE_CHECKING:
    from napari.layers import Image, Shapes
    from napari.viewer import Viewer

    from napari_nucleigan.segmentation import Segmentation
    from napari_nucleigan.widgets.base.image_sources import Region
    from napari_nucleigan.widgets.base.mask_layers import Reader
    from napari_nucleigan.widgets.segment.results import Result, Results

COLOUR, CHOSEN = "#ffb000", "#ff2bd6"
"""Of the edges of proposals, and of the one at hand."""

PROPOSED = "proposed"
"""What the layer shows, as its metadata say."""

_SHARE = 0.75  # of the canvas, that a region fills
_TIP = (
    f"Look for the {COUNT} regions whose correction would teach the model most: many nuclei that it doubts, and places "
    "where it may have missed some, spread over the image and not among your regions yet."
)
_TAKE = "The nuclei in this rectangle are right now: make it one of the regions, and go to the next."


class Proposals(QObject):
    """Buttons that look for regions, fly from one to the next, and make one that is corrected a region to learn from.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where they are shown.
    results : Results
        What was found in images.
    regions : ShapesPicker
        Where the regions are that were corrected.
    parent : QObject
        The widget that owns it, and shows its `parts`, one below the other.
    """

    noted = Signal(object)
    failed = Signal(object)

    def __init__(self, viewer: Viewer, results: Results, regions: ShapesPicker, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._results, self._regions = viewer, results, regions
        self._image: Image | None = None
        self._result: Result | None = None
        self._shapes: Shapes | None = None
        self.proposals: list[Proposal] = []
        """Those that are left, the best first."""
        self.at = 0
        self.runner, self._flight = Runner(self), Flight(viewer, self)
        self.button = push_button("Propose regions", _TIP)
        self.back, self.forth = (
            push_button("Back", "Fly to the region before."),
            push_button("Next", "Fly to the next region."),
        )
        self.take = push_button("Corrected", _TAKE)
        self.text = small_label()
        self._steps = QWidget()
        steps = row(self.back, self.forth)
        steps.addWidget(self.take, 1)
        self._steps.setLayout(steps)
        self.parts: tuple[QWidget, ...] = (self.button, self.text, self._steps)
        self.button.clicked.connect(self.propose)
        self.back.clicked.connect(lambda: self.fly(self.at - 1))
        self.forth.clicked.connect(lambda: self.fly(self.at + 1))
        self.take.clicked.connect(self.corrected)
        self.runner.finished.connect(self._proposed)
        self.runner.failed.connect(self.failed.emit)
        self.look(None, False)

    def look(self, image: Image | None, busy: bool) -> None:
        """Take the image that is chosen, and whether something else is going on."""
        if image is not self._image:
            self._image = image
            self.runner.cancel()
            self._clear()
        enable(self.button, "Fine-tuning." if busy else self.problem(), _TIP)
        self._show()

    def problem(self) -> str:
        """Why nothing can be proposed; empty where it can."""
        if self._image is None:
            return "Choose one image above."
        if (result := self._results.newest(self._image)) is None:
            return "Press Run above: what the model doubts is where to correct it."
        if CONFIDENCE not in result.segmentation.features:
            return f"The model {result.segmentation.card.name} does not tell how sure it is of a nucleus."
        return ""

    def propose(self) -> None:
        """Look for regions, and fly to the best."""
        if self.problem() or self._image is None:
            return
        self._result = self._results.newest(self._image)
        assert self._result is not None
        shapes = self._regions.chosen
        drawn = None if shapes is None or not len(shapes.data) else regions_reader(shapes, self._image)
        self.runner.cancel()
        self.runner.start(_proposed(self._result.segmentation, self._result.part, drawn), "looking for regions")

    def fly(self, number: int) -> None:
        """Fly to one of the regions, counted from 0; after the last comes the first."""
        shapes = self._shapes
        if not self.proposals or shapes is None or shapes not in self._viewer.layers:
            return
        self.at = number % len(self.proposals)
        shapes.edge_color = [CHOSEN if index == self.at else COLOUR for index in range(len(self.proposals))]
        first, last = (tuple(shapes.data_to_world(point))[-2:] for point in shapes.data[self.at][[0, 2]])
        self._flight.to(first, last, share=_SHARE)
        self._show()

    def corrected(self) -> None:
        """Make the region at hand one of those to learn from, and fly to the next."""
        if not self.proposals or self._image is None or self._shapes is None:
            return
        with selection_kept(self._viewer):
            regions = self._regions.of(self._image)
            # Regions that were drawn before may lie in a layer of another scale and place.
            factors = unit_factors(self._shapes.units, regions.units)
            places = [np.asarray(self._shapes.data_to_world(point)) * factors for point in self._shapes.data[self.at]]
            regions.add(np.array([regions.world_to_data(place) for place in places]), shape_type="polygon")
        del self.proposals[self.at]
        if self.proposals:
            # Layers that come and go let the dock look here at once.
            self.at %= len(self.proposals)
            self._draw()
            self.fly(self.at)
        else:
            self._clear()
        self._regions.changed.emit()

    def rest(self) -> None:
        """Look for nothing and fly nowhere any more."""
        self.runner.cancel()
        self._flight.stop()

    def _proposed(self, found: list[Proposal]) -> None:
        self.proposals, self.at = found, 0
        if not found:
            self._clear()
            self.noted.emit(Note("There is nothing left that the model doubts."))
            return
        self._draw()
        self.fly(0)

    def _draw(self) -> None:
        image = self._image
        assert image is not None
        rectangles = [_corners(each.box) for each in self.proposals]
        if self._shapes is not None and self._shapes in self._viewer.layers:
            self._viewer.layers.remove(self._shapes)
        with selection_kept(self._viewer):
            self._shapes = self._viewer.add_shapes(
                rectangles,
                ndim=2,
                name=f"{image.name} {PROPOSED}",
                edge_color=COLOUR,
                face_color="transparent",
                edge_width=edge_width(image),
                metadata={METADATA_KEY: {VIEW_KEY: PROPOSED, "image": image.name}},
                **labels_place(image),
            )
        self._shapes.editable = False

    def _clear(self) -> None:
        self.proposals = []
        if self._shapes is not None and self._shapes in self._viewer.layers:
            self._viewer.layers.remove(self._shapes)
        self._shapes = None
        self._show()

    def _show(self) -> None:
        self._steps.setVisible(bool(self.proposals))
        text = ""
        if self.proposals:
            here = self.proposals[self.at]
            text = (
                f"Region {self.at + 1} of {len(self.proposals)}. Doubtful nuclei: about {here.doubtful:.0f}; "
                f"missed: about {here.missed:.0f}."
            )
        set_text(self.text, text)


def _proposed(found: Segmentation, part: Region, drawn: Reader | None) -> Job[list[Proposal]]:
    """Propose regions in the pixels of the whole image, of which a part was segmented."""
    yield from ()
    height, width = found.labels.shape
    top, bottom, left, right = part.box or (0, height, 0, width)
    done = None if drawn is None else drawn()[top:bottom, left:right]
    if part.polygons and found.field is not None:
        # What lies around them was looked at, and left out: it was not missed.
        own = [np.array(polygon) - (top, left) for polygon in part.polygons]
        wanted = resize_labels(polygons_to_labels(own, (height, width)), found.field.shape[1:])
        found = replace(found, field=np.where(wanted > 0, found.field, np.float16(-1)))
    return [_moved(each, top, left) for each in propose(found, done=done)]


def _moved(proposal: Proposal, top: int, left: int) -> Proposal:
    box = proposal.box
    return replace(proposal, box=Box(box.top + top, box.bottom + top, box.left + left, box.right + left))


def _corners(box: Box) -> np.ndarray[Any, Any]:
    """Corners (row, column) of a box for a Shapes layer, where the middle of the first pixel is (0, 0)."""
    top, bottom, left, right = box.top - 0.5, box.bottom - 0.5, box.left - 0.5, box.right - 0.5
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
