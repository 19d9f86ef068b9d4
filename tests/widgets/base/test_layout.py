"""Every dock in a large font and a small window: nothing is cut off, and what runs and stops it is in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from napari.settings import get_settings
from npe2 import PluginManager
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import (
    QAbstractItemView,
    QAbstractSpinBox,
    QCheckBox,
    QDockWidget,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableView,
    QTabWidget,
    QWidget,
)

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.widgets.base.dock import Dock, Page
from napari_nucleigan.widgets.base.preferences import PLUGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

TITLES = {
    "Segment nuclei": ["Run"],
    "Segment a folder": ["Run"],
    "Classify nuclei": [""],
    "Measure nuclei": ["Measure"],
    "Draw masks": ["Create the mask", "Fill", "Paint a nucleus", ""],
    "Synthesize H&E": ["Run", "Make the data set"],
    "Train a model": ["Start", "Start", "", ""],
    "Evaluate": ["Compare", "Compare"],
}
"""Each dock, and what starts the work on each of its pages; nothing on some."""
MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}
SMALL = 1280, 720
LONG = 60_000


@pytest.fixture
def large_font(make_napari_viewer_proxy: Callable) -> Iterator[None]:
    """napari's font at 16 points; its fixture of viewers has set it back before."""
    appearance = get_settings().appearance
    before = appearance.font_size
    appearance.font_size = 16
    yield
    appearance.font_size = before


@pytest.fixture
def viewer(
    large_font: None,
    make_napari_viewer_proxy: Callable,
    models: Path,
    tissue_painter: Path,
    tiny_he: Callable,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Any:
    """A small window with an image whose name is long, and its nuclei."""
    monkeypatch.setenv("NUCLEIGAN_RUNS", str(tmp_path / "runs"))
    made = make_napari_viewer_proxy(show=True)
    made.window.resize(*SMALL)
    rgb, labels = tiny_he(96, 96, 8, 0)
    made.add_image(rgb, name="TCGA-38-6178-01Z-00-DX1.a_very_long_name_of_a_slide.svs", **MICRONS)
    made.add_labels(labels, name="nuclei of TCGA-38-6178-01Z-00-DX1.a_very_long_name_of_a_slide", **MICRONS)
    return made


def open_dock(viewer: Any, qtbot: QtBot, title: str) -> Any:
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, title)
    picker = getattr(getattr(widget, "form", None), "picker", None)
    if picker is not None:
        qtbot.waitUntil(lambda: bool(picker.box.count()) and not picker.waiting, timeout=LONG)
    qtbot.waitUntil(widget.isVisible, timeout=LONG)
    qtbot.wait(50)
    return widget


def pages(widget: Any) -> list[tuple[QTabWidget | None, int]]:
    """Pages of the outermost tabs that a dock has."""
    tabs = widget.findChildren(QTabWidget)
    outer = next((one for one in tabs if not any(other is not one and other.isAncestorOf(one) for other in tabs)), None)
    return [(outer, at) for at in range(outer.count())] if outer is not None else [(None, 0)]


def turn_to(qtbot: QtBot, page: tuple[QTabWidget | None, int]) -> None:
    tabs, at = page
    if tabs is not None:
        qtbot.waitUntil(lambda: tabs.isTabVisible(at), timeout=LONG)
        tabs.setCurrentIndex(at)
        qtbot.wait(50)


def cut_off(dock: QWidget) -> list[str]:
    """Tell what is not whole from left to right."""
    found = []
    for child in dock.findChildren(QWidget):
        inside = child.parentWidget()
        while inside not in (dock, None) and not isinstance(inside, QAbstractItemView):
            inside = inside.parentWidget()
        if not child.isVisible() or child.isWindow() or inside is not dock:
            continue
        left = child.mapTo(dock, QPoint(0, 0)).x()
        if left < 0 or left + child.width() > dock.width():
            found.append(f"{type(child).__name__} lies from {left} to {left + child.width()} of {dock.width()}")
        if isinstance(child, (QPushButton, QCheckBox, QAbstractSpinBox, QLabel)):
            wraps = isinstance(child, QLabel) and child.wordWrap()
            needed = 0 if wraps else child.minimumSizeHint().width()
            if child.width() < needed:
                found.append(f"{type(child).__name__} “{child.text()}” has {child.width()} of {needed} pixels")
    return found


def whole(child: QWidget) -> bool:
    """Whether all of a widget can be seen."""
    return child.isVisible() and child.visibleRegion().boundingRect().size() == child.size()


@pytest.mark.parametrize("title", TITLES)
def test_nothing_is_cut_off_and_run_cancel_and_the_reason_of_a_failure_are_in_sight(
    viewer: Any, qtbot: QtBot, title: str
) -> None:
    dock = open_dock(viewer, qtbot, title)
    assert dock.findChild(QPushButton).font().pointSize() >= 16
    for page, starts in zip(pages(dock), TITLES[title], strict=True):
        turn_to(qtbot, page)
        assert cut_off(dock) == []
        if starts:
            assert any(whole(button) for button in dock.findChildren(QPushButton) if button.text() == starts)
        bars = [each for each in (dock, *dock.findChildren(Page)) if hasattr(each, "bar")]
        for part in (each for each in bars if starts and each.bar.run_button.isVisible()):
            part._failed(NucleiganError("Cannot read a/b.svs: the file is cut short; copy the file again."))
            qtbot.waitUntil(lambda part=part: whole(part.bar.notes), timeout=LONG)
            for number in range(9):
                part.bar.note(f"{number} Cannot write /a/folder/of/many/parts/with/long/names: the disk is full.")
            part._failed(NucleiganError("The last of all."))
            qtbot.wait(100)
            notes = part.bar.notes
            assert notes.text().endswith("The last of all.")
            bottom = notes.visibleRegion().boundingRect().bottom()
            assert bottom >= notes.height() - notes.fontMetrics().lineSpacing()
            assert whole(part.bar.run_button)
            assert whole(part.bar.cancel_button)
            assert cut_off(dock) == []


def test_there_is_a_test_of_every_dock() -> None:
    manifest = PluginManager.instance().get_manifest(PLUGIN)
    assert [each.display_name for each in manifest.contributions.widgets] == list(TITLES)


def test_docks_are_tabs_of_one_another(viewer: Any, qtbot: QtBot) -> None:
    height = viewer.window.geometry()[3]
    first = open_dock(viewer, qtbot, "Draw masks")
    second = open_dock(viewer, qtbot, "Synthesize H&E")
    qtbot.waitUntil(lambda: not first.visibleRegion().boundingRect().isValid(), timeout=LONG)
    assert whole(second.bar.run_button)
    assert viewer.window.geometry()[3] == height  # below one another they needed more than that
    window = first.window()
    frames = [frame for frame in window.findChildren(QDockWidget) if isinstance(frame.widget(), Dock)]
    assert window.tabifiedDockWidgets(frames[0]) == frames[1:]
    # where the user puts it, it stays
    frames[1].setFloating(True)
    qtbot.wait(50)
    frames[1].setFloating(False)
    qtbot.wait(50)
    viewer.window.remove_dock_widget(second)
    qtbot.waitUntil(lambda: whole(first.undo_button), timeout=LONG)
    second.deleteLater()


def test_all_texts_follow_the_font(viewer: Any, qtbot: QtBot) -> None:
    dock = open_dock(viewer, qtbot, "Train a model")
    parts = dock.form.name, dock.form.advanced_button
    assert [part.font().pointSize() for part in parts] == [16, 16]
    get_settings().appearance.font_size = 9
    qtbot.waitUntil(lambda: [part.font().pointSize() for part in parts] == [9, 9], timeout=LONG)


def test_tables_and_lists_follow_the_font_and_so_do_their_rows(viewer: Any, qtbot: QtBot) -> None:
    dock = open_dock(viewer, qtbot, "Evaluate")
    views = [view for view in dock.findChildren(QAbstractItemView) if not isinstance(view, QHeaderView)]
    assert {type(view).__name__ for view in views} >= {"ScoreTable", "QTableView", "QTableWidget", "QTreeWidget"}
    tables = [view for view in views if isinstance(view, QTableView)]
    for points in (16, 9):
        get_settings().appearance.font_size = points
        qtbot.waitUntil(lambda points=points: {view.font().pointSize() for view in views} == {points}, timeout=LONG)
        for table in tables:
            line = table.verticalHeader().defaultSectionSize()
            assert 0 < line - table.fontMetrics().height() <= 6
    # At its rows the table ends, and the buttons follow.
    table = dock.layers.table
    assert table.maximumHeight() < 14 * table.verticalHeader().defaultSectionSize()


def test_a_long_label_is_shortened_in_the_middle_with_all_of_it_in_the_tooltip(viewer: Any, qtbot: QtBot) -> None:
    dock = open_dock(viewer, qtbot, "Segment nuclei")
    name = viewer.layers[0].name
    qtbot.waitUntil(lambda: name in dock.form.image.toolTip(), timeout=LONG)
    viewer.layers[0].name = "tile"
    qtbot.waitUntil(lambda: "tile" not in dock.form.image.toolTip(), timeout=LONG)


def test_corrections_come_into_sight_when_they_are_opened(viewer: Any, qtbot: QtBot) -> None:
    dock = open_dock(viewer, qtbot, "Segment nuclei")
    panel = dock.corrections
    assert not whole(panel.button)

    panel.button.click()

    qtbot.waitUntil(lambda: whole(panel.button) and whole(panel.proposals.button), timeout=LONG)
