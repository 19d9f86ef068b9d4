"""The distribution: what it needs is what the code imports, and what it holds is under the licence that it says."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from napari_nucleigan.models import read_card
from napari_nucleigan.models.exchange import spdx

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src" / "napari_nucleigan"
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
LICENSED = ("weights", "_sample_data", "organs")
# Needed without being imported by name.
UNSEEN = {
    "numcodecs": "zarr decodes with it, and its older versions run pickles",
    "pillow": "scikit-image saves with it",
    "pooch": "scikit-image fetches its sample images with it",
}
# The distribution that brings a module, where it is not installed everywhere, or others bring parts of it too.
BRINGS = {"torchvision": "torchvision", "bioimageio": "bioimageio.spec"}


def requirements(*extras: str) -> set[str]:
    lines = [*PROJECT["dependencies"], *(line for name in extras for line in PROJECT["optional-dependencies"][name])]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def imported() -> set[str]:
    """Return the distributions whose modules the code imports."""
    modules = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    known = packages_distributions()
    modules -= {*sys.stdlib_module_names, "napari_nucleigan"}
    return {canonicalize_name(BRINGS.get(name) or known.get(name, [name])[0]) for name in modules}


def test_every_import_is_declared() -> None:
    optional = (
        "charts",
        "czi",
        "dicom",
        "distributed",
        "exchange",
        "maskrcnn",
        "parquet",
        "slides",
        "slurm",
        "spatial",
    )
    assert imported() - requirements(*optional) == set()


def test_every_dependency_is_imported() -> None:
    assert requirements() - imported() - UNSEEN.keys() == set()


def test_python_is_bounded_from_below_only() -> None:
    assert PROJECT["requires-python"] == ">=3.11"
    versions = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    workflow = (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    assert versions
    for version in versions:
        assert f'"{version}"' in workflow


def test_every_lower_bound_is_one_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    from lowest import lowest

    pins = lowest((REPOSITORY / "pyproject.toml").read_text("utf-8"))

    assert len(pins) == len({Requirement(pin).name for pin in pins}) >= len(PROJECT["dependencies"])
    assert "dask[array]==2024.11.2" in pins


def test_the_extras_for_tests_hold_what_they_import() -> None:
    assert {canonicalize_name(Requirement(line).name) for line in PROJECT["optional-dependencies"]["dev"]} >= {
        "napari-nucleigan",  # with the extra "test"
        "mypy",
        "ruff",
    }
    found = {line for line in PROJECT["optional-dependencies"]["test"] if line.startswith("napari-nucleigan[")}
    assert found == {"napari-nucleigan[charts,dicom,distributed,exchange,parquet,pretrained,spatial]"}


@pytest.mark.parametrize("folder", LICENSED)
def test_what_is_under_another_licence_says_so(folder: str) -> None:
    (path,) = (path for path in SOURCE.rglob("LICENSE") if path.parent.name == folder)
    text = path.read_text("utf-8")

    assert "Attribution-NonCommercial-ShareAlike 4.0 International" in re.sub(r"\s+", " ", text)
    assert "https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode" in text
    for file in path.parent.iterdir():
        assert file.name == "LICENSE" or file.suffix in (".py", ".pyc") or file.is_dir() or file.name in text


def test_the_licence_names_all() -> None:
    weights = {spdx(read_card(path)) for path in (SOURCE / "weights").glob("*.safetensors")}
    assert PROJECT["license"].split(" AND ") == ["BSD-3-Clause", *sorted(weights | {"CC-BY-NC-SA-4.0"})]
    found = {path for pattern in PROJECT["license-files"] for path in REPOSITORY.glob(pattern)}
    assert {path.parent.name for path in found - {REPOSITORY / "LICENSE"}} == set(LICENSED)
    assert REPOSITORY / "LICENSE" in found


def test_links_of_the_readme_work_elsewhere() -> None:
    text = (REPOSITORY / "README.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    root = "https://github.com/napari-nucleigan/napari-nucleigan/"

    assert [link for link in links if not link.startswith("https://")] == []
    for link in links:
        if link.startswith((f"{root}blob/main/", f"{root}tree/main/")):
            assert (REPOSITORY / link.removeprefix(root).split("/", 2)[2]).exists()


def test_the_citation_is_of_this_version() -> None:
    text = (REPOSITORY / "CITATION.cff").read_text("utf-8")
    changes = (REPOSITORY / "CHANGELOG.md").read_text("utf-8")
    found = re.search(rf"^## {re.escape(PROJECT['version'])} - (\d{{4}}-\d{{2}}-\d{{2}})$", changes, re.MULTILINE)

    assert f"version: {PROJECT['version']}\n" in text
    assert found is not None
    assert f'date-released: "{found[1]}"' in text
