"""A field for a folder."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLineEdit, QPushButton, QWidget

from napari_nucleigan.widgets.base.fields import row


class FolderField(QWidget):
    """A line for a folder, and a button that looks for one.

    Parameters
    ----------
    tip : str
        What the folder is for.
    what : str
        Whose folder it is.
    """

    changed = Signal()

    def __init__(self, tip: str, what: str = "the data set") -> None:
        super().__init__()
        self._what = what
        self.line = QLineEdit()
        self.line.setPlaceholderText("Choose a folder")
        self.browse = QPushButton("Browse")
        self.browse.setToolTip("Look for the folder.")
        for part in (self, self.line):
            part.setToolTip(tip)
        self.setLayout(row(self.line, self.browse))
        self.line.textChanged.connect(lambda _: self.changed.emit())
        self.browse.clicked.connect(self._browse)

    @property
    def path(self) -> Path | None:
        """The folder; None where none is given."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    def problem(self) -> str:
        """Why it cannot be written to; empty where it can, as far as can be told."""
        path = self.path
        if path is None:
            return f"Choose the folder of {self._what}: it may be a new one."
        if not path.is_absolute():
            return "Give the whole path of the folder, or look for it with Browse."
        return f"{path} is a file: choose a folder." if path.is_file() else ""

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, f"Folder of {self._what}", self.line.text())
        if folder:
            self.line.setText(folder)
