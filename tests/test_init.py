from __future__ import annotations

import subprocess
import sys

import pytest

import napari_nucleigan

HEAVY = ("torch", "napari", "qtpy", "PyQt6", "PySide6", "numpy", "pydantic")


def in_fresh_python(code: str) -> str:
    """Run `code` in a new interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_brings_in_nothing_heavy() -> None:
    code = f"import sys, napari_nucleigan; print([m for m in {HEAVY} if m in sys.modules])"
    assert in_fresh_python(code) == "[]"


def test_light_names_do_without_torch_and_viewer() -> None:
    code = (
        "import sys;"
        "from napari_nucleigan import read_image, evaluate, encode, run, stains, polygons, list_models;"
        "print([m for m in ('torch', 'napari', 'qtpy') if m in sys.modules])"
    )
    assert in_fresh_python(code) == "[]"


@pytest.mark.parametrize("name", napari_nucleigan.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(napari_nucleigan, name) is not None


def test_names_are_listed() -> None:
    assert set(napari_nucleigan.__all__) <= set(dir(napari_nucleigan))


def test_no_top_level_name_hides_a_module() -> None:
    code = (
        "import pkgutil, napari_nucleigan as package;"
        "modules = {m.name for m in pkgutil.iter_modules(package.__path__)};"
        "print(sorted(modules & {*package.__all__}))"
    )
    assert in_fresh_python(code) == "['stains']"  # the one room that is offered as such


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="No napari_nucleigan attribute nothing"):
        _ = napari_nucleigan.nothing


def test_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert napari_nucleigan.__version__ == version("napari-nucleigan")
