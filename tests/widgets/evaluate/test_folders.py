from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog

from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.widgets.base.layers import METADATA_KEY
from napari_nucleigan.widgets.evaluate.folders import EvaluateFolders

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT = 60_000


@pytest.fixture
def folders(tmp_path: Path, tiny_he: Callable) -> tuple[Path, Path]:
    """A data set of five images, of which four are predicted, one of them in another size, and one prediction more."""
    rows = ["name,organ,split"]
    for place in range(5):
        name = f"t{place}"
        image, labels = tiny_he(64, 64, nuclei=6, seed=place)
        write_image(tmp_path / "DATA" / "images" / f"{name}.png", image, 0.5)
        write_labels(tmp_path / "DATA" / "labels" / f"{name}.tif", labels)
        if place < 4:
            found = np.where(labels <= place, 0, labels).astype(np.int32)
            write_labels(tmp_path / "results" / f"{name}.tif", found[:40] if place == 3 else found)
        rows.append(f"{name},{'liver' if place % 2 else 'colon'},{'test' if place else 'train'}")
    write_labels(tmp_path / "results" / "more.tif", labels)
    (tmp_path / "DATA" / "split.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "results", tmp_path / "DATA"


@pytest.fixture
def widget(make_napari_viewer_proxy: Callable, qtbot: object) -> EvaluateFolders:
    viewer = make_napari_viewer_proxy()
    made = EvaluateFolders(viewer)
    viewer.window.add_dock_widget(made, name="Evaluate")
    yield made
    made.shut_down()


@pytest.fixture
def filled(widget: EvaluateFolders, folders: tuple[Path, Path], qtbot) -> EvaluateFolders:
    pred, truth = folders
    widget.form.pred.line.setText(str(pred))
    widget.form.truth.line.setText(str(truth))
    qtbot.waitUntil(lambda: widget.form.found is not None, timeout=WAIT)
    return widget


@pytest.fixture
def done(filled: EvaluateFolders, qtbot) -> EvaluateFolders:
    with qtbot.waitSignal(filled.reported, timeout=WAIT):
        qtbot.mouseClick(filled.bar.run_button, Qt.MouseButton.LeftButton)
    return filled


def cell(widget: EvaluateFolders, row: int, column: int) -> str:
    return widget.view.overall.item(row, column).text()


def rows_of(widget: EvaluateFolders) -> list[str]:
    tree = widget.view.images
    return [tree.topLevelItem(row).text(0) for row in range(tree.topLevelItemCount())]


def test_it_says_what_is_missing_before_it_can_run(widget: EvaluateFolders, folders: tuple[Path, Path], qtbot) -> None:
    pred, truth = folders
    form, bar = widget.form, widget.bar
    assert bar.problem.text() == "Choose the folder of predicted labels."
    form.pred.line.setText(str(pred))
    assert bar.problem.text() == "Choose the folder of true labels."
    form.truth.line.setText("DATA")
    assert "whole path" in bar.problem.text()
    form.truth.line.setText(str(truth / "images" / "nowhere"))
    qtbot.waitUntil(lambda: "neither a label image nor a folder" in bar.problem.text(), timeout=WAIT)
    assert not bar.run_button.isEnabled()
    form.truth.line.setText(str(truth))
    qtbot.waitUntil(lambda: bar.run_button.isEnabled(), timeout=WAIT)
    assert form.remark.text() == "4 pairs · 2 organs · 1 without a prediction · 1 without true labels"
    assert [form.split.itemText(place) for place in range(3)] == ["All images", "Split: test", "Split: train"]


def test_a_report_with_everything_left_out(done: EvaluateFolders) -> None:
    report = done.report
    assert done.bar.figures.text().startswith("3 images · AJI 0.")
    assert cell(done, 0, 0) == "AJI"
    assert cell(done, 0, 1) == f"{report.mean['aji']:.3f}"  # without an interval, of three images
    assert cell(done, 0, 2).startswith(f"{report.pooled.aji:.3f}")
    assert rows_of(done) == ["colon (2)", "liver (1)"]
    left = [done.view.left_out.item(row).text() for row in range(done.view.left_out.count())]
    assert left[:2] == ["t4: no prediction", "more: no true labels"]
    assert left[2].startswith("t3: The true labels are of shape (64, 64)")
    assert done.view.tabs.tabText(2) == "Left out (3)"
    done.view.show_report(replace(report, images=report.images * 2))
    figure, ends = cell(done, 0, 1).split("\n")
    assert figure == f"{report.mean['aji']:.3f}"
    assert ends.count("-") == 1


def test_only_a_split_at_another_threshold(filled: EvaluateFolders, qtbot) -> None:
    filled.form.split.setCurrentIndex(filled.form.split.findData("test"))
    assert not filled.bar.run_button.isEnabled()
    qtbot.waitUntil(lambda: filled.bar.run_button.isEnabled(), timeout=WAIT)
    assert filled.form.split.currentData() == "test"
    filled.form.iou.setValue(0.7)
    with qtbot.waitSignal(filled.reported, timeout=WAIT):
        filled.run()
    assert [image.name for image in filled.report.images] == ["t1", "t2"]
    assert filled.report.iou == pytest.approx(0.7)


def test_images_sort_by_their_figures(done: EvaluateFolders) -> None:
    tree = done.view.images
    tree.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    colon = next(tree.topLevelItem(row) for row in range(2) if tree.topLevelItem(row).text(0) == "colon (2)")
    assert [colon.child(row).text(0) for row in range(2)] == ["t2", "t0"]
    tree.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    assert [colon.child(row).text(0) for row in range(2)] == ["t0", "t2"]


def test_a_double_click_opens_an_image_in_its_place_once(done: EvaluateFolders, qtbot) -> None:
    viewer = done._viewer
    done.view.choose("t1")
    assert done.open_button.isEnabled()
    with qtbot.waitSignal(done.opened, timeout=WAIT) as opened:
        done.view.images.itemDoubleClicked.emit(done.view.images.currentItem(), 0)
    assert [layer.name for layer in viewer.layers] == ["t1", "t1 (truth)", "t1 (prediction)"]
    pred, truth = opened.args
    assert (pred.name, truth.name) == ("t1 (prediction)", "t1 (truth)")
    assert Path(pred.metadata[METADATA_KEY]["path"]).parent.name == "results"
    for layer in viewer.layers:
        np.testing.assert_allclose(layer.scale, (0.5, 0.5), rtol=1e-3)
        assert str(layer.units[0]) == "micrometer"
    with qtbot.waitSignal(done.opened, timeout=WAIT):
        done.open_button.click()
    assert len(viewer.layers) == 3


def test_an_image_that_has_gone_is_an_error_not_a_crash(done: EvaluateFolders, folders, qtbot, monkeypatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("napari_nucleigan.widgets.base.dock.show_error", said.append)
    (folders[0] / "t1.tif").unlink()
    with qtbot.waitSignal(done.failed, timeout=WAIT):
        done.open_image("t1")
    assert "t1.tif" in said[0]
    assert len(done._viewer.layers) == 0


def test_copy_and_export(done: EvaluateFolders, tmp_path: Path, qtbot, monkeypatch) -> None:
    qtbot.mouseClick(done.copy_button, Qt.MouseButton.LeftButton)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0].startswith("organ\tAJI\t")
    assert lines[1].startswith("colon (2)\t")
    menu = {action.text(): action for action in done.export_button.menu().actions()}
    for label, name in (
        ("Everything (CSV)…", "all.csv"),
        ("Everything (JSON)…", "all.json"),
        ("Table (Markdown)…", "all.md"),
    ):
        path = tmp_path / "out" / name
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, path=path: (str(path), ""))
        with qtbot.waitSignal(done.saved, timeout=WAIT):
            menu[label].trigger()
    assert (tmp_path / "out" / "all.csv").read_text() == done.report.to_csv()
    assert json.loads((tmp_path / "out" / "all.json").read_text()) == done.report.to_json()
    assert (tmp_path / "out" / "all.md").read_text() == done.report.to_markdown("organ")
    said: list[str] = []
    monkeypatch.setattr("napari_nucleigan.widgets.base.dock.show_error", said.append)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "out"), ""))
    with qtbot.waitSignal(done.failed, timeout=WAIT):
        menu["Table (Markdown)…"].trigger()
    assert "Cannot write" in said[0]


def test_cancel_and_run_again(filled: EvaluateFolders, qtbot) -> None:
    qtbot.mouseClick(filled.bar.run_button, Qt.MouseButton.LeftButton)
    assert filled.running
    assert not filled.form.isEnabled()
    qtbot.mouseClick(filled.bar.cancel_button, Qt.MouseButton.LeftButton)
    assert not filled.running
    assert filled.bar.notes.text() == "Cancelled."
    assert filled.report is None
    with qtbot.waitSignal(filled.reported, timeout=WAIT):
        filled.run()


@pytest.mark.parametrize("how", ["cancel", "shut_down"])
def test_no_process_is_left_behind(widget: EvaluateFolders, tmp_path: Path, qtbot, monkeypatch, how: str) -> None:
    monkeypatch.setattr("napari_nucleigan.evaluation.folders._WORTHWHILE", 0)
    monkeypatch.setattr("napari_nucleigan.evaluation.folders.usable_cores", lambda: 2)
    labels = np.kron(np.arange(1, 10_001).reshape(100, 100), np.ones((8, 8), int)).astype(np.int32)
    write_labels(tmp_path / "labels" / "first.tif", labels[:8, :8])  # compared here, to see how long one takes
    for place in range(40):
        write_labels(tmp_path / "labels" / f"then{place}.tif", labels)
    for field in (widget.form.pred, widget.form.truth):
        field.line.setText(str(tmp_path / "labels"))
    qtbot.waitUntil(lambda: widget.bar.run_button.isEnabled(), timeout=WAIT)
    before = set(psutil.Process().children())
    widget.run()
    qtbot.waitUntil(lambda: bool(set(psutil.Process().children()) - before), timeout=WAIT)
    children = set(psutil.Process().children()) - before
    getattr(widget, how)()
    assert not widget.running
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_files_that_change_after_the_look_are_told(filled: EvaluateFolders, folders, qtbot, monkeypatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("napari_nucleigan.widgets.base.dock.show_error", said.append)
    for path in folders[0].iterdir():
        path.unlink()
    with qtbot.waitSignal(filled.failed, timeout=WAIT):
        filled.run()
    assert "holds no label images" in said[0]
    assert "holds no label images" in filled.bar.notes.text()
    assert filled.bar.run_button.isEnabled()


def test_folders_are_remembered(done: EvaluateFolders, folders: tuple[Path, Path], qtbot) -> None:
    other = EvaluateFolders(done._viewer)
    qtbot.addWidget(other)
    assert (other.form.pred.path, other.form.truth.path) == folders
    other.shut_down()


def test_every_field_has_a_tooltip(widget: EvaluateFolders) -> None:
    for part in (widget.form.pred, widget.form.truth, widget.form.split, widget.form.iou, widget.bar.run_button):
        assert part.toolTip()
    header = widget.view.images.headerItem()
    assert all(header.toolTip(column) for column in range(1, header.columnCount()))
