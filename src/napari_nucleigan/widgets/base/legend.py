"""Legend: which curves of a chart are shown, in which colour, with which value; plots, and the colours of curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyqtgraph as pg
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QCheckBox, QGridLayout, QSizePolicy, QWidget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtCore import QEvent
    from qtpy.QtGui import QResizeEvent

Key = tuple[str, str]
"""``"loss"``, ``"score"`` or ``"run"``, and a name."""

_COLUMNS = 2
_FEW = 4  # entries that may have a row each, where their names are long
_SWATCH = 12, 10

DARK = "#4fa3ff #ff9f40 #5fd38d #ff6b81 #c58cff #e6d24a #46d9d9 #ff8ad8 #b9c1cc #cfa27a".split()
LIGHT = "#0b62c4 #c25a00 #14803c #c4122f #7a2bc9 #857000 #00787a #b0187f #555d68 #7a4a1e".split()
"""Colours of curves, on a dark theme and on a light one."""


NAMES = {
    "l1": "L1",
    "presence": "Presence",
    "adversarial": "Generator",
    "discriminator": "Discr.",
    "penalty": "Penalty",
    "adversarial_images": "Gen. images",
    "adversarial_masks": "Gen. masks",
    "discriminator_images": "Discr. images",
    "discriminator_masks": "Discr. masks",
    "cycle_images": "Cycle images",
    "cycle_masks": "Cycle masks",
    "aji": "AJI",
    "f1": "F1",
    "pq": "PQ",
    "dice": "Dice",
    "own_aji": "AJI, own masks",
}
"""What people call losses and scores."""


def pretty(name: str) -> str:
    """Write the name of a loss or a score for people."""
    if name.startswith("train_"):
        return f"{pretty(name[6:])} (train)"
    return NAMES.get(name, name.replace("_", " ").capitalize())


class _Entry(QCheckBox):
    """A box with a name, which is shortened where it is too long, and a value, which never is.

    Parameters
    ----------
    name : str
        What stands beside the box.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name, self._value = name, ""
        # A long name makes no dock wider.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._write()

    def set_value(self, value: str) -> None:
        if value != self._value:
            self._value = value
            self._write()

    def set_icon(self, icon: QIcon) -> None:
        self.setIcon(icon)
        self._write()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._write()

    def _write(self) -> None:
        metrics = self.fontMetrics()
        tail = f"  {self._value}" if self._value else ""
        around = self.sizeHint().width() - metrics.horizontalAdvance(self.text().replace("&&", "&"))
        room = self.width() - around - metrics.horizontalAdvance(tail)
        text = metrics.elidedText(self._name, Qt.TextElideMode.ElideMiddle, max(room, 0)) + tail
        text = text.replace("&", "&&")  # Qt underlines what follows a single one
        if text != self.text():
            self.setText(text)


class Legend(QWidget):
    """A box to tick for each curve, with its colour, name and value.

    Parameters
    ----------
    long_names : bool
        Whether few entries get a whole row each.
    """

    changed = Signal()
    """Other curves are to be shown."""

    def __init__(self, long_names: bool = False) -> None:
        super().__init__()
        self._long_names = long_names
        self._boxes: dict[Key, _Entry] = {}
        self._layout = QGridLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setHorizontalSpacing(8)
        self._layout.setVerticalSpacing(1)

    def set_entries(self, entries: Mapping[Key, tuple[str, str, bool]], checkable: bool = True) -> None:
        """List curves.

        Parameters
        ----------
        entries : dict
            Text, tooltip and whether it is shown at first, of each curve. What the user has ticked stays ticked.
        checkable : bool
            Whether the user may hide curves.
        """
        if list(entries) == list(self._boxes):
            return
        before = {key: box.isChecked() for key, box in self._boxes.items()}
        for box in self._boxes.values():
            self._layout.removeWidget(box)
            box.hide()
            box.deleteLater()
        self._boxes.clear()
        columns = 1 if self._long_names and len(entries) <= _FEW else _COLUMNS
        for column in range(_COLUMNS):
            self._layout.setColumnStretch(column, int(column < columns))
        for index, (key, (text, tip, shown)) in enumerate(entries.items()):
            box = _Entry(text)
            box.setChecked(before.get(key, shown) or not checkable)
            box.setToolTip(tip)
            if not checkable:
                box.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
                box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            box.toggled.connect(lambda _: self.changed.emit())
            self._layout.addWidget(box, index // columns, index % columns)
            self._boxes[key] = box

    @property
    def shown(self) -> list[Key]:
        """Keys of the curves that are ticked."""
        return [key for key, box in self._boxes.items() if box.isChecked()]

    def box(self, key: Key) -> QCheckBox:
        """Return the box of a curve."""
        return self._boxes[key]

    def set_value(self, key: Key, value: str) -> None:
        """Show a value beside a name."""
        if (box := self._boxes.get(key)) is not None:
            box.set_value(value)

    def set_swatch(self, key: Key, colour: str, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> None:
        """Show the colour and style of a curve."""
        box = self._boxes.get(key)
        if box is None:
            return
        pixmap = QPixmap(*_SWATCH)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setPen(QPen(QColor(colour), 2.4, style))
        painter.drawLine(0, _SWATCH[1] // 2, _SWATCH[0], _SWATCH[1] // 2)
        painter.end()
        box.set_icon(QIcon(pixmap))


class Plot(pg.PlotWidget):
    """A plot without what pyqtgraph adds to every one: its buttons, and a menu that would outlive the plot."""

    hovered = Signal(object)
    """What is under the pointer; None where it has left."""

    def __init__(self, **options: Any) -> None:
        super().__init__(enableMenu=False, **options)
        plot = self.getPlotItem()
        plot.ctrlMenu.setParent(self, plot.ctrlMenu.windowFlags())
        plot.hideButtons()
        self.scene().sigMouseMoved.connect(self._moved)

    def paint_as(self, background: str, text: str) -> None:
        """Take the colours of a theme."""
        self.setBackground(background)
        for name in ("left", "bottom"):
            axis = self.getPlotItem().getAxis(name)
            axis.setPen(text)
            axis.setTextPen(text)

    def leaveEvent(self, event: QEvent) -> None:
        """Tell that the pointer has left."""
        super().leaveEvent(event)
        self.hovered.emit(None)

    def _moved(self, position: QPointF) -> None:
        box = self.getPlotItem().vb
        inside = box.sceneBoundingRect().contains(position)
        self._point(float(box.mapSceneToView(position).x()) if inside else None)

    def _point(self, x: float | None) -> None:
        """Take where the pointer is; None beside the axes."""


def chart_colours(theme: str) -> tuple[str, str, list[str]]:
    """Background and text of a napari theme, as ``"#rrggbb"``, and the colours of curves that stand out from it."""
    from napari.utils.theme import get_theme

    found = get_theme(theme)
    background, text = (colour.as_hex(format="long") for colour in (found.background, found.text))
    return background, text, DARK if found.type == "dark" else LIGHT
