"""``nucleigan propose``, and what ``corrections`` makes of its regions; ``segment`` with the least confidence."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.models import load_model, save_model
from napari_nucleigan.segmentation.confidence import EVIDENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

MODEL = ("--model", "tiny", "--device", "cpu")
FIT = {"weights": [0.0] * (EVIDENCE - 1) + [3.0], "bias": -13.0}
"""Of a card: the larger a nucleus, the surer."""


@pytest.fixture
def image(tmp_path: Path, tiny_he: Callable[..., Any]) -> Path:
    pixels, labels = tiny_he(220, 260, 60, 7)
    write_labels(tmp_path / "nuclei.tif", labels)
    write_image(tmp_path / "tile.png", pixels, 0.25)
    return tmp_path / "tile.png"


@pytest.fixture
def calibrated(tiny_model: Path) -> None:
    """The user's model tells how sure it is."""
    model = load_model(tiny_model)
    save_model(tiny_model, model.network.state_dict(), model.card.model_copy(update={"confidence": FIT}), half=True)


@pytest.mark.usefixtures("calibrated")
def test_regions_to_correct_become_corrections(image: Path, tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    out = tmp_path / "next.geojson"
    done = nucleigan("propose", image, "-o", out, "--count", "2", "--json", *MODEL)
    assert done.exit_code == 0, done.output
    regions = json.loads(done.stdout)["regions"]
    assert len(regions) == 2
    assert all(each["doubtful"] + each["missed"] > 0 for each in regions)
    made = nucleigan("corrections", image, tmp_path / "nuclei.tif", "--regions", out, "-o", tmp_path / "data")
    assert made.exit_code == 0, made.output
    data = Dataset.open(tmp_path / "data")
    assert sum(int(data.regions(name).sum()) for name in data.names) == sum(r["height"] * r["width"] for r in regions)

    # What is corrected is not proposed again; and it is said as the other command takes it.
    again = nucleigan("propose", image, "--count", "2", "--done", out, *MODEL)
    assert again.exit_code == 0, again.output
    lines = again.stdout.splitlines()
    assert all(line.startswith("--region ") for line in lines)
    boxes = [[int(part) for part in line.split()[1].split(",")] for line in lines]
    known = np.zeros((220, 260), bool)
    for each in regions:
        known[each["top"] : each["top"] + each["height"], each["left"] : each["left"] + each["width"]] = True
    assert all(known[top : top + high, left : left + wide].mean() < 0.15 for top, left, high, wide in boxes)


def test_what_a_model_does_not_tell(
    image: Path, tiny_model: Path, tmp_path: Path, nucleigan: Callable[..., Result]
) -> None:
    for command in (
        ("propose", image),
        ("segment", image, "-o", tmp_path / "out.tif", "--min-confidence", "0.5"),
    ):
        done = nucleigan(*command, *MODEL)
        assert done.exit_code == 1
        assert "does not tell how sure it is of a nucleus" in done.stderr
    wrong = nucleigan("propose", image, "-o", tmp_path / "out.csv", *MODEL)
    assert wrong.exit_code == 1
    assert "out.geojson" in wrong.stderr


@pytest.mark.usefixtures("calibrated")
def test_the_least_confidence_is_a_filter(image: Path, tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    tables = {}
    for least in ("0", "0.6"):
        out = tmp_path / f"{least}.csv"
        done = nucleigan("segment", image, "-o", out, "--min-confidence", least, "--json", *MODEL)
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)[0]["provenance"]["settings"]["min_confidence"] == float(least)
        with out.open(newline="") as handle:
            tables[least] = [(float(row["confidence"]), row["area_px"]) for row in csv.DictReader(handle)]
    assert tables["0.6"] == [row for row in tables["0"] if row[0] >= 0.6]
    assert 0 < len(tables["0.6"]) < len(tables["0"])
    refused = nucleigan("segment", image, "-o", tmp_path / "x.csv", "--min-confidence", "1.5", *MODEL)
    assert refused.exit_code == 2
