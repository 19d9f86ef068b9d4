"""Tables whose rows are as low as their text, whatever the font."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QHeaderView, QTableView

_AROUND = 6  # pixels above and below the text of a row, together


class RowHeight(QObject):
    """Keeps the rows of a table as high as some lines of its font.

    Parameters
    ----------
    table : QTableView
        The table, which owns this.
    """

    def __init__(self, table: QTableView) -> None:
        super().__init__(table)
        self._table = table
        self._lines = 1
        table.verticalHeader().hide()
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        table.installEventFilter(self)
        self._fit()

    def set_lines(self, lines: int) -> None:
        """Say how many lines of text a row has."""
        self._lines = lines
        self._fit()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the font."""
        if event is not None and event.type() == QEvent.Type.FontChange:
            self._fit()
        return False

    def _fit(self) -> None:
        height = self._lines * self._table.fontMetrics().height() + _AROUND
        self._table.verticalHeader().setDefaultSectionSize(height)
