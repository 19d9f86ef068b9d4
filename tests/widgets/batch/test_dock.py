"""The widget that segments folders, by clicking it in a real viewer."""

from __future__ import annotations

import csv
import gc
import os
import shutil
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QFileDialog, QLineEdit

from napari_nucleigan.classification import Classifier, ClassifierCard, NucleusClass, save_classifier
from napari_nucleigan.data.images.files import read_labels, write_image
from napari_nucleigan.segmentation.file_plan import REPORT
from napari_nucleigan.widgets.base.layers import CONTOUR, METADATA_KEY
from napari_nucleigan.widgets.batch.dock import BatchWidget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = 60_000  # milliseconds; the machine may be busy


class App:
    """A viewer with the widget, and the hands of a user."""

    def __init__(self, viewer: Any, qtbot: Any, images: Path, out: Path) -> None:
        self.viewer, self.qtbot, self.images, self.out = viewer, qtbot, images, out
        self.widget = BatchWidget(viewer)
        viewer.window.add_dock_widget(self.widget, name="Segment a folder")
        with qtbot.waitSignal(self.widget.ready, timeout=LONG):
            pass
        self.form, self.bar, self.table = self.widget.form, self.widget.bar, self.widget.table

    def fill(self) -> None:
        self.form.images.line.setText(str(self.images))
        self.form.out.line.setText(str(self.out))
        self.wait(self.bar.run_button.isEnabled)

    def wait(self, condition: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(condition, timeout=LONG)

    def click(self, button: Any) -> None:
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def run(self) -> list[Any]:
        with self.qtbot.waitSignal(self.widget.done, timeout=LONG) as blocker:
            self.click(self.bar.run_button)
        return blocker.args[0]

    def states(self) -> list[str]:
        tree = self.table.tree
        return [tree.topLevelItem(row).text(1) for row in range(tree.topLevelItemCount())]


@pytest.fixture
def images(tmp_path: Path, tiny_he: Callable) -> Path:
    """Three images, 0.25 microns per pixel."""
    for seed, name in enumerate("abc"):
        write_image(tmp_path / "images" / f"{name}.png", tiny_he(96, 96, 14, seed)[0], 0.25)
    return tmp_path / "images"


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: Any, models: Path, images: Path, tmp_path: Path) -> App:
    return App(make_napari_viewer_proxy(), qtbot, images, tmp_path / "out")


def test_a_folder_is_segmented_and_then_skipped(app: App) -> None:
    app.fill()
    assert app.form.remark.text() == "3 images"
    assert app.states() == ["waiting"] * 3
    app.form.formats[".csv"].click()
    app.wait(app.bar.run_button.isEnabled)
    results = app.run()
    assert app.states() == ["done"] * 3
    counts = [int(read_labels(app.out / f"{name}.tif").max()) for name in "abc"]
    assert [int(app.table.state(f"{name}.png")[2]) for name in "abc"] == counts == [each.nuclei for each in results]
    assert all(app.table.state(f"{name}.png")[3] for name in "abc")
    assert all(path.is_file() for result in results for path in result.outputs)
    assert app.bar.figures.text().startswith(f"3 done · {sum(counts)} nuclei · ")
    written = {path: path.stat().st_mtime_ns for path in app.out.glob("?.*")}
    assert len(written) == 6
    app.run()
    assert app.states() == ["skipped"] * 3
    assert app.bar.figures.text() == f"3 skipped · {sum(counts)} nuclei"
    assert {path: path.stat().st_mtime_ns for path in written} == written
    app.form.again.click()
    app.run()
    assert app.states() == ["done"] * 3
    assert all(path.stat().st_mtime_ns != before for path, before in written.items())


def test_a_classifier_gives_the_nuclei_of_a_folder_classes(app: App, tmp_path: Path) -> None:
    classes = tuple(NucleusClass(name=name, color=(1, 2, 3)) for name in ("large", "small"))
    card = ClassifierCard(classes=classes, columns=("area_um2",), mpp=0.25)
    path = tmp_path / "types.safetensors"
    save_classifier(path, Classifier(card, np.array([5.0]), np.ones(1), np.array([[2.0], [-2.0]]), np.zeros(2)))
    app.fill()
    app.form.formats[".csv"].click()
    app.form.classifier.line.setText(str(path.parent / "none"))
    app.wait(lambda: "There is no classifier" in app.bar.problem.text())
    app.form.classifier.line.setText(str(path))
    app.wait(app.bar.run_button.isEnabled)
    app.run()
    with (app.out / "a.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert {row["class"] for row in rows} == {"large", "small"}
    assert all((float(row["area_um2"]) > 5) == (row["class"] == "large") for row in rows)


def test_images_without_a_pixel_size_are_asked_for_before_run(app: App, tiny_he: Callable) -> None:
    write_image(app.images / "unknown.png", tiny_he(96, 96, 14, 5)[0])
    app.form.images.line.setText(str(app.images))
    app.form.out.line.setText(str(app.out))
    app.wait(lambda: "1 of 4 images have no pixel size" in app.bar.problem.text())
    assert app.form.remark.text() == "4 images · 1 without pixel size"
    assert not app.bar.run_button.isEnabled()
    app.form.mpp.setValue(0.25)
    assert app.bar.run_button.isEnabled()
    assert [result.provenance["mpp"] for result in app.run()] == [0.25] * 4


def test_it_says_what_is_missing_before_it_can_run(app: App, tmp_path: Path) -> None:
    def problem() -> str:
        assert not app.bar.run_button.isEnabled()
        assert app.bar.run_button.toolTip() == app.bar.problem.text()
        return app.bar.problem.text()

    assert problem() == "Choose the images: a folder, or files."
    app.form.images.line.setText(str(app.images))
    assert problem() == "Choose the folder of the results: it may be a new one."
    app.form.out.line.setText("out")
    assert "whole paths" in problem()
    app.form.out.line.setText(str(app.out))
    app.wait(app.bar.run_button.isEnabled)
    app.form.images.line.setText(str(tmp_path / "nowhere"))
    app.wait(lambda: "There is no " in app.bar.problem.text())
    (tmp_path / "empty").mkdir()
    app.form.images.line.setText(str(tmp_path / "empty"))
    app.wait(lambda: "There are no images in" in problem())
    app.form.images.line.setText(str(app.images))
    app.form.formats[".tif"].click()
    assert problem() == "Choose at least one kind of results."
    app.form.formats[".tif"].click()
    app.form.min_area.setValue(300)
    app.form.max_area.setValue(200)
    app.wait(lambda: "smallest area is not below the largest" in app.bar.problem.text())


def test_a_file_that_fails_is_told_and_the_others_are_done(app: App) -> None:
    (app.images / "b.png").write_bytes(b"nothing")
    app.fill()
    said: list[Any] = []
    notification_manager.notification_ready.connect(said.append)
    app.run()
    assert app.states() == ["done", "failed", "done"]
    assert [event.message for event in said] == [
        "1 of 3 images failed; choose one in the table to read why. All reasons are in " + f"{app.out / REPORT}."
    ]
    app.table.choose("b.png")
    assert "it is not PNG, JPEG or TIFF" in app.table.detail.text()
    assert app.table.tree.currentItem().toolTip(1) == app.table.detail.text()
    assert app.table.state("b.png")[2:] == ("", "")
    with (app.out / REPORT).open(newline="") as handle:
        assert [row["state"] for row in csv.DictReader(handle)] == ["done", "failed", "done"]
    # Failures come first where states are sorted.
    app.table.tree.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert app.states()[0] == "failed"
    shutil.copy(app.images / "a.png", app.images / "b.png")
    app.run()
    assert app.table.counts == {"skipped": 2, "done": 1}


def test_cancel_acts_within_a_second_and_run_goes_on(app: App, tiny_he: Callable) -> None:
    for seed in range(12):
        write_image(app.images / f"d{seed:02d}.png", tiny_he(400, 400, 60, seed)[0], 0.25)
    app.fill()
    app.click(app.bar.run_button)
    app.wait(lambda: app.table.counts["done"] >= 2)
    assert not app.form.isEnabled()
    assert "image " in app.bar.progress.format()
    assert " left" in app.bar.progress.format()
    begin = time.monotonic()
    app.click(app.bar.cancel_button)
    assert not app.widget.running
    assert time.monotonic() - begin < 1
    assert "Run goes on from it" in app.bar.notes.text()
    assert app.table.counts["running"] == 0
    done = app.table.counts["done"]
    assert QThreadPool.globalInstance().waitForDone(10_000)
    assert done <= len(list(app.out.glob("*.tif"))) <= done + 1
    app.run()
    assert app.table.counts["skipped"] >= done
    assert app.table.counts["skipped"] + app.table.counts["done"] == 15


def test_a_double_click_opens_an_image_with_its_nuclei(app: App) -> None:
    app.fill()
    app.form.mpp.setValue(0.3)
    app.run()
    app.table.choose("b.png")
    with app.qtbot.waitSignal(app.widget.opened, timeout=LONG) as opened:
        app.table.tree.itemDoubleClicked.emit(app.table.tree.currentItem(), 0)
    image, labels = opened.args[0]
    assert [layer.name for layer in app.viewer.layers] == ["b", "b nuclei"]
    np.testing.assert_array_equal(labels.data, read_labels(app.out / "b.tif"))
    for layer in (image, labels):
        np.testing.assert_allclose(layer.scale, (0.3, 0.3), rtol=1e-3)
        assert str(layer.units[0]) == "micrometer"
    assert labels.contour == CONTOUR
    assert labels.metadata[METADATA_KEY]["path"] == str(app.out / "b.tif")
    for name, count in (("b.png", 2), ("c.png", 4)):
        app.table.choose(name)
        with app.qtbot.waitSignal(app.widget.opened, timeout=LONG):
            app.click(app.widget.open_button)
        assert len(app.viewer.layers) == count
    assert [layer.visible for layer in app.viewer.layers] == [False, False, True, True]
    app.table.choose("a.png")
    (app.images / "a.png").unlink()
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG) as failed:
        app.click(app.widget.open_button)
    assert "a.png" in str(failed.args[0])


def test_polygons_and_tables_open_too(app: App) -> None:
    app.fill()
    for suffix, names in ((".geojson", ["a", "a nuclei"]), (".csv", ["a"])):
        app.viewer.layers.clear()
        for each, box in app.form.formats.items():
            box.setChecked(each == suffix)
        app.wait(app.bar.run_button.isEnabled)
        app.run()
        app.table.choose("a.png")
        with app.qtbot.waitSignal(app.widget.opened, timeout=LONG):
            app.click(app.widget.open_button)
        assert [layer.name for layer in app.viewer.layers] == names


def test_a_result_that_was_made_anew_is_another_layer(app: App) -> None:
    app.fill()
    app.run()
    app.table.choose("a.png")
    for count in (2, 3):
        with app.qtbot.waitSignal(app.widget.opened, timeout=LONG):
            app.click(app.widget.open_button)
        assert len(app.viewer.layers) == count
        app.form.threshold.setValue(0.8)
        app.wait(app.bar.run_button.isEnabled)
        app.run()
        app.table.choose("a.png")


def test_files_folders_and_kinds_are_chosen_and_remembered(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    menu = {action.text(): action for action in app.form.images.choose.menu().actions()}
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(app.images))
    menu["Folder…"].trigger()
    assert app.form.images.paths == (app.images,)
    assert app.form.out.path == app.images / "nuclei"
    files = [str(app.images / f"{name}.png") for name in "ab"]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: (files, ""))
    menu["Files…"].trigger()
    assert app.form.images.line.text() == f"2 files of {app.images}"
    app.wait(app.bar.run_button.isEnabled)
    app.form.formats[".geojson"].click()
    app.wait(app.bar.run_button.isEnabled)
    assert len(app.run()) == 2
    other = BatchWidget(app.viewer)
    app.qtbot.addWidget(other)
    assert other.form.order() == app.form.order()
    app.form.images.line.setText(str(tmp_path))
    assert app.form.images.paths == (tmp_path,)


def test_subfolders(app: App) -> None:
    (app.images / "deep").mkdir()
    shutil.copy(app.images / "a.png", app.images / "deep" / "a.png")
    app.fill()
    app.form.recursive.click()
    app.wait(lambda: app.form.remark.text() == "4 images")
    app.run()
    assert app.table.state("deep/a.png")[1] == "done"
    assert (app.out / "deep" / "a.tif").is_file()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="mounts")
def test_a_folder_that_refuses_is_one_error(app: App, mount: Callable[[str], Path]) -> None:
    app.out = mount("ro")
    app.fill()
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG) as failed:
        app.click(app.bar.run_button)
    assert "the file system is read-only" in str(failed.args[0])
    assert "the file system is read-only" in app.bar.notes.text()
    assert app.states() == ["waiting"] * 3
    assert app.bar.run_button.isEnabled()


def test_images_that_came_since_are_segmented_too(app: App) -> None:
    app.fill()
    shutil.copy(app.images / "a.png", app.images / "new.png")
    app.run()
    assert app.table.state("new.png")[1] == "done"


def test_every_field_has_a_tooltip_and_it_fits(app: App) -> None:
    kinds = (QComboBox, QAbstractSpinBox, QAbstractSlider, QAbstractButton, QLineEdit)
    for kind in kinds:
        for part in app.form.findChildren(kind):
            own = part.parent() is app.form or part in (app.form.images.line, app.form.out.line)
            assert part.toolTip() or not own, part
    for part in (app.bar.run_button, app.bar.cancel_button, app.widget.open_button, app.table.tree):
        assert part.toolTip()
    assert all(app.table.tree.headerItem().toolTip(column) for column in range(4))
    assert app.form.minimumSizeHint().width() <= 328
    assert app.widget.minimumSizeHint().height() < 800
    app.viewer.theme = "light"
    assert "#8a4b00" in app.bar.problem.styleSheet()


def test_a_model_file_can_be_added(app: App, trained_file: Path, painters: Path) -> None:
    app.widget.add_model_file(trained_file)
    assert app.form.model.currentData() == str(trained_file)
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG) as failed:
        app.widget.add_model_file(painters / "paint.safetensors")
    assert "is a synthesizer, not a segmenter" in str(failed.args[0])


def test_closed_in_the_middle_it_leaves_nothing_behind(app: App, tiny_he: Callable) -> None:
    for seed in range(12):
        write_image(app.images / f"d{seed:02d}.png", tiny_he(300, 300, 60, seed)[0], 0.25)
    app.fill()
    before = threading.active_count()
    app.click(app.bar.run_button)
    app.wait(lambda: app.table.counts["done"] >= 1)
    alive = weakref.ref(app.widget)
    app.viewer.window.remove_dock_widget(app.widget)
    assert not app.widget.running
    assert QThreadPool.globalInstance().waitForDone(10_000)
    assert threading.active_count() <= before + 1
    done = len(list(app.out.glob("*.tif")))
    assert done < 15
    assert not list(app.out.glob(".*"))
    app.widget = app.form = app.bar = app.table = None
    app.qtbot.wait(100)
    gc.collect()
    assert alive() is None


def test_opening_from_the_menu(make_napari_viewer_proxy: Callable, qtbot: Any, models: Path) -> None:
    viewer = make_napari_viewer_proxy()
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleigan", "Segment a folder")
    with qtbot.waitSignal(widget.ready, timeout=LONG):
        pass
    assert isinstance(widget, BatchWidget)
