"""How sure the model is, in the Segment widget: colours, the filter, and regions to correct next; all by clicking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_nucleigan.models import load_model, save_model
from napari_nucleigan.segmentation.confidence import EVIDENCE
from napari_nucleigan.widgets.base.layers import METADATA_KEY, VIEW_KEY
from napari_nucleigan.widgets.segment.colours import OWN, RAMP, SURE, UNKNOWN, Legend, colours, confidence_colormap
from napari_nucleigan.widgets.segment.proposals import PROPOSED
from segment_app import LONG, MICRONS, App

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

FIT = {"weights": [0.0] * (EVIDENCE - 1) + [3.0], "bias": -13.0}
"""Of a card: the larger a nucleus, the surer; it is even at 76 pixels."""


@pytest.fixture
def calibrated(models: Path) -> Path:
    """The user's model folder, whose model tells how sure it is."""
    (path,) = models.glob("*.safetensors")
    model = load_model(path)
    save_model(path, model.network.state_dict(), model.card.model_copy(update={"confidence": FIT}), half=True)
    return path


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: QtBot, calibrated: Path, tiny_he: Callable) -> App:
    notification_manager.records.clear()
    app = App(make_napari_viewer_proxy(), qtbot)
    app.viewer.add_image(tiny_he(220, 260, 60, 7)[0], name="tile", **MICRONS)
    return app


def click(app: App, button: Any) -> None:
    assert button.isEnabled(), button.toolTip()
    app.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def proposed(app: App) -> list[Any]:
    return [layer for layer in app.viewer.layers if layer.metadata.get(METADATA_KEY, {}).get(VIEW_KEY) == PROPOSED]


def test_nuclei_are_coloured_by_confidence_and_filtered_by_it(app: App) -> None:
    app.run()
    (layer,) = app.labels
    table = layer.features
    assert table["confidence"].between(0, 1).all()
    assert isinstance(layer.colormap, CyclicLabelColormap)
    # `isVisibleTo`: the form may be scrolled.
    assert not app.form.legend.isVisibleTo(app.form)
    app.choose(app.form.colours, SURE)
    assert app.form.legend.isVisibleTo(app.form)
    shown = layer.colormap
    assert isinstance(shown, DirectLabelColormap)
    for number, confidence in zip(table["index"], table["confidence"], strict=True):
        np.testing.assert_allclose(layer.get_color(number), colours(np.array([confidence]))[0], atol=0.08)
    # It is told of the nucleus under the pointer, too.
    row = table.iloc[0]
    place = layer.data_to_world(np.argwhere(layer.data == row["index"])[0])
    assert f"confidence: {row['confidence']:.3g}"[:15] in layer.get_status(place, world=True)["coordinates"]

    middle = round(float(table["confidence"].median()), 2)
    app.move(lambda: app.form.min_confidence.setValue(middle))
    fewer = layer.features
    assert len(fewer) == (table["confidence"] >= middle).sum() < len(table)
    assert layer.metadata[METADATA_KEY]["settings"]["min_confidence"] == middle
    # The numbers are others now, and the colours are those of the same nuclei still.
    for number, confidence in zip(fewer["index"], fewer["confidence"], strict=True):
        np.testing.assert_allclose(layer.get_color(number), colours(np.array([confidence]))[0], atol=0.08)
    app.choose(app.form.colours, OWN)
    assert isinstance(layer.colormap, CyclicLabelColormap)
    assert not app.errors()


def test_a_model_that_does_not_tell_has_no_filter_and_proposes_nothing(
    make_napari_viewer_proxy: Callable, qtbot: QtBot, models: Path, tiny_he: Callable
) -> None:
    app = App(make_napari_viewer_proxy(), qtbot)
    app.viewer.add_image(tiny_he(100, 120, 20, 7)[0], name="tile", **MICRONS)
    app.choose(app.form.colours, SURE)
    app.run()
    (layer,) = app.labels
    assert not app.form.min_confidence.isEnabled()
    assert app.form.settings().min_confidence == 0
    assert isinstance(layer.colormap, CyclicLabelColormap)
    app.choose(app.form.colours, OWN)
    app.choose(app.form.colours, SURE)
    assert "no confidence is known" in app.bar.notes.text()
    app.widget.corrections.button.click()
    button = app.widget.corrections.proposals.button
    assert not button.isEnabled()
    assert "does not tell how sure" in button.toolTip()


def test_regions_are_proposed_flown_to_and_corrected(app: App) -> None:
    panel = app.widget.corrections
    panel.button.click()
    assert "Press Run above" in panel.proposals.button.toolTip()
    app.run()
    (labels,) = app.labels
    app.viewer.layers.selection.active = labels
    before = app.viewer.scene.camera.center
    click(app, panel.proposals.button)
    app.qtbot.waitUntil(lambda: bool(panel.proposals.proposals), timeout=LONG)
    (layer,) = proposed(app)
    count = len(layer.data)
    assert 2 <= count <= 5
    assert len(panel.proposals.proposals) == count
    assert f"Region 1 of {count}" in panel.proposals.text.text()
    assert panel.bar.problem.text() == "Make every nucleus in the rectangle right, then press Corrected."
    assert app.viewer.layers.selection.active == labels  # the brush stays in the hand
    for shape, each in zip(layer.data, panel.proposals.proposals, strict=True):
        np.testing.assert_allclose(shape.min(axis=0), [each.box.top - 0.5, each.box.left - 0.5])
        np.testing.assert_allclose(shape.max(axis=0), [each.box.bottom - 0.5, each.box.right - 0.5])

    def arrived(number: int) -> bool:
        middle = layer.data_to_world(layer.data[number].mean(axis=0))
        return bool(np.allclose(app.viewer.scene.camera.center[-2:], middle, atol=0.01))

    app.qtbot.waitUntil(lambda: arrived(0), timeout=LONG)
    assert app.viewer.scene.camera.center != before
    click(app, panel.proposals.forth)
    app.qtbot.waitUntil(lambda: arrived(1), timeout=LONG)
    click(app, panel.proposals.back)
    click(app, panel.proposals.back)
    assert f"Region {count} of {count}" in panel.proposals.text.text()

    # The regions to learn from are another layer: what was only proposed is no lesson.
    assert panel.regions.chosen is None
    taken = layer.data[count - 1]
    click(app, panel.proposals.take)
    regions = panel.regions.chosen
    np.testing.assert_allclose(regions.data[0], taken)
    assert len(panel.proposals.proposals) == count - 1 == len(proposed(app)[0].data)
    assert not panel.bar.problem.text()
    # What is corrected is not proposed again.
    click(app, panel.proposals.button)
    app.qtbot.waitUntil(lambda: not panel.proposals.runner.running, timeout=LONG)
    low, high = taken.min(axis=0), taken.max(axis=0)
    for shape in proposed(app)[0].data if proposed(app) else ():
        shared = np.minimum(shape.max(axis=0), high) - np.maximum(shape.min(axis=0), low)
        assert np.prod(shared.clip(0)) <= 0.2 * np.prod(high - low)
    while panel.proposals.proposals:
        click(app, panel.proposals.take)
    assert not proposed(app)
    assert not panel.proposals.take.isVisibleTo(panel)
    assert len(panel.regions.chosen.data) >= 2
    assert not app.errors()


def test_proposals_go_with_their_image(app: App) -> None:
    panel = app.widget.corrections
    panel.button.click()
    app.run()
    click(app, panel.proposals.button)
    app.qtbot.waitUntil(lambda: bool(panel.proposals.proposals), timeout=LONG)
    app.viewer.layers.remove("tile")
    assert not proposed(app)
    assert not panel.proposals.proposals
    assert not app.errors()


def test_the_colours_of_confidence() -> None:
    made = confidence_colormap(np.array([3, 7, 9]), np.array([0.0, 1.0, np.nan]))
    ends = colours(np.array([0.0, 1.0]))
    np.testing.assert_allclose(made.map(np.array([3]))[0], ends[0], atol=0.01)
    np.testing.assert_allclose(made.map(np.array([7]))[0], ends[1], atol=0.01)
    unknown = colours(np.zeros(1), (UNKNOWN,) * 2)[0]
    np.testing.assert_allclose(made.map(np.array([9]))[0], unknown, atol=0.01)
    np.testing.assert_allclose(made.map(np.array([50]))[0], unknown, atol=0.01)
    assert made.map(np.array([0]))[0][3] == 0
    # Lightness tells the ends apart from what is in between, hue which end it is.
    assert len({tuple(colour) for colour in colours(np.linspace(0, 1, len(RAMP))).round(3)}) == len(RAMP)


def test_the_legend_can_be_read_in_both_themes(app: App) -> None:
    app.choose(app.form.colours, SURE)
    legend = app.form.legend
    assert isinstance(legend, Legend)
    for theme in ("dark", "light"):
        app.viewer.theme = theme
        app.qtbot.wait(50)
        picture = legend.grab().toImage()
        text = [picture.pixelColor(x, y).lightness() for x in range(60) for y in range(14, picture.height())]
        assert max(text) - min(text) > 90
