from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from skimage import data as scikit_image_data
from skimage.measure import label as connected

from napari_nucleigan import stains
from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.images import samples as samples
from napari_nucleigan.labels.features import measure

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "make_sample.py"
Make = "Callable[..., tuple[np.ndarray, np.ndarray]]"


@pytest.fixture(scope="module")
def make() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    make: Callable[..., tuple[np.ndarray, np.ndarray]] = runpy.run_path(str(SCRIPT))["make"]
    return make


def test_bundled_picture_and_labels() -> None:
    image, labels = samples.synthetic_he()
    about = json.loads((samples.FOLDER / "synthetic_he.json").read_text())
    assert image.pixels.shape == (1000, 1000, 3)
    assert labels.shape == (1000, 1000)
    assert image.mpp == about["mpp"] == 0.25
    assert image.notes == ()
    assert "synthetic" in about["title"].lower()
    table = measure(labels, image.pixels, image.mpp)
    assert len(table["label"]) == about["nuclei"]
    assert (samples.FOLDER / "synthetic_he.png").stat().st_size < 3e6
    # Sizes as nuclei have them, and colours as H&E has them.
    assert 15 < np.median(table["area_um2"]) < 40
    ground = measure(np.where(labels == 0, 1, 0), image.pixels)
    assert np.median(table["haematoxylin_mean_od"]) > 3 * ground["haematoxylin_mean_od"][0]
    assert stains.fit(image.pixels).method == "vahadane"


def test_every_nucleus_is_in_one_piece_and_some_touch() -> None:
    _, labels = samples.synthetic_he()
    assert connected(labels, connectivity=1).max() == labels.max()
    touching = (labels[:, 1:] != labels[:, :-1]) & (labels[:, 1:] > 0) & (labels[:, :-1] > 0)
    assert len(np.unique(labels[:, 1:][touching])) > 20


def test_script_repeats_itself(make: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    first, again, other = (make(size=200, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_script_made_the_bundled_files(make: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    rgb, labels = make()
    image, bundled = samples.synthetic_he()
    # Other processors round the last digit otherwise, so a few pixels may differ.
    assert np.mean(labels != bundled) < 1e-3
    assert np.mean(np.abs(rgb.astype(int) - image.pixels) > 1) < 1e-3


def test_immunohistochemistry_is_said_not_to_be_he() -> None:
    image = samples.immunohistochemistry()
    assert image.pixels.shape == (512, 512, 3)
    assert image.mpp is None
    assert "not H&E" in image.notes[0]


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(scikit_image_data, "skin", fail)
    with pytest.raises(ImageError, match="check the network"):
        samples.skin()
