"""Menu entries of napari that open no widget: commands, and the samples of File > Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.contributions.layers import image_layer, labels_layer
from napari_nucleigan.data.images import samples

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_nucleigan.contributions.layers import LayerData

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
    return [image_layer(samples.skin(), name="Skin, H&E at 10x")]


def immunohistochemistry() -> list[LayerData]:
    """Open a real section of colon that is not H&E but immunohistochemistry."""
    return [image_layer(samples.immunohistochemistry(), name="Colon, IHC (not H&E)")]
