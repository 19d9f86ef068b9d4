"""What the form of the Synthesize widget stands for in a viewer: layers, and orders to paint them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nucleigan.tiling.scale import COARSEST, FINEST
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.image_sources import Source
from napari_nucleigan.widgets.base.mask_layers import mask_layers, mask_mpp, mask_problem, mask_reader
from napari_nucleigan.widgets.synthesize.jobs import FIT, ITSELF, Appearance, PaintRequest, SetOrder
from napari_nucleigan.widgets.synthesize.reference_box import LAYER

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_nucleigan.widgets.base.mask_layers import MaskLayer
    from napari_nucleigan.widgets.synthesize.form import PaintForm


class Choices:
    """The layers that can be chosen in a form, and what is chosen.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers are listed.
    form : PaintForm
        Where they are chosen.
    tile : int or None
        Side of tiles, from the Preferences.
    """

    def __init__(self, viewer: Viewer, form: PaintForm, tile: int | None) -> None:
        self._viewer, self._form, self._tile = viewer, form, tile
        self._typed: dict[Hashable, float] = {}
        self._images: list[Image] = []
        self.masks: list[MaskLayer] = []

    @property
    def mask(self) -> MaskLayer | None:
        """The chosen mask layer."""
        index = self._form.mask.currentData()
        return self.masks[index] if index is not None and index < len(self.masks) else None

    def refresh(self) -> None:
        """List the layers anew; what was chosen stays chosen where it is still there."""
        before = self.mask
        self.masks = mask_layers(self._viewer)
        kept = next((index for index, layer in enumerate(self.masks) if layer is before), 0 if self.masks else -1)
        self._form.set_masks([layer.name for layer in self.masks], kept)
        self._images = [layer for layer in layers.image_layers(self._viewer) if not layers.layer_problem(layer)]
        self._form.set_images([(str(layer.unique_id), layer.name) for layer in self._images])

    def problem(self) -> str:
        """Why the chosen mask cannot be painted; empty where it can."""
        mask = self.mask
        if mask is None:
            return "There is no mask: add a Labels layer and paint nuclei, or make one in the Masks widget."
        if text := mask_problem(mask):
            return text
        mpp = self._form.mpp.value()
        if mpp and not FINEST <= mpp <= COARSEST:
            return f"Nuclei are painted from {FINEST} to {COARSEST} microns per pixel: type the right pixel size above."
        return ""

    def show_mpp(self) -> None:
        """Show the microns per pixel of the chosen mask, and where they come from."""
        mask = self.mask
        if mask is None or mask_problem(mask):
            self._form.set_mpp(None, "")
        elif typed := self._typed.get(mask.unique_id):
            self._form.set_mpp(typed, "Typed by you.")
        else:
            own = mask_mpp(mask)
            self._form.set_mpp(own, "" if own else "Not in the mask: taken to be what the model paints at.")

    def type_mpp(self, mpp: float) -> None:
        """Take the microns per pixel that the user typed for the chosen mask; 0 takes them back."""
        if (mask := self.mask) is not None:
            self._typed[mask.unique_id] = mpp

    def look(self) -> Appearance:
        """Return how the form asks to paint.

        Raises
        ------
        RecipeError
            If a setting is not valid.
        """
        references, plain = {}, {"style": "random", "restain": ""}
        update: dict[str, Any] = {"tile": self._tile}
        for name, box in (("style", self._form.style_box), ("restain", self._form.restain)):
            layer = next((item for item in self._images if box.value == f"{LAYER}{item.unique_id}"), None)
            if layer is not None:
                pixels, mpp = layers.pixels(layer), layers.layer_mpp(layer)
                references[name] = Source(pixels, layer.name, mpp, channel_first=layers.is_channel_first(layer))
                update[name] = plain[name]
        return Appearance(self._form.settings(**update), references)

    def order(self) -> PaintRequest:
        """Return the chosen mask as the form asks to paint it.

        Raises
        ------
        RecipeError
            If a setting is not valid.
        """
        mask = self.mask
        assert mask is not None
        return PaintRequest(mask_reader(mask), self.look(), mask_mpp(mask))

    def key(self) -> Hashable:
        """Return what two orders share that paint the same mask alike.

        Raises
        ------
        RecipeError
            If a setting is not valid.
        """
        mask, look = self.mask, self.look()
        assert mask is not None
        boxes = self._form.style_box.value, self._form.restain.value
        return mask.unique_id, look.settings.model_dump_json(), boxes, mask_mpp(mask)

    def set_order(self, out: Path, masks: str, values: dict[str, Any]) -> SetOrder:
        """Return a data set as the form asks to paint it.

        Parameters
        ----------
        out : Path
            Its folder.
        masks : str
            `FIT`, `ITSELF`, or a preset.
        values : dict
            Further fields of `SetSettings`.
        """
        mask = self.mask
        if masks not in (FIT, ITSELF) or mask is None:
            return SetOrder(out, masks, self.look(), values)
        return SetOrder(out, masks, self.look(), values, mask_reader(mask), mask.name, self._form.mpp.value() or None)
