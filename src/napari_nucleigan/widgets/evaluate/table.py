"""Tables of a comparison: its figures, and its nuclei, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QEvent, QItemSelectionModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QGuiApplication, QKeySequence, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QTableView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_nucleigan.metrics import OUTCOMES
from napari_nucleigan.metrics.scores import DEFINITIONS
from napari_nucleigan.widgets.base.fields import MARGIN, column, combo
from napari_nucleigan.widgets.base.tables import RowHeight
from napari_nucleigan.widgets.evaluate.jobs import COUNTS, DISTANCES, QUALITY, figures, rows_of
from napari_nucleigan.widgets.evaluate.overlay import COLOURS, MEANINGS

if TYPE_CHECKING:
    from qtpy.QtGui import QKeyEvent

    from napari_nucleigan.widgets.evaluate.jobs import LayerComparison

NONE = "-"
_AT_THRESHOLD = ("pq", "dq", "sq", "f1", "precision", "recall", "tp", "fp", "fn")
ERRORS, EVERYTHING = "errors", "everything"
COLUMNS = ("Outcome", "IoU", "Hausdorff", "Area")
_TIPS = (
    "What became of the nucleus.",
    "Area that the nucleus shares with its best counterpart, over the area that either covers; 0 where it has none.",
    "Largest distance of a point of either outline region from the other nucleus of the pair.",
    "Area: of the true nuclei of the row, or of its predictions where there are none.",
)
_SWATCH = 10
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class ScoreTable(QTableWidget):
    """Figures on the left, counts on the right, each with its definition as a tooltip."""

    def __init__(self) -> None:
        left, right = (*QUALITY, *DISTANCES), (*COUNTS, *OUTCOMES)
        super().__init__(max(len(left), len(right)), 4)
        self._comparison: LayerComparison | None = None
        self._values: dict[str, QTableWidgetItem] = {}
        self.setHorizontalHeaderLabels(["Figure", "", "Count", ""])
        for at, keys in ((0, left), (2, right)):
            for row, key in enumerate(keys):
                self._add(row, at, key)
        _compact(self)
        for names in (0, 2):
            self.horizontalHeader().setSectionResizeMode(names, QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setHighlightSections(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setToolTip("Point at a name to read its definition; Ctrl+C copies all figures.")
        self.show_comparison(None)

    def event(self, event: QEvent | None) -> bool:
        """Be no taller than the rows, whatever the font."""
        done = bool(super().event(event))
        if event is not None and event.type() in (QEvent.Type.Resize, QEvent.Type.FontChange):
            self._fit()
        return done

    def _fit(self) -> None:
        rows = self.verticalHeader().length() + self.horizontalHeader().height()
        self.setMaximumHeight(max(self.minimumHeight(), rows + 2 * self.frameWidth()))

    def show_comparison(self, comparison: LayerComparison | None) -> None:
        """Show the figures of a comparison, or dashes."""
        self._comparison = comparison
        mpp = comparison.request.mpp if comparison is not None else None
        values = figures(comparison) if comparison is not None else {}
        for key, item in self._values.items():
            item.setText(_text(key, values.get(key), mpp))

    def value(self, key: str) -> str:
        """Return what the table shows for a figure."""
        return self._values[key].text()

    def copy(self) -> None:
        """Put all figures onto the clipboard, as rows that a spreadsheet takes."""
        if self._comparison is not None:
            rows = [f"{name}\t{value}" for name, value in rows_of(self._comparison)]
            QGuiApplication.clipboard().setText("\n".join(rows))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy all figures by the usual key."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    def _add(self, row: int, column: int, key: str) -> None:
        name, value = cell(heading(key), definition(key)), cell("", definition(key), RIGHT)
        if key in COLOURS:
            name.setData(Qt.ItemDataRole.DecorationRole, _swatch(key))
        self.setItem(row, column, name)
        self.setItem(row, column + 1, value)
        self._values[key] = value


def cell(text: str, tip: str, alignment: Qt.AlignmentFlag | None = None) -> QTableWidgetItem:
    """Make a cell that can be selected, but not edited."""
    item = QTableWidgetItem(text)
    item.setToolTip(tip)
    item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
    if alignment is not None:
        item.setTextAlignment(alignment)
    return item


def _compact(table: QTableView) -> None:
    """Let a table be as wide as there is room, and its rows as low as their text."""
    RowHeight(table)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setMinimumHeight(140)


def _swatch(outcome: str) -> QPixmap:
    pixmap = QPixmap(_SWATCH, _SWATCH)
    pixmap.fill(QColor(COLOURS[outcome]))
    return pixmap


def heading(key: str) -> str:
    """Short name of a figure, for people."""
    if key in MEANINGS:
        return key.capitalize()
    return DEFINITIONS[key].heading


def definition(key: str) -> str:
    """Define a figure."""
    if key in MEANINGS:
        return MEANINGS[key]
    at = " Pairs are counted above the IoU that is chosen above." if key in _AT_THRESHOLD else ""
    shown = " Shown in µm where the pixel size is known." if key in DISTANCES else ""
    return f"{DEFINITIONS[key].text}{at}{shown}"


def length(pixels: float, mpp: float | None) -> str:
    """Write a length: in µm where the pixel size is known, else in pixels; a dash for NaN."""
    if pixels != pixels:
        return NONE
    return f"{pixels * mpp:.2f} µm" if mpp else f"{pixels:.2f} px"


def _text(key: str, value: float | int | None, mpp: float | None) -> str:
    if value is None:
        return NONE
    if key in DISTANCES:
        return length(value, mpp)
    return f"{value:d}" if isinstance(value, int) else f"{value:.3f}"


class NucleiModel(QAbstractTableModel):
    """Rows of a comparison, filtered and sorted; a new comparison keeps both."""

    def __init__(self) -> None:
        super().__init__()
        self.comparison: LayerComparison | None = None
        self._rows = np.zeros(0, np.intp)
        self._kept = ERRORS
        self._column: int | None = None
        self._descending = False
        self._swatches = [_swatch(outcome) for outcome in OUTCOMES]

    @property
    def ids(self) -> np.ndarray[Any, Any]:
        """Numbers of the nuclei as they are listed."""
        return self._rows + 1

    def show_comparison(self, comparison: LayerComparison | None) -> None:
        """List the nuclei of a comparison, or none."""
        self.comparison = comparison
        self._arrange()

    def keep(self, kept: str) -> None:
        """List only nuclei of an outcome, or all `ERRORS`, or `EVERYTHING`."""
        self._kept = kept
        self._arrange()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; -1 for the worst first."""
        self._column = column if 0 <= column < len(COLUMNS) else None
        self._descending = order == Qt.SortOrder.DescendingOrder
        self._arrange()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Count the nuclei that are listed."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Count the columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Name and explain a column."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole:
            return _TIPS[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Tell a cell."""
        if self.comparison is None or not index.isValid():
            return None
        row, column = self._rows[index.row()], index.column()
        outcome = int(self.comparison.inspection.nuclei.outcome[row])
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == Qt.ItemDataRole.DecorationRole and column == 0:
            return self._swatches[outcome]
        if role == Qt.ItemDataRole.ToolTipRole and column == 0:
            return MEANINGS[OUTCOMES[outcome]]
        if role == Qt.ItemDataRole.TextAlignmentRole and column:
            return RIGHT
        return None

    def _text(self, row: int, column: int) -> str:
        assert self.comparison is not None
        nuclei, mpp = self.comparison.inspection.nuclei, self.comparison.request.mpp
        if column == 0:
            return OUTCOMES[nuclei.outcome[row]].capitalize()
        if column == 1:
            return f"{nuclei.iou[row]:.2f}"
        if column == 2:
            return length(float(nuclei.hausdorff[row]), mpp)
        area = int(nuclei.area[row])
        return f"{area * mpp**2:.1f} µm²" if mpp else f"{area} px"

    def _arrange(self) -> None:
        self.beginResetModel()
        self._rows = self._listed()
        self.endResetModel()

    def _listed(self) -> np.ndarray[Any, Any]:
        """Find the rows that are listed, in their order."""
        if self.comparison is None:
            return np.zeros(0, np.intp)
        found = self.comparison.inspection
        nuclei = found.nuclei
        rows = found.worst().astype(np.intp) - 1
        outcomes = nuclei.outcome[rows]
        if self._kept == ERRORS:
            rows = rows[outcomes != OUTCOMES.index("matched")]
        elif self._kept != EVERYTHING:
            rows = rows[outcomes == OUTCOMES.index(self._kept)]
        if self._column is not None:
            # Of equal ones the worse stays first; what has no value comes last.
            values = (nuclei.outcome, nuclei.iou, nuclei.hausdorff, nuclei.area)[self._column][rows].astype(float)
            rows = rows[np.argsort(-values if self._descending else values, kind="stable")]
        return rows


class NucleiList(QWidget):
    """The list, and which outcomes are in it."""

    chosen = Signal(int)
    """Number of a nucleus that was clicked, or reached by the keys."""

    def __init__(self) -> None:
        super().__init__()
        self.model = NucleiModel()
        self.model.setParent(self)
        self._restoring = False
        choices = {"All but matched": ERRORS, "All": EVERYTHING, **{name.capitalize(): name for name in OUTCOMES}}
        self.kept = combo(choices, "Which nuclei are listed.")
        self.number = QLabel()
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setToolTip("Click a nucleus to fly there; click the name of a column to sort by it.")
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        _compact(self.table)
        self.table.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.table.setSortingEnabled(True)
        line = QHBoxLayout()
        line.addWidget(self.kept, 1)
        line.addWidget(self.number)
        column(line, self.table, inside=self, margins=(0, MARGIN, 0, 0), tall=self.table)
        self.kept.currentIndexChanged.connect(lambda _: self.model.keep(self.kept.currentData()))
        self.table.clicked.connect(self._clicked)
        self.table.selectionModel().selectionChanged.connect(self._moved)
        self.model.modelReset.connect(self._count)

    def show_comparison(self, comparison: LayerComparison | None) -> None:
        """List the nuclei of a comparison; the one in hand stays so if it is still there, and the place in the list."""
        before = self._selected()
        place = self.table.verticalScrollBar().value()
        self.model.show_comparison(comparison)
        self.table.verticalScrollBar().setValue(place)
        if before is not None and comparison is not None:
            nuclei = comparison.inspection.nuclei
            pairs = zip(nuclei.truth_ids, nuclei.pred_ids, strict=True)
            same = next((row + 1 for row, pair in enumerate(pairs) if pair == before), 0)
            places = np.flatnonzero(self.model.ids == same)
            if len(places):
                flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
                index = self.model.index(int(places[0]), 0)
                self._restoring = True
                self.table.selectionModel().setCurrentIndex(index, flags)
                self._restoring = False

    @property
    def in_hand(self) -> int:
        """Number of the nucleus in hand; 0 for none."""
        rows = self.table.selectionModel().selectedRows()
        return int(self.model.ids[rows[0].row()]) if rows and self.model.comparison is not None else 0

    def _selected(self) -> tuple[Any, Any] | None:
        if not (number := self.in_hand) or self.model.comparison is None:
            return None
        nuclei = self.model.comparison.inspection.nuclei
        return nuclei.truth_ids[number - 1], nuclei.pred_ids[number - 1]

    def _moved(self) -> None:
        """Follow the keys."""
        rows = self.table.selectionModel().selectedRows()
        if rows and not self._restoring:
            self._clicked(rows[0])

    def _clicked(self, index: QModelIndex) -> None:
        self.chosen.emit(int(self.model.ids[index.row()]))

    def _count(self) -> None:
        count = self.model.rowCount()
        self.number.setText(f"{count} nucle{'us' if count == 1 else 'i'}")
