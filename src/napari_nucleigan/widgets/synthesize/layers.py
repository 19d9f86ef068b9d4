"""Layers of the Synthesize widget: those that can be chosen, those that show what was painted, and live mode."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_nucleigan.tiling import COARSEST, FINEST
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.fields import list_choices, show_pixel_size
from napari_nucleigan.widgets.base.image_sources import Source
from napari_nucleigan.widgets.base.layers import (
    METADATA_KEY,
    labels_place,
    move_layer,
    selection_kept,
)
from napari_nucleigan.widgets.base.mask_layers import (
    LiveUpdater,
    mask_layers,
    mask_mpp,
    mask_problem,
    mask_reader,
)
from napari_nucleigan.widgets.base.tissue import map_problem, tissue_maps
from napari_nucleigan.widgets.synthesize.form import LAYER
from napari_nucleigan.widgets.synthesize.jobs import (
    FIT,
    ITSELF,
    Appearance,
    ModelCache,
    PaintRequest,
    Patch,
    Reshaped,
    SetRequest,
    begin,
    follow,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.base.events import Job
    from napari_nucleigan.synthesis import LiveCanvas
    from napari_nucleigan.widgets.base.mask_layers import MaskLayer
    from napari_nucleigan.widgets.synthesize.form import PaintForm


@dataclass(eq=False)
class PaintedImage:
    """A painted mask.

    Attributes
    ----------
    mask : MaskLayer
        The layer that was painted.
    image : Image
        The layer that shows it.
    labels : ndarray of integers, shape (H, W)
        The mask as the picture shows it; the layer's own may have been edited since.
    mpp : float
        Microns per pixel.
    provenance : dict
        How it was made, ready for JSON.
    """

    mask: MaskLayer
    image: Image
    labels: np.ndarray[Any, Any]
    mpp: float
    provenance: dict[str, Any]

    def patch(self, patch: Patch) -> None:
        """Bring a part of the picture up to date."""
        self.image.data[patch.box.slices] = patch.pixels
        if self.labels.dtype != patch.labels.dtype:
            self.labels = self.labels.astype(np.result_type(self.labels, patch.labels))
        self.labels[patch.box.slices] = patch.labels
        self.image.refresh(extent=False, highlight=False)


class PaintedImages:
    """The pictures of one widget in one viewer."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._all: list[PaintedImage] = []

    def clear(self) -> None:
        """Forget all pictures; their layers stay."""
        self._all = []

    def of(self, mask: MaskLayer | None) -> PaintedImage | None:
        """Return the newest picture of a mask."""
        self._all = [item for item in self._all if item.image in self._viewer.layers]
        return next((item for item in reversed(self._all) if item.mask is mask), None)

    def show(
        self,
        mask: MaskLayer,
        pixels: np.ndarray[Any, Any],
        labels: np.ndarray[Any, Any],
        mpp: float,
        provenance: dict[str, Any],
        replace: bool,
    ) -> PaintedImage:
        """Show a picture as an Image layer, just below its mask and in the same place and units.

        Parameters
        ----------
        mask : MaskLayer
            The layer that was painted.
        pixels : ndarray of uint8, shape (H, W, 3)
            The picture; the layer takes it as its own.
        labels : ndarray of integers, shape (H, W)
            The mask as the picture shows it, a copy.
        mpp, provenance
            As of `PaintedImage`.
        replace : bool
            Whether the newest picture of the same mask is replaced.
        """
        painted = self.of(mask) if replace else None
        if painted is None:
            with selection_kept(self._viewer):
                image = self._viewer.add_image(pixels, name=f"{mask.name} H&E", rgb=True, **labels_place(mask))
                layers = self._viewer.layers
                if mask in layers:
                    layers.move(layers.index(image), layers.index(mask))
            painted = PaintedImage(mask, image, labels, mpp, provenance)
            self._all.append(painted)
        else:
            # A new array even of the same shape: whoever has kept the old picture keeps it as it was.
            painted.image.data = pixels
            move_layer(painted.image, labels_place(mask))
            painted.labels, painted.mpp, painted.provenance = labels, mpp, provenance
        painted.image.metadata = {**painted.image.metadata, METADATA_KEY: {**provenance, "mask": mask.name}}
        return painted


class LivePainting(LiveUpdater):
    """Paints again what an edit of a mask layer can be seen in, on one canvas.

    Parameters
    ----------
    cache : ModelCache
        Where the model is kept.
    parent : QObject
        The widget that owns it.
    """

    progressed = Signal(object)
    """`events.Progress` of the first picture."""
    begun = Signal(object)
    """A new `LiveCanvas`, with its first picture."""
    patched = Signal(object)
    """A `Patch` to show."""
    noted = Signal(object)

    def __init__(self, cache: ModelCache, parent: QObject) -> None:
        super().__init__("painting what was edited", parent)
        self._cache = cache
        self._request: Callable[[], PaintRequest] | None = None
        self._canvas: LiveCanvas | None = None
        self._runner.progressed.connect(self.progressed.emit)
        self._runner.noted.connect(self.noted.emit)

    @property
    def mask(self) -> MaskLayer | None:
        """The layer that is followed; None where live mode is off."""
        return self._layers[0] if self._layers else None

    @property
    def beginning(self) -> bool:
        """Whether the first picture is still being painted."""
        return self.mask is not None and self._canvas is None

    def start(self, mask: MaskLayer, request: Callable[[], PaintRequest], tissue: MaskLayer | None = None) -> None:
        """Begin to follow a mask, or begin again with other settings.

        Parameters
        ----------
        mask : MaskLayer
            The layer to follow.
        tissue : MaskLayer, optional
            Its tissue map, which is followed too.
        request : callable
            Gives the request of the first picture; asked for again where the mask changes its shape.
        """
        followed = (mask,) if tissue is None else (mask, tissue)
        if followed != self.layers:
            self.watch(followed)
        self._request = request
        self._begin()

    def stop(self) -> None:
        """Stop to follow; what has been shown stays."""
        super().stop()
        self._request = self._canvas = None

    def _begin(self) -> None:
        assert self._request is not None
        self._canvas = self._marked = None
        self._runner.start(begin(self._request(), self._cache), "painting")

    def _job(self) -> Job[Patch | Reshaped | None] | None:
        if self.mask is None or self._canvas is None:
            return None
        tissue = mask_reader(self._layers[1]) if len(self._layers) > 1 else None
        return follow(self._canvas, mask_reader(self.mask), tissue)

    def _finished(self, result: Any) -> None:
        if self.beginning:
            self._canvas = result
            self.begun.emit(result)
        elif isinstance(result, Reshaped):
            self._begin()
            return
        elif isinstance(result, Patch):
            self.patched.emit(result)
            self._tell_followed()
        self._next()

    def _failed(self, error: NucleiganError) -> None:
        """End live mode."""
        self.stop()
        self.failed.emit(error)


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
        """List the layers again; what was chosen stays chosen where it is still there."""
        before = self.mask
        self.masks = mask_layers(self._viewer)
        kept = next((index for index, layer in enumerate(self.masks) if layer is before), 0 if self.masks else -1)
        list_choices(self._form.mask, ((layer.name, index) for index, layer in enumerate(self.masks)), kept)
        self._images = [layer for layer in layers.image_layers(self._viewer) if not layers.layer_problem(layer)]
        for box in (self._form.style_box, self._form.restain):
            box.set_layers([(str(layer.unique_id), layer.name) for layer in self._images])

    @property
    def tissue(self) -> Labels | None:
        """The chosen tissue map; None where the tissue is unknown, or the model knows none."""
        return self._form.tissue.layer if self._form.knows_tissue else None

    def problem(self) -> str:
        """Why the chosen mask cannot be painted; empty where it can."""
        mask = self.mask
        if mask is None:
            return "There is no mask: add a Labels layer and paint nuclei, or make one with “Draw masks”."
        if text := mask_problem(mask):
            return text
        mpp = self._form.mpp.value()
        if mpp and not FINEST <= mpp <= COARSEST:
            return f"Nuclei are painted from {FINEST} to {COARSEST} microns per pixel: type the right pixel size above."
        return map_problem(self.tissue, self._form.picker.card)

    def show_mask(self) -> None:
        """Show the microns per pixel of the chosen mask, where they come from, and its tissue map."""
        mask, mpp, source = self.mask, None, ""
        self._form.tissue.set_layers(mask, tissue_maps(self._viewer), self._images)
        if mask is not None and not mask_problem(mask):
            if mpp := self._typed.get(mask.unique_id):
                source = "Given by you."
            elif not (mpp := mask_mpp(mask)):
                source = "Not in the mask: taken to be what the model paints at."
        show_pixel_size(self._form.mpp, self._form.mpp_source, mpp, source)

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
                references[name] = Source.of(layer, layers.layer_mpp(layer))
                update[name] = plain[name]
        return Appearance(self._form.settings(**update), references)

    def request(self) -> PaintRequest:
        """Return the chosen mask as the form asks to paint it.

        Raises
        ------
        RecipeError
            If a setting is not valid.
        """
        mask = self.mask
        assert mask is not None
        tissue = self.tissue
        return PaintRequest(mask_reader(mask), self.look(), mask_mpp(mask), mask_reader(tissue) if tissue else None)

    def key(self) -> Hashable:
        """Return what two requests share that paint the same mask alike.

        Raises
        ------
        RecipeError
            If a setting is not valid.
        """
        mask, look, tissue = self.mask, self.look(), self.tissue and self.tissue.unique_id
        assert mask is not None
        boxes = self._form.style_box.value, self._form.restain.value
        return mask.unique_id, look.settings.model_dump_json(), boxes, mask_mpp(mask), tissue

    def set_request(self, out: Path, masks: str, values: dict[str, Any]) -> SetRequest:
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
        mask, tissue, mpp = self.mask, self.tissue, self._form.mpp.value() or None
        if masks not in (FIT, ITSELF) or mask is None:
            return SetRequest(out, masks, self.look(), values)
        cells = mask_reader(tissue) if tissue else None
        return SetRequest(out, masks, self.look(), values, mask_reader(mask), mask.name, mpp, cells)
