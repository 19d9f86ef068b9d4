"""Slide run: the segmentation of a slide from the dock, and the layers that show it while it goes on and afterwards."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_nucleigan.base.events import Painted
from napari_nucleigan.segmentation.density import DENSITY_PIXEL
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import (
    CONTOUR,
    METADATA_KEY,
    VIEW_KEY,
    image_shape,
    labels_place,
    layer_info,
    moved,
    nuclei_colormap,
    visible_box,
)
from napari_nucleigan.widgets.base.run_bar import Figures
from napari_nucleigan.widgets.segment.artefacts import show_artefacts
from napari_nucleigan.widgets.segment.jobs import SlideFindings, SlideJob, open_levels, segment_levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer
    from qtpy.QtCore import QObject

    from napari_nucleigan.base.events import Progress

REFRESH_MS = 1000
"""Between two looks at what was painted; more where a look takes long."""

_SHARE = 10  # of the time at most is spent on drawing what was painted
_TILES = "segmenting tiles"
RUNNING, UNFINISHED = "so far", "unfinished"
_DENSITY = "density"


@dataclass(eq=False)
class SlideShown:
    """A slide that was segmented.

    Attributes
    ----------
    image : Image
        Its layer.
    labels : Labels or None
        The layer of its nuclei; None where the user has removed the slide meanwhile.
    findings : SlideFindings
        What was found.
    left : int or None
        Nuclei that filters leave; None where none was moved.
    """

    image: Image
    labels: Labels | None
    findings: SlideFindings
    left: int | None = None

    @property
    def figures(self) -> Figures:
        """What is said of it."""
        found = self.findings.result
        return Figures(
            found.nuclei if self.left is None else self.left,
            found.seconds,
            float(found.provenance["mpp"]),
            str(found.provenance["model"]),
        )

    def remark(self) -> str:
        """Say where the results are, and what is missing."""
        found = self.findings.result
        names = ", ".join(path.name for path in found.outputs)
        missing = f" {len(found.lost)} tiles are missing: Run tries them again." if found.lost else ""
        return f"Written to {found.outputs[0].parent}: {names}.{missing}"


class SlideRun(Runner):
    """Segments one slide at a time, and shows its nuclei as they are found; what it has finished is a `SlideShown`.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where they are shown.
    parent : QObject
        The widget that owns it.
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent, activity=True)
        self._viewer = viewer
        self._turn = threading.Lock()
        self._image: Image | None = None
        self._labels: Labels | None = None
        self._tiles: Progress | None = None
        self._nuclei = 0
        self.live: LiveLayer | None = None
        """What is shown of the run so far."""
        self._rest = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self._rest.timeout.connect(self._refresh)

    def segment(self, request: SlideJob, image: Image) -> None:
        """Segment a slide that a layer shows."""
        self._image, self._labels, self._tiles, self._nuclei, self.live = image, None, None, 0, None
        self.start(segment_levels(request, self._turn), f"segmenting {image.name}")

    def kept(self) -> str:
        """Say what is kept of a run that did not come to its end."""
        if self._tiles is None or not self._tiles.done:
            return ""
        return f"{self._tiles.done} of {self._tiles.total} tiles are kept: Run goes on from there."

    def _tell(self, kind: str, value: Any = None) -> None:
        if kind == "progressed" and value.what == _TILES:
            self._tiles = value
            count = "1 nucleus" if self._nuclei == 1 else f"{self._nuclei} nuclei"
            value = replace(value, what=f"{value.done} of {value.total} tiles · {count}")
        elif isinstance(value, Painted):
            self._painted(value)
            return
        elif kind == "finished":
            value = self._finished(value)
        elif isinstance(value, SlideFindings):
            if self._image is not None and self._image in self._viewer.layers:
                self._rest.stop()
                self._labels = show_findings(self._viewer, self._image, value, self.live)
                self.live = None
            return
        if kind in ("finished", "failed", "stopped"):
            self._rest.stop()
            if self.live is not None:
                self.live.leave()
            self.live = self._image = self._labels = None
        super()._tell(kind, value)

    def _painted(self, event: Painted) -> None:
        self._nuclei = event.nuclei
        if self._image is None or self._image not in self._viewer.layers:
            return
        if self.live is None:
            self.live = LiveLayer(self._viewer, self._image, event.path)
        self.live.mark(event)
        if not self._rest.isActive():
            self._rest.start()

    def _refresh(self) -> None:
        if self.live is None:
            return
        begun = time.perf_counter()
        self.live.refresh()
        spent = 1000 * (time.perf_counter() - begun)
        self._rest.setInterval(max(REFRESH_MS, round(_SHARE * spent)))

    def _finished(self, found: SlideFindings) -> SlideShown:
        image, labels = self._image, self._labels
        assert image is not None
        if labels is not None and labels in self._viewer.layers:
            describe(self._viewer, image, labels, found)
        return SlideShown(image, labels, found)


class LiveLayer:
    """Labels that are being painted.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where they are shown.
    image : Image
        The slide.
    folder : str
        The pyramid that is painted. A layer of an earlier run that shows it is replaced.
    """

    def __init__(self, viewer: Viewer, image: Image, folder: str) -> None:
        self._viewer = viewer
        # napari reads the last level once and keeps it, so that is an array in memory which follows the one on disk.
        *finer, self._last = open_levels(Path(folder))
        self._small = self._last[:].copy()
        self._box: tuple[int, int, int, int] | None = None
        known = {VIEW_KEY: UNFINISHED, "path": folder, "image": image.name}
        before = showing(viewer, folder)
        self.labels = _add_labels(viewer, image, [*finer, self._small], f"{image.name} nuclei {RUNNING}", known, before)

    def mark(self, event: Painted) -> None:
        """Note that a part was painted."""
        top, bottom, left, right = self._box or (event.top, event.bottom, event.left, event.right)
        self._box = min(top, event.top), max(bottom, event.bottom), min(left, event.left), max(right, event.right)

    def refresh(self) -> None:
        """Show what was painted, if that is in view."""
        if self._box is None or self.labels not in self._viewer.layers:
            return
        top, bottom, left, right = self._box
        self._box = None
        self._small[:] = self._last[:]
        seen = visible_box(self.labels)
        if seen is None or (top < seen[1] and bottom > seen[0] and left < seen[3] and right > seen[2]):
            self.labels.refresh(extent=False, highlight=False)

    def leave(self) -> None:
        """Say that nothing more will come."""
        self.refresh()
        self.labels.name = self.labels.name.replace(RUNNING, UNFINISHED)


def show_findings(viewer: Viewer, image: Image, found: SlideFindings, live: LiveLayer | None) -> Labels:
    """Show the labels of a slide in place of those that were painted, and of earlier ones from the same folder."""
    result = found.result
    path = str(found.output(".ome.zarr"))
    known = {**result.provenance, "image": image.name, "path": path, "notes": list(result.notes)}
    before = [*showing(viewer, path), *([live.labels] if live is not None else [])]
    return _add_labels(viewer, image, found.levels, f"{image.name} nuclei", known, before)


def describe(viewer: Viewer, image: Image, labels: Labels, found: SlideFindings) -> None:
    """Add the table of the nuclei to their layer, the artefacts, and, not shown, the map of density."""
    show_artefacts(viewer, image, found.result.artefacts)
    if found.features is not None:
        labels.features = found.features
    if found.density is None:
        return
    path = str(found.output(".density.tif"))
    factor = DENSITY_PIXEL / float(found.result.provenance["mpp"])
    for layer in showing(viewer, path):
        viewer.layers.remove(layer)
    viewer.add_image(
        found.density,
        name=f"{image.name} nuclei per mm²",
        colormap="inferno",
        opacity=0.5,
        visible=False,
        contrast_limits=(0.0, max(1.0, float(found.density.max(initial=0)))),
        metadata={METADATA_KEY: {VIEW_KEY: _DENSITY, "path": path}},
        **moved(labels_place(image), (factor, factor), (0, 0)),
    )
    viewer.layers.selection.active = labels


def _add_labels(
    viewer: Viewer, image: Image, levels: Sequence[Any], name: str, known: dict[str, Any], before: Sequence[Layer]
) -> Labels:
    """Add labels at the place of an image; they take over from other layers."""
    kept = [layer for layer in before if layer in viewer.layers]
    visible = kept[-1].visible if kept else image.visible
    place = min((viewer.layers.index(layer) for layer in kept), default=len(viewer.layers))
    for layer in kept:
        viewer.layers.remove(layer)
    factors = [whole / inner for whole, inner in zip(image_shape(image), levels[0].shape, strict=True)]
    single = len(levels) == 1
    layer = viewer.add_labels(
        np.asarray(levels[0]) if single else list(levels),
        multiscale=not single,
        name=name,
        visible=visible,
        opacity=1.0,
        colormap=nuclei_colormap(),
        metadata={METADATA_KEY: known},
        **moved(labels_place(image), factors, (0, 0)),
    )
    layer.contour = CONTOUR
    layer.editable = False
    viewer.layers.move(len(viewer.layers) - 1, place)
    return layer


def showing(viewer: Viewer, path: str) -> list[Layer]:
    """Layers of this package that show a file or folder."""
    return [layer for layer in viewer.layers if layer_info(layer).get("path") == path]
