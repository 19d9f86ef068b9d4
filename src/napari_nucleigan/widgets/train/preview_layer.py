"""The newest preview of a run as a layer beside the user's images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.widgets.base.layers import METADATA_KEY, VIEW_KEY, image_layers, labels_place, layer_problem

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_nucleigan.widgets.base.run_watcher import PreviewImage

_GAP = 0.05  # of the width of the user's images, between them and the preview


class PreviewLayer:
    """One layer for previews, that is updated in place.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where it is shown.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Image | None = None
        self._refused = False

    @property
    def layer(self) -> Image | None:
        """The layer; None where there is none."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def begin(self) -> None:
        """Show the previews of another run, also where the user has removed the layer of the run before."""
        self._refused = False

    def show(self, run: str, picture: PreviewImage) -> None:
        """Show a preview; not where the user has removed its layer."""
        layer = self.layer
        if layer is None and self._layer is not None:
            self._layer, self._refused = None, True
        if self._refused:
            return
        name = f"{run} preview"
        if layer is None:
            layer = self._add(name, picture)
        elif layer.data.shape == picture.pixels.shape:
            layer.data = picture.pixels
        else:
            self._viewer.layers.remove(layer)
            layer = self._add(name, picture)
        layer.name = name
        layer.metadata = {**layer.metadata, "step": picture.step}

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if (layer := self.layer) is not None:
            self._viewer.layers.remove(layer)
        self._layer = None

    def _add(self, name: str, picture: PreviewImage) -> Image:
        layers = self._viewer.layers
        selected = set(layers.selection)
        active = layers.selection.active
        # Nobody wants to segment it: it is no image that other widgets may choose.
        known = {METADATA_KEY: {VIEW_KEY: "preview"}}
        self._layer = self._viewer.add_image(picture.pixels, name=name, rgb=True, metadata=known, **self._place())
        # The user goes on painting in the layer that was in hand.
        if selected:
            layers.selection = selected
            layers.selection.active = active
        return self._layer

    def _place(self) -> dict[str, Any]:
        """To the right of everything, in the scale and units of the topmost image."""
        images = [layer for layer in image_layers(self._viewer) if not layer_problem(layer)]
        if not images:
            return {}
        place = labels_place(images[0])
        world = self._viewer.layers.extent.world[:, -2:]
        top, right = float(world[0, 0]), float(world[1, 1])
        gap = _GAP * float(world[1, 1] - world[0, 1])
        scale = np.abs(place["scale"])
        corner = np.array([top, right + gap]) + scale / 2
        return {"scale": scale, "translate": corner, "units": place["units"], "axis_labels": place["axis_labels"]}
