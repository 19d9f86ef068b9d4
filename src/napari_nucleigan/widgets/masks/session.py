"""Mask session: the masks of a viewer, which of them is chosen, and what keeps the layers of each alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.masks.editing.edits import inside
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.mask_layers import is_labels, mask_layers
from napari_nucleigan.widgets.base.transforms import PixelSizes
from napari_nucleigan.widgets.masks.sync import MaskSync, editing_problem

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari.layers import Image, Labels, Shapes
    from napari.viewer import Viewer


class MaskSession(QObject):
    """The masks of a viewer, one of which is chosen.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers they are.
    parent : QObject
        The widget that owns it.
    """

    changed = Signal()
    """Nuclei of a mask have changed."""
    selected = Signal()
    """Other nuclei may be selected."""
    noted = Signal(str)
    """Something that the user should know."""
    failed = Signal(object)
    """A `NucleiganError`."""

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.scales = PixelSizes()
        self.mask: Labels | None = None
        self.masks: list[Labels] = []
        self.images: list[Image] = []
        self.problem = ""
        """Why the chosen mask cannot be edited; empty where it can."""
        self._syncs: dict[Hashable, MaskSync] = {}

    @property
    def sync(self) -> MaskSync | None:
        """What keeps the layers of the chosen mask alike; None where there is none, or it cannot be edited."""
        return self._syncs.get(self.mask.unique_id) if self.mask is not None else None

    @property
    def mpp(self) -> float | None:
        """Microns per pixel of the chosen mask; None where nobody knows."""
        return self.scale(self.mask)[0]

    def scale(self, mask: Labels | None) -> tuple[float | None, str]:
        """Microns per pixel of a mask, and where they come from."""
        return (None, "") if mask is None or editing_problem(mask) else self.scales.of(mask)

    def keeps(self, sync: MaskSync | None) -> bool:
        """Whether the layers of a mask are still there and kept alike."""
        return sync in self._syncs.values()

    def refresh(self) -> None:
        """List the layers again; a mask that is gone is let go."""
        self.masks = [layer for layer in mask_layers(self.viewer) if is_labels(layer)]
        self.images = [layer for layer in layers.image_layers(self.viewer) if not layers.layer_problem(layer)]
        there = {layer.unique_id for layer in self.masks}
        for key in [key for key in self._syncs if key not in there]:
            self._drop(key)
        if self.mask not in self.masks:
            self.mask = self.masks[0] if self.masks else None
        self.choose(self.mask)

    def choose(self, mask: Labels | None) -> None:
        """Work on a mask from now on."""
        self.mask, self.problem = mask, ""
        if mask is None or mask.unique_id in self._syncs:
            return
        self.problem = editing_problem(mask)
        if self.problem:
            return
        try:
            sync = MaskSync(self.viewer, mask, self)
        except NucleiganError as error:
            self.problem = f"“{mask.name}”: {error}"
            return
        for name in ("changed", "selected", "noted", "failed"):
            getattr(sync, name).connect(getattr(self, name))
        self._syncs[mask.unique_id] = sync

    def close(self) -> None:
        """Let go of all masks; their layers stay."""
        for key in list(self._syncs):
            self._drop(key)

    def create(self, image: Image | None, shape: tuple[int, int], mpp: float) -> Labels:
        """Add an empty mask.

        Parameters
        ----------
        image : napari.layers.Image or None
            What it lies over, with its size, place, units and axes.
        shape : (int, int)
            Height and width in pixels, where there is no image.
        mpp : float
            Microns per pixel, where the image does not say them.
        """
        if image is None:
            name, place = "mask", {"scale": (mpp, mpp), "units": ("um", "um")}
        else:
            shape, name, place = layers.image_shape(image), f"{image.name} mask", layers.labels_place(image)
        mask = self.viewer.add_labels(np.zeros(shape, np.int32), name=name, **place)
        if layers.layer_mpp(mask) is None:
            self.scales.give(mask, mpp)
        return mask

    def view(self) -> layers.Box | None:
        """Part of the chosen mask that the canvas shows; None for the whole."""
        return layers.visible_box(self.mask) if self.mask is not None else None

    def nuclei(self, *, in_view: bool) -> list[int]:
        """All nuclei of the chosen mask, or those whose centre is in view."""
        if self.sync is None:
            return []
        box = self.view() if in_view else None
        return self.sync.document.ids if box is None else inside(self.sync.document.labels, box)

    def foreign_shapes(self) -> list[Shapes]:
        """Shapes layers that are not the polygons of a mask."""
        from napari.layers import Shapes

        own = {sync.shapes for sync in self._syncs.values()}
        return [
            layer for layer in self.viewer.layers if isinstance(layer, Shapes) and layer.ndim == 2 and layer not in own
        ]

    def take_shapes(self, layer: Shapes) -> int:
        """Add what is drawn in another Shapes layer to the chosen mask; return how many shapes that is.

        Raises
        ------
        LabelsError
            If the mask has too many nuclei to show them as polygons.
        """
        assert self.sync is not None
        assert self.mask is not None
        shapes = self.sync.show_polygons()
        # Both layers' places are affine, so where three points lie tells where all do.
        origin, down, across = (
            np.asarray(self.mask.world_to_data(layer.data_to_world(point))) for point in ((0, 0), (1, 0), (0, 1))
        )
        turn = np.array([down - origin, across - origin])
        taken: list[Any] = [np.asarray(corners) @ turn + origin for corners in layer.data]
        if taken:
            shapes.add(taken, shape_type=list(layer.shape_type))
            self.sync.sync()
        return len(taken)

    def _drop(self, key: Hashable) -> None:
        sync = self._syncs.pop(key)
        sync.close()
        sync.deleteLater()
