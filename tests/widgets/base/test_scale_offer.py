"""The scale of an image is estimated when the user asks for it, and taken when the user says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from qtpy.QtCore import Qt

from napari_nucleigan.data.images.files import write_image
from napari_nucleigan.data.slides import Slide
from napari_nucleigan.widgets.base.layers import LARGE
from napari_nucleigan.widgets.base.scale_offer import ScaleOffer, layer_reader
from napari_nucleigan.widgets.batch.dock import BatchWidget
from segment_app import LONG, MICRONS, App

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Write a model that holds every image for one of 0.5 microns per pixel."""
    from napari_nucleigan.models import ModelCard, save_model
    from napari_nucleigan.networks import build

    architecture = {"name": "compact-unet", "widths": [8, 8, 8, 8, 8]}
    fit = {"weights": [0.0] * 40, "bias": 0.0, "width": 1.0, "slope": 0.0, "offset": 1.0}
    card = ModelCard(name="half", kind="segmenter", architecture=architecture, mpp=0.25, scale=fit)
    save_model(tmp_path / "half.safetensors", build(architecture).state_dict(), card)
    return tmp_path / "half.safetensors"


def click(qtbot: QtBot, offer: ScaleOffer) -> None:
    qtbot.mouseClick(offer.button, Qt.MouseButton.LeftButton)


def test_the_segment_dock_offers_takes_nothing_and_lets_the_user_confirm(
    make_napari_viewer_proxy: Callable, qtbot: QtBot, models: Path, model: Path, tiny_he: Callable
) -> None:
    app = App(make_napari_viewer_proxy(), qtbot)
    app.widget.add_model_file(model)
    form, offer = app.form, app.form.scale
    app.viewer.add_image(tiny_he(96, 96, 14, 0)[0], name="known", **MICRONS)
    assert offer.isHidden()
    app.viewer.add_image(tiny_he(96, 96, 14, 1)[0], name="silent")
    form.image.setCurrentText("silent")
    assert not offer.isHidden()
    assert offer.remark.isHidden()
    click(qtbot, offer)
    assert offer.button.text() == "Cancel"
    qtbot.waitUntil(lambda: offer.button.text() == "Take 0.5 µm", timeout=LONG)
    assert offer.remark.text() == "The nuclei look like about 0.5 microns per pixel (20x)."
    assert form.mpp.value() == 0
    assert "microns per pixel" in app.widget.problem()
    click(qtbot, offer)
    assert form.mpp.value() == 0.5
    assert app.widget.problem() == ""
    assert offer.isHidden()


def test_what_was_found_of_another_image_is_dropped_and_what_runs_is_cancelled(
    make_napari_viewer_proxy: Callable, qtbot: QtBot, models: Path, model: Path, tiny_he: Callable
) -> None:
    app = App(make_napari_viewer_proxy(), qtbot)
    app.widget.add_model_file(model)
    form, offer = app.form, app.form.scale
    for name, pixels in (("a", tiny_he(96, 96, 14, 0)[0]), ("white", np.full((96, 96, 3), 250, np.uint8))):
        app.viewer.add_image(pixels, name=name)
    form.image.setCurrentText("a")
    click(qtbot, offer)
    form.image.setCurrentText("white")
    assert not offer.runner.running
    assert offer.button.text() == "Estimate it"
    click(qtbot, offer)
    qtbot.waitUntil(lambda: "No nuclei can be seen" in offer.remark.text(), timeout=LONG)
    assert offer.button.text() == "Estimate it"
    app.viewer.layers.clear()
    assert offer.isHidden()


def test_a_folder_without_pixel_sizes_gets_an_offer(
    make_napari_viewer_proxy: Callable, qtbot: QtBot, models: Path, model: Path, tiny_he: Callable, tmp_path: Path
) -> None:
    for seed, name in enumerate("ab"):
        write_image(tmp_path / "images" / f"{name}.png", tiny_he(96, 96, 14, seed)[0])
    viewer = make_napari_viewer_proxy()
    widget = BatchWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Segment a folder")
    form, offer = widget.form, widget.form.scale
    widget.add_model_file(model)
    form.images.line.setText(str(tmp_path / "images"))
    form.out.line.setText(str(tmp_path / "out"))
    qtbot.waitUntil(lambda: not offer.isHidden(), timeout=LONG)
    assert "2 of 2 images have no pixel size" in widget.problem()
    click(qtbot, offer)
    qtbot.waitUntil(lambda: offer.button.text() == "Take 0.5 µm", timeout=LONG)
    click(qtbot, offer)
    assert form.settings().mpp == 0.5
    assert offer.isHidden()


def test_of_large_layers_only_parts_are_read(make_napari_viewer_proxy: Callable) -> None:
    viewer = make_napari_viewer_proxy()
    side = int(LARGE**0.5) + 100
    rgb = np.broadcast_to(np.zeros(3, np.uint8), (side, side, 3))
    pyramid = viewer.add_image([rgb, rgb[::8, ::8]], multiscale=True, rgb=True, name="pyramid")
    slide = layer_reader(pyramid)()
    assert isinstance(slide, Slide)
    assert (slide.shape, slide.mpp) == ((side, side), None)
    grey = viewer.add_image(np.broadcast_to(np.zeros(1, np.uint16), (side, side)), name="grey")
    part: Any = layer_reader(grey)()
    assert part.pixels.shape == (4096, 4096, 3)
