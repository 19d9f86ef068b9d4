"""The Image layers that a widget painted, and the masks that they show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.widgets.base.layers import METADATA_KEY, labels_place
from napari_nucleigan.widgets.base.mask_layers import is_labels
from napari_nucleigan.widgets.base.palette import CONTOUR, nuclei_colormap

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_nucleigan.widgets.base.mask_layers import MaskLayer
    from napari_nucleigan.widgets.synthesize.jobs import Patch

_USUAL = "label_colormap"
"""What napari calls the colours that it gives to labels by itself."""


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


class Pictures:
    """The pictures of one widget in one viewer."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._all: list[PaintedImage] = []

    def prune(self) -> None:
        """Forget pictures whose layer was removed from the viewer."""
        layers = self._viewer.layers
        self._all = [item for item in self._all if item.image in layers]

    def clear(self) -> None:
        """Forget all pictures; their layers stay."""
        self._all = []

    def of(self, mask: MaskLayer | None) -> PaintedImage | None:
        """Return the newest picture of a mask."""
        self.prune()
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
        picture = self.of(mask) if replace else None
        if picture is None:
            active = self._viewer.layers.selection.active
            image = self._viewer.add_image(pixels, name=f"{mask.name} H&E", rgb=True, **labels_place(mask))
            layers = self._viewer.layers
            if mask in layers:
                # Below its mask, and the mask still in hand: the user goes on painting.
                layers.move(layers.index(image), layers.index(mask))
            if active is not None:
                layers.selection.active = active
            picture = PaintedImage(mask, image, labels, mpp, provenance)
            self._all.append(picture)
        else:
            # A new array even of the same shape: whoever has kept the old picture keeps it as it was.
            picture.image.data = pixels
            place = labels_place(mask)
            for name in ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels"):
                setattr(picture.image, name, place[name])
            picture.labels, picture.mpp, picture.provenance = labels, mpp, provenance
        picture.image.metadata = {**picture.image.metadata, METADATA_KEY: {**provenance, "mask": mask.name}}
        return picture


class Outlines:
    """Shows masks as bright outlines while their pictures are looked at, and gives them back as they were."""

    def __init__(self) -> None:
        self._before: dict[MaskLayer, dict[str, Any]] = {}

    def show(self, mask: MaskLayer) -> None:
        """Draw a Labels layer as outlines, unless the user draws it so already."""
        if not is_labels(mask) or mask.contour:
            return
        drawn: dict[str, Any] = {"contour": CONTOUR, "opacity": 1.0}
        if mask.colormap.name == _USUAL:  # colours that the user chose have a meaning
            drawn["colormap"] = nuclei_colormap()
        self._before[mask] = {name: getattr(mask, name) for name in drawn}
        for name, value in drawn.items():
            setattr(mask, name, value)

    def hide(self) -> None:
        """Draw all masks as they were before, but those whose outlines the user has changed since."""
        for mask, before in self._before.items():
            if mask.contour == CONTOUR:
                for name, value in before.items():
                    setattr(mask, name, value)
        self._before.clear()

    def forget(self) -> None:
        """Let go of all masks; they stay as they are."""
        self._before.clear()
