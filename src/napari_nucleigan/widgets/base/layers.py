"""Layers: what the core works on, from napari layers, and how layers of results look."""

from __future__ import annotations

import colorsys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_nucleigan.base.pixels import mpp_of
from napari_nucleigan.labels.regions import looks_like_labels
from napari_nucleigan.tiling import resize_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.layers import Image, Labels, Layer
    from napari.utils.colormaps import CyclicLabelColormap
    from napari.utils.transforms import CompositeAffine
    from napari.viewer import Viewer

    from napari_nucleigan.contributions.layers import LayerData

REPLACE, ADD = "replace", "add"
"""What becomes of a layer that an earlier run made of the same image."""
METADATA_KEY = "nucleigan"
"""Where layers carry what this plugin knows about them."""
VIEW_KEY = "view"
"""Below `METADATA_KEY`: says of a layer that it only shows something about others, and what."""
Box = tuple[int, int, int, int]
"""First row, last row + 1, first column, last column + 1."""

CONTOUR = 2
"""Nuclei are drawn as outlines of so many pixels, so that the stain stays in view."""

_LOOK = 1024  # side in pixels of the part that tells labels from an image
_looked_at: WeakKeyDictionary[Image, tuple[Any, bool]] = WeakKeyDictionary()

LARGE = 64_000_000
"""Pixels above which an image is a slide: no array of its size is made."""


def image_layers(viewer: Viewer) -> list[Image]:
    """All image layers of a viewer that hold something of their own, and no labels, the topmost first."""
    return [layer for layer in _own_images(viewer) if not holds_labels(layer)]


def label_images(viewer: Viewer) -> list[Image]:
    """All image layers that hold labels: napari makes an image of whatever it has no better reader for."""
    return [layer for layer in _own_images(viewer) if holds_labels(layer)]


def holds_labels(layer: Image) -> bool:
    """Whether an image holds labels, as far as its middle tells."""
    if layer.ndim != 2 or layer.rgb or np.dtype(layer.dtype).kind not in "iub":
        return False
    known = _looked_at.get(layer)
    if known is None or known[0] is not layer.data:
        whole = layer.data[-1] if layer.multiscale else layer.data
        middle = tuple(slice(max(0, length - _LOOK) // 2, (length + _LOOK) // 2) for length in whole.shape)
        known = _looked_at[layer] = layer.data, looks_like_labels(np.asarray(whole[middle]))
    return known[1]


def _own_images(viewer: Viewer) -> list[Image]:
    from napari.layers import Image

    return [layer for layer in reversed(viewer.layers) if isinstance(layer, Image) and view_kind(layer) is None]


def add_once(viewer: Viewer, made: Sequence[LayerData]) -> list[Layer]:
    """Add layers of files, those that are not open yet.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where to.
    made : sequence of LayerData
        Each tells by the ``"path"``, and perhaps the time when it was ``"written"``, below `METADATA_KEY` of its
        metadata which file it shows.

    Returns
    -------
    list of Layer
        In the order of `made`.
    """
    from napari.layers import Layer

    def file(metadata: dict[str, Any]) -> tuple[Any, Any]:
        known = metadata.get(METADATA_KEY)
        return (known.get("path"), known.get("written")) if isinstance(known, dict) else (None, None)

    layers = []
    for data, arguments, kind in made:
        shown = file(arguments["metadata"])
        there = next((layer for layer in viewer.layers if file(layer.metadata) == shown), None)
        layers.append(there or viewer.add_layer(Layer.create(data, arguments, kind)))
    return layers


def view_kind(layer: Layer) -> str | None:
    """Tell what a layer shows about others; None where it holds something of its own, such as nuclei."""
    return layer_info(layer).get(VIEW_KEY)


def layer_info(layer: Layer) -> dict[str, Any]:
    """Return what this plugin knows about a layer; empty where that is nothing."""
    known = layer.metadata.get(METADATA_KEY)
    return known if isinstance(known, dict) else {}


@contextmanager
def selection_kept(viewer: Viewer) -> Iterator[None]:
    """Keep what is selected while layers are added: the user goes on painting in the layer that was in hand."""
    layers = viewer.layers
    selected, active = set(layers.selection), layers.selection.active
    yield
    if selected:
        layers.selection = selected
        layers.selection.active = active


def move_layer(layer: Layer, place: dict[str, Any]) -> None:
    """Put a 2-D layer elsewhere; each change of a layer costs a redraw, so only what differs is set.

    Parameters
    ----------
    layer : napari.layers.Layer
        What is moved.
    place : dict
        As from `labels_place`; what is missing becomes neutral, but for units and axis labels.
    """
    neutral = {"scale": np.ones(2), "translate": np.zeros(2), "rotate": np.eye(2), "shear": np.zeros(1)}
    for name, value in {**neutral, "affine": np.eye(3), **place}.items():
        before = getattr(layer, name)
        before = before.affine_matrix if name == "affine" else before
        same = before == value if name in ("units", "axis_labels") else np.array_equal(before, value)
        if not same:
            setattr(layer, name, value)


def layer_problem(layer: Image) -> str:
    """Say why a layer cannot be segmented; empty where it can."""
    if layer.ndim == 2 or is_channel_first(layer):
        return "" if min(image_shape(layer)) > 0 else f"“{layer.name}” is empty."
    if layer.ndim == 3 and not layer.rgb and layer.level_shapes[0][-1] in (3, 4):
        return (
            f"“{layer.name}” holds its colours as a third axis; add it again as RGB "
            "(in code: viewer.add_image(..., rgb=True))."
        )
    return (
        f"“{layer.name}” has {layer.ndim} dimensions, but nuclei are segmented in 2-D: right-click "
        "the layer, split the stack, and choose one plane."
    )


def layer_mpp(layer: Image) -> float | None:
    """Microns per pixel of a layer, from its scale and units.

    Returns
    -------
    float or None
        Of both directions, as `napari_nucleigan.base.pixels.mpp_of` joins them; None where the units are pixels or no
        length.
    """
    values = []
    for axis in _plane(layer):
        quantity = layer.scale[axis] * layer.units[axis]
        if not quantity.check("[length]"):
            return None
        values.append(abs(float(quantity.to("micrometer").magnitude)))
    return mpp_of(*values)


def known_mpp(layer: Labels) -> float | None:
    """Microns per pixel of labels: from their layer's scale, else of what they were made from."""
    made = layer_info(layer).get("mpp")
    return layer_mpp(layer) or (made if isinstance(made, float) and made > 0 else None)


def layer_folder(layer: Image) -> str:
    """Folder of the file that a layer came from; empty where that is not known."""
    path = layer_file(layer)
    return str(path.parent) if path else ""


def layer_file(layer: Image) -> Path | None:
    """File or folder that a layer came from; None where that is not known."""
    path = layer_info(layer).get("path") or layer.source.path
    return Path(path) if path else None


def is_large(layer: Image) -> bool:
    """Whether no array of a layer's size should be made."""
    height, width = image_shape(layer)
    return height * width > LARGE


def image_shape(layer: Image) -> tuple[int, int]:
    """Height and width of a layer in pixels, at full resolution."""
    shape = layer.level_shapes[0]
    rows, columns = _plane(layer)
    return int(shape[rows]), int(shape[columns])


def visible_box(layer: Image) -> Box | None:
    """Part of a layer that lies within the canvas.

    Returns
    -------
    Box or None
        None where all of the layer is in view, or nothing.
    """
    height, width = image_shape(layer)
    rows, columns = _plane(layer)
    factor = layer.downsample_factors[layer.data_level]
    corners = layer.corner_pixels * factor
    top, left = (int(corners[0][axis]) for axis in (rows, columns))
    # The lower corner is the last pixel in view, of the level on show.
    bottom = min(height, int(corners[1][rows] + factor[rows]))
    right = min(width, int(corners[1][columns] + factor[columns]))
    if not np.any(layer.corner_pixels[1]) or bottom - top < 2 or right - left < 2:
        return None
    box = max(0, top), bottom, max(0, left), right
    return None if box == (0, height, 0, width) else box


def pixels(layer: Image) -> np.ndarray[Any, Any]:
    """Return a layer's array at full resolution, still lazy where the layer's own is."""
    return layer.data[0] if layer.multiscale else layer.data


def own_transform(layer: Layer) -> CompositeAffine:
    """Transform of a layer's pixels by its scale, place, rotation and shear, without its affine."""
    from napari.utils.transforms import CompositeAffine

    return CompositeAffine(
        scale=layer.scale, translate=layer.translate, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim
    )


def labels_place(layer: Image) -> dict[str, Any]:
    """Arguments that put a Labels layer where an image layer lies, in the same units.

    Parameters
    ----------
    layer : napari.layers.Image
        The image.

    Returns
    -------
    dict
        scale, translate, rotate, shear, affine, units and axis labels of the two image axes.
    """
    plane = list(_plane(layer))
    local = own_transform(layer).set_slice(plane)
    return {
        "scale": local.scale,
        "translate": local.translate,
        "rotate": local.rotate,
        "shear": local.shear,
        "affine": layer.affine.set_slice(plane).affine_matrix,
        "units": tuple(layer.units[axis] for axis in plane),
        "axis_labels": tuple(layer.axis_labels[axis] for axis in plane),
    }


def moved(place: dict[str, Any], factors: Sequence[float], start: Sequence[float]) -> dict[str, Any]:
    """Move what is laid over an image, and give it other pixels.

    Parameters
    ----------
    place : dict
        As from `labels_place`.
    factors : (float, float)
        Pixels of the image that a pixel is high and wide.
    start : (float, float)
        Where in the image the corner of the first pixel lies, in pixels from the corner of its own first.

    Returns
    -------
    dict
        As from `labels_place`.
    """
    from napari.utils.transforms import Affine

    linear = Affine(scale=place["scale"], rotate=place["rotate"], shear=place["shear"], ndim=2).linear_matrix
    # The place of a pixel is that of its middle.
    middle = np.asarray(start) + (np.asarray(factors) - 1) / 2
    return place | {
        "scale": np.asarray(place["scale"]) * factors,
        "translate": np.asarray(place["translate"]) + linear @ middle,
    }


def read_cells(data: np.ndarray[Any, Any], grid: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Bring the data of a tissue map to a number of cells each way; uint8."""
    return resize_labels(np.clip(data, 0, 255).astype(np.int32), grid).astype(np.uint8)


def is_channel_first(layer: Image) -> bool:
    """Whether the first axis of a layer holds its colours."""
    return layer.ndim == 3 and not layer.rgb and layer.level_shapes[0][0] in (3, 4)


def _plane(layer: Image) -> tuple[int, int]:
    """Axes that are rows and columns; napari does not count the colours of RGB layers."""
    return (1, 2) if is_channel_first(layer) else (0, 1)


def file_name(name: str) -> str:
    """Make a name of a layer fit for a file."""
    return "".join(letter if letter.isalnum() or letter in " -_" else "_" for letter in name).strip() or "image"


def nuclei_colormap() -> CyclicLabelColormap:
    """Bright colours from orange through green to cyan, which H&E itself has none of."""
    from napari.utils.colormaps import CyclicLabelColormap

    hues = [0.08 + 0.42 * (5 * step % 12) / 11 for step in range(12)]
    colours = [(0.0, 0.0, 0.0, 0.0), *((*colorsys.hsv_to_rgb(hue, 1.0, 1.0), 1.0) for hue in hues)]
    return CyclicLabelColormap(colors=colours, background_value=0)
