"""The Train widget, by clicking it in a real viewer; every run is a real process."""

from __future__ import annotations

import json
import shutil
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QInputDialog,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QWidget,
)

from napari_nucleigan.base.events import ValidationScores
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.training.recipe_files import read_recipe
from napari_nucleigan.training.runs.processes import RunProcess
from napari_nucleigan.training.runs.queue import Place
from napari_nucleigan.training.runs.run_folder import RunFolder
from napari_nucleigan.training.runs.run_library import DATA, list_runs
from napari_nucleigan.training.runs.status import RunState, state_of
from napari_nucleigan.training.starts import fixed_by
from napari_nucleigan.widgets.base import closing
from napari_nucleigan.widgets.base.layers import image_layers
from napari_nucleigan.widgets.train.form import SEGMENTER, SYNTHESIZER
from napari_nucleigan.widgets.train.sections import FOLDER, LAYERS
from run_folders import make_run, tell_preview
from train_app import LONG, App

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}
TINY_SYNTHESIZER = {
    "name": "compact-synthesizer",
    "generator": {"name": "painter", "widths": [4, 6, 8], "style_size": 4},
    "segmenter": {"name": "compact-unet", "widths": [4, 8, 8]},
    "discriminator_width": 4,
    "discriminator_layers": 1,
    "pool": 4,
    "patch": 32,
    "batch": 2,
    "crops_per_epoch": 20,
    "epochs_constant": 3,
    "epochs_decay": 1,
    "validate_every": 2,
    "precision": "float32",
}


@pytest.fixture
def data(tmp_path: Path, tiny_he: Callable) -> Path:
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    for index in range(3):
        rgb, labels = tiny_he(96, 96, 20, index)
        (folder / "images" / f"{index}.png").write_bytes(imagecodecs.png_encode(rgb))
        write_labels(folder / "labels" / f"{index}.tif", labels)
    return folder


def of_folder(app: App, data: Path) -> None:
    app.choose(app.form.data.source, FOLDER)
    app.form.data.folder.field.line.setText(str(data))
    app.wait(lambda: not app.form.data.problem())


def shorten(path: Path, epochs: int) -> None:
    """Let a run finish early: nothing but its length may be changed by hand."""
    recipe = json.loads((path / "recipe.json").read_text())
    (path / "recipe.json").write_text(json.dumps({**recipe, "epochs_constant": epochs, "epochs_decay": 0}))


def test_from_open_layers_to_a_model_that_segments(app: App, tiny_he: Callable, runs: Path) -> None:
    rgb, labels = tiny_he(128, 160, 40, 7)
    app.viewer.add_image(rgb, name="my tile", **MICRONS)
    mask = app.viewer.add_labels(labels, name="my tile nuclei", **MICRONS)
    app.recipe()
    assert app.widget.new.bar.run_button.isEnabled()
    app.form.name.setText("mine")
    path = app.start()
    assert path == runs / "mine"
    assert app.widget.tabs.currentWidget() is app.panel
    assert app.state in (None, RunState.QUEUED, RunState.RUNNING)
    with app.qtbot.waitSignal(app.widget.ended, timeout=LONG) as blocker:
        pass
    assert blocker.args[0].state is RunState.FINISHED, blocker.args[0]
    app.wait_for(RunState.FINISHED)
    assert "Finished" in app.panel.title.text()
    assert "mine" in app.panel.title.text()
    # what the process was given is what was open
    written = runs / DATA / "mine"
    assert [file.name for file in (written / "images").iterdir()] == ["my tile.tif"]
    record = json.loads((path / "data.json").read_text())
    assert record["folder"] == str(written)
    # the plots have the whole story
    app.wait(lambda: app.panel.plots.losses.getPlotItem().items)
    app.wait(lambda: app.panel.plots.step.text().startswith("step 40"))
    assert app.panel.plots.names.shown[0] == ("loss", "l1")
    # the preview is a layer beside the image; the layer in hand stays in hand
    preview = app.viewer.layers["mine preview"]
    assert preview.rgb
    assert preview.translate[1] > 160 * 0.25
    assert preview.units == mask.units
    assert app.viewer.layers.selection.active == mask
    # no button but Use can be pressed
    assert not any(button.isEnabled() for button in app.panel.buttons.values())
    assert app.panel.use_button.isEnabled()
    assert app.panel.status.model == path / "best.safetensors"
    assert not app.errors()


def test_paused_resumed_stopped_resumed_and_finished(app: App, data: Path) -> None:
    of_folder(app, data)
    assert app.form.data.folder.remark.text() == "3 images: 3 train."
    app.recipe(epochs_constant=400, validate_every=50)
    path = app.start()
    app.wait_for(RunState.RUNNING)
    app.wait(lambda: app.panel.status.step and app.panel.status.step >= 20)
    assert app.panel.progress.isVisibleTo(app.panel)
    assert app.panel.progress.maximum() == 4010
    assert "step" in app.panel.progress.format()
    app.ask("pause")
    app.wait_for(RunState.PAUSED)
    assert app.panel.buttons["resume"].isEnabled()
    assert not app.panel.buttons["pause"].isEnabled()
    step = app.panel.status.step
    app.qtbot.wait(700)
    assert app.panel.status.step == step
    app.ask("resume")
    app.wait_for(RunState.RUNNING)
    app.wait(lambda: app.panel.status.step > step)
    begin = time.monotonic()
    app.ask("stop")
    app.wait_for(RunState.STOPPED)
    assert time.monotonic() - begin < 20  # the benchmark has the bar
    assert "Resume goes on from step" in app.panel.message.text()
    saved = app.panel.status.checkpoint
    assert saved >= step
    epochs = saved // 10 + 2
    shorten(path, epochs)
    with app.qtbot.waitSignal(app.widget.ended, timeout=LONG) as blocker:
        app.ask("resume")
    assert blocker.args[0].state is RunState.FINISHED, blocker.args[0]
    app.wait(lambda: app.panel.plots.step.text().startswith(f"step {10 * epochs}"))
    steps = [event.step for event in RunFolder(path).events() if hasattr(event, "lr")]
    assert steps == sorted(set(steps))
    assert not app.errors()


def test_a_failed_run_says_why_and_a_killed_one_goes_on(app: App, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_folder(app, data)
    app.recipe(epochs_constant=4000, checkpoint_every=2)
    broken = data / "images" / "1.png"
    content = broken.read_bytes()
    broken.write_bytes(content[:100])
    with app.qtbot.waitSignal(app.widget.ended, timeout=LONG):
        app.start()
    app.wait_for(RunState.FAILED)
    assert "1.png" in app.panel.message.text()
    assert app.panel.log.isVisibleTo(app.panel)
    assert "1.png" in app.panel.log.toPlainText()
    assert "1.png" in app.errors()[0]
    broken.write_bytes(content)
    app.ask("resume")
    app.wait_for(RunState.RUNNING)
    assert not app.panel.log.isVisibleTo(app.panel)
    app.wait(lambda: app.panel.status.checkpoint)
    asked: list[str] = []

    def answer(text: str) -> None:
        def exec_(box: QMessageBox) -> int:
            asked.append(box.text())
            next(each for each in box.buttons() if each.text().replace("&", "") == text).click()
            return 0

        monkeypatch.setattr(QMessageBox, "exec", exec_)

    answer("Cancel")
    app.click(app.panel.buttons["kill"])
    app.qtbot.wait(500)
    assert app.state is RunState.RUNNING
    answer("Kill")
    begin = time.monotonic()
    app.ask("kill")
    app.wait_for(RunState.INTERRUPTED)
    assert time.monotonic() - begin < 15
    assert "Killed" in app.panel.message.text()
    assert asked == [f"End “{app.panel.path.name}” at once? The steps since the last checkpoint are lost."] * 2
    assert app.panel.buttons["resume"].isEnabled()
    assert len(app.errors()) == 1


def test_a_queued_run_waits_pauses_and_is_cancelled(app: App, data: Path) -> None:
    of_folder(app, data)
    app.recipe()
    app.choose(app.form.device, "cpu")
    app.form.queue.click()
    assert app.form.queue.isChecked()
    with Place("cpu"):
        path = app.start()
        app.wait(lambda: app.panel.message.text() == "Waiting for another run on this device.")
        assert app.state is RunState.QUEUED
        app.ask("pause")
        app.wait_for(RunState.PAUSED)
        assert "others go first" in app.panel.message.text()
        with Place("cpu") as later:
            assert later.ahead() == 1
        app.ask("resume")
        app.wait_for(RunState.QUEUED)
        app.ask("stop")
        app.wait_for(RunState.STOPPED)
        assert "before it began" in app.panel.message.text()
        app.ask("resume")
        app.wait(lambda: app.state is not RunState.STOPPED)
    app.wait_for(RunState.FINISHED)
    assert path.joinpath("best.safetensors").exists()
    assert not app.errors()


def test_a_stop_waits_for_no_other_thread(app: App, data: Path) -> None:
    of_folder(app, data)
    app.recipe(epochs_constant=4000)
    app.start()
    app.wait(lambda: app.panel.status and app.panel.status.step)
    pool, free = QThreadPool.globalInstance(), threading.Event()
    for _ in range(pool.maxThreadCount()):
        pool.start(free.wait)
    try:
        app.ask("stop")
        app.wait_for(RunState.STOPPED)
    finally:
        free.set()


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(
    app: App, data: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.viewer.window.remove_dock_widget(app.widget)
    monkeypatch.setenv("NUCLEIGAN_RUNS", str(small_disk))
    app.open()
    of_folder(app, data)
    app.recipe(epochs_constant=40)
    path = app.start()
    app.wait(lambda: app.panel.status and app.panel.status.checkpoint)
    app.ask("pause")
    app.wait_for(RunState.PAUSED)
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as handle:
        while handle.write(bytes(4096)):
            pass
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
        app.click(app.panel.buttons["stop"])
    assert "the disk is full" in app.errors()[-1]
    app.ask("resume")
    app.wait_for(RunState.FAILED)
    assert "the disk is full" in app.panel.message.text()
    assert "the disk is full" in app.errors()[-1]
    filler.unlink()
    shorten(path, app.panel.status.checkpoint // 10 + 2)
    with app.qtbot.waitSignal(app.widget.ended, timeout=LONG) as blocker:
        app.ask("resume")
    assert blocker.args[0].state is RunState.FINISHED, blocker.args[0]
    assert (path / "best.safetensors").exists()


def test_a_start_that_fails_leaves_no_data_behind(app: App, tiny_he: Callable, runs: Path) -> None:
    rgb, _ = tiny_he(64, 64, 8, 1)
    app.viewer.add_image(rgb, name="tile", **MICRONS)
    app.viewer.add_labels(np.zeros((64, 64), int), name="tile nuclei", **MICRONS)
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
        app.click(app.widget.new.bar.run_button)
    assert "hold no nuclei" in app.errors()[-1]
    assert not any((runs / DATA).glob("*"))
    assert list_runs(runs) == []


def test_a_synthesizer_is_trained_from_open_layers_and_used(app: App, tiny_he: Callable, runs: Path) -> None:
    rgb, labels = tiny_he(96, 96, 20, 3)
    app.viewer.add_image(rgb, name="tile", **MICRONS)
    app.viewer.add_labels(labels, name="tile nuclei", **MICRONS)
    app.choose(app.form.kind, SYNTHESIZER)
    (app.folder / "tiny.json").write_text(json.dumps(TINY_SYNTHESIZER))
    app.form.set_recipe(app.folder / "tiny.json")
    app.choose(app.form.masks, "breast")
    path = app.start()
    with app.qtbot.waitSignal(app.widget.ended, timeout=LONG) as blocker:
        pass
    assert blocker.args[0].state is RunState.FINISHED, blocker.args[0]
    assert blocker.args[0].kind == "synthesizer"
    app.wait_for(RunState.FINISHED)
    app.wait(lambda: app.panel.plots.step.text().startswith("step 40"))
    shown = dict(app.panel.plots.names.shown)
    assert {kind for kind, _ in app.panel.plots.names.shown} == {"loss", "score"}, shown
    named = {name for kind, name in app.panel.plots.names.shown if kind == "loss"}
    assert {"cycle_images", "cycle_masks", "adversarial_images", "discriminator_images"} <= named
    preview = app.viewer.layers[f"{path.name} preview"]
    assert preview.data.shape == (4 * 32, 4 * 32, 3)
    assert "AJI, own masks" in app.panel.message.text()
    # its data go with it
    app.widget.list.select([path])
    app.wait(lambda: app.widget.list.buttons["delete"].isEnabled())
    app.widget.tabs.setCurrentWidget(app.widget.list)
    with app.qtbot.waitSignal(app.widget.acted, timeout=LONG):
        app.click(app.widget.list.buttons["delete"])
    assert not any((runs / DATA).iterdir())
    (trashed,) = (runs / ".trash").iterdir()
    assert (trashed / "data" / "labels" / "tile.tif").exists()
    assert not app.errors()


def test_what_is_missing_is_said_before_start(app: App, data: Path, tiny_he: Callable, tmp_path: Path) -> None:
    button, problem = app.widget.new.bar.run_button, app.widget.new.bar.problem
    assert "There is no image with labels" in problem.text()
    assert not button.isEnabled()
    assert not app.widget.new.estimate_button.isEnabled()
    rgb, labels = tiny_he(96, 96, 10, 1)
    app.viewer.add_image(rgb, name="plain")
    app.viewer.add_labels(labels[:50], name="smaller")
    assert "There is no image with labels" in problem.text()
    app.viewer.add_labels(labels, name="nuclei")
    assert "microns per pixel" in problem.text()
    app.form.data.mpp.setValue(0.25)
    assert button.isEnabled(), problem.text()
    app.viewer.add_labels(labels, name="plain too")
    assert app.form.data.list.count() == 2
    app.form.data.list.item(0).setCheckState(Qt.CheckState.Checked)
    app.form.data.list.item(1).setCheckState(Qt.CheckState.Checked)
    assert "ticked with two labels" in problem.text()
    for row in range(2):
        app.form.data.list.item(row).setCheckState(Qt.CheckState.Unchecked)
    assert "Tick at least one pair" in problem.text()
    app.choose(app.form.data.source, FOLDER)
    assert "Choose the folder" in problem.text()
    app.form.data.folder.field.line.setText(str(tmp_path))
    assert "Looking into" in problem.text()
    app.wait(lambda: "not a data set" in problem.text())
    of_folder(app, data)
    assert button.isEnabled()
    app.form.share.setValue(50)
    assert "Synthetic pairs" in problem.text()
    app.form.synthetic.field.line.setText(str(data))
    app.wait(lambda: button.isEnabled())
    request = app.form.request(tmp_path)
    assert request.synthetic == data
    assert request.recipe.synthetic_share == 0.5
    generator = app.form.current.editor("generator").widget
    generator.setText("{compact}")
    assert "Generator is no valid JSON" in problem.text()
    assert not button.isEnabled()
    generator.setText('{"name": "compact-unet"}')
    assert button.isEnabled()
    zoom = app.form.current.editor("zoom")
    zoom.put((2.0, 1.0))
    assert "smallest <= largest" in problem.text()
    zoom.put((1.0, 1.0))
    assert button.isEnabled()
    assert not app.errors()


def test_every_field_has_a_tooltip_and_the_recipe_comes_back(app: App) -> None:
    for kind in (SEGMENTER, SYNTHESIZER):
        app.choose(app.form.kind, kind)
        if not app.form.advanced.isVisibleTo(app.form):
            app.click(app.form.advanced_button)
        for index in reversed(range(app.form.recipe.count())):
            app.form.recipe.setCurrentIndex(index)
            recipe = app.form.recipe.currentData()
            assert app.form.start.currentText() == (recipe.start_from or "Random weights")
            changes = fixed_by(app.form.picker.card) if recipe.start_from else {}
            assert app.form.current.recipe() == read_recipe(recipe.name, changes, type(recipe))
    for part in app.form.findChildren(QWidget):
        inner = part.parentWidget()
        own = isinstance(part, (QAbstractSpinBox, QComboBox, QCheckBox, QPushButton, QLineEdit))
        if own and not part.objectName().startswith("qt_"):
            assert part.toolTip() or (inner is not None and inner.toolTip()), part


def test_synthesizers_have_their_own_fields(app: App, data: Path, tmp_path: Path) -> None:
    of_folder(app, data)
    app.choose(app.form.kind, SYNTHESIZER)
    app.wait(lambda: not app.widget.new.problem())
    assert not app.form.share.isVisibleTo(app.form)
    app.choose(app.form.masks, "liver")
    request = app.form.request(tmp_path)
    assert (request.kind, request.recipe.masks, request.synthetic) == ("synthesizer", "liver", None)
    app.form.choose_masks(str(data))
    assert app.form.request(tmp_path).recipe.masks == str(data)
    app.choose(app.form.kind, SEGMENTER)
    assert app.form.request(tmp_path).kind == "segmenter"


def test_fine_tuning_takes_what_the_model_decides(app: App, data: Path, models: Path, tmp_path: Path) -> None:
    of_folder(app, data)
    model = models / "tiny.safetensors"
    app.choose(app.form.start, str(model))
    recipe = app.form.request(tmp_path).recipe
    assert recipe.start_from == str(model)
    assert recipe.generator == {"name": "compact-unet", "widths": [8, 16, 16]}
    # The recipe that suits a model comes by itself, unless another one was chosen.
    assert (recipe.name, recipe.minutes) == ("fine-tune-segmenter", 5)
    app.form.recipe.setCurrentText("paper-segmenter")
    assert app.form.request(tmp_path).recipe.start_from == ""
    app.choose(app.form.start, str(model))
    assert app.form.request(tmp_path).recipe.generator == {"name": "compact-unet", "widths": [8, 16, 16]}
    app.choose(app.form.start, "")
    assert app.form.recipe.currentText() == "paper-segmenter"
    app.form.recipe.setCurrentText("fine-tune-segmenter")
    assert not app.widget.new.problem()
    assert app.form.request(tmp_path).recipe.start_from == str(model)
    editor = app.form.current.editor("generator").widget
    assert not editor.isEnabled()
    assert "decides it" in editor.toolTip()
    app.choose(app.form.start, "")
    assert editor.isEnabled()
    assert app.form.request(tmp_path).recipe.generator == {"name": "compact-unet"}
    app.form.picker.add(tmp_path / "none.safetensors")
    assert "none.safetensors" in app.errors()[0]


def test_an_estimate_comes_first(app: App, data: Path) -> None:
    of_folder(app, data)
    app.recipe()
    with app.qtbot.waitSignal(app.widget.estimated, timeout=LONG) as blocker:
        app.click(app.widget.new.estimate_button)
        assert "Trying" in app.widget.new.estimate.text()
    assert (blocker.args[0].images, blocker.args[0].validation) == (2, 1)
    text = app.widget.new.estimate.text()
    assert "80 crops in 40 steps" in text
    assert "memory" in text
    app.form.current.editor("batch").put(4)
    assert app.widget.new.estimate.text().startswith("There is no time limit")  # that was of other settings


def test_closing_napari_asks_and_a_run_that_goes_on_is_found_again(
    app: App, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_folder(app, data)
    app.recipe(epochs_constant=4000)
    path = app.start()
    app.wait_for(RunState.RUNNING)
    app.wait(lambda: app.widget.list.status(path) is not None and app.widget.list.status(path).state.alive)
    window = app.widget.window()
    asked: list[str] = []

    def answer(text: str) -> None:
        def exec_(box: QMessageBox) -> int:
            asked.append(box.text())
            button = next(each for each in box.buttons() if each.text().replace("&", "") == text)
            button.click()
            return 0

        monkeypatch.setattr(QMessageBox, "exec", exec_)

    answer("Do not close")
    assert not window.close()
    assert app.widget.window() is window
    assert path.name in asked[0]
    assert state_of(path).state is RunState.RUNNING
    # the widget is closed: nothing is asked, the run goes on, and is found again
    app.viewer.window.remove_dock_widget(app.widget)
    assert len(asked) == 1
    app.open()
    app.wait_for(RunState.RUNNING)
    assert app.panel.path == path
    app.wait(lambda: app.panel.status.step and app.panel.status.step > 20)
    answer("Save and stop")
    app.wait(lambda: app.widget.list.status(path) is not None)
    app.viewer.close()
    assert len(asked) == 2
    RunProcess(path).wait(60)
    assert state_of(path).state is RunState.STOPPED
    assert state_of(path).checkpoint


def test_nothing_is_asked_where_nothing_trains(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "ask", lambda *_: pytest.fail("asked"))
    app.viewer.close()


def test_the_model_is_used_at_once(app: App, runs: Path, trained_file: Path) -> None:
    path = make_run(runs, "mine", model=trained_file)
    app.widget.watcher.look()
    app.wait(lambda: app.widget.list.status(path))
    app.widget.open_run(path)
    app.wait_for(RunState.FINISHED)
    app.click(app.panel.use_button)
    _, segment = app.viewer.window.add_plugin_dock_widget("napari-nucleigan", "Segment nuclei")
    assert segment.form.picker.path == str(path / "best.safetensors")


def test_a_model_that_is_no_gain_is_not_offered(app: App, runs: Path, trained_file: Path) -> None:
    path = make_run(runs, "mine", model=trained_file)
    RunFolder(path).record(ValidationScores(0, {"aji": 0.6}, True))
    app.widget.open_run(path)
    app.wait_for(RunState.FINISHED)
    assert "No step was better" in app.panel.message.text()
    assert not app.panel.use_button.isEnabled()
    assert "No step was better" in app.panel.use_button.toolTip()


def test_runs_are_renamed_deleted_and_compared(app: App, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make_run(runs, "first"), make_run(runs, "second", 8, finished=False)
    app.widget.watcher.look()
    app.wait(lambda: len(app.widget.list.paths) == 2)
    listing = app.widget.list
    listing.select([first])
    app.click(listing.buttons["open"])
    app.wait(lambda: app.panel.plots.step.text().startswith("step 50"))
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("better", True))
    with app.qtbot.waitSignal(app.widget.acted, timeout=LONG):
        app.click(listing.buttons["rename"])
    app.wait(lambda: app.panel.status is not None and app.panel.status.name == "better")
    assert app.panel.plots.step.text().startswith("step 50")
    app.wait(lambda: runs / "better" in listing.paths)
    listing.select([runs / "better", second])
    app.click(listing.buttons["compare"])
    app.wait(lambda: app.panel.plots.step.text().startswith("step 80"))
    assert set(app.panel.paths) == {runs / "better", second}
    listing.select([runs / "better"])
    with app.qtbot.waitSignal(app.widget.acted, timeout=LONG):
        app.click(listing.buttons["delete"])
    app.wait(lambda: listing.paths == [second])
    assert app.panel.paths == [second]
    assert [path.name.startswith("better") for path in (runs / ".trash").iterdir()] == [True]
    shutil.rmtree(second)  # by hand, behind our back
    app.wait(lambda: not app.panel.paths)
    assert "No run is open" in app.panel.title.text()
    assert not app.errors()


def test_a_run_folder_that_cannot_be_written_is_said(app: App, data: Path, runs: Path) -> None:
    of_folder(app, data)
    app.recipe()
    runs.write_text("in the way")
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
        app.click(app.widget.new.bar.run_button)
    assert "Cannot write" in app.errors()[0]
    assert "Cannot write" in app.widget.new.bar.notes.text()
    assert app.widget.new.bar.run_button.isEnabled()


def test_the_preview_is_one_layer_that_the_user_may_refuse(app: App, runs: Path) -> None:
    path = make_run(runs, "mine", finished=False)
    app.widget.open_run(path)
    tell_preview(path, 10, np.full((20, 80, 3), 10, np.uint8))
    app.wait(lambda: "mine preview" in app.viewer.layers)
    layer = app.viewer.layers["mine preview"]
    assert image_layers(app.viewer) == []  # nobody wants to segment it
    assert app.panel.picture.isVisibleTo(app.panel)  # in the dock it is in sight wherever the camera is
    assert app.panel.picture.pixmap().width() > 4 * app.panel.picture.pixmap().height() - 4
    tell_preview(path, 20, np.full((20, 80, 3), 20, np.uint8))
    app.wait(lambda: layer.data[0, 0, 0] == 20)
    assert len(app.viewer.layers) == 1
    assert layer.metadata["step"] == 20
    app.click(app.panel.preview)
    assert len(app.viewer.layers) == 0
    app.click(app.panel.preview)
    assert len(app.viewer.layers) == 1
    app.viewer.layers.clear()
    tell_preview(path, 30, np.full((20, 80, 3), 30, np.uint8))
    app.qtbot.wait(1500)
    assert len(app.viewer.layers) == 0


def test_layers_come_and_go(app: App, tiny_he: Callable) -> None:
    rgb, labels = tiny_he(64, 64, 8, 1)
    image = app.viewer.add_image(rgb, name="one", **MICRONS)
    app.viewer.add_labels(labels, name="one nuclei", **MICRONS)
    app.viewer.add_image(rgb, name="two", **MICRONS)
    assert app.form.data.source.currentData() == LAYERS
    assert [pair[0].name for pair in app.form.data.pairs] == ["two", "one"]
    app.form.data.list.item(0).setCheckState(Qt.CheckState.Unchecked)
    app.viewer.add_points([[1, 1]])
    assert [pair[0].name for pair in app.form.data.pairs] == ["one"]
    app.viewer.layers.remove(image)
    assert app.form.data.pairs == []
