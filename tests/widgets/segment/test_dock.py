"""The Segment widget, by clicking it in a real viewer."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import QAbstractSlider, QAbstractSpinBox, QComboBox, QPushButton

from napari_nucleigan.widgets.base.layers import METADATA_KEY
from napari_nucleigan.widgets.segment import form, results
from segment_app import LONG, MICRONS, App

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: QtBot, models: Path) -> App:
    notification_manager.records.clear()
    return App(make_napari_viewer_proxy(), qtbot)


@pytest.fixture
def tile(tiny_he: Callable) -> tuple[Any, Any]:
    return tiny_he(150, 200, 40, 7)


def test_image_to_nuclei(app: App, tile: tuple[Any, Any]) -> None:
    rgb, truth = tile
    image = app.viewer.add_image(
        rgb, name="tile", translate=(5, -3), rotate=20, axis_labels=("down", "across"), **MICRONS
    )
    assert app.bar.run_button.isEnabled()
    assert app.form.mpp.value() == 0.25
    (result,) = app.run()
    (layer,) = app.labels
    assert layer.name == "tile nuclei"
    assert layer == result.labels
    assert layer.data.shape == (150, 200)
    np.testing.assert_allclose(layer.data_to_world((17, 60)), image.data_to_world((17, 60)))
    assert layer.units == image.units
    assert layer.axis_labels == ("down", "across")
    # it really found them
    found = layer.data.max()
    assert abs(found - truth.max()) <= 0.25 * truth.max()
    assert np.mean((layer.data > 0) == (truth > 0)) > 0.9
    # one row of features for each nucleus, that napari finds by the label
    assert list(layer.features["index"]) == list(range(1, found + 1))
    assert {"area_um2", "eccentricity", "solidity"} <= set(layer.features)
    assert layer.metadata[METADATA_KEY]["model"] == "nucleigan-he"
    assert len(layer.metadata[METADATA_KEY]["sha256"]) == 64
    text = app.bar.figures.text()
    assert text.startswith(f"{found} nuclei · ")
    assert text.endswith(" s · 0.25 µm per pixel · nucleigan-he")
    assert not app.bar.cancel_button.isEnabled()
    assert not app.errors()


def test_filters_move_without_the_network(app: App, tile: tuple[Any, Any], models: Path) -> None:
    app.viewer.add_image(tile[0], **MICRONS)
    app.run()
    (models / "tiny.safetensors").unlink()  # the network cannot run again
    (layer,) = app.labels
    before, area = layer.data, (layer.data > 0).sum()
    app.move(lambda: app.form.threshold.setValue(0.95))
    assert (layer.data > 0).sum() < area
    assert layer.metadata[METADATA_KEY]["settings"]["threshold"] == 0.95
    app.move(lambda: app.form.threshold.setValue(0.5))
    np.testing.assert_array_equal(layer.data, before)
    areas = np.sort(layer.features["area_um2"].to_numpy())
    pixel_areas = np.sort(np.bincount(layer.data.ravel())[1:] * 0.25**2)
    middle = round(float(np.median(pixel_areas)), 1)
    app.move(lambda: app.form.min_area.setValue(middle))
    assert len(layer.features) == (pixel_areas >= middle).sum() < len(areas)
    assert app.bar.figures.text().startswith(f"{len(layer.features)} nuclei")
    app.move(lambda: app.form.min_area.setValue(1))
    app.move(lambda: app.form.max_area.setValue(middle))
    assert len(layer.features) == (pixel_areas <= middle).sum()
    assert len(app.labels) == 1


def test_a_moving_slider_is_not_followed_at_each_step(app: App, tile: tuple[Any, Any]) -> None:
    app.viewer.add_image(tile[0], **MICRONS)
    (result,) = app.run()
    changes: list[object] = []
    result.labels.events.data.connect(lambda event: changes.append(event))

    def sweep() -> None:
        for step in range(20):
            app.form.threshold.setValue(0.5 + 0.02 * step)

    app.move(sweep)
    app.qtbot.wait(300)
    assert len(changes) <= 2
    assert result.segmentation.settings.threshold == pytest.approx(0.88)


def test_areas_that_exclude_each_other_cannot_be_run(app: App, tile: tuple[Any, Any]) -> None:
    app.viewer.add_image(tile[0], **MICRONS)
    app.run()
    before = app.labels[0].data
    app.form.max_area.setValue(10)
    app.form.min_area.setValue(20)
    app.qtbot.wait(300)
    assert "smallest area" in app.bar.problem.text()
    assert not app.bar.run_button.isEnabled()
    assert app.bar.run_button.toolTip() == app.bar.problem.text()
    assert app.labels[0].data.max() <= before.max()
    app.form.min_area.setValue(1)
    assert app.bar.run_button.isEnabled()
    assert app.bar.problem.text() == ""


def test_rerun_replaces_the_same_or_adds(app: App, tile: tuple[Any, Any]) -> None:
    app.viewer.add_image(tile[0], **MICRONS)
    first = app.run()[0].labels
    assert app.run()[0].labels == first
    assert len(app.labels) == 1
    app.choose(app.form.normalize, "reinhard")  # other settings: both are kept
    app.run()
    assert len(app.labels) == 2
    app.choose(app.form.rerun, form.ADD)
    app.run()
    assert len(app.labels) == 3
    app.viewer.add_image(tile[0], name="another", **MICRONS)
    app.choose(app.form.rerun, form.REPLACE)
    app.widget.select_image(app.viewer.layers["another"])
    app.run()
    assert len(app.labels) == 4
    app.viewer.layers.remove(app.viewer.layers["another nuclei"])
    app.run()
    assert len(app.labels) == 4


def test_painted_labels_are_never_overwritten(app: App, tile: tuple[Any, Any]) -> None:
    app.viewer.add_image(tile[0], **MICRONS)
    layer = app.run()[0].labels
    layer.paint((5, 5), 77)
    painted = layer.data.copy()
    assert painted[5, 5] == 77
    app.move(lambda: app.form.threshold.setValue(0.9))
    assert len(app.labels) == 2
    np.testing.assert_array_equal(layer.data, painted)
    assert "painted" in app.bar.notes.text()
    app.run()
    np.testing.assert_array_equal(layer.data, painted)


def test_cancel_acts_within_a_second(app: App, tiny_he: Callable) -> None:
    rgb = np.tile(tiny_he(200, 200, 40, 1)[0], (15, 15, 1))
    app.viewer.add_image(rgb, name="large", **MICRONS)
    app.click_run()
    assert not app.bar.run_button.isEnabled()
    assert not app.form.isEnabled()
    assert app.bar.progress.isVisibleTo(app.widget)
    app.qtbot.waitUntil(lambda: app.bar.progress.maximum() > 1, timeout=LONG)
    begin = time.monotonic()
    app.qtbot.mouseClick(app.bar.cancel_button, Qt.MouseButton.LeftButton)
    app.qtbot.waitUntil(lambda: app.bar.run_button.isEnabled(), timeout=1000)
    assert time.monotonic() - begin < 1
    assert "Cancelled" in app.bar.notes.text()
    assert not app.bar.progress.isVisibleTo(app.widget)
    assert QThreadPool.globalInstance().waitForDone(LONG)
    app.qtbot.wait(200)
    assert app.labels == []
    assert not app.errors()


def test_progress_tells_the_time_left(app: App, tiny_he: Callable) -> None:
    rgb = np.tile(tiny_he(200, 200, 40, 1)[0], (8, 8, 1))
    app.viewer.add_image(rgb, **MICRONS)
    texts: list[str] = []
    app.widget._runner.progressed.connect(lambda _: texts.append(app.bar.progress.format()))
    app.run()
    assert any("left" in text for text in texts)


def test_errors_in_the_thread_are_said(app: App) -> None:
    da = pytest.importorskip("dask.array")
    armed = threading.Event()
    errors = {
        "RuntimeError: a broken file": RuntimeError("a broken file"),
        "choose the CPU": RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        "the current view as the region": MemoryError(),
        "OSError: no such file": OSError("no such file"),
    }

    def block() -> Any:
        if armed.is_set():
            raise errors[words]
        return np.full((60, 60, 3), 200, np.uint8)

    lazy = da.map_blocks(block, chunks=((60,), (60,), (3,)), dtype=np.uint8, meta=np.empty((0,) * 3))
    app.viewer.add_image(lazy, name="lazy", rgb=True, cache=False, **MICRONS)
    for words in errors:
        notification_manager.records.clear()
        armed.set()
        with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
            app.click_run()
        armed.clear()
        (message,) = app.errors()
        assert words in message
        assert "Traceback" not in message
        assert message in app.bar.notes.text()
        assert app.bar.run_button.isEnabled()
        assert app.labels == []


def test_a_damaged_model_is_said(app: App, tile: tuple[Any, Any], models: Path) -> None:
    app.viewer.add_image(tile[0], **MICRONS)
    file = models / "tiny.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 255
    file.write_bytes(content)
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
        app.click_run()
    assert "damaged" in app.errors()[0]


def test_images_of_other_kinds(app: App, tile: tuple[Any, Any]) -> None:
    rgb, _ = tile
    kinds = {
        "Greyscale": rgb.mean(axis=-1).astype(np.uint8),
        "16-bit": rgb.astype(np.uint16) * 257,
        "Floating": rgb / 255,
        "RGBA": np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]),
        "Channel-first": np.moveaxis(rgb, -1, 0),
    }
    for said, data in kinds.items():
        app.viewer.layers.clear()
        first = {"scale": (1, 0.25, 0.25), "units": ("pixel", "µm", "µm")} if said == "Channel-first" else MICRONS
        app.viewer.add_image(data, rgb=data.shape[-1] in (3, 4), **first)
        app.run()
        (layer,) = app.labels
        assert layer.data.shape == rgb.shape[:2], said
        assert tuple(layer.scale) == (0.25, 0.25), said
        assert said in app.bar.notes.text()


def test_stacks_and_nothing_are_refused_before_run(app: App) -> None:
    assert "Open an H&E image" in app.bar.problem.text()
    assert not app.bar.run_button.isEnabled()
    app.viewer.add_image(np.zeros((5, 40, 40), np.uint8), name="stack")
    assert "3 dimensions" in app.bar.problem.text()
    assert not app.bar.run_button.isEnabled()
    app.viewer.add_labels(np.zeros((40, 40), int))
    assert app.form.image.count() == 1


def test_microns_per_pixel_are_asked_for_and_remembered(app: App, tile: tuple[Any, Any], tmp_path: Path) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.png").write_bytes(imagecodecs.png_encode(tile[0]))
    with app.qtbot.waitSignal(app.widget._opener.finished, timeout=LONG):
        app.widget.open_paths([folder / "a.png"])
    assert app.viewer.layers[-1].name == "a"
    assert "microns per pixel" in app.bar.problem.text()
    assert not app.bar.run_button.isEnabled()
    app.form.mpp.setValue(50)
    assert "nuclei can be segmented from" in app.bar.problem.text()
    app.form.mpp.setValue(0.25)
    assert app.bar.run_button.isEnabled()
    assert app.run()[0].segmentation.mpp == 0.25
    # the next image of the folder needs no typing
    with app.qtbot.waitSignal(app.widget._opener.finished, timeout=LONG):
        app.widget.open_paths([folder / "b.png"])
    assert app.form.image.currentText() == "b"
    assert app.form.mpp.value() == 0.25
    assert "this folder" in app.form.mpp_source.text()
    assert app.bar.run_button.isEnabled()


def test_typing_the_microns(app: App, tile: tuple[Any, Any]) -> None:
    app.viewer.add_image(tile[0])
    editor = app.form.mpp.lineEdit()
    editor.selectAll()
    app.qtbot.keyClicks(editor, "0.25")
    # no Enter: a click on a disabled button would not end the typing
    assert app.form.mpp.value() == 0.25
    assert app.bar.run_button.isEnabled()


def test_known_microns_can_be_typed_over_and_taken_back(app: App, tile: tuple[Any, Any]) -> None:
    layer = app.viewer.add_image(tile[0], scale=(0.25, 0.25), units=("um", "um"))
    assert app.form.mpp.value() == 0.25
    editor = app.form.mpp.lineEdit()
    editor.selectAll()
    app.qtbot.keyClicks(editor, "0.5")
    assert app.form.mpp.value() == 0.5
    assert app.widget._scales.of(layer)[0] == 0.5
    editor.selectAll()
    app.qtbot.keyClicks(editor, "0")
    app.qtbot.keyClick(editor, Qt.Key.Key_Return)
    assert app.form.mpp.value() == 0.25


def test_objectives_fill_in_the_microns(app: App, tile: tuple[Any, Any]) -> None:
    app.viewer.add_image(tile[0])
    assert not app.bar.run_button.isEnabled()
    actions = {action.text(): action for action in app.form.magnification.menu().actions()}
    actions["20x objective (0.5 µm)"].trigger()
    assert app.form.mpp.value() == 0.5
    assert app.bar.run_button.isEnabled()


def test_a_folder_is_opened_and_segmented_at_once(app: App, tiny_he: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    for seed in range(3):
        (folder / f"{seed}.png").write_bytes(imagecodecs.png_encode(tiny_he(80, 80, 8, seed)[0]))
    (folder / "broken.png").write_bytes(b"no picture")
    with app.qtbot.waitSignal(app.widget._opener.finished, timeout=LONG):
        app.widget.open_paths([folder])
    assert [layer.name for layer in app.viewer.layers] == ["0", "1", "2"]
    assert [layer.visible for layer in app.viewer.layers] == [True, False, False]
    assert "broken.png" in app.bar.notes.text()
    app.choose(app.form.image, form.ALL_IMAGES)
    app.form.mpp.setValue(0.25)
    results = app.run()
    assert [result.labels.name for result in results] == ["2 nuclei", "1 nuclei", "0 nuclei"]
    assert app.bar.figures.text().startswith("3 images · ")
    # and all of them follow the filters
    areas = {layer.name: (layer.data > 0).sum() for layer in app.labels}
    app.form.threshold.setValue(0.98)
    app.qtbot.waitUntil(
        lambda: all((layer.data > 0).sum() < areas[layer.name] for layer in app.labels),
        timeout=LONG,
    )


def test_old_masks_are_let_go(app: App, tiny_he: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "KEPT_PIXELS", 15_000)
    for seed in range(2):
        app.viewer.add_image(tiny_he(100, 100, 10, seed)[0], name=f"tile {seed}", **MICRONS)
    app.choose(app.form.image, form.ALL_IMAGES)
    newest, oldest = app.run()[::-1]
    assert newest.segmentation.field is not None
    assert oldest.segmentation.field is None
    before = oldest.labels.data
    area = (newest.labels.data > 0).sum()
    app.form.threshold.setValue(0.98)
    app.qtbot.waitUntil(lambda: (newest.labels.data > 0).sum() < area, timeout=LONG)
    assert oldest.labels.data is before
    assert "press Run" in app.bar.notes.text()


def test_a_file_that_cannot_be_read_is_said(app: App, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0 and no more")
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
        app.widget.open_paths([broken])
    assert "broken.tif" in app.errors()[0]
    assert len(app.viewer.layers) == 0


def test_combo_follows_the_layers(app: App, tile: tuple[Any, Any]) -> None:
    layer = app.viewer.add_image(tile[0], name="one")
    app.viewer.add_image(tile[0], name="two")
    app.widget.select_image(layer)
    layer.name = "renamed"
    names = [app.form.image.itemText(index) for index in range(app.form.image.count())]
    assert names == ["two", "renamed", "All 2 images"]
    assert app.form.image.currentText() == "renamed"
    app.viewer.layers.remove(layer)
    assert app.form.image.currentText() == "two"
    app.viewer.layers.clear()
    assert app.form.image.count() == 0


def test_current_view(make_napari_viewer_proxy: Callable, qtbot: QtBot, models: Path, tiny_he: Callable) -> None:
    app = App(make_napari_viewer_proxy(show=True), qtbot)
    rgb, _ = tiny_he(300, 400, 100, 3)
    image = app.viewer.add_image(rgb, translate=(10, 10), **MICRONS)
    app.choose(app.form.region, form.VIEW)
    camera = app.viewer.scene.camera if hasattr(app.viewer, "scene") else app.viewer.camera
    camera.zoom /= 2
    qtbot.waitUntil(lambda: tuple(image.corner_pixels[1]) == (299, 399), timeout=LONG)
    whole = app.run()[0]
    assert whole.part.box is None
    camera.zoom *= 8
    qtbot.waitUntil(lambda: tuple(image.corner_pixels[1]) != (299, 399), timeout=LONG)
    qtbot.wait(100)
    part = app.run()[0]
    assert part is not whole  # another region is another result
    top, bottom, left, right = part.part.box
    assert 0 < top < bottom < 300
    assert 0 < left < right < 400
    labels = part.labels.data
    assert labels.shape == (300, 400)
    inside = labels[top:bottom, left:right]
    assert inside.max() > 0
    assert (labels > 0).sum() == (inside > 0).sum()
    agree = (inside > 0) == (whole.labels.data[top:bottom, left:right] > 0)
    assert agree.mean() > 0.95
    features = part.labels.features
    assert features["centroid_y_px"].between(top, bottom).all()
    assert features["centroid_x_px"].between(left, right).all()


def test_every_field_has_a_tooltip(app: App) -> None:
    kinds = (QComboBox, QAbstractSpinBox, QAbstractSlider, QPushButton)
    for name, field in vars(app.form).items():
        if isinstance(field, kinds):
            assert field.toolTip(), name
    assert app.bar.cancel_button.toolTip()
    assert app.bar.run_button.toolTip()


def test_devices_that_are_missing_say_why(app: App) -> None:
    from napari_nucleigan.base.devices import devices

    box = app.form.device
    items = box.model()
    for index, device in enumerate(devices()):
        assert box.itemData(index) == device.name
        assert items.item(index).isEnabled() == device.available
        if not device.available:
            assert device.reason in items.item(index).toolTip()
            assert device.reason in box.toolTip()


def test_model_card_is_shown(app: App) -> None:
    assert app.form.model.currentText() == "nucleigan-he"
    assert app.form.picker.info.text() == "0.25 µm per pixel · AJI 0.50 · F1 0.75 · CC0-1.0"
    assert "painted ellipses" in app.form.model.toolTip()
    assert app.form.min_area.value() == 1.0


def test_a_model_file_can_be_added(app: App, trained_file: Path, tmp_path: Path) -> None:
    before = app.form.model.count()
    for _ in range(2):
        app.widget.add_model_file(trained_file)
        assert app.form.model.count() == before + 1
    assert app.form.model.currentData() == str(trained_file)
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"no model")
    app.widget.add_model_file(foreign)
    assert "not a model" in app.errors()[0]
    assert app.form.model.count() == before + 1


def test_fits_a_small_screen(app: App) -> None:
    assert app.widget.minimumSizeHint().height() < 600
    assert app.widget.sizeHint().width() < 500


def test_opening_from_the_plugins_menu(make_napari_viewer_proxy: Callable, qtbot: QtBot, models: Path) -> None:
    viewer = make_napari_viewer_proxy()
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleigan", "Segment nuclei")
    assert type(widget).__name__ == "SegmentWidget"
    with qtbot.waitSignal(widget.ready, timeout=LONG):
        pass


def test_a_run_ends_where_its_image_is_removed_and_goes_on_with_the_others(app: App, tiny_he: Callable) -> None:
    small = app.viewer.add_image(tiny_he(96, 96, 14, 2)[0], name="small", **MICRONS)
    # the topmost comes first
    large = app.viewer.add_image(np.tile(tiny_he(200, 200, 40, 1)[0], (15, 15, 1)), name="large", **MICRONS)
    app.choose(app.form.image, form.ALL_IMAGES)
    with app.qtbot.waitSignal(app.widget.done, timeout=LONG) as blocker:
        app.click_run()
        app.qtbot.waitUntil(lambda: app.bar.progress.maximum() > 1, timeout=LONG)
        app.viewer.layers.remove(large)
        assert app.widget.running
    (result,) = blocker.args[0]
    assert result.image == small
    assert "“large” was removed: it is not segmented." in app.bar.notes.text()
    assert not app.errors()


def test_layer_removed_in_the_middle_of_a_run(app: App, tile: tuple[Any, Any]) -> None:
    app.viewer.add_image(tile[0], **MICRONS)
    with app.qtbot.waitSignal(app.widget.done, timeout=LONG) as blocker:
        app.click_run()
        app.viewer.layers.clear()
    assert blocker.args == [[]]
    assert len(app.viewer.layers) == 0
