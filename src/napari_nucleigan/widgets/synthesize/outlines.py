"""Outlines: how a mask and its tissue are drawn while the picture painted from them is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nucleigan.widgets.base.layers import CONTOUR, nuclei_colormap
from napari_nucleigan.widgets.base.mask_layers import is_labels

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_nucleigan.widgets.base.mask_layers import MaskLayer

FAINT = 0.12
"""Opacity of a tissue map over a picture."""

_USUAL = "label_colormap"
"""What napari calls the colours that it gives to labels by itself."""


class Outlines:
    """Shows masks as outlines, and tissue faintly, while pictures are looked at, and gives them back as they were."""

    def __init__(self) -> None:
        # Of each layer what tells that it is still drawn so, and how it was drawn before.
        self._layers: dict[MaskLayer, tuple[tuple[str, Any], dict[str, Any]]] = {}

    def show(self, mask: MaskLayer, tissue: Labels | None = None) -> None:
        """Draw a Labels layer as outlines, unless the user draws it so already, and a tissue map faintly, once."""
        if is_labels(mask) and not mask.contour:
            drawn: dict[str, Any] = {"contour": CONTOUR, "opacity": 1.0}
            if mask.colormap.name == _USUAL:  # colours that the user chose have a meaning
                drawn["colormap"] = nuclei_colormap()
            self._draw(mask, drawn)
        if tissue is not None and tissue not in self._layers:
            self._draw(tissue, {"opacity": FAINT})

    def hide(self) -> None:
        """Draw all layers as they were before, but those that the user has drawn otherwise since."""
        for layer, ((told, value), before) in self._layers.items():
            if getattr(layer, told) == value:
                for name, earlier in before.items():
                    setattr(layer, name, earlier)
        self.forget()

    def forget(self) -> None:
        """Let go of all layers; they stay as they are."""
        self._layers.clear()

    def _draw(self, layer: MaskLayer, drawn: dict[str, Any]) -> None:
        self._layers[layer] = next(iter(drawn.items())), {name: getattr(layer, name) for name in drawn}
        for name, value in drawn.items():
            setattr(layer, name, value)
