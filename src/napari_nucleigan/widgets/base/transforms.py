"""Transforms: how large the pixels of a layer are, and where they lie in the world, in whatever units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.labels.alignment import Grid
from napari_nucleigan.tiling import COARSEST, FINEST
from napari_nucleigan.widgets.base.layers import (
    image_shape,
    labels_place,
    layer_folder,
    layer_mpp,
    layer_problem,
)
from napari_nucleigan.widgets.base.preferences import recall_mpp, remember_mpp

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from napari_nucleigan.widgets.base.layers import Box

_MICROMETER = "micrometer"


def layer_grid(layer: Labels) -> Grid:
    """Return the grid of a 2-D layer's pixels: in µm where its units are lengths, else in its own units."""
    return Grid(image_shape(layer), world_matrix(layer), _microns(layer.units) is not None, layer.name)


def world_matrix(layer: Layer) -> np.ndarray[Any, Any]:
    """Where the pixels of a layer's plane lie, (3, 3): in µm where its units are lengths, else in its own units."""
    from napari.utils.transforms import CompositeAffine

    place = labels_place(layer)
    own = CompositeAffine(ndim=2, **{name: place[name] for name in ("scale", "translate", "rotate", "shear")})
    matrix = np.asarray(place["affine"]) @ np.asarray(own.affine_matrix)
    factors = _microns(place["units"])
    return matrix if factors is None else np.diag([*factors, 1.0]) @ matrix


def grid_place(grid: Grid, layer: Labels) -> dict[str, Any]:
    """Arguments that put a new Labels layer onto a grid, in the units of a layer.

    Parameters
    ----------
    grid : Grid
        In µm where the layer's units are lengths; else in these units.
    layer : Labels
        Whose units and axis labels are taken.
    """
    place = labels_place(layer)
    matrix = np.array(grid.matrix, float)
    if np.allclose(matrix, layer_grid(layer).matrix, rtol=1e-9, atol=0):
        return place
    factors = _microns(layer.units)
    if factors is not None:
        matrix = np.diag([1 / factors[0], 1 / factors[1], 1.0]) @ matrix
    kept = {"units": place["units"], "axis_labels": place["axis_labels"]}
    if matrix[0, 1] == matrix[1, 0] == 0:
        return {"scale": np.diag(matrix)[:2], "translate": matrix[:2, 2], **kept}
    return {"affine": matrix, **kept}


def grid_to_viewer(viewer: Viewer, layer: Layer, grid: Grid, position: Sequence[float]) -> tuple[float, ...]:
    """Where a pixel of a grid lies in the viewer's world; the grid is one in the terms of `layer_grid` of the layer."""
    world = (np.asarray(grid.matrix) @ [*position, 1.0])[:2]
    factors = _microns(layer.units) if grid.micron else None
    own = world if factors is None else world / factors
    return tuple(own * unit_factors(layer.units, _units(viewer, layer)))


def viewer_to_grid(viewer: Viewer, layer: Layer, grid: Grid, position: Sequence[float]) -> tuple[int, int]:
    """Row and column of a grid's pixel at a position of the viewer's world; it may lie outside of the grid."""
    world = np.asarray(position, float)[-2:] * unit_factors(_units(viewer, layer), layer.units)
    factors = _microns(layer.units) if grid.micron else None
    own = world if factors is None else world * factors
    row, column, _ = np.linalg.solve(grid.matrix, [*own, 1.0])
    return round(float(row)), round(float(column))


def viewer_to_data(viewer: Viewer, layer: Layer, position: Sequence[float]) -> tuple[int, int]:
    """Row and column of a 2-D layer's pixel at a position of the viewer's world; it may lie outside of the layer."""
    world = np.asarray(position, float)[-2:] * unit_factors(_units(viewer, layer)[-2:], layer.units[-2:])
    row, column = layer.world_to_data(world)[-2:]
    return round(float(row)), round(float(column))


def view_corners(viewer: Viewer, layer: Image | Labels) -> np.ndarray[Any, Any]:
    """Corners of the canvas, one after the other, as rows and columns of a layer; they may lie outside of it."""
    camera = viewer.scene.camera
    reach = np.array(viewer.canvas.size) / (2 * camera.zoom)
    factors = unit_factors(_units(viewer, layer)[-2:], layer.units[-2:])
    around = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
    return np.array(
        [layer.world_to_data((np.array(camera.center[-2:]) + reach * signs) * factors)[-2:] for signs in around]
    )


def view_box(viewer: Viewer, layer: Image) -> Box | None:
    """Part of an image that lies within the canvas; napari itself may have loaded more, whole chunks.

    Returns
    -------
    Box or None
        None where all of the image is in view.

    Raises
    ------
    ImageError
        If nothing of it is.
    """
    corners = view_corners(viewer, layer)
    height, width = image_shape(layer)
    top, left = (max(0, int(edge)) for edge in np.floor(corners.min(axis=0) + 0.5))
    bottom, right = (int(edge) for edge in np.ceil(corners.max(axis=0) + 0.5))
    box = top, min(bottom, height), left, min(right, width)
    if box[1] - top < 2 or box[3] - left < 2:
        raise ImageError(f"Nothing of “{layer.name}” is in view: move it into the canvas, or choose another region.")
    return None if box == (0, height, 0, width) else box


def _units(viewer: Viewer, layer: Layer) -> Sequence[Any]:
    units = viewer.layers.units
    return layer.units if units is None else units[-layer.ndim :]


def unit_factors(own: Sequence[Any], wanted: Sequence[Any]) -> np.ndarray[Any, Any]:
    """How many of the wanted units each one is; 1 where they do not measure the same, as napari has it."""
    pairs = zip(own, wanted, strict=True)
    return np.array([float((1 * a).to(b).magnitude) if (1 * a).check(b) else 1.0 for a, b in pairs])


def _microns(units: Sequence[Any]) -> tuple[float, float] | None:
    """Micrometres of each unit; None where one is no length."""
    quantities = [1 * unit for unit in units]
    if not all(quantity.check("[length]") for quantity in quantities):
        return None
    first, second = (float(quantity.to(_MICROMETER).magnitude) for quantity in quantities)
    return first, second


class PixelSizes:
    """What is known of the scale of each image layer."""

    def __init__(self) -> None:
        self._typed: dict[Hashable, float] = {}

    def of(self, layer: Image) -> tuple[float | None, str]:
        """Look up microns per pixel.

        Returns
        -------
        mpp : float or None
            None where nobody knows.
        remark : str
            Where they come from, if not from the layer itself.
        """
        if layer.unique_id in self._typed:
            return self._typed[layer.unique_id], "Given by you."
        if layer_problem(layer):
            return None, ""
        own = layer_mpp(layer)
        if own is not None:
            return own, ""
        remembered = recall_mpp(layer_folder(layer))
        if remembered is not None:
            return remembered, "Not in the image; as you last typed for this folder."
        return None, "Not in the image: please type it."

    def problem(self, layer: Image) -> str:
        """Say why nuclei cannot be segmented at the scale of a layer; empty where they can."""
        mpp, _ = self.of(layer)
        if mpp is None:
            return (
                f"“{layer.name}” does not say its microns per pixel: type them above, choose the objective that it was "
                "scanned with, or let them be estimated."
            )
        if not FINEST <= mpp <= COARSEST:
            return (
                f"“{layer.name}” has {mpp:.4g} microns per pixel, but nuclei can be segmented from {FINEST} to "
                f"{COARSEST}: type the right value above."
            )
        return ""

    def give(self, layer: Image, mpp: float) -> None:
        """Take what the user typed, and remember it for the folder; 0 takes it back."""
        self._typed.pop(layer.unique_id, None)
        if mpp > 0:
            self._typed[layer.unique_id] = mpp
            remember_mpp(layer_folder(layer), mpp)
