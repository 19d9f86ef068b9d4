"""Table of *Measure nuclei*: how many nuclei of each class there are, how densely they lie, and how large they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_nucleigan.labels.statistics import title
from napari_nucleigan.widgets.base.fields import silent
from napari_nucleigan.widgets.base.tables import RowHeight
from napari_nucleigan.widgets.measure.session import thousands

if TYPE_CHECKING:
    from qtpy.QtGui import QResizeEvent

    from napari_nucleigan.labels.statistics import Classes, Figures, Statistics

NO_CLASS = "No class"
_COLUMNS = ("Class", "Nuclei", "per mm²", "Mean", "SD", "Median")
_SWATCH = 10
_MOST_ROWS = 8
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class FiguresTable(QTableWidget):
    """A row for each class, which can be ticked, and one for all nuclei."""

    hidden_changed = Signal()
    """Other classes are to be plotted."""

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        self._names: tuple[str, ...] = ()
        self.hidden: frozenset[str] = frozenset()
        """Classes that are not ticked."""
        self.setHorizontalHeaderLabels(list(_COLUMNS))
        RowHeight(self)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(10)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        # The last column would else begin with Qt's usual width, and keep it where there is less room.
        header.setDefaultSectionSize(header.minimumSectionSize())
        header.setStretchLastSection(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setToolTip(
            "Counts, densities, and mean, standard deviation and median of what the plot has on its x axis."
        )
        self.itemChanged.connect(self._ticked)
        self._fit()

    def show_statistics(self, classes: Classes | None, found: Statistics | None) -> None:
        """Show the figures of nuclei, or none."""
        with silent(self):
            if classes is None or found is None:
                self.setRowCount(0)
                self._names = ()
            else:
                named = any(classes.names)
                self._names = classes.names if named else ()
                self.hidden &= frozenset(self._names)
                self.setRowCount(len(self._names) + 1)
                for row, figures in enumerate((*(found.classes if named else ()), found.total)):
                    self._write(row, figures, QColor(*classes.colours[row]) if row < len(self._names) else None)
                self._explain(found)
        self._fit()

    def text(self, row: int, column: str) -> str:
        """Return what the table shows of a class."""
        return self.item(row, _COLUMNS.index(column)).text()

    def _write(self, row: int, figures: Figures, colour: QColor | None) -> None:
        name = QTableWidgetItem("All" if colour is None else figures.name or NO_CLASS)
        name.setFlags(Qt.ItemFlag.ItemIsEnabled)
        name.setToolTip(name.text())
        if colour is not None:
            pixmap = QPixmap(_SWATCH, _SWATCH)
            pixmap.fill(colour)
            name.setIcon(QIcon(pixmap))
            name.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            shown = figures.name not in self.hidden
            name.setCheckState(Qt.CheckState.Checked if shown else Qt.CheckState.Unchecked)
        self.setItem(row, 0, name)
        numbers = (figures.mean, figures.deviation, figures.median)
        texts = (thousands(figures.count), _density(figures.density), *map(short, numbers))
        for column, text in enumerate(texts, 1):
            item = QTableWidgetItem(text)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled)
            item.setTextAlignment(_RIGHT)
            self.setItem(row, column, item)

    def _explain(self, found: Statistics) -> None:
        name = title(found.question.x)
        tips = ["Tick the classes that are plotted.", "Nuclei in the region.", "Nuclei per square millimetre."]
        tips += [f"{what}: {name}." for what in ("Mean", "Standard deviation", "Median")]
        for column, tip in enumerate(tips):
            self.horizontalHeaderItem(column).setToolTip(tip)

    def _ticked(self, item: QTableWidgetItem) -> None:
        if item.column() == 0 and item.row() < len(self._names):
            name = self._names[item.row()]
            off = item.checkState() == Qt.CheckState.Unchecked
            self.hidden = self.hidden | {name} if off else self.hidden - {name}
            self.hidden_changed.emit()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the font."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.FontChange:
            self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep room for a scroll bar where the columns need one."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        rows = min(max(self.rowCount(), 1), _MOST_ROWS)
        height = self.horizontalHeader().sizeHint().height() + rows * self.verticalHeader().defaultSectionSize()
        height += 2 * self.frameWidth()
        if self.horizontalHeader().length() > self.viewport().width():
            height += self.horizontalScrollBar().sizeHint().height()
        if height != self.height():
            self.setFixedHeight(height)


def short(value: float) -> str:
    """Write a number with three digits, or a dash where it is not known."""
    if math.isnan(value):
        return "-"
    return thousands(value) if abs(value) >= 1000 else f"{value:.3g}"


def _density(value: float) -> str:
    return "-" if math.isnan(value) else thousands(value) if value >= 10 else f"{value:.2g}"
