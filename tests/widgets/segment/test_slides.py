"""Slides in the Segment widget, by clicking it in a real viewer."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

pytest.importorskip("qtpy.QtWidgets")
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QThreadPool

from napari_nucleigan.data.slides import open_slide
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.layers import METADATA_KEY
from napari_nucleigan.widgets.segment import form, slide_run
from segment_app import LONG, MICRONS, SlideApp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot


SIDE, LARGE = 1200, 500_000


@pytest.fixture(scope="session")
def slide_file(tiny_he: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pyramidal TIFF of 1200 x 1200 pixels."""
    path = tmp_path_factory.mktemp("slides") / "glass.tif"
    pixels = np.tile(tiny_he(300, 300, 90, 4)[0], (SIDE // 300, SIDE // 300, 1))
    with tifffile.TiffWriter(path) as tif:
        for level in range(3):
            tif.write(
                pixels[:: 2**level, :: 2**level],
                photometric="rgb",
                tile=(256, 256),
                compression="zlib",
                subifds=0 if level else 2,
                subfiletype=int(level > 0),
                resolution=(4e4 / 2**level,) * 2,
                resolutionunit="CENTIMETER",
            )
    return path


@pytest.fixture(params=[False])
def app(
    request: pytest.FixtureRequest,
    make_napari_viewer_proxy: Callable,
    qtbot: QtBot,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[SlideApp]:
    notification_manager.records.clear()
    monkeypatch.setattr(layers, "LARGE", LARGE)
    monkeypatch.setattr(slide_run, "REFRESH_MS", 50)
    app = SlideApp(make_napari_viewer_proxy(show=request.param), qtbot)
    yield app
    assert QThreadPool.globalInstance().waitForDone(LONG)
    assert tiles_end()
    for slide in app.slides:
        slide.close()


def read(path: Path) -> Any:
    with open_slide(path) as slide:
        return slide.region((0, SIDE, 0, SIDE))


def tiles_end() -> bool:
    """Wait for the tile in hand."""
    until = time.monotonic() + LONG / 1000
    while any(thread.name.startswith("nucleigan-tiles") for thread in threading.enumerate()):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_whole_slide(app: SlideApp, slide_file: Path, tmp_path: Path) -> None:
    image = app.open(slide_file, tmp_path, translate=(30, -20), rotate=25)
    seen: list[int] = []

    def look(_: object) -> None:
        live = app.widget.slides.live
        if live is not None and live.labels in app.viewer.layers:
            seen.append(int(np.count_nonzero(np.asarray(live.labels.data[0]))))
            assert live.labels.name == "glass nuclei so far"

    app.widget.slides.progressed.connect(look)
    (shown,) = app.run()
    assert len(set(seen)) > 2  # it grew
    labels, found = shown.labels, shown.findings.result
    assert [path.name for path in found.outputs] == [
        "glass.ome.zarr",
        "glass.geojson.gz",
        "glass.csv",
        "glass.density.tif",
    ]
    assert sorted(path.name for path in tmp_path.glob("*glass*")) == sorted(path.name for path in found.outputs)
    # one layer takes the place of the one before, where the slide is
    assert [layer.name for layer in app.viewer.layers] == ["glass", "glass nuclei", "glass nuclei per mm²"]
    assert labels.multiscale
    np.testing.assert_allclose(labels.data_to_world((17, 60)), image.data_to_world((17, 60)))
    assert labels.units == image.units
    numbers = np.unique(np.asarray(labels.data[0]))[1:]
    assert len(numbers) == found.nuclei > 500
    assert sorted(labels.features["index"]) == numbers.tolist()
    assert labels.metadata[METADATA_KEY]["model"] == "nucleigan-he"
    density = app.layer("mm²")
    assert not density.visible
    assert density.data.sum() > 0
    # the corners of both lie in one place
    np.testing.assert_allclose(density.data_to_world((-0.5, -0.5)), image.data_to_world((-0.5, -0.5)), atol=1e-6)
    assert app.bar.figures.text().startswith(f"{found.nuclei} nuclei · ")
    assert "glass.csv" in app.bar.notes.text()
    assert app.form.image.count() == 1  # the map is no image to segment
    # the same nuclei as in one piece
    layers.LARGE = SIDE**2
    app.widget._update()
    (result,) = app.run()
    whole = result.labels.data
    assert abs(int(whole.max()) - found.nuclei) <= 0.01 * found.nuclei
    assert np.mean((whole > 0) == (np.asarray(labels.data[0]) > 0)) > 0.995
    assert not app.errors()


def test_cancel_keeps_what_is_done(app: SlideApp, slide_file: Path, tmp_path: Path) -> None:
    app.open(slide_file, tmp_path, tile=192)
    app.run_until_tiles(4)
    app.qtbot.waitUntil(lambda: app.layer("so far") is not None, timeout=LONG)
    begun = time.monotonic()
    app.qtbot.mouseClick(app.bar.cancel_button, Qt.MouseButton.LeftButton)
    app.qtbot.waitUntil(lambda: app.bar.run_button.isEnabled(), timeout=LONG)
    assert time.monotonic() - begun < 1
    kept = app.widget.slides._tiles
    assert f"{kept.done} of {kept.total} tiles are kept" in app.bar.notes.text()
    unfinished = app.layer("unfinished")
    assert np.asarray(unfinished.data[0]).any()
    (shown,) = app.run()
    assert kept.done <= shown.findings.result.resumed < kept.total
    assert [layer.name for layer in app.viewer.layers] == ["glass", "glass nuclei", "glass nuclei per mm²"]
    assert shown.findings.result.nuclei > 500


@pytest.mark.parametrize("what", ["dock", "viewer"])
def test_closed_in_the_middle(app: SlideApp, slide_file: Path, tmp_path: Path, what: str) -> None:
    app.open(slide_file, tmp_path, tile=128)
    app.run_until_tiles(2)
    if what == "dock":
        app.viewer.window.remove_dock_widget(app.widget)
        assert not app.widget.running
    else:
        app.viewer.close()
    app.qtbot.wait(50)
    assert QThreadPool.globalInstance().waitForDone(LONG)
    assert tiles_end()
    (work,) = tmp_path.glob(".glass-*.nucleigan")
    assert len(list((work / "tiles").iterdir())) >= 2
    assert not app.errors()


@pytest.mark.parametrize("app", [True], indirect=True)
def test_region_in_view(app: SlideApp, slide_file: Path, tmp_path: Path) -> None:
    image = app.open(
        slide_file, tmp_path, translate=(30, -20), rotate=25, affine=[[0.8, 0.1, 3], [0, 1.2, 0], [0, 0, 1]]
    )
    app.choose(app.form.region, form.VIEW)
    app.viewer.reset_view()
    app.viewer.scene.camera.zoom *= 8
    app.qtbot.wait(100)
    (result,) = app.run()
    top, bottom, left, right = result.part.box
    assert result.labels.data.shape == (bottom - top, right - left)
    assert (bottom - top) * (right - left) < LARGE
    np.testing.assert_allclose(result.labels.data_to_world((3, 5)), image.data_to_world((top + 3, left + 5)))
    features = result.labels.features
    assert len(features) > 5
    assert features["centroid_y_px"].between(top, bottom).all()
    row = features.iloc[len(features) // 2]
    at = round(row["centroid_y_px"]) - top, round(row["centroid_x_px"]) - left
    assert result.labels.data[at] == row["index"]
    before = result.labels.data.max()
    app.move(lambda: app.form.min_area.setValue(8.0))
    assert result.labels.data.shape == (bottom - top, right - left)
    assert result.labels.data.max() < before


def test_only_the_box_is_read(app: SlideApp, slide_file: Path) -> None:
    import dask.array as da

    pixels = read(slide_file)
    seen: set[tuple[int, int]] = set()

    def block(block_info: Any = None) -> Any:
        (top, bottom), (left, right) = block_info[None]["array-location"][:2]
        seen.add((top, left))
        return pixels[top:bottom, left:right]

    chunks = ((100,) * (SIDE // 100),) * 2 + ((3,),)
    lazy = da.map_blocks(block, chunks=chunks, dtype=np.uint8, meta=np.empty((0,) * 3, np.uint8))
    app.viewer.add_image([lazy, pixels[::4, ::4]], multiscale=True, rgb=True, cache=False, **MICRONS)
    seen.clear()
    app.draw([(450, 450), (450, 650), (650, 650), (650, 450)])
    (result,) = app.run()
    assert len(result.labels.features) > 5
    assert seen == {(top, left) for top in range(300, 800, 100) for left in range(300, 800, 100)}


def test_drawn_region_in_memory(app: SlideApp, tiny_he: Callable) -> None:
    rgb, truth = tiny_he(300, 300, 90, 4)
    app.viewer.add_image(rgb, name="tile", translate=(5, 7), rotate=30, **MICRONS)
    app.choose(app.form.region, form.DRAWN)
    assert app.widget.shapes.isVisibleTo(app.widget)
    assert "Press Draw" in app.bar.problem.text()
    app.draw([(60, 60), (60, 200), (180, 130)], "polygon")
    assert app.bar.run_button.isEnabled()
    (result,) = app.run()

    def triangle(rows: Any, columns: Any) -> Any:
        from skimage.measure import points_in_poly

        return points_in_poly(np.column_stack([rows, columns]), [(60, 60), (60, 200), (180, 130)])

    def right() -> bool:
        table = result.labels.features
        inside = triangle(table["centroid_y_px"], table["centroid_x_px"]).all()
        return bool(inside and sorted(table["index"]) == np.unique(result.labels.data)[1:].tolist())

    assert result.labels.data.shape == (300, 300)
    assert right()
    rows, columns = (
        np.array([place[truth == label].mean() for label in range(1, truth.max() + 1)])
        for place in np.mgrid[:300, :300]
    )
    expected = int(triangle(rows, columns).sum())
    assert abs(len(result.labels.features) - expected) <= 2
    app.move(lambda: app.form.min_area.setValue(7.0))
    assert right()
    assert 0 < len(result.labels.features) < expected
    # outside of the image there is nothing to segment
    app.draw([(900, 900), (900, 950), (950, 950)], "polygon")
    assert "outside" in app.bar.problem.text()


def test_drawn_region_of_a_slide(app: SlideApp, slide_file: Path, tmp_path: Path) -> None:
    app.open(slide_file, tmp_path, rotate=10)
    app.draw([(200, 150), (200, 1000), (1050, 1000), (1050, 150)])
    assert not app.widget.slide.replaced.isVisibleTo(app.widget)
    app.run()
    assert app.widget.slide.replaced.isVisibleTo(app.widget)
    (shown,) = app.run()
    assert [layer.name for layer in app.viewer.layers] == [
        "glass",
        "glass region",
        "glass nuclei",
        "glass nuclei per mm²",
    ]
    result, table = shown.findings.result, shown.labels.features
    assert 100 < result.nuclei == len(table)
    assert result.tiles < 25
    assert table["centroid_y_px"].between(200, 1050).all()
    assert table["centroid_x_px"].between(150, 1000).all()


def test_problems_are_said_before_run(app: SlideApp, slide_file: Path, tmp_path: Path, mount: Callable) -> None:
    app.viewer.add_image(np.zeros((50, 50, 3), np.uint8), name="small", **MICRONS)
    assert not app.widget.slide.folder.isVisibleTo(app.widget)
    image = app.open(slide_file, tmp_path)
    app.widget.select_image(image)
    assert app.widget.slide.folder.isVisibleTo(app.widget)
    assert app.bar.run_button.isEnabled()
    line = app.widget.slide.folder.line
    for text, words in (
        ("", "Choose the folder of the results"),
        ("results", "whole path"),
        (str(slide_file), "is a file"),
        (str(mount("ro") / "new"), "cannot be written to"),
        (str(mount("size=20k")), "GB free"),
    ):
        line.setText(text)
        assert words in app.bar.problem.text()
        assert not app.bar.run_button.isEnabled()
    line.setText(str(tmp_path))
    assert app.bar.run_button.isEnabled()
    wide = app.viewer.add_image(np.zeros((900, 900, 3), np.float32), rgb=True, name="floats", **MICRONS)
    app.widget.select_image(wide)
    assert "no RGB of 8 bits (float32 with 3 channels)" in app.bar.problem.text()
    app.choose(app.form.region, form.DRAWN)
    array = app.viewer.add_image(np.full((900, 900, 3), 200, np.uint8), name="array", **MICRONS)
    app.choose(app.form.region, form.WHOLE)
    app.widget.select_image(array)
    assert app.bar.run_button.isEnabled()
    app.widget.slide.cluster.setText("tcp://127.0.0.1:8786")
    assert "does not come from a file" in app.bar.problem.text()


def test_folder_is_that_of_the_slide(app: SlideApp, slide_file: Path, tmp_path: Path) -> None:
    line = app.widget.slide.folder.line
    image = app.open(slide_file, tmp_path)
    line.clear()
    app.viewer.layers.remove(image)
    app.open(slide_file, slide_file.parent)
    assert line.text() == str(slide_file.parent)
    line.setText(str(tmp_path))  # what the user has chosen stays
    app.viewer.add_image(np.zeros((900, 900, 3), np.uint8), name="array", **MICRONS)
    assert line.text() == str(tmp_path)


def test_slides_that_are_arrays(app: SlideApp, slide_file: Path, tmp_path: Path) -> None:
    pixels = read(slide_file)
    app.viewer.add_image(pixels, name="an array: 1", **MICRONS)
    app.widget.slide.folder.line.setText(str(tmp_path))
    (shown,) = app.run()
    assert shown.findings.result.nuclei > 500
    assert (tmp_path / "an array_ 1.ome.zarr").is_dir()


def test_errors_are_said(app: SlideApp, slide_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    from napari_nucleigan.segmentation.slides import executors

    monkeypatch.setattr(executors, "_PATIENCE", 0.5)
    app.open(slide_file, tmp_path)
    app.widget.slide.cluster.setText("tcp://127.0.0.1:1")
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
        app.click_run()
    assert "does not answer" in app.errors()[0]
    assert app.bar.run_button.isEnabled()


def test_a_cluster_does_the_work(app: SlideApp, slide_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    address, home = tmp_path / "scheduler.json", tmp_path / "dask"
    home.mkdir()
    common = ["--scheduler-file", str(address), "--no-dashboard"]
    commands = [
        ["scheduler", *common, "--host", "127.0.0.1", "--port", "0"],
        ["worker", *common, "--nthreads", "1", "--nworkers", "1", "--local-directory", str(home)],
    ]
    parts = [
        subprocess.Popen([sys.executable, "-m", "dask", *command], stderr=subprocess.DEVNULL, cwd=home)
        for command in commands
    ]
    try:
        app.qtbot.waitUntil(address.exists, timeout=LONG)
        app.open(slide_file, tmp_path)
        app.draw([(0, 0), (0, 900), (700, 900), (700, 0)])
        app.widget.slide.cluster.setText(str(address))
        (shown,) = app.run()
    finally:
        for part in parts:
            part.terminate()
            part.wait()
    assert 100 < shown.findings.result.nuclei == len(shown.labels.features)
    assert not app.errors()
