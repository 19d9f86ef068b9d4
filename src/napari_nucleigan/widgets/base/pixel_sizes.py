"""Microns per pixel of image layers: from the layer, from memory, or typed by the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nucleigan.tiling.scale import COARSEST, FINEST
from napari_nucleigan.widgets.base.layers import layer_folder, layer_mpp, layer_problem
from napari_nucleigan.widgets.base.preferences import recall_mpp, remember_mpp

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari.layers import Image


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
            return self._typed[layer.unique_id], "Typed by you."
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
                f"“{layer.name}” does not say its microns per pixel: type them above, or choose the objective that it "
                "was scanned with."
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
