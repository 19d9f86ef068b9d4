"""Tissue in the Synthesize widget, by clicking it in a real viewer: begun, painted, followed, and taken of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from qtpy.QtCore import Qt

from napari_nucleigan.base.events import run
from napari_nucleigan.models import DEFAULT_SYNTHESIZER, ModelCard, save_model
from napari_nucleigan.networks import build_synthesizer
from napari_nucleigan.synthesis import SynthesisSettings, synthesize
from napari_nucleigan.tissue.classes import fit_classes, tissue_map
from napari_nucleigan.widgets.synthesize.dock import SynthesizeWidget
from tissue_pictures import tissue_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from napari_nucleigan.tissue.record import TissueClasses

LONG = 60_000  # milliseconds; the machine may be busy
MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}
KNOWS = {"name": "tissue-unet", "classes": 3, "widths": [8, 8, 8, 8], "style_size": 4, "features": 8}


@pytest.fixture(scope="module")
def classes() -> TissueClasses:
    return fit_classes([tissue_picture()[0]], count=3)


@pytest.fixture
def widget(
    make_napari_viewer_proxy: Callable, qtbot: QtBot, painters: Path, classes: TissueClasses
) -> SynthesizeWidget:
    network = build_synthesizer(KNOWS)
    state = {key: 8 * value if key.startswith("modulate") else value for key, value in network.state_dict().items()}
    tissue = {"classes": classes.model_dump(mode="json"), "masks": None}
    card = ModelCard(name=DEFAULT_SYNTHESIZER, kind="synthesizer", architecture=KNOWS, mpp=0.25, tissue=tissue)
    save_model(painters / "paint.safetensors", state, card)
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
