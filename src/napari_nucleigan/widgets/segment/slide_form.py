"""The fields of the Segment widget that only slides need: where results go, and who computes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QLineEdit

from napari_nucleigan.segmentation.formats import USUAL
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.fields import set_text, small_label
from napari_nucleigan.widgets.base.folder_field import FolderField
from napari_nucleigan.widgets.base.layers import file_name
from napari_nucleigan.widgets.base.preferences import recall, remember
from napari_nucleigan.widgets.segment.jobs import SlideRequest

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_nucleigan.segmentation import SegmentSettings
    from napari_nucleigan.widgets.base.image_sources import Region

_MEMORY = "slide_results"
_BYTES = 0.2  # of disk for a pixel of a slide a third of which is tissue: results, and as much again for tiles


class SlideFields(QObject):
    """Folder of the results and address of a cluster; fields that a form has among its own rows."""

    changed = Signal()
    wanted = Signal(bool)
    """Whether a slide is chosen, so that they are to be shown."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = FolderField(
            "Results of a slide go to this folder: labels (.ome.zarr), polygons for QuPath (.geojson.gz), a row for "
            "each nucleus (.csv) and a map of density (.density.tif). Finished tiles wait in a hidden folder there "
            "until all is done.",
            "the results",
        )
        self.replaced = small_label()
        self.cluster = QLineEdit()
        self.cluster.setPlaceholderText("this machine")
        self.cluster.setToolTip(
            "Address of the scheduler of a dask cluster whose workers segment the tiles, such as tcp://host:8786. They "
            "must find the slide and the model under the same paths. Empty: this machine does it."
        )
        self._image: Image | None = None
        self._proposed = ""
        for signal in (self.folder.changed, self.cluster.textChanged):
            signal.connect(self._changed)

    @property
    def scheduler(self) -> str:
        """Address of the cluster; empty for this machine."""
        return self.cluster.text().strip()

    def look(self, image: Image | None) -> None:
        """Take the slide that is chosen, and propose a folder for it, unless the user has named one."""
        self.wanted.emit(image is not None)
        new, self._image = image is not self._image, image
        if new and image is not None and self.folder.line.text().strip() in ("", self._proposed):
            self._proposed = _proposal(image)
            self.folder.line.setText(self._proposed)
        self._say()

    def remember(self) -> None:
        """Keep the folder for slides whose own cannot be written to."""
        remember(_MEMORY, self.folder.line.text().strip())

    def problem(self, image: Image) -> str:
        """Why a slide cannot be segmented; empty where it can, as far as can be told."""
        if text := _pixels_problem(image) or self.folder.problem():
            return text
        folder = self.folder.path
        assert folder is not None
        place = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not os.access(place, os.W_OK | os.X_OK):
            return f"{place} cannot be written to: choose another folder for the results."
        height, width = layers.image_shape(image)
        free, needed = shutil.disk_usage(place).free, _BYTES * height * width
        if free < needed:
            return (
                f"{place} has {free / 1e9:.1f} GB free, but the results may need {needed / 1e9:.1f} GB: free some "
                "space, or choose another folder."
            )
        if self.scheduler and layers.layer_file(image) is None:
            return f"“{image.name}” does not come from a file, which a cluster could open: leave Cluster empty."
        return ""

    def _changed(self) -> None:
        self._say()
        self.changed.emit()

    def _say(self) -> None:
        folder = self.folder.path
        there = False
        if self._image is not None and folder is not None:
            there = (folder / f"{file_name(self._image.name)}{USUAL[0]}").exists()
        set_text(self.replaced, "Replaces the results there." if there else "")


def slide_request(image: Image, part: Region, settings: SegmentSettings, fields: SlideFields) -> SlideRequest:
    """Put together what is wanted of a slide."""
    folder = fields.folder.path
    assert folder is not None
    data = tuple(image.data) if image.multiscale else (image.data,)
    return SlideRequest(
        file_name(image.name), layers.layer_file(image), data, folder, settings, part.region, fields.scheduler
    )


def _pixels_problem(image: Image) -> str:
    data = layers.pixels(image)
    if image.rgb and data.shape[-1] == 3 and data.dtype == "uint8":
        return ""
    height, width = layers.image_shape(image)
    kind = f"{data.dtype} with {data.shape[-1]} channels" if image.rgb else f"{data.dtype}, not RGB"
    return (
        f"“{image.name}” has {width} x {height} pixels, too many to convert at once, and is no RGB of 8 bits ({kind}): "
        "choose a smaller region, or convert the file."
    )


def _proposal(image: Image) -> str:
    own = layers.layer_folder(image)
    return own if own and os.access(own, os.W_OK | os.X_OK) else recall(_MEMORY) or str(Path.home())
