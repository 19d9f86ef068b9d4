"""Label images: images that hold labels, since napari opened them so, and the button that makes labels of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QWidget
from scipy import ndimage

from napari_nucleigan.widgets.base.fields import NO_MARGINS, column, push_button, set_text, small_label
from napari_nucleigan.widgets.base.layers import label_images, labels_place, pixels

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer


def to_labels(viewer: Viewer, image: Image) -> Labels:
    """Put a Labels layer of the same name and place where an image layer was.

    An image of a single value besides 0 only tells nuclei from background: each piece of it gets a number.
    """
    at = viewer.layers.index(image)
    data = np.asarray(pixels(image))
    known = {"name": image.name, "visible": image.visible, "metadata": image.metadata, **labels_place(image)}
    if np.array_equal(np.where(data, data.max(), 0), data):
        data = ndimage.label(data)[0]
        show_info(f"“{image.name}” only tells nuclei from background: each piece is a nucleus now.")
    viewer.layers.remove(image)
    # Of 8 or 16 bits there would be no room for more nuclei.
    labels = viewer.add_labels(data.astype(np.int32) if data.dtype.itemsize < 4 else data, **known)
    viewer.layers.move(len(viewer.layers) - 1, at)
    return labels


class LabelImages(QWidget):
    """Says which images of the viewer hold labels, and makes Labels layers of them; not there where none does.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers are looked at.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.remark = small_label()
        self.button = push_button("Convert to Labels", "Make a Labels layer of each, at the same place.")
        column(self.remark, self.button, inside=self, margins=NO_MARGINS, stretch=False)
        self.button.clicked.connect(lambda: self.convert())
        self.look()

    def look(self) -> None:
        """Look at the layers again."""
        names = [f"“{layer.name}”" for layer in label_images(self._viewer)]
        several = f"{len(names)} images hold labels, not H&E: {', '.join(names)}."
        text = f"{names[0]} holds labels, not H&E." if len(names) == 1 else several
        set_text(self.remark, text if names else "")
        self.setVisible(bool(names))

    def convert(self) -> None:
        """Make Labels layers of all images that hold labels."""
        for image in label_images(self._viewer):
            to_labels(self._viewer, image)
