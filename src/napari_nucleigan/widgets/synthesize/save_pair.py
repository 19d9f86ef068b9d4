"""Saving a picture and its mask: the dialogue that asks where, and the job that writes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_nucleigan.widgets.base.fields import combo, set_text, small_label
from napari_nucleigan.widgets.base.folder_field import FolderField
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.preferences import recall, remember
from napari_nucleigan.widgets.synthesize.pairs import SavedPair, pair_files, save_pair

if TYPE_CHECKING:
    from napari_nucleigan.widgets.synthesize.pictures import PaintedImage

_FOLDER_KEY = "pairs"
_FORBIDDEN = '<>:"/\\|?*'


class SavePairDialog(QDialog):
    """Ask for the data-set folder, the name and the format of a pair.

    Parameters
    ----------
    parent : QWidget
        The widget that asks.
    name : str
        Name to begin with.
    """

    def __init__(self, parent: QWidget, name: str) -> None:
        super().__init__(parent)
        self.setWindowTitle("Save the pair")
        self.folder = FolderField("A data set: the picture goes to its images/, the mask to its labels/.")
        self.folder.line.setText(recall(_FOLDER_KEY, ""))
        self.name = QLineEdit("".join("_" if letter in _FORBIDDEN else letter for letter in name))
        self.name.setToolTip("Name of both files, without suffix.")
        self.format = combo({"PNG": ".png", "TIFF": ".tif"}, "Format of the picture; the mask is always TIFF.")
        self.replace = QCheckBox("Replace the pair of that name")
        self.replace.setToolTip("The data set has a picture or a mask of that name already: tick to write over it.")
        self.remark = small_label()
        kinds = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(kinds.Save | kinds.Cancel)
        self.save_button = self.buttons.button(kinds.Save)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for text, field in (("Folder", self.folder), ("Name", self.name), ("Format", self.format)):
            form.addRow(text, field)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        for part in (self.replace, self.remark, self.buttons):
            layout.addWidget(part)
        self.setMinimumWidth(420)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.folder.changed.connect(self._update)
        self.name.textChanged.connect(lambda _: self._update())
        self.replace.toggled.connect(lambda _: self._update())
        self._update()

    def accept(self) -> None:
        """Remember the folder, and close."""
        remember(_FOLDER_KEY, self.folder.line.text())
        super().accept()

    def problem(self) -> str:
        """Why the pair cannot be saved like that; empty where it can."""
        if text := self.folder.problem():
            return text
        name = self.name.text().strip()
        if not name or name.startswith(".") or any(letter in _FORBIDDEN for letter in name):
            return f"Give a name that does not begin with a dot and has none of {_FORBIDDEN}"
        if self._taken() and not self.replace.isChecked():
            return f"“{name}” is in this data set already: give another name, or tick Replace."
        return ""

    def _taken(self) -> bool:
        folder, name = self.folder.path, self.name.text().strip()
        if folder is None or not name:
            return False
        return bool(pair_files(folder, name))

    def _update(self) -> None:
        taken = self._taken()
        self.replace.setVisible(taken)
        if not taken and self.replace.isChecked():
            self.replace.setChecked(False)
        text = self.problem()
        set_text(self.remark, text)
        self.save_button.setEnabled(not text)
        self.save_button.setToolTip(text or "Write the picture and the mask.")


class PairSaver(QObject):
    """Asks where a pair is to be saved, and saves it.

    Parameters
    ----------
    parent : QWidget
        The widget that asks.
    """

    saved = Signal(object)
    """Path of the picture."""
    noted = Signal(object)
    failed = Signal(object)
    """A `NucleiganError`."""
    changed = Signal()
    """It has begun or ended to write."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._widget = parent
        self._runner = Runner(self, activity=True)
        self._runner.noted.connect(self.noted.emit)
        self._runner.failed.connect(self.failed.emit)
        self._runner.finished.connect(self.saved.emit)
        self._runner.stopped.connect(self.changed.emit)

    @property
    def running(self) -> bool:
        """Whether a pair is being written."""
        return self._runner.running

    def ask(self, picture: PaintedImage | None) -> SavePairDialog | None:
        """Ask where a pair is to be saved; the dialogue does not block."""
        if picture is None:
            return None
        dialog = SavePairDialog(self._widget, picture.mask.name)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.accepted.connect(partial(self._save, dialog, picture))
        dialog.open()
        return dialog

    def cancel(self) -> None:
        """Stop to write."""
        self._runner.cancel()

    def _save(self, dialog: SavePairDialog, picture: PaintedImage) -> None:
        folder, name = dialog.folder.path, dialog.name.text().strip()
        assert folder is not None
        suffix: Any = dialog.format.currentData()
        # Copies: live mode may go on painting.
        pair = SavedPair(picture.image.data.copy(), picture.labels.copy(), picture.mpp)
        self._runner.start(save_pair(pair, folder, name, suffix, dialog.replace.isChecked()), f"saving {name}")
        self.changed.emit()
