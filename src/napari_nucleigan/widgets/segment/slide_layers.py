"""The layers that show what was found in a slide: while it is found, and afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.segmentation.slides.outputs import DENSITY_PIXEL
from napari_nucleigan.widgets.base.layers import METADATA_KEY, VIEW_KEY, image_shape, labels_place, moved, visible_box
from napari_nucleigan.widgets.base.palette import CONTOUR, nuclei_colormap
from napari_nucleigan.widgets.segment.slide_levels import LiveLevels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from napari_nucleigan.base.events import Painted
    from napari_nucleigan.widgets.segment.slide_jobs import SlideFindings

RUNNING, UNFINISHED = "so far", "unfinished"
_DENSITY = "density"


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
        self._live = LiveLevels(Path(folder))
        self._box: tuple[int, int, int, int] | None = None
        known = {VIEW_KEY: UNFINISHED, "path": folder, "image": image.name}
        before = _showing(viewer, folder)
        self.labels = _add_labels(viewer, image, self._live.levels, f"{image.name} nuclei {RUNNING}", known, before)

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
        self._live.catch_up()
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
    before = [*_showing(viewer, path), *([live.labels] if live is not None else [])]
    return _add_labels(viewer, image, found.levels, f"{image.name} nuclei", known, before)


def describe(viewer: Viewer, image: Image, labels: Labels, found: SlideFindings) -> None:
    """Add the table of the nuclei to their layer, and the map of density as a layer that is not shown."""
    if found.features is not None:
        labels.features = found.features
    if found.density is None:
        return
    path = str(found.output(".density.tif"))
    factor = DENSITY_PIXEL / float(found.result.provenance["mpp"])
    for layer in _showing(viewer, path):
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


def _showing(viewer: Viewer, path: str) -> list[Layer]:
    """Layers of this package that show a file or folder."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer.metadata.get(METADATA_KEY), dict) and layer.metadata[METADATA_KEY].get("path") == path
    ]
