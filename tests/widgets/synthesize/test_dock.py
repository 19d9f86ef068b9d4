"""The Synthesize widget, by clicking it in a real viewer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QLineEdit,
    QPushButton,
    QScrollBar,
    QWidget,
)

from napari_nucleigan.base.events import run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.synthesis import SynthesisSettings, synthesize
from napari_nucleigan.widgets.base.layers import ADD, METADATA_KEY
from napari_nucleigan.widgets.synthesize.dialog import SavePairDialog
from napari_nucleigan.widgets.synthesize.dock import SynthesizeWidget
from napari_nucleigan.widgets.synthesize.jobs import FIT, ITSELF

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LONG = 60_000  # milliseconds; the machine may be busy
MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}


class App:
    """A viewer with the widget, and the hands of a user."""

    def __init__(self, viewer: Any, qtbot: QtBot) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.widget = SynthesizeWidget(viewer)
        viewer.window.add_dock_widget(self.widget, name="Synthesize H&E")
        with qtbot.waitSignal(self.widget.ready, timeout=LONG):
            pass

    @property
    def form(self) -> Any:
        return self.widget.form

    @property
    def bar(self) -> Any:
        return self.widget.bar

    @property
    def images(self) -> list[Any]:
        return [layer for layer in self.viewer.layers if layer.as_layer_data_tuple()[2] == "image"]

    def click(self, button: QPushButton) -> None:
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def run(self) -> Any:
        with self.qtbot.waitSignal(self.widget.done, timeout=LONG) as blocker:
            self.click(self.bar.run_button)
        return blocker.args[0]

    def choose(self, box: QComboBox, value: Any) -> None:
        index = box.findData(value)
        assert index >= 0
        box.setCurrentIndex(index)

    def errors(self) -> list[str]:
        records = notification_manager.records
        return [record.message for record in records if str(record.severity) == "error"]


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: QtBot, painters: Path) -> App:
    notification_manager.records.clear()
    return App(make_napari_viewer_proxy(), qtbot)


@pytest.fixture
def mask(tiny_he: Callable) -> Any:
    return tiny_he(150, 200, 40, 7)[1]


def test_mask_to_picture(app: App, mask: Any) -> None:
    layer = app.viewer.add_labels(
        mask, name="mask", translate=(5, -3), rotate=20, shear=[0.1], axis_labels=("down", "across"), **MICRONS
    )
    assert app.bar.run_button.isEnabled()
    assert app.form.mpp.value() == 0.25
    picture = app.run()
    (image,) = app.images
    assert image is picture.image or image == picture.image
    assert image.name == "mask H&E"
    assert image.rgb
    assert image.data.shape == (150, 200, 3)
    np.testing.assert_allclose(image.data_to_world((17, 60)), layer.data_to_world((17, 60)))
    assert image.units == layer.units
    assert image.axis_labels == ("down", "across")
    # just what the core paints
    expected = run(synthesize(mask, SynthesisSettings(mpp=0.25))).pixels
    np.testing.assert_array_equal(image.data, expected)
    known = image.metadata[METADATA_KEY]
    assert known["model"] == "nucleigan-paint"
    assert known["mask"] == "mask"
    assert len(known["sha256"]) == 64
    # below the mask, which stays in hand and is seen as outlines
    assert [each.name for each in app.viewer.layers] == ["mask H&E", "mask"]
    assert app.viewer.layers.selection.active == layer
    assert layer.contour == 2
    app.form.outlines.setChecked(False)
    assert layer.contour == 0
    assert app.bar.figures.text().startswith("200 x 150 pixels · ")
    assert not app.bar.cancel_button.isEnabled()
    assert not app.errors()


def test_seed_style_and_stains_are_those_of_the_form(app: App, mask: Any, tmp_path: Path) -> None:
    app.viewer.add_labels(mask, **MICRONS)
    first = app.run().image.data
    np.testing.assert_array_equal(app.run().image.data, first)  # the same seed, the same picture
    assert len(app.images) == 1
    seed = app.form.seed.value()
    app.click(app.form.dice)
    assert app.form.seed.value() != seed
    second = app.run()
    assert (second.image.data != first).any()
    app.form.seed.setValue(3)
    app.form.style_box.choose("liver")
    app.form.restain.choose("reference")
    app.choose(app.form.result, ADD)
    third = app.run()
    assert len(app.images) == 2
    assert third.provenance["style"] == "liver"
    settings = SynthesisSettings(mpp=0.25, seed=3, style="liver", restain="reference")
    np.testing.assert_array_equal(third.image.data, run(synthesize(mask, settings)).pixels)
    file = tmp_path / "stained.png"
    file.write_bytes(imagecodecs.png_encode(first))
    app.form.style_box.add_file(file)
    assert app.form.style_box.value == str(file)
    assert app.form.style_box.text == "Like stained.png"
    assert app.run().provenance["style"] == "stained"
    assert not app.errors()


def test_the_look_of_an_open_layer_is_taken(app: App, mask: Any, tiny_he: Callable, tmp_path: Path) -> None:
    app.viewer.add_labels(mask, name="mask", **MICRONS)
    he = tiny_he(150, 200, 40, 3)[0]
    reference = app.viewer.add_image(he, name="colon/4", **MICRONS)
    key = f"layer:{reference.unique_id}"
    app.form.style_box.choose(key)
    app.form.restain.choose(key)
    assert app.form.restain.text == "Like “colon/4”"
    picture = app.run()
    known = picture.image.metadata[METADATA_KEY]
    assert known["settings"]["style"] == "layer “colon/4”"
    assert known["settings"]["restain"] == "layer “colon/4”"
    file = tmp_path / "same.tif"
    write_image(file, he, 0.25)
    expected = run(synthesize(mask, SynthesisSettings(mpp=0.25, style=str(file), restain=str(file))))
    np.testing.assert_array_equal(picture.image.data, expected.pixels)
    app.viewer.layers.remove(reference)
    assert app.form.style_box.value == "random"
    assert app.form.restain.value == ""


def test_pixel_size_is_the_models_unless_the_mask_says_it(app: App, mask: Any) -> None:
    layer = app.viewer.add_labels(mask, name="plain")
    assert app.form.mpp.text() == "the model's"
    assert "Not in the mask" in app.form.mpp_source.text()
    assert app.run().mpp == 0.25
    app.form.mpp.setValue(0.5)
    assert app.form.mpp_source.text() == "Given by you."
    picture = app.run()
    assert picture.mpp == 0.5
    assert picture.image.data.shape == (150, 200, 3)
    assert "resampled" in app.bar.notes.text()
    app.viewer.add_labels(mask, name="other", **MICRONS)
    app.widget.select_mask(app.viewer.layers["other"])
    assert app.form.mpp.value() == 0.25
    app.widget.select_mask(layer)
    assert app.form.mpp.value() == 0.5
    app.form.mpp.setValue(15)
    assert "type the right pixel size" in app.bar.problem.text()
    assert not app.bar.run_button.isEnabled()


def test_what_cannot_be_painted_is_said_before_run(app: App, mask: Any) -> None:
    assert "There is no mask" in app.bar.problem.text()
    assert not app.bar.run_button.isEnabled()
    assert not app.form.live.isEnabled()
    assert not app.widget.save_button.isEnabled()
    app.viewer.add_image(np.zeros((40, 40, 3), np.uint8), name="image")
    assert app.form.mask.count() == 0
    app.viewer.add_labels(np.zeros((5, 40, 40), int), name="stack")
    assert "3 dimensions" in app.bar.problem.text()
    app.viewer.add_labels(mask, name="mask")
    app.widget.select_mask(app.viewer.layers["mask"])
    assert app.bar.run_button.isEnabled()
    assert app.form.live.isEnabled()
    app.viewer.layers["mask"].name = "renamed"
    assert app.form.mask.currentText() == "renamed"


def test_masks_of_other_kinds(app: App) -> None:
    random = np.random.default_rng(0)
    kinds = {
        "empty": np.zeros((64, 64), int),
        "one nucleus": np.ones((100, 80), np.uint8),
        "37 x 1001": random.integers(0, 5, (37, 1001)).repeat(1, 0),
        "1 x 1": np.ones((1, 1), int),
        "int64": np.full((40, 40), 2**31 - 2, np.int64),
        "many": np.arange(2500).reshape(50, 50).repeat(3, 0).repeat(3, 1),
    }
    for kind, data in kinds.items():
        app.viewer.layers.clear()
        app.viewer.add_labels(data, **MICRONS)
        picture = app.run()
        assert picture.image.data.shape == (*data.shape, 3), kind
        np.testing.assert_array_equal(picture.labels, data, err_msg=kind)
        assert not app.errors(), kind


def test_shapes_are_masks_too(app: App) -> None:
    triangle = np.array([[10, 10], [40, 15], [20, 50.0]])
    box = np.array([[50, 10], [50, 30], [70, 30], [70, 10.0]])
    layer = app.viewer.add_shapes([triangle, box], shape_type=["polygon", "ellipse"], name="drawn", **MICRONS)
    picture = app.run()
    assert picture.image.data.shape == (128, 64, 3)
    assert set(np.unique(picture.labels)) == {0, 1, 2}
    assert picture.labels[22, 22] == 1
    assert picture.labels[60, 20] == 2
    assert picture.labels[51, 11] == 0  # a corner of the box is none of the ellipse
    np.testing.assert_allclose(picture.image.data_to_world((17, 60)), layer.data_to_world((17, 60)))
    app.viewer.add_shapes(name="none")
    app.widget.select_mask(app.viewer.layers["none"])
    assert "no shapes" in app.bar.problem.text()


def test_edits_after_run_do_not_change_what_was_painted(app: App, mask: Any) -> None:
    layer = app.viewer.add_labels(mask.copy(), **MICRONS)
    picture = app.run()
    layer.data[:] = 0
    np.testing.assert_array_equal(picture.labels, mask)


def test_cancel_acts_within_a_second(app: App, mask: Any) -> None:
    app.viewer.add_labels(np.tile(mask, (9, 6)), name="large", **MICRONS)
    app.click(app.bar.run_button)
    assert not app.bar.run_button.isEnabled()
    assert not app.form.isEnabled()
    assert not app.form.live.isEnabled()
    assert app.bar.progress.isVisibleTo(app.widget)
    app.qtbot.waitUntil(lambda: app.bar.progress.maximum() > 1, timeout=LONG)
    begin = time.monotonic()
    app.click(app.bar.cancel_button)
    app.qtbot.waitUntil(lambda: app.bar.run_button.isEnabled(), timeout=1000)
    assert time.monotonic() - begin < 1
    assert "Cancelled" in app.bar.notes.text()
    assert QThreadPool.globalInstance().waitForDone(LONG)
    app.qtbot.wait(100)
    assert app.images == []
    assert not app.errors()


@pytest.mark.parametrize("fault", ["damaged", "gone", "of another kind"])
def test_a_model_that_cannot_be_used_is_said(
    app: App, mask: Any, painters: Path, fault: str, trained_file: Path
) -> None:
    app.viewer.add_labels(mask, **MICRONS)
    file = painters / "paint.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 255
    if fault == "damaged":
        file.write_bytes(content)
    elif fault == "gone":
        file.unlink()
    else:
        file.write_bytes(trained_file.read_bytes())
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
        app.click(app.bar.run_button)
    assert {"damaged": "damaged", "gone": "no model", "of another kind": "segmenter"}[fault] in app.errors()[0]
    assert app.errors()[0] in app.bar.notes.text()
    assert app.bar.run_button.isEnabled()


def test_a_model_file_can_be_added(app: App, painters: Path, trained_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes((painters / "paint.safetensors").read_bytes())
    before = app.form.model.count()
    for _ in range(2):
        app.widget.add_model_file(other)
        assert app.form.model.count() == before + 1
    assert app.form.model.currentData() == str(other)
    assert "CC0-1.0" in app.form.picker.info.text()
    app.widget.add_model_file(trained_file)
    assert "not a synthesizer" in app.errors()[0]
    assert app.form.model.count() == before + 1


def test_without_a_model_it_says_so(make_napari_viewer_proxy: Callable, qtbot: QtBot, mask: Any) -> None:
    app = App(make_napari_viewer_proxy(), qtbot)
    app.viewer.add_labels(mask)
    if app.form.model.count() == 0:  # until one is bundled
        assert "add a model file" in app.bar.problem.text()
        assert not app.bar.run_button.isEnabled()


def test_every_field_has_a_tooltip(app: App) -> None:
    kinds = (QComboBox, QAbstractSpinBox, QAbstractSlider, QPushButton, QCheckBox, QLineEdit)
    found = [
        part
        for part in app.widget.findChildren(QWidget)
        if isinstance(part, kinds) and not isinstance(part, QScrollBar)
    ]
    assert len(found) > 20
    for part in found:
        inner = isinstance(part.parent(), QAbstractSpinBox | QComboBox)
        assert part.toolTip() or inner, (type(part), part.objectName(), part.parent())


def test_fits_a_small_screen(app: App) -> None:
    assert app.widget.minimumSizeHint().height() < 600
    assert app.widget.sizeHint().width() < 500


def test_opening_from_the_plugins_menu(make_napari_viewer_proxy: Callable, qtbot: QtBot, painters: Path) -> None:
    viewer = make_napari_viewer_proxy()
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleigan", "Synthesize H&E")
    assert type(widget).__name__ == "SynthesizeWidget"
    with qtbot.waitSignal(widget.ready, timeout=LONG):
        pass


class TestSaving:
    """The dialogue, and the files."""

    def save(self, app: App, folder: Path, name: str, suffix: str = ".png") -> Path:
        dialog = self.ask(app)
        dialog.folder.line.setText(str(folder))
        dialog.name.setText(name)
        app.choose(dialog.format, suffix)
        with app.qtbot.waitSignal(app.widget.saved, timeout=LONG) as blocker:
            app.click(dialog.save_button)
        return blocker.args[0]

    def ask(self, app: App) -> Any:
        app.click(app.widget.save_button)
        return next(each for each in app.widget.findChildren(SavePairDialog) if each.isVisible())

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_a_pair_joins_a_data_set(self, app: App, mask: Any, tmp_path: Path, suffix: str) -> None:
        app.viewer.add_labels(mask, name="my mask", scale=(0.5, 0.5), units=("µm", "µm"))
        picture = app.run()
        path = self.save(app, tmp_path / "set", "one", suffix)
        assert path == tmp_path / "set" / "images" / f"one{suffix}"
        dataset = Dataset.open(tmp_path / "set")
        image, labels = dataset.pair("one")
        np.testing.assert_array_equal(image.pixels, picture.image.data)
        np.testing.assert_array_equal(labels, mask)
        assert image.mpp == pytest.approx(0.5, rel=1e-3)
        assert sorted(each.name for each in (tmp_path / "set").iterdir()) == ["images", "labels"]
        assert "Saved" in app.bar.notes.text()
        assert app.widget.save_button.isEnabled()

    def test_nothing_is_written_over_without_asking(self, app: App, mask: Any, tmp_path: Path) -> None:
        app.viewer.add_labels(mask, name="mask", **MICRONS)
        app.run()
        first = self.save(app, tmp_path, "mask", ".tif").read_bytes()
        for kind in ("tissue", "regions"):  # what another command has added to the pair that goes
            write_labels(tmp_path / kind / "mask.tif", mask)
        app.click(app.form.dice)
        app.run()
        dialog = self.ask(app)
        assert dialog.folder.line.text() == str(tmp_path)  # as it was last time
        assert dialog.name.text() == "mask"
        assert "already" in dialog.remark.text()
        assert not dialog.save_button.isEnabled()
        dialog.name.setText("another")
        assert dialog.save_button.isEnabled()
        assert not dialog.replace.isVisibleTo(dialog)
        dialog.name.setText("mask")
        dialog.replace.setChecked(True)
        with app.qtbot.waitSignal(app.widget.saved, timeout=LONG):
            app.click(dialog.save_button)
        files = [path.name for path in (tmp_path / "images").iterdir()]
        assert files == ["mask.png"]  # the TIFF of that name is gone: a data set has one image of a name
        assert not [*(tmp_path / "tissue").iterdir(), *(tmp_path / "regions").iterdir()]
        assert (tmp_path / "images" / "mask.png").read_bytes() != first

    def test_names_and_folders_that_will_not_do_are_said(self, app: App, mask: Any, tmp_path: Path) -> None:
        app.viewer.add_labels(mask, name="a/b", **MICRONS)
        app.run()
        dialog = self.ask(app)
        assert dialog.name.text() == "a_b"
        assert "Choose the folder" in dialog.remark.text()
        (tmp_path / "file").write_text("")
        for folder, name, words in (
            ("relative", "a", "whole path"),
            (str(tmp_path / "file"), "a", "is a file"),
            (str(tmp_path), "", "Give a name"),
            (str(tmp_path), "../a", "Give a name"),
        ):
            dialog.folder.line.setText(folder)
            dialog.name.setText(name)
            assert words in dialog.remark.text()
            assert not dialog.save_button.isEnabled()
        dialog.reject()

    def test_a_folder_that_cannot_be_written_to_is_said(self, app: App, mask: Any, tmp_path: Path) -> None:
        app.viewer.add_labels(mask, **MICRONS)
        app.run()
        (tmp_path / "labels").write_text("a file where the folder should be")
        dialog = self.ask(app)
        dialog.folder.line.setText(str(tmp_path))
        dialog.name.setText("one")
        with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
            app.click(dialog.save_button)
        assert "Cannot write" in app.errors()[0]
        assert not list((tmp_path / "images").glob("*"))
        assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


class TestSets:
    """Data sets from the second tab."""

    def prepare(self, app: App, folder: Path, masks: str, count: int = 3, size: int = 64) -> Any:
        sets = app.widget.sets
        app.widget.tabs.setCurrentWidget(sets)
        app.choose(sets.masks, masks)
        sets.count.setValue(count)
        sets.side.setValue(size)
        sets.folder.line.setText(str(folder))
        return sets

    def make(self, app: App, *args: Any) -> Any:
        sets = self.prepare(app, *args)
        with app.qtbot.waitSignal(sets.done, timeout=LONG) as blocker:
            app.click(sets.bar.run_button)
        return blocker.args[0]

    @pytest.mark.parametrize("masks", ["breast", FIT])
    def test_masks_are_drawn(self, app: App, tmp_path: Path, tiny_he: Callable, masks: str) -> None:
        app.viewer.add_labels(tiny_he(150, 200, 40, 7)[1], **MICRONS)
        report = self.make(app, tmp_path / "set", masks)
        assert report.made == 3
        dataset = Dataset.open(tmp_path / "set")
        assert len(dataset) == 3
        image, labels = dataset.pair(dataset.names[0])
        assert image.pixels.shape == (64, 64, 3)
        assert image.mpp == pytest.approx(0.25, rel=1e-3)
        assert labels.max() > 0 or masks == FIT
        text = app.widget.sets.bar.figures.text()
        assert text.startswith("3 pairs in set · ")
        # pressed again, it goes on
        again = self.make(app, tmp_path / "set", masks, 5)
        assert (again.made, again.kept) == (2, 3)
        assert not app.errors()

    def test_a_mask_itself_with_new_seeds(self, app: App, mask: Any, tmp_path: Path, tiny_he: Callable) -> None:
        app.viewer.add_labels(mask, name="mask", **MICRONS)
        he = app.viewer.add_image(tiny_he(100, 100, 10, 1)[0], name="look", **MICRONS)
        app.form.style_box.choose(f"layer:{he.unique_id}")
        self.make(app, tmp_path / "set", ITSELF)
        assert not app.widget.sets.side.isEnabled()
        dataset = Dataset.open(tmp_path / "set")
        assert len(dataset) == 3
        pictures = [dataset.image(name).pixels for name in dataset.names]
        for name in dataset.names:
            np.testing.assert_array_equal(dataset.labels(name), mask)
        assert (pictures[0] != pictures[1]).any()
        assert self.make(app, tmp_path / "set", ITSELF, 4).kept == 3
        app.viewer.layers["mask"].data = np.zeros_like(mask)
        sets = self.prepare(app, tmp_path / "set", ITSELF, 5)
        with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
            app.click(sets.bar.run_button)
        assert "another mask" in app.errors()[0]
        assert "another mask" in sets.bar.notes.text()

    def test_a_folder_of_something_else_stays_as_it_is(self, app: App, mask: Any, tmp_path: Path) -> None:
        app.viewer.add_labels(mask, name="mask", **MICRONS)
        (tmp_path / "set" / "images").mkdir(parents=True)
        (tmp_path / "set" / "images" / "mine.png").write_bytes(b"mine")
        sets = self.prepare(app, tmp_path / "set", ITSELF)
        with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
            app.click(sets.bar.run_button)
        assert "choose another folder" in app.errors()[0]
        found = {path.relative_to(tmp_path / "set").as_posix() for path in (tmp_path / "set").rglob("*")}
        assert found == {"images", "images/mine.png"}

    def test_an_empty_mask_can_be_no_model_for_others(self, app: App, tmp_path: Path) -> None:
        app.viewer.add_labels(np.zeros((64, 64), int), name="mask", **MICRONS)
        sets = self.prepare(app, tmp_path / "set", FIT)
        with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
            app.click(sets.bar.run_button)
        assert "nothing to learn from" in sets.bar.notes.text()

    def test_what_is_missing_is_said(self, app: App, mask: Any, tmp_path: Path) -> None:
        sets = self.prepare(app, tmp_path, "all")
        assert sets.bar.run_button.isEnabled()  # drawn masks need no layer
        app.choose(sets.masks, FIT)
        assert "There is no mask" in sets.bar.problem.text()
        assert not sets.bar.run_button.isEnabled()
        app.viewer.add_labels(mask)
        assert sets.bar.run_button.isEnabled()
        sets.folder.line.setText("")
        assert "Choose the folder" in sets.bar.problem.text()

    def test_cancel_keeps_what_is_made(self, app: App, tmp_path: Path) -> None:
        sets = self.prepare(app, tmp_path / "set", "all", 5000, 128)
        app.click(sets.bar.run_button)
        assert not sets.fields.isEnabled()
        app.qtbot.waitUntil(lambda: sets.bar.progress.value() > 8, timeout=LONG)
        begin = time.monotonic()
        app.click(sets.bar.cancel_button)
        app.qtbot.waitUntil(lambda: sets.bar.run_button.isEnabled(), timeout=1000)
        assert time.monotonic() - begin < 1
        assert QThreadPool.globalInstance().waitForDone(LONG)
        made = len(Dataset.open(tmp_path / "set"))
        assert 8 <= made < 5000
        sets.count.setValue(made + 1)
        with app.qtbot.waitSignal(sets.done, timeout=LONG) as blocker:
            app.click(sets.bar.run_button)
        assert (blocker.args[0].made, blocker.args[0].kept) == (1, made)


def test_layer_removed_in_the_middle_of_a_run(app: App, mask: Any) -> None:
    app.viewer.add_labels(mask, **MICRONS)
    with app.qtbot.waitSignal(app.widget.done, timeout=LONG) as blocker:
        app.click(app.bar.run_button)
        app.viewer.layers.clear()
    assert blocker.args == [None]
    assert len(app.viewer.layers) == 0
