from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QThreadPool

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.contributions import menus
from napari_nucleigan.data.images.files import HEImage

if TYPE_CHECKING:
    from collections.abc import Callable


def test_synthetic_he_lies_in_microns_with_its_labels() -> None:
    image, labels = (Layer.create(*data) for data in menus.synthetic_he())
    assert isinstance(image, Image)
    assert isinstance(labels, Labels)
    assert "synthetic" in image.name.lower()
    for layer in (image, labels):
        assert layer.scale.tolist() == [0.25, 0.25]
        assert [str(unit) for unit in layer.units] == ["micrometer"] * 2
    assert image.data.shape[:2] == labels.data.shape
    assert len(np.unique(labels.data)) > 300


def test_immunohistochemistry_says_what_it_is() -> None:
    (data,) = menus.immunohistochemistry()
    layer = Layer.create(*data)
    assert "not H&E" in layer.name
    assert "not H&E" in layer.metadata["nucleigan"]["notes"][0]


@pytest.mark.parametrize("outcome", ["loaded", "offline", "removed"])
def test_a_download_does_not_keep_the_viewer_waiting(
    make_napari_viewer_proxy: Callable, qtbot: Any, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    pytest.importorskip("qtpy.QtWidgets")
    from napari.utils.notifications import notification_manager

    answer = threading.Event()

    def load() -> HEImage:
        assert answer.wait(60)
        if outcome == "offline":
            raise ImageError("There is no network.")
        return HEImage(np.zeros((30, 40, 3), np.uint8), 1.0, "skin")

    monkeypatch.setattr(menus.samples, "skin", load)
    notification_manager.records.clear()
    viewer = make_napari_viewer_proxy()
    viewer.open_sample("napari-nucleigan", "skin")  # it returns at once
    viewer.add_points([(1, 1)], name="above")
    assert [layer.name for layer in viewer.layers] == ["Skin, H&E at 10x (loading…)", "above"]
    if outcome == "removed":
        del viewer.layers[0]
    answer.set()
    here = {"loaded": ["Skin, H&E at 10x", "above"]}.get(outcome, ["above"])
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers] == here, timeout=60_000)
    assert QThreadPool.globalInstance().waitForDone(60_000)
    qtbot.wait(100)
    assert [layer.name for layer in viewer.layers] == here
    if outcome == "loaded":
        assert viewer.layers[0].data.shape == (30, 40, 3)
        assert viewer.layers[0].scale.tolist() == [1, 1]
    errors = [record.message for record in notification_manager.records if str(record.severity) == "error"]
    assert errors == (["There is no network."] if outcome == "offline" else [])


def test_contributions_load_neither_torch_nor_qt() -> None:
    modules = "menus, readers, writers"
    code = (
        f"import sys; from napari_nucleigan.contributions import {modules}; menus.synthetic_he(); "
        "print([m for m in ('torch', 'qtpy', 'napari') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_manifest_offers_the_samples() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-nucleigan")
    offered = manifest.contributions.sample_data or []
    assert [one.key for one in offered] == ["synthetic_he", "skin", "immunohistochemistry"]
    for one in offered:
        name = next(c.python_name for c in manifest.contributions.commands or [] if c.id == one.command)
        assert callable(getattr(menus, str(name).split(":")[1]))
