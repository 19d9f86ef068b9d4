"""Layers that hold masks: Labels layers, and Shapes layers with a polygon for each nucleus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_nucleigan.labels.polygons import as_polygon, polygons_to_labels
from napari_nucleigan.widgets.base.layers import image_layers, image_shape, layer_mpp, layer_problem, pixels, view_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image, Labels, Shapes
    from napari.viewer import Viewer

    MaskLayer: TypeAlias = Labels | Shapes
    Reader: TypeAlias = Callable[[], np.ndarray[Any, Any]]
    """Makes a label image, (H, W); for a worker, since it may load from disk or draw polygons."""

_STEP = 64  # canvases of polygons grow by so many pixels, not with every corner that is moved


def mask_layers(viewer: Viewer) -> list[MaskLayer]:
    """All layers of a viewer that may hold a mask: Labels, then Shapes, the topmost first."""
    from napari.layers import Labels, Shapes

    layers = [layer for layer in reversed(viewer.layers) if view_kind(layer) is None]
    return [layer for kind in (Labels, Shapes) for layer in layers if isinstance(layer, kind)]


def is_labels(layer: MaskLayer) -> bool:
    """Whether a mask is a Labels layer."""
    from napari.layers import Labels

    return isinstance(layer, Labels)


def edits(layer: MaskLayer) -> tuple[str, ...]:
    """Events after which a mask may be another one: strokes and their parts, undo, new data."""
    return ("paint", "labels_update", "set_data", "data") if is_labels(layer) else ("set_data", "data")


def mask_problem(layer: MaskLayer) -> str:
    """Say why a layer cannot be painted; empty where it can."""
    if layer.ndim != 2:
        return (
            f"“{layer.name}” has {layer.ndim} dimensions, but masks are 2-D: right-click the layer, split the stack, "
            "and choose one plane."
        )
    if not is_labels(layer):
        return "" if len(layer.data) else f"“{layer.name}” has no shapes: draw a polygon for each nucleus."
    return "" if min(layer.level_shapes[0]) > 0 else f"“{layer.name}” is empty."


def mask_mpp(layer: MaskLayer) -> float | None:
    """Microns per pixel of a mask; None where its units are no length."""
    return None if mask_problem(layer) else layer_mpp(layer)


def mask_reader(layer: MaskLayer) -> Reader:
    """Return what reads a layer's mask.

    That of a Labels layer gives the mask as it is when it is called. That of a Shapes layer draws its shapes as they
    are now, on a canvas from the layer's origin to beyond the last corner.
    """
    if is_labels(layer):
        data = pixels(layer)
        return lambda: np.asarray(data)
    shapes = [(np.array(corners), str(kind)) for corners, kind in zip(layer.data, layer.shape_type, strict=True)]
    return lambda: _drawn(shapes)


def _drawn(shapes: list[tuple[np.ndarray[Any, Any], str]]) -> np.ndarray[Any, Any]:
    polygons = [as_polygon(corners, kind) for corners, kind in shapes]
    last = np.max([polygon.max(axis=0) for polygon in polygons], axis=0, initial=0)
    height, width = (int(-(-(end + 1) // _STEP) * _STEP) for end in last)
    return polygons_to_labels(polygons, (height, width))


def pairs_of(viewer: Viewer) -> list[tuple[Image, Labels]]:
    """All images with labels of the same size, the topmost first."""
    images = [layer for layer in image_layers(viewer) if not layer_problem(layer)]
    labels = [layer for layer in mask_layers(viewer) if is_labels(layer) and not mask_problem(layer)]
    return [
        (image, mask)
        for image in images
        for mask in labels
        if image_shape(image) == tuple(int(length) for length in mask.level_shapes[0])
    ]
