from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from classed_nuclei import image_nuclei
from napari_nucleigan.classification import Classifier, ClassifierCard, NucleusClass, save_classifier
from napari_nucleigan.segmentation import write_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "found").mkdir()
    for end in (".tif", ".csv"):
        write_result(tmp_path / "found" / f"tile{end}", image_nuclei())
    return tmp_path / "found"


def test_filter_writes_fewer_nuclei_elsewhere(folder: Path, tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    said = nucleigan("filter", folder, "-o", tmp_path / "sure", "--min-confidence", 0.5, "--class", "Fibroblast")
    assert said.exit_code == 0, said.output
    features = image_nuclei().features
    kept = int(((features["confidence"] >= 0.5) & (features["class"] == "Fibroblast")).sum())
    assert f"tile.tif: {kept} nuclei of {len(features['label'])}," in said.output
    assert len((tmp_path / "sure" / "tile.csv").read_text().splitlines()) == kept + 1
    said = nucleigan("filter", folder / "tile.csv", "-o", tmp_path / "big.geojson", "--min-area", 8, "--json")
    (record,) = json.loads(said.stdout)
    assert record["outputs"] == [str(tmp_path / "big.geojson")]
    assert record["nuclei"] == int((features["area_um2"] >= 8).sum())
    assert record["provenance"]["filters"] == {"min_area": 8}


def test_wrong_use_is_said_in_a_line(folder: Path, tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    said = nucleigan("filter", folder, "-o", tmp_path / "out", "--min-area", 9, "--max-area", 3)
    assert said.exit_code == 2
    assert "smallest" in said.output
    said = nucleigan("filter", folder, "-o", folder)
    assert said.exit_code == 1
    assert "choose another folder" in said.output


def test_classes_are_applied_to_results_that_are_there(
    folder: Path, tmp_path: Path, nucleigan: Callable[..., Result]
) -> None:
    classes = tuple(NucleusClass(name=name, color=(1, 2, 3)) for name in ("large", "small"))
    card = ClassifierCard(name="sizes", classes=classes, columns=("area_um2",), mpp=0.25)
    path = tmp_path / "sizes.safetensors"
    save_classifier(path, Classifier(card, np.array([5.0]), np.ones(1), np.array([[2.0], [-2.0]]), np.zeros(2)))
    said = nucleigan("classify", "apply", path, folder, "-o", tmp_path / "classed")
    assert said.exit_code == 0, said.output
    areas = image_nuclei().features["area_um2"]
    assert f"tile.tif: {len(areas)} nuclei," in said.output
    with (tmp_path / "classed" / "tile.csv").open() as handle:
        found = [row["class"] for row in csv.DictReader(handle)]
    assert sorted(found) == sorted(np.where(areas > 5, "large", "small"))
    said = nucleigan("classify", "apply", path, folder, "-o", folder)
    assert said.exit_code == 1
    assert "choose another folder" in said.output
    path.write_bytes(path.read_bytes()[:-9])
    said = nucleigan("classify", "apply", path, folder, "-o", tmp_path / "more")
    assert said.exit_code == 1
    assert "cut short" in said.output
    assert not (tmp_path / "more").exists()
