"""The form of the Evaluate widget's page of folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QWidget

from napari_nucleigan.widgets.base.debounced_check import DebouncedCheck
from napari_nucleigan.widgets.base.fields import add_row, combo, form_layout, set_text, silent, small_label
from napari_nucleigan.widgets.base.folder_field import FolderField
from napari_nucleigan.widgets.base.preferences import recall, remember
from napari_nucleigan.widgets.evaluate.jobs import look_into

if TYPE_CHECKING:
    from napari_nucleigan.base.events import Job
    from napari_nucleigan.widgets.evaluate.jobs import FolderPair

_MEMORY = {"pred": "evaluated_predictions", "truth": "evaluated_truth"}


class FolderForm(QWidget):
    """Two folders, the part of them that is compared, and what is in them."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.pred = FolderField(
            "Predicted labels: a folder of label images (TIFF or PNG), or a data set that holds labels/."
        )
        self.truth = FolderField(
            "True labels: a folder of label images of the same names, or a data set that holds labels/ and perhaps "
            "split.csv, which names organs and splits."
        )
        self.split = combo({"All images": None}, "Compare only the images of a split, as split.csv names it.")
        self.iou = QDoubleSpinBox()
        self.iou.setRange(0.05, 0.95)
        self.iou.setSingleStep(0.05)
        self.iou.setValue(0.5)
        self.iou.setToolTip(
            "A nucleus is found where its IoU with a prediction is above this; F1, precision, recall and panoptic "
            "quality depend on it."
        )
        self.remark = small_label()
        self._looker = DebouncedCheck(self, self._look, "looking into the folders")
        form: QFormLayout = form_layout(self)
        add_row(form, "Predictions", self.pred)
        add_row(form, "Truth", self.truth)
        add_row(form, "Images", self.split)
        add_row(form, "IoU above", self.iou)
        form.addRow(self.remark)
        for key, field in (("pred", self.pred), ("truth", self.truth)):
            field.line.setText(recall(_MEMORY[key], ""))
            field.changed.connect(self._typed)
        self.split.currentIndexChanged.connect(self._typed)
        self._looker.seen.connect(self._seen)
        self._looker.failed.connect(lambda: self.changed.emit())
        self._typed()

    @property
    def found(self) -> FolderPair | None:
        """The two folders; None where they cannot be compared, or are being looked into."""
        return self._looker.found

    def problem(self) -> str:
        """Why they cannot be compared; empty where they can."""
        for field, what in ((self.pred, "predicted"), (self.truth, "true")):
            if field.path is None:
                return f"Choose the folder of {what} labels."
            if not field.path.is_absolute():
                return f"Give the whole path of the folder of {what} labels, or look for it with Browse."
        if self._looker.fault:
            return self._looker.fault
        return "" if self.found is not None else "Looking into the folders…"

    def remember(self) -> None:
        """Offer these folders the next time."""
        for key, field in (("pred", self.pred), ("truth", self.truth)):
            remember(_MEMORY[key], str(field.path))

    def look_again(self) -> None:
        """Look into the folders as they are now."""
        self._typed()

    def cancel(self) -> None:
        """Stop looking."""
        self._looker.cancel()

    def _typed(self) -> None:
        set_text(self.remark, "")
        self._looker.look()
        self.changed.emit()

    def _look(self) -> Job[FolderPair] | None:
        pred, truth = self.pred.path, self.truth.path
        if pred is None or truth is None or self.problem().startswith("Give"):
            return None
        return look_into(pred, truth, self.split.currentData())

    def _seen(self, found: FolderPair) -> None:
        with silent(self.split):
            self.split.clear()
            self.split.addItem("All images", None)
            for name in found.splits:
                self.split.addItem(f"Split: {name}", name)
            self.split.setCurrentIndex(max(0, self.split.findData(found.split)))
        set_text(self.remark, found.text)
        self.changed.emit()
