"""A field that names a look: one of a list, an open image layer, or an image file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_nucleigan.data.images.files import IMAGE_SUFFIXES
from napari_nucleigan.widgets.base.fields import combo, menu_button, row, silent
from napari_nucleigan.widgets.base.preferences import recall, remember

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LAYER = "layer:"
"""How the value of an image layer begins; its `unique_id` follows."""


class ReferenceBox(QWidget):
    """Choose a look.

    Parameters
    ----------
    named : mapping of str to str
        Labels and values that are always there.
    tip : str
        What the field does.
    """

    changed = Signal()
    """Another look was chosen."""

    def __init__(self, named: Mapping[str, str], tip: str) -> None:
        super().__init__()
        self._named = dict(named)
        self._layers: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self.box = combo({}, tip)
        self.button = menu_button("Image", "Take the look of an H&E image.", {"Image file…": self._choose})
        self.setLayout(row(self.box, self.button))
        self.setToolTip(tip)
        self._fill()
        self.box.currentIndexChanged.connect(lambda _: self.changed.emit())

    @property
    def value(self) -> str:
        """A named look, ``layer:ID``, or the path of an image file."""
        return self.box.currentData() or ""

    @property
    def text(self) -> str:
        """The chosen look, for people."""
        return self.box.currentText()

    def choose(self, value: str) -> None:
        """Choose one of the list."""
        self.box.setCurrentIndex(self.box.findData(value))

    def set_named(self, named: Mapping[str, str]) -> None:
        """Change the looks that are always there."""
        self._named = dict(named)
        self._fill()

    def set_layers(self, layers: Sequence[tuple[str, str]]) -> None:
        """List the open image layers, each by its id and its name."""
        self._layers = {f"Like “{name}”": f"{LAYER}{key}" for key, name in layers}
        self._fill()

    def add_file(self, path: str | Path) -> None:
        """Add an image file to the list, and choose it."""
        self._files[f"Like {Path(path).name}"] = str(path)
        self._fill(str(path))

    def _fill(self, wanted: str | None = None) -> None:
        before = self.value
        with silent(self.box):
            self.box.clear()
            for label, value in {**self._named, **self._layers, **self._files}.items():
                self.box.addItem(label, value)
                self.box.setItemData(self.box.count() - 1, label, Qt.ItemDataRole.ToolTipRole)
            self.box.setCurrentIndex(max(0, self.box.findData(before if wanted is None else wanted)))
        if self.value != before:
            self.changed.emit()

    def _choose(self) -> None:
        patterns = " ".join(f"*{suffix}" for suffix in IMAGE_SUFFIXES)
        path, _ = QFileDialog.getOpenFileName(
            self, "Choose an H&E image", recall("folder", ""), f"Images ({patterns});;All files (*)"
        )
        if path:
            remember("folder", str(Path(path).parent))
            self.add_file(path)
