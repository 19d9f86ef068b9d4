"""What the widgets keep between sessions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("qtpy.QtWidgets")
from npe2 import PluginManager, PluginManifest

import napari_nucleigan
from napari_nucleigan.models import registry
from napari_nucleigan.widgets.base import preferences

MANIFEST = Path(napari_nucleigan.__file__).with_name("napari.yaml")


def test_preferences_without_a_page_are_the_defaults(plugin_settings: None) -> None:
    assert preferences.preferences() == preferences.Preferences()


def test_preferences_come_from_napari(
    plugin_settings: None, npe2pm: PluginManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari.settings import get_plugin_settings

    monkeypatch.setenv("NUCLEIGAN_MODELS", "kept")
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    assert preferences.preferences() == preferences.Preferences()
    page = get_plugin_settings(preferences.PLUGIN)
    page.computing.device, page.computing.tile = "cpu", 512
    page.folders.models = "mine"
    assert preferences.preferences() == preferences.Preferences("cpu", 512, "mine", "")
    assert (registry.user_folder(), registry.child_environment()["NUCLEIGAN_MODELS"]) == (Path("kept"), "kept")
    monkeypatch.delenv("NUCLEIGAN_MODELS")
    preferences.preferences()
    # What it chooses travels to child processes, but the environment of this one is the user's.
    assert (registry.user_folder(), registry.child_environment()["NUCLEIGAN_MODELS"]) == (Path("mine"), "mine")
    assert "NUCLEIGAN_MODELS" not in os.environ
    page.folders.models = ""
    preferences.preferences()
    assert "NUCLEIGAN_MODELS" not in registry.child_environment()
    assert registry.user_folder() != Path("mine")


def test_memory_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUCLEIGAN_CONFIG", str(tmp_path))
    assert preferences.recall("folder", "none") == "none"
    preferences.remember("folder", "/data")
    preferences.remember_mpp("/data", 0.25)
    preferences.remember_mpp("/other", 0.5)
    preferences.remember_mpp("", 1.0)
    assert preferences.recall("folder") == "/data"
    assert preferences.recall_mpp("/data") == 0.25
    assert preferences.recall_mpp("/other") == 0.5
    assert preferences.recall_mpp("") is None
    assert [path.name for path in tmp_path.iterdir()] == ["widgets.json"]


@pytest.mark.parametrize("content", ["", "not json", "[]", '{"mpp": {"/data": "0.25"}}'])
def test_damaged_memory_is_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setenv("NUCLEIGAN_CONFIG", str(tmp_path))
    preferences.memory_file().write_text(content)
    assert preferences.recall_mpp("/data") is None


def test_memory_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("NUCLEIGAN_CONFIG", str(blocked / "folder"))
    preferences.remember("folder", "/data")
    assert preferences.recall("folder") is None
