"""Slides in the real viewer: opened, looked at, their label shown by the menu."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from npe2 import PluginManifest
from qtpy.QtWidgets import QApplication, QMainWindow

import napari_nucleigan
from napari_nucleigan.contributions.menus import SHOW_GLASS
from slide_files import write_label_zarr, write_pyramid, write_svs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.viewer import Viewer
    from npe2 import PluginManager
    from qtpy.QtWidgets import QAction, QMenu, QMenuBar

MANIFEST = Path(napari_nucleigan.__file__).with_name("napari.yaml")
PLUGIN = "napari-nucleigan"


@pytest.fixture
def viewer(plugin_settings: None, npe2pm: PluginManager, make_napari_viewer_proxy: Callable) -> Viewer:
    viewer: Viewer = make_napari_viewer_proxy(show=True)
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    return viewer


@pytest.fixture
def rgb(tiny_he: Any) -> np.ndarray:
    pixels: np.ndarray = tiny_he(300, 420, 40)[0]
    return pixels


def actions(menu: QMenu | QMenuBar) -> Iterator[QAction]:
    for action in menu.actions():
        if action.menu():
            yield from actions(action.menu())
        else:
            yield action


def show_glass() -> None:
    """Click on the command in the menu Layers > Visualize."""
    bars = [window.menuBar() for window in QApplication.topLevelWidgets() if isinstance(window, QMainWindow)]
    (action,) = [action for bar in bars for action in actions(bar) if action.text().startswith(SHOW_GLASS)]
    action.trigger()
    QApplication.processEvents()


def test_a_slide_and_its_results_are_drawn(viewer: Viewer, rgb: np.ndarray, tiny_he: Any, tmp_path: Path) -> None:
    options = {"resolution": (4e4, 4e4), "resolutionunit": "CENTIMETER", "compression": "zlib"}
    viewer.open(write_pyramid(tmp_path / "a.tif", rgb, **options), plugin=PLUGIN)
    (slide,) = viewer.layers
    assert viewer.dims.ndim == 2
    slide_only = viewer.screenshot(flash=False)
    assert slide_only[..., :3].std() > 10
    viewer.open(write_label_zarr(tmp_path / "a.ome.zarr", tiny_he(300, 420, 40)[1].astype(np.uint32)), plugin=PLUGIN)
    labels = viewer.layers[1]
    assert np.allclose(labels.extent.world, slide.extent.world)
    assert labels.get_value((50, 50), world=True) is not None
    assert not np.array_equal(viewer.screenshot(flash=False), slide_only)
    # Nearer, at the full resolution.
    viewer.scene.camera.zoom *= 8
    assert viewer.screenshot(flash=False)[..., :3].std() > 10
    assert slide.data_level == 0


def test_label_and_macro_come_by_the_menu(viewer: Viewer, rgb: np.ndarray, tmp_path: Path) -> None:
    viewer.open(write_svs(tmp_path / "a.svs", rgb), plugin=PLUGIN)
    (slide,) = viewer.layers
    show_glass()
    assert [layer.name for layer in viewer.layers] == ["a", "a label", "a macro"]
    _, label, macro = viewer.layers
    assert np.array_equal(label.data, rgb[:40, :40])
    assert np.array_equal(macro.data, rgb[:30, :90])
    assert label.visible and macro.visible
    assert viewer.layers.selection.active == slide
    # To the right of the slide, one below the other, in its units.
    right, lower = slide.extent.world[1, 1], label.extent.world[1, 0]
    assert min(layer.extent.world[0, 1] for layer in (label, macro)) > right
    assert macro.extent.world[0, 0] > lower
    assert label.units == slide.units
    assert np.ptp(label.extent.world[:, 1]) == pytest.approx(np.ptp(macro.extent.world[:, 1]), rel=0.05)

    label.visible = False
    show_glass()
    assert len(viewer.layers) == 3
    assert label.visible


def test_without_a_slide_the_command_says_what_it_needs(viewer: Viewer, rgb: np.ndarray) -> None:
    from napari.utils.notifications import notification_manager

    viewer.add_image(rgb)
    show_glass()
    assert len(viewer.layers) == 1
    assert notification_manager.records[-1].message.startswith("Select the layer of a slide")
