"""Menu entries of napari that open no widget: commands, and the samples of File > Open Sample."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.contributions.layers import image_layer, labels_layer
from napari_nucleigan.data.images import samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_nucleigan.contributions.layers import LayerData
    from napari_nucleigan.data.images.files import HEImage

GLASS = ("label", "macro")
"""Pictures of the glass that are shown, in this order."""

SHOW_GLASS = "Show the slide's label and macro"
"""Name of the command in the menu Layers > Visualize."""

_PART = 0.25  # of the slide's longer side: width of a picture
_GAP = 0.02


def show_label_and_macro(viewer: Viewer) -> None:
    """Add the pictures of the selected slide's label and glass as layers, one below the other to the right of it.

    They are read only now, since a label may name the patient. Those that are there already are shown again.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the slide is the active layer, or the only slide.

    Raises
    ------
    ImageError
        If the slide's file cannot be read any more.
    """
    from napari.utils.notifications import show_info

    from napari_nucleigan.data.slides import open_slide

    layer = _slide(viewer)
    if layer is None:
        show_info("Select the layer of a slide whose file holds a picture of its label or its glass.")
        return
    path = layer.metadata["nucleigan"]["path"]
    there = [one for one in viewer.layers if _known(one).get("glass") == path]
    for one in there:
        one.visible = True
    if not there:
        with open_slide(path) as slide:
            pictures = {kind: np.asarray(slide.associated[kind]) for kind in GLASS if kind in slide.associated}
        low, high = layer.extent.world[:, -2:]
        side = float(max(high - low))
        row, column = float(low[0]), float(high[1]) + _GAP * side
        for kind, picture in pictures.items():
            scale = _PART * side / picture.shape[1]
            viewer.add_image(
                picture,
                rgb=True,
                name=f"{layer.name} {kind}",
                scale=(scale, scale),
                translate=(row + scale / 2, column + scale / 2),
                units=layer.units[-2:],
                metadata={"nucleigan": {"view": kind, "glass": path}},
            )
            row += scale * picture.shape[0] + _GAP * side
        # The slide is still what is worked on.
        viewer.layers.selection.active = layer
    viewer.reset_view()


def _slide(viewer: Viewer) -> Layer | None:
    found = [layer for layer in viewer.layers if any(kind in _known(layer).get("associated", ()) for kind in GLASS)]
    active = viewer.layers.selection.active
    if active in found:
        return active
    return found[0] if len(found) == 1 else None


def _known(layer: Layer) -> dict[str, Any]:
    known = layer.metadata.get("nucleigan")
    return known if isinstance(known, dict) else {}


def synthetic_he() -> list[LayerData]:
    """Open the bundled synthetic H&E picture and its true labels."""
    image, labels = samples.synthetic_he()
    return [image_layer(image, name="Synthetic H&E"), labels_layer(labels, image.mpp, "True nuclei (synthetic)")]


def skin() -> list[LayerData]:
    """Open a real H&E section of skin; downloaded by scikit-image the first time."""
    return _arriving("Skin, H&E at 10x", samples.skin, (960, 1280))


def immunohistochemistry() -> list[LayerData]:
    """Open a real section of colon that is not H&E but immunohistochemistry."""
    return [image_layer(samples.immunohistochemistry(), name="Colon, IHC (not H&E)")]


def _arriving(title: str, load: Callable[[], HEImage], shape: tuple[int, int]) -> list[LayerData]:
    """Let a picture stand where a sample will be: a download may take minutes, above all where there is no network.

    Without a window there is nothing to keep free, and the sample itself is returned.
    """
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        return [image_layer(load(), name=title)]
    from napari.qt.threading import create_worker

    # napari keeps all workers for ever: this one must not keep the viewer.
    place, window = uuid4().hex, weakref.ref(viewer)
    create_worker(
        _load,
        load,
        _connect={"returned": lambda found: _arrived(window(), place, title, found)},
        _progress={"desc": f"loading {title}"},
    )
    known = {"view": "loading", "sample": place}
    arguments = {"name": f"{title} (loading…)", "rgb": True, "metadata": {"nucleigan": known}}
    return [(np.full((*shape, 3), 255, np.uint8), arguments, "image")]


def _load(load: Callable[[], HEImage]) -> HEImage | str:
    """Load a sample, or say why not: napari would show an error with its traceback."""
    try:
        return load()
    except NucleiganError as error:
        return str(error)


def _arrived(viewer: Viewer | None, place: str, title: str, found: HEImage | str) -> None:
    """Put a sample where its place is kept, unless the user has removed that."""
    from napari.layers import Layer
    from napari.utils.notifications import show_error

    kept = [layer for layer in viewer.layers if _known(layer).get("sample") == place] if viewer is not None else []
    if viewer is None or not kept:
        return
    at = viewer.layers.index(kept[0])
    viewer.layers.remove(kept[0])
    if isinstance(found, str):
        show_error(found)
        return
    viewer.layers.insert(at, Layer.create(*image_layer(found, name=title)))
    viewer.reset_view()
