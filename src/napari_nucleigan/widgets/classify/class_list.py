"""Class list: the legend of the classes, which of them a click gives, and buttons that name and colour them."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QColorDialog,
    QHBoxLayout,
    QInputDialog,
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.widgets.base.fields import NO_MARGINS, column, push_button

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QPushButton

    from napari_nucleigan.widgets.classify.session import Session

_IN_A_ROW = 3  # buttons


class ClassList(QWidget):
    """The classes of a session.

    Parameters
    ----------
    session : Session
        Whose classes are shown and changed.

    Attributes
    ----------
    rows : QListWidget
        The classes; the chosen one is what a click gives.
    buttons : tuple of QPushButton
        What names, colours and deletes them; whoever lays the list out puts them below it.
    """

    chosen_changed = Signal()
    """Another class is chosen, or none."""
    added = Signal()
    """A class was added, which no nucleus has."""
    said = Signal()
    """Names, colours or classes have changed."""
    failed = Signal(object)
    """A name cannot be one: a `NucleiganError`."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.rows = QListWidget()
        self.rows.setToolTip("The classes; the chosen one is what a click on a nucleus gives. Keys 1 to 9 choose, too.")
        self.rows.setMinimumHeight(110)
        # A long name ends in dots; the tooltip has all of it.
        self.rows.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.rows.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.rows.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.add_button = push_button("Add", "Add a class.")
        self.rename_button = push_button("Rename", "Give the chosen class another name.")
        self.colour_button = push_button("Colour", "Give the chosen class another colour.")
        self.delete_button = push_button("Delete", "Take the chosen class away, with its clicks.")
        self.buttons: tuple[QPushButton, ...] = (
            self.add_button,
            self.rename_button,
            self.colour_button,
            self.delete_button,
        )
        calls = self._ask_name, self._rename, self._colour, self._delete
        for button, call in zip(self.buttons, calls, strict=True):
            button.clicked.connect(partial(self._told, call))
        self.rows.currentRowChanged.connect(lambda _: self.chosen_changed.emit())
        column(self.rows, inside=self, margins=NO_MARGINS, tall=self.rows)

    @property
    def chosen(self) -> int:
        """Place of the chosen class; -1 for none."""
        return int(self.rows.currentRow())

    def choose(self, place: int) -> None:
        """Choose a class by its place, if there is one."""
        if place < len(self._session.classes):
            self.rows.setCurrentRow(place)

    def add(self, name: str) -> None:
        """Add a class, and choose it.

        Raises
        ------
        RecipeError
            If the name cannot be one.
        """
        self._session.add_class(name)
        self.show_classes(())
        self.choose(len(self._session.classes) - 1)
        self.added.emit()

    def show_classes(self, kinds: Sequence[str], mm2: float = 0.0) -> None:
        """List the classes, with the clicks on each; where nuclei have classes with their number and density.

        Parameters
        ----------
        kinds : sequence of str
            Class of each nucleus.
        mm2 : float
            Area of the image; 0 where it is not known.
        """
        before = max(self.chosen, 0)
        clicks, counts = Counter(self._session.said.values()), Counter(kinds)
        told = self._session.classifier is not None and mm2 > 0
        self.rows.blockSignals(True)
        self.rows.clear()
        for number, each in enumerate(self._session.classes, 1):
            said = [f"{clicks[each.name]} clicked"]
            if told:
                density = f"{counts[each.name] / mm2:,.0f}".replace(",", " ")
                said += [f"{counts[each.name]} nuclei", f"{density} per mm²"]
            pixmap = QPixmap(12, 12)
            pixmap.fill(QColor(*each.color))
            item = QListWidgetItem(QIcon(pixmap), f"{number}  {each.name}\n{', '.join(said)}")
            item.setToolTip(f"{each.name}: {', '.join(said)}")
            self.rows.addItem(item)
        if self._session.classes:
            self.rows.setCurrentRow(min(before, len(self._session.classes) - 1))
        self.rows.blockSignals(False)

    def enable(self) -> None:
        """Let what needs a chosen class be pressed only where there is one."""
        for button in self.buttons[1:]:
            button.setEnabled(self.chosen >= 0)

    def _told(self, call: Any, *_: object) -> None:
        try:
            call()
        except NucleiganError as error:
            self.failed.emit(error)

    def _ask_name(self) -> None:
        name, given = QInputDialog.getText(self, "Add a class", "Name of the class:")
        if given:
            self.add(name)

    def _rename(self) -> None:
        old = self._session.classes[self.chosen].name
        name, given = QInputDialog.getText(self, "Rename", "New name of the class:", text=old)
        if given:
            self._session.rename(self.chosen, name)
            self.said.emit()

    def _colour(self) -> None:
        chosen = QColorDialog.getColor(QColor(*self._session.classes[self.chosen].color), self)
        if chosen.isValid():
            self._session.paint(self.chosen, (chosen.red(), chosen.green(), chosen.blue()))
            self.said.emit()

    def _delete(self) -> None:
        self._session.delete(self.chosen)
        self.said.emit()


def in_rows(buttons: Sequence[QPushButton]) -> QVBoxLayout:
    """Lay buttons out, three to a row; rows of a grid would all be as wide as the widest of each column."""
    rows = QVBoxLayout()
    for start in range(0, len(buttons), _IN_A_ROW):
        line = QHBoxLayout()
        for button in buttons[start : start + _IN_A_ROW]:
            line.addWidget(button, 1)
        rows.addLayout(line)
    return rows
