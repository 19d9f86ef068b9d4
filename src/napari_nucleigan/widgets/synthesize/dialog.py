"""Dialogue of the Synthesize widget: where a pair of a picture and its mask is saved."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLineEdit, QVBoxLayout, QWidget

from napari_nucleigan.widgets.base.fields import Form, check, combo, set_text, small_label
from napari_nucleigan.widgets.base.path_fields import FolderField
from napari_nucleigan.widgets.base.preferences import recall, remember
from napari_nucleigan.widgets.synthesize.jobs import pair_files

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
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Save the pair")
        folder = FolderField("A data set: the picture goes to its images/, the mask to its labels/.")
        folder.line.setText(recall(_FOLDER_KEY, ""))
        line = QLineEdit("".join("_" if letter in _FORBIDDEN else letter for letter in name))
        line.setToolTip("Name of both files, without suffix.")
        kind = combo({"PNG": ".png", "TIFF": ".tif"}, "Format of the picture; the mask is always TIFF.")
        form = Form()
        self.folder = form.add("Folder", folder, call=self._update)
        self.name = form.add("Name", line, call=self._update)
        self.format = form.add("Format", kind)
        self.replace = check(
            "Replace the pair of that name",
            "The data set has a picture or a mask of that name already: tick to write over it.",
        )
        self.remark = small_label()
        kinds = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(kinds.Save | kinds.Cancel)
        self.save_button = self.buttons.button(kinds.Save)
        layout = QVBoxLayout(self)
        for part in (form, self.replace, self.remark, self.buttons):
            layout.addWidget(part)
        self.setMinimumWidth(420)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
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
        return bool(folder is not None and name and pair_files(folder, name))

    def _update(self) -> None:
        taken = self._taken()
        self.replace.setVisible(taken)
        if not taken and self.replace.isChecked():
            self.replace.setChecked(False)
        text = self.problem()
        set_text(self.remark, text)
        self.save_button.setEnabled(not text)
        self.save_button.setToolTip(text or "Write the picture and the mask.")
