"""Tissue in the Synthesize widget, by clicking it in a real viewer: begun, painted, followed, and taken of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from qtpy.QtCore import Qt

from napari_nucleigan.base.events import run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import read_labels
from napari_nucleigan.synthesis import SynthesisSettings, synthesize
from napari_nucleigan.tissue.classes import tissue_map
from napari_nucleigan.widgets.base.tissue import add_map
from napari_nucleigan.widgets.synthesize.dock import SynthesizeWidget
from napari_nucleigan.widgets.synthesize.jobs import FIT, ITSELF
from napari_nucleigan.widgets.synthesize.outlines import FAINT
from tissue_pictures import tissue_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from napari_nucleigan.masks.polygons import PolygonMasks
    from napari_nucleigan.tissue.record import TissueClasses

LONG = 60_000  # milliseconds; the machine may be busy
MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}


@pytest.fixture
def classes(tissue_masks: PolygonMasks) -> TissueClasses:
    assert tissue_masks.layout is not None
    return tissue_masks.layout.classes


@pytest.fixture
def widget(make_napari_viewer_proxy: Callable, qtbot: QtBot, tissue_painter: Path) -> SynthesizeWidget:
    viewer = make_napari_viewer_proxy()
    widget = SynthesizeWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Synthesize H&E")
    with qtbot.waitSignal(widget.ready, timeout=LONG):
        pass
    return widget


def _begin(widget: SynthesizeWidget, text: str) -> None:
    (action,) = (each for each in widget.form.tissue.button.menu().actions() if each.text() == text)
    action.trigger()


def _run(widget: SynthesizeWidget, qtbot: QtBot) -> Any:
    with qtbot.waitSignal(widget.done, timeout=LONG) as blocker:
        qtbot.mouseClick(widget.bar.run_button, Qt.MouseButton.LeftButton)
    return blocker.args[0].image.data.copy()


def test_tissue_is_painted_and_followed(widget: SynthesizeWidget, qtbot: QtBot, tiny_he: Callable) -> None:
    labels = tiny_he(150, 200, 40, 7)[1]
    viewer = widget._viewer
    mask = viewer.add_labels(labels, name="mask", translate=(5, -3), **MICRONS)
    assert widget.form.tissue.isVisibleTo(widget.form)
    assert widget.form.tissue.layer is None
    plain = _run(widget, qtbot)
    _begin(widget, "Empty")
    layer = widget.form.tissue.layer
    assert layer is not None
    assert layer.name == "mask tissue"
    assert layer.data.shape == (10, 13)
    assert widget.mask == mask
    # The corners of both lie upon one another.
    for here, there in (((-0.5, -0.5), (-0.5, -0.5)), ((9.5, 12.5), (149.5, 199.5))):
        np.testing.assert_allclose(layer.data_to_world(here), mask.data_to_world(there))
    assert layer.features["tissue"].tolist()[0] == "unknown"
    np.testing.assert_array_equal(_run(widget, qtbot), plain)
    layer.selected_label = 2
    layer.brush_size = 4
    layer.paint((4, 6), 2)
    painted = _run(widget, qtbot)
    expected = run(synthesize(labels, SynthesisSettings(mpp=0.25), tissue=np.asarray(layer.data))).pixels
    np.testing.assert_array_equal(painted, expected)
    assert not np.array_equal(painted, plain)
    # The map steps back behind the picture, once, and comes again with the mask; what the user sets stays.
    assert layer.opacity == FAINT
    widget.form.outlines.setChecked(False)
    assert layer.opacity == pytest.approx(0.4)
    widget.form.outlines.setChecked(True)
    assert layer.opacity == FAINT
    layer.opacity = 0.7
    _run(widget, qtbot)
    widget.form.outlines.setChecked(False)
    assert layer.opacity == pytest.approx(0.7)
    # Live, the picture follows the brush on either layer.
    with qtbot.waitSignal(widget.live.begun, timeout=LONG):
        widget.form.live.setChecked(True)
    with qtbot.waitSignal(widget.followed, timeout=LONG):
        layer.paint((8, 2), 3)
    with qtbot.waitSignal(widget.followed, timeout=LONG):
        mask.paint((100, 100), 90)
    qtbot.waitUntil(lambda: not widget.live.behind, timeout=LONG)
    fresh = run(synthesize(np.asarray(mask.data), SynthesisSettings(mpp=0.25), tissue=np.asarray(layer.data))).pixels
    assert np.abs(widget.picture.image.data.astype(int) - fresh).max() <= 1
    # Without the map the tissue is unknown again.
    with qtbot.waitSignal(widget.live.begun, timeout=LONG):
        viewer.layers.remove(layer)
    assert widget.form.tissue.layer is None


def test_the_tissue_of_an_image(widget: SynthesizeWidget, qtbot: QtBot, classes: TissueClasses) -> None:
    pixels, labels, _ = tissue_picture(160, 3)
    widget._viewer.add_image(pixels, name="tile", rgb=True, **MICRONS)
    widget._viewer.add_labels(labels, name="mask", **MICRONS)
    _begin(widget, "That of “tile”")
    qtbot.waitUntil(lambda: widget.form.tissue.layer is not None, timeout=LONG)
    np.testing.assert_array_equal(widget.form.tissue.layer.data, tissue_map(pixels, classes))
    colours = widget.form.tissue.layer.colormap.color_dict
    assert len({tuple(np.round(colours[number], 2)) for number in (1, 2, 3)}) == 3
    _run(widget, qtbot)


def test_models_that_know_none_show_no_field(make_napari_viewer_proxy: Callable, qtbot: QtBot, painters: Path) -> None:
    viewer = make_napari_viewer_proxy()
    widget = SynthesizeWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Synthesize H&E")
    with qtbot.waitSignal(widget.ready, timeout=LONG):
        pass
    assert not widget.form.tissue.isVisibleTo(widget.form)


@pytest.mark.parametrize("masks", [FIT, ITSELF])
def test_data_sets_have_the_painted_tissue(
    widget: SynthesizeWidget, qtbot: QtBot, tmp_path: Path, classes: TissueClasses, masks: str
) -> None:
    _, labels, _ = tissue_picture(160, 3)
    mask = widget._viewer.add_labels(labels, name="mask", **MICRONS)
    _begin(widget, "Empty")
    layer = widget.form.tissue.layer
    assert layer is not None
    left = np.indices((10, 10))[1] < 5
    layer.data_setitem(np.nonzero(left), 2)
    layer.data_setitem(np.nonzero(~left), 3)
    sets = widget.sets
    widget.tabs.setCurrentWidget(sets)
    sets.masks.setCurrentIndex(sets.masks.findData(masks))
    sets.count.setValue(2)
    sets.side.setValue(64)
    sets.folder.line.setText(str(tmp_path / "set"))
    with qtbot.waitSignal(sets.done, timeout=LONG):
        qtbot.mouseClick(sets.bar.run_button, Qt.MouseButton.LeftButton)
    data = Dataset.open(tmp_path / "set")
    assert len(data) == 2
    for name in data.names:
        cells = read_labels(tmp_path / "set" / "tissue" / f"{name}.tif")
        if masks == ITSELF:
            np.testing.assert_array_equal(cells, layer.data)
            np.testing.assert_array_equal(data.labels(name), mask.data)
        else:
            assert cells.shape == (4, 4)
            assert set(np.unique(cells)) <= {2, 3}
    assert data.image(data.names[0]).pixels.any()


def test_a_map_goes_with_its_mask_and_its_model(widget: SynthesizeWidget, classes: TissueClasses) -> None:
    viewer = widget._viewer
    first, second = (viewer.add_labels(tissue_picture(96)[1], name=name, **MICRONS) for name in ("one", "two"))
    widget.select_mask(first)
    _begin(widget, "Empty")
    own = widget.form.tissue.layer
    assert own is not None and own.name == "one tissue"
    assert own not in widget._choices.masks
    widget.select_mask(second)
    assert widget.form.tissue.layer is None
    # What another dock begins is taken up.
    other = add_map(viewer, second, np.zeros((6, 6), int), classes)
    assert widget.form.tissue.layer == other
    widget.select_mask(first)
    assert widget.form.tissue.layer == own
    own.metadata = {"nucleigan": {**own.metadata["nucleigan"], "classes": {**classes.model_dump(), "mpp": 0.5}}}
    assert "classes of the tissue map are not those of the model" in widget.problem()
    widget.form.tissue.box.setCurrentIndex(0)
    assert not widget.problem()


def test_the_tissue_of_an_image_lies_where_the_image_lies(
    widget: SynthesizeWidget, qtbot: QtBot, classes: TissueClasses
) -> None:
    pixels, labels, _ = tissue_picture(160, 3)
    widget._viewer.add_image(pixels, name="tile", rgb=True, translate=(3, 4), **MICRONS)
    # The mask begins 32 pixels right of and 16 above the tile, and has pixels twice as large.
    place = {"scale": (0.5, 0.5), "units": ("µm", "µm"), "translate": (3 - 3.875, 4 + 8.125)}
    widget._viewer.add_labels(labels[:64, :64], name="mask", **place)
    _begin(widget, "That of “tile”")
    qtbot.waitUntil(lambda: widget.form.tissue.layer is not None, timeout=LONG)
    cells = widget.form.tissue.layer.data
    whole = tissue_map(pixels, classes)
    assert cells.shape == (8, 8)
    assert not cells[0].any()
    np.testing.assert_array_equal(cells[1:], whole[:7, 2:10])
