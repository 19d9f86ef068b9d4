"""``nucleigan corrections``, and what is made of them with ``--from``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.labels.geojson import write_geojson
from napari_nucleigan.models import read_card
from napari_nucleigan.training.recipes import FINE_TUNING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def pair(tmp_path: Path, tiny_he: Callable[..., Any]) -> tuple[Path, Path]:
    pixels, labels = tiny_he(128, 128, 30, 1)
    image, nuclei = tmp_path / "tile.png", tmp_path / "nuclei.tif"
    write_image(image, pixels, 0.25)
    write_labels(nuclei, labels)
    return image, nuclei


def test_rectangles_polygons_and_masks_are_the_same(
    tmp_path: Path, pair: tuple[Path, Path], nucleigan: Callable[..., Result]
) -> None:
    regions = np.zeros((128, 128), np.int32)
    regions[10:70, 20:90] = 1
    write_labels(tmp_path / "regions.tif", regions)
    write_geojson(tmp_path / "regions.geojson", regions)
    ways = {
        "box": ["--region", "10,20,60,70"],
        "halves": ["--region", "10,20,30,70", "--region", "40,20,30,70"],
        "mask": ["--regions", tmp_path / "regions.tif"],
        "polygons": ["--regions", tmp_path / "regions.geojson"],
    }
    for name, way in ways.items():
        done = nucleigan("corrections", *pair, "-o", tmp_path / name, *way, "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout) == {"out": str(tmp_path / name), "images": ["tile-1"], "pixels": 4200}
        known = Dataset.open(tmp_path / name).regions("tile-1")
        assert known is not None
        assert known.sum() == 4200


def test_several_images_make_one_data_set(
    tmp_path: Path, pair: tuple[Path, Path], nucleigan: Callable[..., Result]
) -> None:
    image, labels = pair
    for name in ("one", "two"):
        copy = image.rename(image.with_name(f"{name}.png"))
        done = nucleigan("corrections", copy, labels, "-o", tmp_path / "data", "--region", "0,0,64,64", "--mpp", 0.5)
        assert "1 regions of" in done.stdout
        image = copy
    data = Dataset.open(tmp_path / "data")
    assert data.names == ("one-1", "two-1")
    assert data.image("one-1").mpp == pytest.approx(0.5)
    again = nucleigan("corrections", image, labels, "-o", tmp_path / "data", "--region", "0,0,64,64")
    assert again.exit_code == 1
    assert "holds corrections of 'two' already" in again.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "--region"),
        (["--region", "0,0,64"], 2, "TOP,LEFT,HEIGHT,WIDTH"),
        (["--region", "-1,0,64,64"], 2, "TOP,LEFT,HEIGHT,WIDTH"),
        (["--region", "500,500,64,64"], 1, "cover 0 pixels"),
        (["--regions", "none.tif"], 1, "none.tif"),
    ],
)
def test_what_cannot_be_used_is_said(
    tmp_path: Path,
    pair: tuple[Path, Path],
    nucleigan: Callable[..., Result],
    options: list[str],
    code: int,
    message: str,
) -> None:
    done = nucleigan("corrections", *pair, "-o", tmp_path / "data", *options)
    assert done.exit_code == code
    assert message in done.stderr
    assert not (tmp_path / "data").exists()


def test_regions_of_another_size_are_refused(
    tmp_path: Path, pair: tuple[Path, Path], nucleigan: Callable[..., Result]
) -> None:
    write_labels(tmp_path / "regions.tif", np.ones((64, 64), np.int32))
    done = nucleigan("corrections", *pair, "-o", tmp_path / "data", "--regions", tmp_path / "regions.tif")
    assert done.exit_code == 1
    assert "64 x 64 pixels large, the image is 128 x 128" in done.stderr


def test_a_model_goes_on_learning(
    tmp_path: Path, pair: tuple[Path, Path], tiny_model: Path, nucleigan: Callable[..., Result]
) -> None:
    nucleigan("corrections", *pair, "-o", tmp_path / "data", "--region", "0,0,100,100")
    small = ("patch=32", "batch=2", "crops_per_epoch=4", "epochs_constant=2", "epochs_decay=1", "precision=float32")
    options = [word for change in small for word in ("--set", change)]
    run = tmp_path / "run"
    done = nucleigan("train", "segmenter", tmp_path / "data", "--from", "tiny", "--run", run, *options)
    assert done.exit_code == 0, done.output
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["name"] == FINE_TUNING
    assert recipe["start_from"] == str(tiny_model)
    assert recipe["generator"] == {"name": "compact-unet", "widths": [8, 8, 8, 8, 8]}
    assert recipe["batch"] == 2
    assert read_card(run / "best.safetensors").name == "run"
    # The folder of a run is a model to go on from, with any recipe.
    again = tmp_path / "again"
    words = ("--from", run, "--recipe", "compact-segmenter", "--run", again, "--set", "discriminator_width=0")
    done = nucleigan("train", "segmenter", tmp_path / "data", *words, *options)
    assert done.exit_code == 0, done.output
    assert json.loads((again / "recipe.json").read_text())["start_from"] == str(run / "best.safetensors")
    refused = nucleigan("train", "segmenter", tmp_path / "data", "--run", run, "--resume", "--from", "tiny")
    assert refused.exit_code == 2
    absent = nucleigan("train", "segmenter", tmp_path / "data", "--run", tmp_path / "new", "--from", "absent")
    assert absent.exit_code == 1
    assert "no model named 'absent'" in absent.stderr
