"""The view of the Masks widget: what it makes only when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from napari_nucleigan.widgets.masks.dock import MasksWidget
from napari_nucleigan.widgets.masks.panel import SizeChart

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytestqt.qtbot import QtBot


def test_the_dock_opens_before_its_chart_is_made(make_napari_viewer_proxy: Callable, qtbot: QtBot) -> None:
    viewer = make_napari_viewer_proxy()
    widget = MasksWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Draw masks")
    assert widget.findChildren(SizeChart) == []
    qtbot.waitUntil(lambda: len(widget.findChildren(SizeChart)) == 1, timeout=60_000)
    (chart,) = widget.findChildren(SizeChart)
    assert chart.isVisibleTo(widget)
    assert chart.backgroundBrush().color().name() != "#000000"  # the theme's
