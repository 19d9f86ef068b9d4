"""The page for unlabelled images, by clicking it in a real viewer; every adaptation is a real process."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("qtpy.QtWidgets")
from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QLineEdit, QPushButton, QWidget

from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.models import DEFAULT_SEGMENTER
from napari_nucleigan.training.runs.status import RunState, state_of
from tiny_recipes import FINE_TUNING, GENERATOR
from train_app import LONG, App

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHANGES = {**FINE_TUNING, "patch": 32, "epochs_constant": 1, "epochs_decay": 0}


@pytest.fixture
def tissue(tmp_path: Path, tiny_he: Callable[..., Any]) -> Path:
    """Folders of two images without labels, and of two with."""
    for number in range(4):
        rgb, labels = tiny_he(96, 96, 20, number)
        folder = tmp_path / ("plain" if number < 2 else "judged")
        write_image(folder / "images" / f"{number}.png", rgb, 0.25)
        if number >= 2:
            write_labels(folder / "labels" / f"{number}.tif", labels, 0.25)
    return tmp_path


def fill(app: App, tissue: Path, **changes: Any) -> Any:
    """Fill the form for the smallest adaptation, judged by labelled tiles."""
    page = app.widget.adapt
    app.widget.tabs.setCurrentWidget(page)
    app.wait(lambda: page.form.picker.path)
    page.form.images.field.line.setText(str(tissue / "plain"))
    page.form.truth.field.line.setText(str(tissue / "judged"))
    for name, value in {"crops": 2, "pairs": 2, "min_consistency": 0.0, "generator_from": ""}.items():
        page.form.editors[name].put(value)
    page.form.set_recipes({**CHANGES, **changes}, GENERATOR)
    page.form.name.setText("mine")
    app.choose(page.form.device, "cpu")
    app.wait(lambda: not page.problem())
    return page


def start(app: App, page: Any) -> Path:
    with app.qtbot.waitSignal(page.started, timeout=LONG) as blocker:
        app.click(page.bar.run_button)
    return blocker.args[0]


def test_from_a_folder_of_images_to_a_model_that_segments(app: App, tissue: Path, runs: Path) -> None:
    page = app.widget.adapt
    assert page.bar.problem.text() == "Choose the folder of your images."
    page = fill(app, tissue)
    assert page.form.images.remark.text() == "2 images to adapt to."
    assert page.form.truth.remark.text() == "2 images to judge by."
    plan = page.form.plan.text().splitlines()
    assert plan[0] == f"1. {DEFAULT_SEGMENTER} finds the nuclei in your images."
    assert plan[3] == "4. It paints 4 masks like those found; the 2 most varied pairs are kept."
    assert plan[-1] == "6. Old and new are compared by the labelled tiles."
    path = start(app, page)
    assert path == runs / "mine"
    # It is the job of the command: the same settings, in a folder that the command goes on with.
    order = json.loads((path / "order.json").read_text())
    assert (order["kind"], order["recipe"]["truth"]) == ("adaptation", str(tissue / "judged"))
    assert app.widget.tabs.currentWidget() is app.panel
    app.wait(lambda: "of 6," in app.panel.message.text())
    with app.qtbot.waitSignal(app.widget.ended, timeout=LONG) as blocker:
        pass
    assert blocker.args[0].state is RunState.FINISHED, blocker.args[0]
    app.wait(lambda: app.panel.report.isVisibleTo(app.panel))
    shown = app.panel.report.toPlainText()
    assert shown.startswith("Measured on 2 labelled images")
    # It is there again when the run is opened again.
    app.widget.open_run(path)
    app.wait(lambda: app.panel.report.toPlainText() == shown)
    assert not app.panel.plots.isVisibleTo(app.panel)
    assert not app.panel.preview.isVisibleTo(app.panel)
    assert app.panel.use_button.text() == "Segment with it"
    # What is no better than the old model is said, and is not offered.
    status = state_of(path)
    assert app.panel.use_button.isEnabled() == (not status.behind)
    assert status.behind in app.panel.message.text()
    assert not app.errors()


def test_cancelled_the_viewer_gone_and_resumed(app: App, tissue: Path) -> None:
    page = fill(app, tissue, epochs_constant=20_000)
    path = start(app, page)
    app.wait(lambda: "self-training: training" in app.panel.message.text())
    app.wait(lambda: (app.panel.status.done or 0) >= 20)
    assert app.panel.progress.maximum() == 20_000
    assert "of this part" in app.panel.progress.format()
    begin = time.monotonic()
    app.ask("stop")
    app.wait_for(RunState.STOPPED)
    took = time.monotonic() - begin
    assert took < 20  # seconds on any machine; here it takes one
    assert app.panel.message.text() == "Stopped; its state is saved. Resume goes on from what is finished."
    part = state_of(path / "runs" / "self-training")
    assert part.checkpoint
    app.ask("resume")
    app.wait_for(RunState.RUNNING)
    # The viewer goes, the process stays, and the next viewer finds it.
    app.viewer.window.remove_dock_widget(app.widget)
    assert state_of(path).state.alive
    app.open()
    app.wait(lambda: app.panel.path == path)
    app.wait(lambda: (app.panel.status.done or 0) > part.checkpoint)
    app.ask("stop")
    app.wait_for(RunState.STOPPED)
    assert not app.errors()


def test_what_is_missing_is_said_and_every_field_has_a_tooltip(app: App, tissue: Path) -> None:
    page = fill(app, tissue)
    page.form.truth.field.line.setText(str(tissue / "plain"))
    app.wait(lambda: page.problem().startswith("Labelled tiles: ") and "not a data set" in page.problem())
    assert not page.bar.run_button.isEnabled()
    page.form.truth.field.line.setText("")
    app.wait(lambda: not page.problem())
    assert page.form.plan.text().endswith("compared by how far it agrees with itself, which is not accuracy.")
    app.click(page.form.advanced_button)
    page.form.baseline.click()
    assert page.form.settings().methods == ("synthetic",)
    assert "Self-training" not in page.form.plan.text()
    for part in page.form.findChildren(QWidget):
        inner = part.parentWidget()
        own = isinstance(part, (QAbstractSpinBox, QComboBox, QCheckBox, QPushButton, QLineEdit))
        if own and not part.objectName().startswith("qt_"):
            assert part.toolTip() or (inner is not None and inner.toolTip()), part


def test_an_estimate_comes_first(app: App, tissue: Path) -> None:
    page = fill(app, tissue)
    with app.qtbot.waitSignal(app.widget.estimated, timeout=LONG) as blocker:
        app.click(page.estimate_button)
    assert (blocker.args[0].images, blocker.args[0].labelled) == (2, 2)
    assert list(blocker.args[0].parts) == [
        "finding nuclei",
        "self-training",
        "generator",
        "synthetic pairs",
        "fine-tuning on pairs",
        "comparing",
    ]
    assert page.estimate.text().startswith("2 images, 2 labelled to judge by: about ")
