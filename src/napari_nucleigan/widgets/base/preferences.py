"""Preferences: what the widgets keep between sessions: napari's Preferences, and a small memory of their own."""

from __future__ import annotations

import contextlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.files import app_folder, write_text
from napari_nucleigan.models.registry import use_folder

PLUGIN = "napari-nucleigan"
_MOST_FOLDERS = 500
_SMALLEST_TILE = 64


@dataclass(frozen=True)
class Preferences:
    """The plugin's page in napari's Preferences.

    Attributes
    ----------
    device : str
        Device that new widgets start with.
    tile : int or None
        Side of the tiles of large images, in pixels; None for what suits the device.
    model_folder, run_folder : str
        Where the user's models and training runs lie; empty for the usual places.
    """

    device: str = "auto"
    tile: int | None = None
    model_folder: str = ""
    run_folder: str = ""


def preferences() -> Preferences:
    """Read the Preferences; the defaults where napari has no such page.

    A model folder chosen there becomes the one that the whole package uses, unless
    ``NUCLEIGAN_MODELS`` names another.
    """
    try:
        from napari.settings import get_plugin_settings

        page = get_plugin_settings(PLUGIN)
        found = Preferences(
            page.computing.device,
            max(_SMALLEST_TILE, page.computing.tile) if page.computing.tile else None,
            page.folders.models.strip(),
            page.folders.runs.strip(),
        )
    except (ImportError, KeyError, AttributeError):  # an older napari, or the plugin is run without its manifest
        found = Preferences()
    use_folder(found.model_folder)
    return found


def memory_file() -> Path:
    """Return the memory's file: in ``NUCLEIGAN_CONFIG``, else in the user's configuration."""
    return app_folder("NUCLEIGAN_CONFIG", "config") / "widgets.json"


def recall(key: str, default: Any = None) -> Any:
    """Return what was remembered under `key`."""
    return _read().get(key, default)


def remember(key: str, value: Any) -> None:
    """Keep a JSON-ready value for the next session, if the folder can be written to."""
    content = _read()
    content[key] = value
    try:
        write_text(memory_file(), json.dumps(content, indent=1))
    except OutputError as error:
        logging.getLogger("napari_nucleigan").info("not remembered: %s", error)


def recall_mpp(folder: str) -> float | None:
    """Return the microns per pixel that were last typed for images of a folder."""
    value = recall("mpp", {}).get(folder) if folder else None
    return float(value) if isinstance(value, int | float) and value > 0 else None


def remember_mpp(folder: str, mpp: float) -> None:
    """Keep the microns per pixel of the images of a folder."""
    if not folder:
        return
    known = {name: value for name, value in recall("mpp", {}).items() if name != folder}
    known[folder] = mpp
    remember("mpp", dict(list(known.items())[-_MOST_FOLDERS:]))


def _read() -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(memory_file().read_text("utf-8"))
        if isinstance(content, dict):
            return content
    return {}
