"""Data section of the Train form: what is learnt from, open layers or a data set in a folder."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.fields import (
    Form,
    add_row,
    combo,
    pixel_size,
    silent,
)
from napari_nucleigan.widgets.base.image_sources import Source
from napari_nucleigan.widgets.base.mask_layers import mask_reader, pairs_of
from napari_nucleigan.widgets.base.path_fields import DebouncedCheck, FolderField
from napari_nucleigan.widgets.base.training_jobs import Contents, TrainingPair, look_into
from napari_nucleigan.widgets.base.transforms import PixelSizes

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_nucleigan.base.events import Job

LAYERS, FOLDER = "layers", "folder"
_PAIR = Qt.ItemDataRole.UserRole


class FolderReader(QWidget):
    """A field for a data set that is to be read, and a line that says what is in it.

    Parameters
    ----------
    tip : str
        What the folder is for.
    """

    changed = Signal()

    def __init__(self, tip: str) -> None:
        super().__init__()
        self.field = FolderField(tip)
        self.labelled = True
        self._check = DebouncedCheck(self, self._look, "looking into the folder", attrgetter("text"))
        self.remark = self._check.remark
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.field)
        layout.addWidget(self.remark)
        self.field.changed.connect(self._check.look)

    @property
    def path(self) -> Path | None:
        """The folder; None where none is given."""
        return self.field.path

    def problem(self) -> str:
        """Why it cannot be learnt from; empty where it can."""
        if self.path is None:
            return "Choose the folder of a data set: it holds images/NAME.png and labels/NAME.tif."
        if self._check.fault:
            return self._check.fault
        found: Contents | None = self._check.found
        return "" if found is not None and found.path == self.path else "Looking into the folder…"

    def set_labelled(self, labelled: bool) -> None:
        """Say whether the images must have labels."""
        if labelled != self.labelled:
            self.labelled = labelled
            self._check.look()

    def cancel(self) -> None:
        """Stop looking."""
        self._check.cancel()

    def _look(self) -> Job[Contents] | None:
        return None if self.path is None else look_into(self.path, self.labelled)


class DataSection(Form):
    """What is learnt from.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers can be learnt from.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._scales = PixelSizes()
        self._pairs: list[tuple[Image, Labels]] = []
        source = combo(
            {"Open layers": LAYERS, "A data set": FOLDER},
            "Learn from images and labels that are open in napari, or from a data set in a folder.",
        )
        self.list = QListWidget()
        self.list.setToolTip("Images with the labels of their nuclei, of the same size. Tick those to learn from.")
        self.list.setFixedHeight(74)
        self.mpp = pixel_size("not known", "Microns per pixel of the ticked images that do not say it.")
        folder = FolderReader(
            "The data set: images/, labels/ and split.csv. Images of the split “train” are learnt from, those of “val” "
            "validate, those of “test” are left alone."
        )
        self.source = self.add("Data", source, call=self._changed)
        add_row(self.rows, "Pairs", self.list)
        self.list.itemChanged.connect(lambda _: self._changed())
        add_row(self.rows, "Pixel size", self.mpp)
        self.mpp.valueChanged.connect(self._typed)
        self.folder = self.add("Folder", folder)
        self.refresh()

    @property
    def pairs(self) -> list[tuple[Image, Labels]]:
        """The ticked pairs of layers."""
        ticked = [self.list.item(row).checkState() == Qt.CheckState.Checked for row in range(self.list.count())]
        return [pair for pair, tick in zip(self._pairs, ticked, strict=True) if tick]

    def refresh(self) -> None:
        """List the layers again; what was ticked stays ticked."""
        before = {self.list.item(row).data(_PAIR): self.list.item(row).checkState() for row in range(self.list.count())}
        self._pairs = pairs_of(self._viewer)
        best = {image.unique_id: _best(image, [b for a, b in self._pairs if a is image]) for image, _ in self._pairs}
        with silent(self.list):
            self.list.clear()
            for image, labels in self._pairs:
                item = QListWidgetItem(f"{image.name}  +  {labels.name}")
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                key = f"{image.unique_id} {labels.unique_id}"
                item.setData(_PAIR, key)
                first = Qt.CheckState.Checked if best[image.unique_id] is labels else Qt.CheckState.Unchecked
                item.setCheckState(before.get(key, first))
                item.setToolTip(item.text())
                self.list.addItem(item)
        self._changed()

    def problem(self) -> str:
        """Why nothing can be learnt; empty where it can."""
        if self.source.currentData() == FOLDER:
            return self.folder.problem()
        if not self._pairs:
            return (
                "There is no image with labels of the same size: segment an image, or paint its nuclei in a Labels "
                "layer; or choose a data set above."
            )
        chosen = self.pairs
        if not chosen:
            return "Tick at least one pair of an image and its labels."
        images = [image for image, _ in chosen]
        twice = next((image for image in images if images.count(image) > 1), None)
        if twice is not None:
            return f"“{twice.name}” is ticked with two labels: tick the right ones only."
        for image in images:
            if self._scales.of(image)[0] is None:
                return f"“{image.name}” does not say its microns per pixel: type them above."
        return ""

    def data(self) -> Path | tuple[TrainingPair, ...]:
        """Return what is to be learnt from."""
        if self.source.currentData() == FOLDER:
            path = self.folder.path
            assert path is not None
            return path
        return tuple(
            TrainingPair(Source.of(image, self._scales.of(image)[0]), mask_reader(labels))
            for image, labels in self.pairs
        )

    def _changed(self) -> None:
        of_layers = self.source.currentData() == LAYERS
        asked = [image for image, _ in self.pairs if layers.layer_mpp(image) is None]
        for field, shown in ((self.list, of_layers), (self.mpp, of_layers and asked), (self.folder, not of_layers)):
            self.rows.setRowVisible(field, bool(shown))
        values = {self._scales.of(image)[0] for image in asked}
        with silent(self.mpp):
            self.mpp.setValue(values.pop() or 0.0 if len(values) == 1 else 0.0)
        self.changed.emit()

    def _typed(self, mpp: float) -> None:
        for image, _ in self.pairs:
            if layers.layer_mpp(image) is None:
                self._scales.give(image, mpp)
        self.changed.emit()


def _best(image: Image, masks: list[Labels]) -> Labels:
    """Labels that are most likely those of an image: named after it, else the topmost."""
    return next((mask for mask in masks if mask.name.startswith(image.name)), masks[0])
