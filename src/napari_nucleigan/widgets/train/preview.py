"""Preview: what a run that trains can do by now, small in the dock and large as a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel, QSizePolicy

from napari_nucleigan.widgets.base.layers import (
    METADATA_KEY,
    VIEW_KEY,
    image_layers,
    labels_place,
    layer_problem,
    selection_kept,
)

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer
    from qtpy.QtGui import QResizeEvent

    from napari_nucleigan.widgets.base.training_runs import PreviewImage

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

    def show(self, run: str, preview: PreviewImage) -> None:
        """Show a preview; not where the user has removed its layer."""
        layer = self.layer
        if layer is None and self._layer is not None:
            self._layer, self._refused = None, True
        if self._refused:
            return
        name = f"{run} preview"
        if layer is not None and layer.data.shape != preview.pixels.shape:
            self._viewer.layers.remove(layer)
            layer = None
        if layer is None:
            # Nobody wants to segment it: it is no image that other widgets may choose.
            known = {METADATA_KEY: {VIEW_KEY: "preview"}}
            with selection_kept(self._viewer):
                layer = self._viewer.add_image(preview.pixels, name=name, rgb=True, metadata=known, **self._place())
            self._layer = layer
        else:
            layer.data = preview.pixels
        layer.name = name
        layer.metadata = {**layer.metadata, "step": preview.step}

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if (layer := self.layer) is not None:
            self._viewer.layers.remove(layer)
        self._layer = None

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


_HIGHEST = 130  # pixels


class PreviewPicture(QLabel):
    """The newest preview, as wide as the dock and no higher than a few lines."""

    def __init__(self) -> None:
        super().__init__()
        self._whole: QPixmap | None = None
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setToolTip("The newest preview. Tick “Preview layer” to see it large, beside your images.")
        self.hide()

    def show_pixels(self, pixels: np.ndarray[Any, Any] | None) -> None:
        """Show a preview, uint8 of shape (H, W, 3); nothing at all for None."""
        self._whole = None
        if pixels is not None:
            pixels = np.ascontiguousarray(pixels)
            height, width = pixels.shape[:2]
            image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
            self._whole = QPixmap.fromImage(image)  # a copy
        self.setVisible(self._whole is not None)
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Follow the width of the dock."""
        super().resizeEvent(event)
        self._fit()

    def sizeHint(self) -> QSize:
        """Ask for the height that the picture has at this width."""
        return QSize(0, 0 if self._whole is None else self._size().height())

    def _size(self) -> QSize:
        assert self._whole is not None
        return self._whole.size().scaled(max(1, self.width()), _HIGHEST, Qt.AspectRatioMode.KeepAspectRatio)

    def _fit(self) -> None:
        if self._whole is not None:
            smooth = Qt.TransformationMode.SmoothTransformation
            self.setPixmap(self._whole.scaled(self._size(), Qt.AspectRatioMode.IgnoreAspectRatio, smooth))
        self.updateGeometry()
