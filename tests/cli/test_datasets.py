from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_image, write_labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

COMMAND = Path(sys.executable).with_name("nucleigan")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    labels = np.zeros((12, 14), np.int32)
    labels[2:8, 2:6], labels[3:9, 6:12] = 1, 2
    write_image(tmp_path / "data" / "images" / "one.png", np.full((12, 14, 3), 180, np.uint8))
    write_labels(tmp_path / "data" / "labels" / "one.tif", labels)
    return tmp_path / "data"


def test_there_and_back_in_a_process_of_its_own(dataset: Path, tmp_path: Path) -> None:
    def nucleigan(*arguments: str | Path) -> str:
        done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=True, timeout=100)
        assert not done.stderr
        return done.stdout

    assert nucleigan("export", "kumar", dataset, tmp_path / "x") == f"1 images with 2 nuclei -> {tmp_path / 'x'}\n"
    report = json.loads(nucleigan("import", "kumar", tmp_path / "x", tmp_path / "y", "--mpp", "0.5", "--json"))
    assert (report["images"], report["nuclei"], report["left_out"]) == (1, 2, {})
    data = Dataset.open(tmp_path / "y")
    assert np.array_equal(data.labels("one"), Dataset.open(dataset).labels("one"))
    assert data.image("one").mpp == pytest.approx(0.5)


def test_what_is_met_is_said(dataset: Path, tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    assert nucleigan("export", "geojson", dataset, tmp_path / "x", "--json").exit_code == 0
    (tmp_path / "x" / "geojson" / "two.geojson").write_text("{}")
    path = tmp_path / "x" / "geojson" / "one.geojson"
    path.write_text(path.read_text().replace("[6,3]", "[4,3]"))
    refused = nucleigan("import", "geojson", tmp_path / "x", tmp_path / "y")
    assert refused.exit_code == 1
    assert "1 of 2 pairs cannot be imported" in refused.stderr
    done = nucleigan("import", "geojson", tmp_path / "x", tmp_path / "y", "--skip-broken")
    assert done.exit_code == 0
    assert "2 nuclei overlap others" in done.stderr
    assert "Left out, geojson/two.geojson: there is no image two" in done.stderr
    assert "1 images (1 by an earlier attempt) with 2 nuclei" in done.stdout


def test_formats_are_told(nucleigan: Callable[..., Result], tmp_path: Path) -> None:
    told = nucleigan("import", "--help").output
    for name in ("kumar", "png-folders", "hovernet", "pannuke", "geojson", "coco"):
        assert name in told
    assert "pannuke" not in nucleigan("export", "--help").output
    unknown = nucleigan("import", "dicom", tmp_path, tmp_path / "x")
    assert unknown.exit_code == 2
    assert "png-folders" in unknown.output
