"""The part of the Train form that says what is learnt from: open layers, or a data set in a folder."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.fields import add_row, combo, form_layout, set_text, silent, small_label, spin
from napari_nucleigan.widgets.base.folder_field import FolderField
from napari_nucleigan.widgets.base.image_sources import Source
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.mask_layers import mask_reader, pairs_of
from napari_nucleigan.widgets.base.training_jobs import Contents, TrainingPair, look_into
from napari_nucleigan.widgets.base.transforms import PixelSizes

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_nucleigan.base.errors import NucleiganError

LAYERS, FOLDER = "layers", "folder"
_REST_MS = 300
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
        self.remark = small_label()
        self.labelled = True
        self._found: Contents | None = None
        self._fault = ""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.field)
        layout.addWidget(self.remark)
        self._rest = QTimer(self, singleShot=True, interval=_REST_MS)
        self._runner = Runner(self)
        self.field.changed.connect(self._typed)
        self._rest.timeout.connect(self._look)
        self._runner.finished.connect(self._seen)
        self._runner.failed.connect(self._failed)

    @property
    def path(self) -> Path | None:
        """The folder; None where none is given."""
        return self.field.path

    def problem(self) -> str:
        """Why it cannot be learnt from; empty where it can."""
        if self.path is None:
            return "Choose the folder of a data set: it holds images/NAME.png and labels/NAME.tif."
        if self._fault:
            return self._fault
        return "" if self._found is not None and self._found.path == self.path else "Looking into the folder…"

    def set_labelled(self, labelled: bool) -> None:
        """Say whether the images must have labels."""
        if labelled != self.labelled:
            self.labelled = labelled
            self._typed()

    def cancel(self) -> None:
        """Stop looking."""
        self._rest.stop()
        self._runner.cancel()

    def _typed(self) -> None:
        self._found, self._fault = None, ""
        set_text(self.remark, "")
        self._runner.cancel()
        if self.path is not None:
            self._rest.start()
        self.changed.emit()

    def _look(self) -> None:
        if self.path is not None:
            self._runner.start(look_into(self.path, self.labelled), "looking into the folder")

    def _seen(self, found: Contents) -> None:
        self._found = found
        set_text(self.remark, found.text)
        self.changed.emit()

    def _failed(self, error: NucleiganError) -> None:
        self._fault = str(error)
        self.changed.emit()


class DataSection(QWidget):
    """What is learnt from.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers can be learnt from.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._scales = PixelSizes()
        self._pairs: list[tuple[Image, Labels]] = []
        self.source = combo(
            {"Open layers": LAYERS, "A data set": FOLDER},
            "Learn from images and labels that are open in napari, or from a data set in a folder.",
        )
        self.list = QListWidget()
        self.list.setToolTip("Images with the labels of their nuclei, of the same size. Tick those to learn from.")
        self.list.setFixedHeight(74)
        self.mpp = spin(20.0, 0.01, 4, "not known", " µm", "Microns per pixel of the ticked images that do not say it.")
        self.folder = FolderReader(
            "The data set: images/, labels/ and split.csv. Images of the split “train” are learnt from, those of “val” "
            "validate, those of “test” are left alone."
        )
        self._form = form_layout(self)
        add = partial(add_row, self._form)
        add("Data", self.source)
        add("Pairs", self.list)
        add("Pixel size", self.mpp)
        add("Folder", self.folder)
        self.source.currentIndexChanged.connect(lambda _: self._changed())
        self.list.itemChanged.connect(lambda _: self._changed())
        self.mpp.valueChanged.connect(self._typed)
        self.folder.changed.connect(self.changed.emit)
        self.refresh()

    @property
    def pairs(self) -> list[tuple[Image, Labels]]:
        """The ticked pairs of layers."""
        ticked = [self.list.item(row).checkState() == Qt.CheckState.Checked for row in range(self.list.count())]
        return [pair for pair, tick in zip(self._pairs, ticked, strict=True) if tick]

    def refresh(self) -> None:
        """List the layers anew; what was ticked stays ticked."""
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
            TrainingPair(
                Source(
                    layers.pixels(image),
                    image.name,
                    self._scales.of(image)[0],
                    channel_first=layers.is_channel_first(image),
                ),
                mask_reader(labels),
            )
            for image, labels in self.pairs
        )

    def _changed(self) -> None:
        of_layers = self.source.currentData() == LAYERS
        asked = [image for image, _ in self.pairs if layers.layer_mpp(image) is None]
        for field, shown in ((self.list, of_layers), (self.mpp, of_layers and asked), (self.folder, not of_layers)):
            self._form.setRowVisible(field, bool(shown))
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
