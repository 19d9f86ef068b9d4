"""Rows of tables follow the font."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from qtpy.QtWidgets import QTableWidget

from napari_nucleigan.widgets.base.tables import RowHeight

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot


def test_rows_are_as_high_as_their_lines_in_whatever_font(qtbot: QtBot) -> None:
    table = QTableWidget(3, 1)
    qtbot.addWidget(table)
    rows = RowHeight(table)
    table.show()
    assert not table.verticalHeader().isVisible()
    heights = []
    for points in (9, 24):
        # As napari's style does it: not by the font itself.
        table.setStyleSheet(f"QAbstractItemView {{ font-size: {points}pt; }}")
        for lines in (1, 2):
            rows.set_lines(lines)
            assert 0 < table.rowHeight(2) - lines * table.fontMetrics().height() <= 6
            heights.append(table.rowHeight(2))
        qtbot.wait(10)
    assert heights[2] > 2 * heights[0]
