"""The table of figures of a comparison, and its ways out: clipboard, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QGuiApplication, QKeySequence, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_nucleigan.base.files import write_text
from napari_nucleigan.base.version import __version__
from napari_nucleigan.metrics import OUTCOMES
from napari_nucleigan.metrics.definitions import DEFINITIONS
from napari_nucleigan.widgets.evaluate.colours import COLOURS, MEANINGS

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtGui import QKeyEvent

    from napari_nucleigan.widgets.evaluate.jobs import LayerComparison

QUALITY = ("aji", "aji_plus", "pq", "dq", "sq", "f1", "precision", "recall", "dice")
DISTANCES = ("average_hausdorff", "average_hausdorff_penalised", "hausdorff")
COUNTS = ("n_truth", "n_pred", "tp", "fp", "fn")
NONE = "-"
_AT_THRESHOLD = ("pq", "dq", "sq", "f1", "precision", "recall", "tp", "fp", "fn")
_SWATCH = 10


class ScoreTable(QTableWidget):
    """Figures on the left, counts on the right, each with its definition as a tooltip."""

    def __init__(self) -> None:
        left, right = (*QUALITY, *DISTANCES), (*COUNTS, *OUTCOMES)
        super().__init__(max(len(left), len(right)), 4)
        self._comparison: LayerComparison | None = None
        self._values: dict[str, QTableWidgetItem] = {}
        self.setHorizontalHeaderLabels(["Figure", "", "Count", ""])
        for column, keys in ((0, left), (2, right)):
            for row, key in enumerate(keys):
                self._add(row, column, key)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(140)
        self.setToolTip("Point at a name to read its definition; Ctrl+C copies all figures.")
        self.show_comparison(None)

    def show_comparison(self, comparison: LayerComparison | None) -> None:
        """Show the figures of a comparison, or dashes."""
        self._comparison = comparison
        mpp = comparison.order.mpp if comparison is not None else None
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
        name, value = QTableWidgetItem(heading(key)), QTableWidgetItem()
        if key in COLOURS:
            pixmap = QPixmap(_SWATCH, _SWATCH)
            pixmap.fill(QColor(COLOURS[key]))
            name.setData(Qt.ItemDataRole.DecorationRole, pixmap)
        value.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for item in (name, value):
            item.setToolTip(definition(key))
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
        self.setItem(row, column, name)
        self.setItem(row, column + 1, value)
        self._values[key] = value


def figures(comparison: LayerComparison) -> dict[str, float | int | None]:
    """All figures of a comparison by name: scores, then the counts of the picture."""
    found = comparison.inspection
    scores = found.scores.to_json()
    return {**{key: scores[key] for key in (*QUALITY, *DISTANCES, *COUNTS)}, **found.counts}


def rows_of(comparison: LayerComparison) -> list[tuple[str, float | int | None]]:
    """Names and values, as they are exported: what was compared first."""
    order = comparison.order
    asked = [("prediction", order.pred_name), ("truth", order.truth_name), ("iou_threshold", order.iou)]
    return [*asked, ("microns_per_pixel", order.mpp), *figures(comparison).items()]  # type: ignore[list-item]


def save_csv(path: Path, comparison: LayerComparison) -> None:
    """Write the figures as a table of names and values.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    _write_table(path, ["figure", "value"], [[name, "" if v is None else v] for name, v in rows_of(comparison)])


def save_json(path: Path, comparison: LayerComparison) -> None:
    """Write the figures, and every nucleus of the picture.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    content = {
        **dict(rows_of(comparison)),
        "notes": list(comparison.order.alignment.notes),
        "version": __version__,
        "nuclei": comparison.inspection.nuclei.records(),
    }
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def save_nuclei(path: Path, comparison: LayerComparison) -> None:
    """Write a table with a row for every nucleus of the picture.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    records = comparison.inspection.nuclei.records()
    header = list(records[0]) if records else ["id"]
    _write_table(path, header, [[_cell(record[name]) for name in header] for record in records])


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


def _cell(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return " ".join(str(each) for each in value)
    return "" if value is None else value


def _write_table(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
