"""Tissue in the Masks widget, by clicking it in a real viewer: laid out by fills, painted, taken of a tile, and on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.utils import interactions
from qtpy.QtCore import Qt

from napari_nucleigan.base.events import run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import read_labels
from napari_nucleigan.masks.polygons import sample_tissue
from napari_nucleigan.synthesis import SynthesisSettings, synthesize
from napari_nucleigan.tissue.classes import tissue_map
from napari_nucleigan.widgets.base.canvas import main_window
from napari_nucleigan.widgets.masks.dock import MasksWidget
from napari_nucleigan.widgets.masks.panel import TISSUE_TAB
from napari_nucleigan.widgets.synthesize.dock import SynthesizeWidget
from tissue_pictures import tissue_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot
    from qtpy.QtWidgets import QPushButton

    from napari_nucleigan.masks.polygons import PolygonMasks

LONG = 120_000  # milliseconds; the machine may be busy
MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}


class App:
    """A viewer with the widget, and the hands of a user."""

    def __init__(self, viewer: Any, qtbot: QtBot) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.widget = MasksWidget(viewer)
        with qtbot.waitSignal(self.widget.tissue.found, timeout=LONG):
            viewer.window.add_dock_widget(self.widget, name="Draw masks")
        self.page, self.fill = self.widget.tissue, self.widget.fill_form

    @property
    def map(self) -> Any:
        return self.page.map.layer

    def click(self, button: QPushButton) -> None:
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def click_and_wait(self, button: QPushButton, signal: Any) -> Any:
        self.qtbot.waitUntil(button.isEnabled, timeout=LONG)
        with self.qtbot.waitSignal(signal, timeout=LONG) as blocker:
            self.click(button)
        return blocker.args[0]

    def create(self, side: int = 128) -> Any:
        form = self.widget.canvas_form
        form.height.setValue(side)
        form.width_.setValue(side)
        self.click(form.create_button)
        return self.widget.mask

    def begin(self, text: str) -> Any:
        (action,) = (each for each in self.page.map.button.menu().actions() if each.text() == text)
        action.trigger()
        self.qtbot.waitUntil(lambda: self.map is not None, timeout=LONG)
        return self.map

    def like_the_model(self) -> None:
        organ = self.fill.organ
        organ.setCurrentIndex(organ.findText("nucleigan-paint"))
        assert self.fill.statistics().layout is not None

    def stroke(self, layer: Any, *places: tuple[float, float]) -> None:
        """Drag the mouse over the canvas, as napari passes it on."""
        mouse = _Mouse()
        for at, place in enumerate((*places, places[-1])):
            mouse.be("press" if at == 0 else "release" if at == len(places) else "move", layer, place)
            getattr(interactions, f"{mouse.type}_callbacks")(layer, mouse)


class _Mouse:
    """The event of a drag, which napari hands on from its press to its release."""

    modifiers: tuple[str, ...] = ()
    button, handled = 1, False
    view_direction = up_direction = None
    dims_displayed, dims_point = (0, 1), (0, 0)

    def be(self, kind: str, layer: Any, place: tuple[float, float]) -> None:
        self.type, self.is_dragging = f"mouse_{kind}", kind == "move"
        self.position, self.pos = tuple(layer.data_to_world(place)), np.array(place[::-1])


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: QtBot, tissue_painter: Path) -> App:
    return App(make_napari_viewer_proxy(), qtbot)


def test_without_a_model_that_knows_tissue_there_is_no_page(
    make_napari_viewer_proxy: Callable, qtbot: QtBot, painters: Path
) -> None:
    app = App(make_napari_viewer_proxy(), qtbot)
    assert not app.widget.tabs.isTabVisible(TISSUE_TAB)
    assert app.fill.organ.findText("nucleigan-paint") < 0


def test_a_fill_lays_out_tissue_and_keeps_what_is_painted(app: App, tissue_masks: PolygonMasks) -> None:
    assert app.widget.tabs.isTabVisible(TISSUE_TAB)
    assert not app.page.map.button.isEnabled()
    mask = app.create()
    app.like_the_model()
    app.click_and_wait(app.fill.fill_button, app.widget.done)
    labels, cells = sample_tissue(tissue_masks, (128, 128), 0.25, 0)
    np.testing.assert_array_equal(mask.data, labels)
    np.testing.assert_array_equal(app.map.data, cells)
    assert app.map.name == "mask tissue"
    assert app.widget.mask == mask
    assert app.widget.choice.count() == 1  # a map is no mask
    # What is painted stays, what was erased is drawn, and nuclei lie on the whole.
    before = np.array(app.map.data)
    app.map.data_setitem(np.nonzero(np.indices((8, 8))[0] < 4), 0)
    app.click_and_wait(app.fill.fill_button, app.widget.done)
    np.testing.assert_array_equal(app.map.data[4:], before[4:])
    assert app.map.data.all()
    # Undo goes to the layer in hand.
    app.viewer.layers.selection.active = app.map
    app.click(app.widget.undo_button)
    assert not app.map.data[:4].any()
    app.click(app.widget.redo_button)
    assert app.map.data.all()
    app.viewer.layers.selection.active = mask
    app.click(app.widget.undo_button)
    np.testing.assert_array_equal(mask.data, labels)
    assert app.map.data.all()
    # A map of other classes is not filled.
    known = app.map.metadata["nucleigan"]
    app.map.metadata = {"nucleigan": {**known, "classes": {**known["classes"], "mpp": 0.5}}}
    app.widget.reset_choices()
    assert "other classes" in app.fill.problem_label.text()
    app.page.map.box.setCurrentIndex(0)
    assert not app.fill.problem_label.text()


def test_painting_with_the_brush(app: App) -> None:
    app.create()
    layer = app.begin("Empty")
    assert layer.data.shape == (8, 8)
    assert not layer.data.any()
    # The brush is in hand, in the colour and by the name of the class.
    assert app.viewer.layers.selection.active == layer
    assert (layer.mode, layer.selected_label) == ("paint", 1)
    names = [app.page.brush.itemText(at) for at in range(app.page.brush.count())]
    assert names == list(layer.features["tissue"])[1:]
    shown = app.page.brush.itemIcon(1).pixmap(8, 8).toImage().pixelColor(4, 4).getRgbF()
    np.testing.assert_allclose(shown[:3], layer.colormap.color_dict[2][:3], atol=0.01)
    app.page.brush.setCurrentIndex(1)
    assert layer.selected_label == 2
    app.stroke(layer, (2, 2), (2, 6))
    assert (layer.data[2, 2:7] == 2).all()
    assert not layer.data[5:].any()
    app.viewer.layers.selection.active = app.widget.mask
    app.click(app.page.paint_button)
    assert app.viewer.layers.selection.active == layer


def test_the_tissue_of_a_tile(app: App, tissue_masks: PolygonMasks) -> None:
    assert tissue_masks.layout is not None
    pixels = tissue_picture(160, 3)[0]
    app.viewer.add_image(pixels, name="tile", rgb=True, **MICRONS)
    app.widget.canvas_form.over.setCurrentText("“tile”")
    app.click(app.widget.canvas_form.create_button)
    layer = app.begin("That of “tile”")
    np.testing.assert_array_equal(layer.data, tissue_map(pixels, tissue_masks.layout.classes))
    assert app.viewer.layers.selection.active == app.widget.mask
    # Nuclei of each tissue are laid out on it.
    app.like_the_model()
    app.click_and_wait(app.fill.fill_button, app.widget.done)
    expected = sample_tissue(tissue_masks, (160, 160), 0.25, 0, np.array(layer.data))[0]
    np.testing.assert_array_equal(app.widget.mask.data, expected)


def test_the_picture_follows_both_strokes_and_pairs_are_made_like_them(app: App, tmp_path: Path) -> None:
    mask = app.create()
    app.like_the_model()
    app.click_and_wait(app.fill.fill_button, app.widget.done)
    tissue = app.map
    app.click(app.widget.next)
    (paint,) = main_window(app.widget).findChildren(SynthesizeWidget)
    app.qtbot.waitUntil(paint.form.live.isEnabled, timeout=LONG)
    assert paint.mask == mask
    assert paint.form.tissue.layer == tissue
    with app.qtbot.waitSignal(paint.live.begun, timeout=LONG):
        paint.form.live.click()

    def picture() -> np.ndarray:
        app.qtbot.waitUntil(lambda: not paint.live.behind, timeout=LONG)
        return paint.picture.image.data.copy()

    first = picture()
    app.click(app.page.paint_button)
    app.page.brush.setCurrentIndex(int(tissue.data[4, 4]) % 3)  # another one than is there
    with app.qtbot.waitSignal(paint.followed, timeout=LONG):
        app.stroke(tissue, (4, 4), (4, 6))
    second = picture()
    assert (second != first).any()
    app.click(app.widget.edit_form.paint_button)
    with app.qtbot.waitSignal(paint.followed, timeout=LONG):
        app.stroke(mask, (60, 60), (66, 60))
    third = picture()
    assert (third != second).any()
    settings = SynthesisSettings(mpp=0.25)
    fresh = run(synthesize(np.array(mask.data), settings, tissue=np.array(tissue.data))).pixels
    assert np.abs(third.astype(int) - fresh).max() <= 1

    app.click(paint.set_step)
    paint.sets.count.setValue(3)
    paint.sets.side.setValue(64)
    paint.sets.folder.line.setText(str(tmp_path / "pairs"))
    report = app.click_and_wait(paint.sets.bar.run_button, paint.sets.done)
    data = Dataset.open(report.out)
    assert len(data) == 3
    for name in data.names:
        cells = read_labels(report.out / "tissue" / f"{name}.tif")
        assert cells.shape == (4, 4)
        assert cells.all()
    assert paint.train_step.isVisibleTo(paint)
