"""Module names of 0.1.0 that the documentation told."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from napari_nucleigan.base.moved_modules import MOVED


@pytest.mark.parametrize("old", sorted(MOVED))
def test_an_old_name_is_the_new_module(old: str) -> None:
    new = import_module(f"napari_nucleigan.{MOVED[old]}")
    spec = new.__spec__
    sys.modules.pop(f"napari_nucleigan.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"napari_nucleigan.{old} is now napari_nucleigan.{MOVED[old]}"):
        assert import_module(f"napari_nucleigan.{old}") is new
    assert new.__spec__ is spec


def test_what_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"napari_nucleigan\.nothing"):
        import_module("napari_nucleigan.nothing")


def test_modules_below_a_moved_room_are_found() -> None:
    code = "from napari_nucleigan.quality.settings import QualitySettings; print(QualitySettings.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "QualitySettings"
