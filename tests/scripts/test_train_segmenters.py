"""The script that trains the bundled segmenters: which tiles each learns from, and what its card is taught by."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from napari_nucleigan.data.images.files import write_image, write_labels

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    import train_segmenters

    return train_segmenters


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return data sets of tiles as large as a thumbnail, by the names of the real ones, but Kumar's."""
    pixels = np.full((32, 32, 3), 200, np.uint8)
    labels = np.zeros((32, 32), np.int32)
    for number, (row, column) in enumerate([(2, 2), (2, 12), (2, 22), (12, 2), (12, 12), (12, 22)], 1):
        labels[row : row + 8, column : column + 8] = number
    patients = [f"tnbc_{patient:02}_{tile}" for patient in range(1, 12) for tile in (1, 2)]
    for folder, names in {"tnbc": patients, "dsb2018_he": [f"dsb_{number}" for number in range(8)]}.items():
        for name in names:
            write_image(tmp_path / folder / "images" / f"{name}.png", pixels, 0.25)
            write_labels(tmp_path / folder / "labels" / f"{name}.tif", labels, 0.25)
    return tmp_path


def test_the_open_model_learns_from_no_tile_of_kumar(script: ModuleType, data: Path) -> None:
    script.assemble("open", data, data / "assembled")

    found = {path.stem.split("_")[0] for path in (data / "assembled" / "images").iterdir()}
    assert found == {"tnbc", "dsb"}  # and Kumar's are not even there
    assert script.SCALE["open"] == "tnbc"
    assert not script.PLANS["open"].start


def test_the_scale_of_the_open_model_is_taught_by_tnbc_alone(
    script: ModuleType, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrate = sys.modules["calibrate_segmenter"]
    monkeypatch.setattr(calibrate, "look", lambda parts, segmenter: _nothing_seen(calibrate))

    class Segmenter:
        class card:
            mpp = 0.25

    views, exponents, groups = calibrate.seen(Segmenter(), data, "tnbc")

    assert len(views) == len(exponents) == 22 * len(calibrate.SCALES)
    assert set(groups) == {f"tnbc{patient:02}" for patient in range(1, 12)}


def _nothing_seen(calibrate: ModuleType):
    return np.zeros((len(calibrate.ZOOMS), 3))
    yield


@pytest.mark.parametrize("which", ["split", "open"])
def test_what_calibrates_was_not_learnt_from(script: ModuleType, data: Path, which: str) -> None:
    if which == "split":
        for name in ("a", "b"):
            write_image(data / "kumar" / "images" / f"{name}.png", np.full((32, 32, 3), 200, np.uint8), 0.25)
            write_labels(data / "kumar" / "labels" / f"{name}.tif", np.zeros((32, 32), np.int32), 0.25)
        (data / "kumar" / "split.csv").write_text("name,organ,split\na,liver,train\nb,liver,test\n")
    uses = {name: use for name, _, use, _, _ in script.tiles(which, data)}

    learnt = {int(name.split("_")[1]) for name, use in uses.items() if name.startswith("tnbc") and use == "train"}
    validating = {int(name.split("_")[1]) for name, use in uses.items() if name.startswith("tnbc") and use == "val"}
    assert learnt
    assert validating == {6, 7}
    assert not learnt & set(script.UNSEEN[which])
    assert len(script.UNSEEN[which]) > 1  # each is judged by the others
    assert "b" not in uses
