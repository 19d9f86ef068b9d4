"""A classifier in the Segment widget: chosen, applied, and nuclei in the colours of their classes; by clicking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_nucleigan.classification import Classifier, ClassifierCard, NucleusClass, save_classifier
from napari_nucleigan.widgets.segment.colours import KIND, OWN
from segment_app import MICRONS, App

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LARGE, SMALL = NucleusClass(name="large <b>", color=(200, 10, 20)), NucleusClass(name="small", color=(10, 20, 200))


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A classifier that calls nuclei of more than 5 square microns large."""
    card = ClassifierCard(classes=(LARGE, SMALL), columns=("area_um2",), mpp=0.25)
    weights = np.array([[2.0], [-2.0]])
    path = tmp_path / "types.safetensors"
    save_classifier(path, Classifier(card, np.array([5.0]), np.ones(1), weights, np.zeros(2)))
    return path


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: QtBot, models: Path, tiny_he: Callable) -> App:
    notification_manager.records.clear()
    app = App(make_napari_viewer_proxy(), qtbot)
    app.viewer.add_image(tiny_he(120, 140, 24, 7)[0], name="tile", **MICRONS)
    return app


def test_a_classifier_is_chosen_and_colours_the_nuclei(
    app: App, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = app.form
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(classifier), ""))
    app.qtbot.mouseClick(form.classifier.browse, Qt.MouseButton.LeftButton)
    assert form.colours.currentData() == KIND
    app.run()
    (layer,) = app.labels
    table = layer.features
    assert set(table["class"]) == {"large <b>", "small"}
    assert ((table["area_um2"] > 5) == (table["class"] == "large <b>")).all()
    assert table["class_probability"].between(0.5, 1).all()
    assert isinstance(layer.colormap, DirectLabelColormap)
    for number, kind in zip(table["index"], table["class"], strict=True):
        color = (LARGE if kind == LARGE.name else SMALL).color
        np.testing.assert_allclose(layer.get_color(number)[:3], np.array(color) / 255, atol=0.01)
    large = int((table["class"] == "large <b>").sum())
    assert f"large &lt;b&gt;: {large}<br>" in form.kinds.text()
    app.move(lambda: form.min_area.setValue(5.0))
    assert set(layer.features["class"]) == {"large <b>"}
    assert "small: 0" in form.kinds.text()
    form.classifier.line.clear()
    assert form.colours.currentData() == OWN
    assert isinstance(layer.colormap, CyclicLabelColormap)
    assert not form.kinds.isVisibleTo(form)
    assert not app.errors()


def test_a_classifier_that_is_not_there_is_said_before_a_run(app: App, tmp_path: Path) -> None:
    app.form.classifier.line.setText(str(tmp_path / "none.safetensors"))
    assert not app.bar.run_button.isEnabled()
    assert "There is no classifier" in app.widget.problem()
    foreign = tmp_path / "mine.safetensors"
    foreign.write_bytes(b"something else")
    app.form.classifier.line.setText(str(foreign))
    with app.qtbot.waitSignal(app.widget.failed, timeout=60_000) as failure:
        app.qtbot.mouseClick(app.bar.run_button, Qt.MouseButton.LeftButton)
    assert "it is no classifier" in str(failure.args[0])
