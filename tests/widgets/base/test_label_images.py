"""Images that hold labels: found, never taken for H&E, and made Labels layers by a button."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_nucleigan.widgets.base.label_images import LabelImages
from napari_nucleigan.widgets.base.layers import image_layers, label_images
from napari_nucleigan.widgets.evaluate.dock import EvaluateWidget
from segment_app import MICRONS, App

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable) -> Any:
    return make_napari_viewer_proxy()


def test_labels_are_told_from_images(viewer: Any, tiny_he: Callable) -> None:
    rgb, labels = tiny_he(120, 150, 30, 3)
    grey = rgb.mean(axis=2)
    images = {
        "H&E": rgb,
        "grey": grey.astype(np.uint8),
        "grey of 16 bits": (200 * grey).astype(np.uint16),
        "float": grey,
        "stack": np.stack([labels] * 5),
    }
    of_labels = {
        "of 8 bits": labels.astype(np.uint8),
        "of 16 bits": labels.astype(np.uint16),
        "of 32 bits": labels,
        "mask": labels > 0,
        "mask of 255": np.where(labels, 255, 0).astype(np.uint8),
    }
    for name, data in {**images, **of_labels}.items():
        viewer.add_image(data, name=name)
    viewer.add_image([labels, labels[::2, ::2]], multiscale=True, name="levels")
    assert {layer.name for layer in image_layers(viewer)} == set(images)
    assert {layer.name for layer in label_images(viewer)} == {*of_labels, "levels"}


def test_what_is_shown_instead_counts(viewer: Any, tiny_he: Callable) -> None:
    rgb, labels = tiny_he(96, 96, 8, 0)
    layer = viewer.add_image(labels)
    assert label_images(viewer) == [layer]
    layer.data = rgb.mean(axis=2).astype(np.uint8)
    assert label_images(viewer) == []


def test_convert_keeps_numbers_and_place(viewer: Any, qtbot: QtBot, tiny_he: Callable) -> None:
    _, labels = tiny_he(96, 96, 8, 0)
    part = LabelImages(viewer)
    qtbot.addWidget(part)
    assert part.isHidden()
    viewer.add_image(labels.astype(np.uint8), name="truth", translate=(3, 4), rotate=10, **MICRONS)
    viewer.add_image(labels > 0, name="mask")
    before = viewer.layers["truth"].data_to_world((5, 7))
    viewer.add_points([(1, 1)], name="above")
    part.look()
    assert not part.isHidden()
    assert "“truth”" in part.remark.text()
    qtbot.mouseClick(part.button, Qt.MouseButton.LeftButton)
    part.look()
    assert part.isHidden()
    truth, mask, above = viewer.layers
    assert [layer.name for layer in (truth, mask, above)] == ["truth", "mask", "above"]
    assert isinstance(truth, Labels)
    assert isinstance(mask, Labels)
    np.testing.assert_array_equal(truth.data, labels)
    np.testing.assert_allclose(truth.data_to_world((5, 7)), before)
    truth.selected_label = 300  # more than a byte holds
    truth.fill((0, 0), 300)
    assert truth.data[0, 0] == 300
    assert mask.data.max() == labels.max()  # they do not touch


def test_segment_does_not_choose_labels(
    make_napari_viewer_proxy: Callable, qtbot: QtBot, models: Path, tiny_he: Callable
) -> None:
    app = App(make_napari_viewer_proxy(), qtbot)
    rgb, labels = tiny_he(96, 96, 8, 0)
    app.viewer.add_image(labels, name="truth", **MICRONS)
    assert app.form.image.currentIndex() == -1
    assert "Open an H&E image" in app.bar.problem.text()
    assert not app.widget.label_images.isHidden()
    for name in ("a", "b"):
        app.viewer.add_image(rgb, name=name, **MICRONS)
    assert app.form.image.currentText() in ("a", "b")
    assert "All 2 images" in [app.form.image.itemText(at) for at in range(app.form.image.count())]
    app.form.image.setCurrentIndex(app.form.image.count() - 1)
    assert len(app.run()) == 2
    app.widget.select_image(app.viewer.layers["truth"])  # whoever knows better may
    assert app.bar.run_button.isEnabled()


def test_evaluate_offers_to_convert(viewer: Any, qtbot: QtBot, tiny_he: Callable) -> None:
    _, labels = tiny_he(96, 96, 8, 0)
    viewer.add_labels(labels, name="nuclei", **MICRONS)
    viewer.add_image(labels.astype(np.uint16), name="truth", **MICRONS)
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    assert not widget.layers.bar.run_button.isEnabled()
    qtbot.mouseClick(widget.layers.label_images.button, Qt.MouseButton.LeftButton)
    assert widget.layers.form.truth.currentText() == "truth"
    assert widget.layers.bar.run_button.isEnabled()
    assert widget.layers.label_images.isHidden()
