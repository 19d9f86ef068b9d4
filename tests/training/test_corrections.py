"""Corrected regions as a data set, and what is learnt from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_nucleigan.base.errors import DatasetError, LabelsError, ModelError, OutputError
from napari_nucleigan.base.events import Finished, Losses, Progress, ValidationScores, run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.datasets.patches import Jitter
from napari_nucleigan.data.images.files import HEImage, write_labels
from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.models import ModelCard, read_card, save_model
from napari_nucleigan.networks import build
from napari_nucleigan.training import RECIPES, RunFolder, read_recipe, train_segmenter
from napari_nucleigan.training.cgan import ConditionalGAN
from napari_nucleigan.training.corrections import write_corrections
from napari_nucleigan.training.images import TrainingImage, prepare, sampler
from napari_nucleigan.training.recipes import FINE_TUNING
from napari_nucleigan.training.starts import as_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MARGIN = 32  # pixels at 0.25 microns


@pytest.fixture(scope="module")
def tile(tiny_he: Callable[..., Any]) -> tuple[HEImage, Any]:
    pixels, labels = tiny_he(200, 240, 60, 3)
    return HEImage(pixels, 0.25, "tile"), labels


def corrected(shape: tuple[int, int], *boxes: tuple[int, int, int, int]) -> Any:
    regions = np.zeros(shape, dtype=bool)
    for top, bottom, left, right in boxes:
        regions[top:bottom, left:right] = True
    return regions


# -- the data set --------------------------------------------------------------------------------


def test_a_region_becomes_an_image_with_its_surroundings(tile: tuple[HEImage, Any], tmp_path: Path) -> None:
    image, labels = tile
    regions = corrected(labels.shape, (50, 120, 10, 100))
    assert run(write_corrections(image, labels, regions, tmp_path, "tile")) == ["tile-1"]
    data = Dataset.open(tmp_path)
    assert data.names == ("tile-1",)
    assert data.splits["tile-1"] == "train"
    written, found = data.pair("tile-1")
    part = slice(50 - MARGIN, 120 + MARGIN), slice(0, 100 + MARGIN)
    np.testing.assert_array_equal(written.pixels, image.pixels[part])
    np.testing.assert_array_equal(found, labels[part])
    np.testing.assert_array_equal(data.regions("tile-1"), regions[part])
    assert written.mpp == pytest.approx(0.25)


def test_regions_that_touch_are_one_and_all_of_them_count(tile: tuple[HEImage, Any], tmp_path: Path) -> None:
    image, labels = tile
    regions = corrected(labels.shape, (0, 40, 0, 40), (40, 80, 40, 80), (0, 60, 100, 160))
    told: list[Any] = []
    names = run(write_corrections(image, labels, regions, tmp_path, "tile"), told.append)
    assert names == ["tile-1", "tile-2"]
    assert [event.done for event in told if isinstance(event, Progress)] == [0, 1]
    # What belongs to another region nearby is as right as the rest.
    known = Dataset.open(tmp_path).regions("tile-1")
    assert known is not None
    np.testing.assert_array_equal(known, regions[: known.shape[0], : known.shape[1]])
    assert known[:, 100:].any()


def test_images_are_added_but_not_twice(tile: tuple[HEImage, Any], tmp_path: Path) -> None:
    image, labels = tile
    regions = corrected(labels.shape, (0, 64, 0, 64))
    for name in ("one", "two"):
        run(write_corrections(image, labels, regions, tmp_path, name))
    with pytest.raises(OutputError, match="holds corrections of 'one' already"):
        run(write_corrections(image, labels, regions, tmp_path, "one"))
    assert Dataset.open(tmp_path).names == ("one-1", "two-1")


@pytest.mark.parametrize(
    ("boxes", "crop", "message"),
    [
        ([(0, 20, 0, 20)], slice(None), "cover 400 pixels"),
        ([], slice(None), "cover 0 pixels"),
        ([(0, 64, 0, 64)], slice(0, 100), "240 x 100 pixels large, the image is 240 x 200"),
    ],
)
def test_regions_that_teach_nothing_are_refused(
    tile: tuple[HEImage, Any], tmp_path: Path, boxes: list[Any], crop: slice, message: str
) -> None:
    image, labels = tile
    with pytest.raises(LabelsError, match=message):
        run(write_corrections(image, labels, corrected(labels.shape, *boxes)[crop], tmp_path, "tile"))
    assert not list(tmp_path.iterdir())


def test_regions_without_nuclei_are_refused(tile: tuple[HEImage, Any], tmp_path: Path) -> None:
    image, labels = tile
    with pytest.raises(LabelsError, match="no nuclei"):
        run(write_corrections(image, 0 * labels, corrected(labels.shape, (0, 64, 0, 64)), tmp_path, "tile"))


def test_regions_of_another_size_are_refused(tile: tuple[HEImage, Any], tmp_path: Path) -> None:
    image, labels = tile
    run(write_corrections(image, labels, corrected(labels.shape, (0, 64, 0, 64)), tmp_path, "tile"))
    write_labels(tmp_path / "regions" / "tile-1.tif", np.ones((8, 8), dtype=np.uint8))
    with pytest.raises(DatasetError, match="regions of 'tile-1' differ in size"):
        prepare(Dataset.open(tmp_path), "tile-1", RECIPES[FINE_TUNING])


def test_regions_follow_the_scale_of_the_recipe(tile: tuple[HEImage, Any], tmp_path: Path) -> None:
    image, labels = tile
    regions = corrected(labels.shape, (0, 64, 0, 64))
    run(write_corrections(image, labels, regions, tmp_path, "tile"))
    prepared = prepare(Dataset.open(tmp_path), "tile-1", read_recipe(FINE_TUNING, {"mpp": 0.5}))
    assert prepared.known is not None
    assert prepared.known.shape == prepared.pixels.shape[:2] == (48, 48)
    assert prepared.known.sum() == 32 * 32
    assert not prepared.certain(prepared.labels)[32:].any()


# -- what is learnt ------------------------------------------------------------------------------


def crops_of(tile: tuple[HEImage, Any], known: Any, **changes: Any) -> Any:
    image, labels = tile
    recipe = read_recipe(FINE_TUNING, {"patch": 64, "zoom": (1, 1), "rotation": 0, **changes})
    return run(sampler([TrainingImage("tile", "unknown", image.pixels, labels, known)], recipe))


def test_fields_are_not_numbers_where_nobody_has_corrected(tile: tuple[HEImage, Any]) -> None:
    known = corrected(tile[1].shape, (40, 120, 40, 140))
    everywhere = crops_of(tile, None)
    sampled = crops_of(tile, known)
    shares = []
    for step in range(4):
        images, fields = sampled.batch(step, 4)
        assert not images.isnan().any()
        assert torch.equal(fields[:, 0].isnan(), fields[:, 2].isnan())
        shares += [float(1 - field.isnan().float().mean()) for field in fields]
        # What is known is what it would be without regions.
        other = everywhere.batch(step, 4)[1]
        assert not other.isnan().any()
    assert min(shares) > 0.2
    assert min(shares) < 1


def test_crops_look_for_what_is_known(tile: tuple[HEImage, Any]) -> None:
    known = corrected(tile[1].shape, (0, 70, 0, 70))
    fields = torch.cat([crops_of(tile, known, turns=False).batch(step, 8)[1] for step in range(4)])
    shares = 1 - fields[:, 0].isnan().float().mean(dim=(1, 2))
    assert float(shares.mean()) > 0.3  # 0.13 for windows anywhere


def test_what_is_not_known_teaches_nothing(tile: tuple[HEImage, Any]) -> None:
    image, labels = tile
    pixels = torch.from_numpy(image.pixels[:64, :64]).permute(2, 0, 1)[None] / 127.5 - 1
    field = torch.from_numpy(encode(labels[:64, :64]))[None]
    unknown = torch.zeros(64, 64, dtype=torch.bool)
    unknown[:, 32:] = True
    small = {"generator": {"name": "compact-unet", "widths": [8, 8]}, "start_from": "", "precision": "float32"}
    for adversary in (0, 4):
        recipe = read_recipe(FINE_TUNING, {**small, "discriminator_width": adversary, "discriminator_layers": 1})
        told = ConditionalGAN(recipe).step((pixels, field.masked_fill(unknown, torch.nan)), 0, 1.0)
        assert all(np.isfinite(value) for value in told.values())
    # A half that is not known halves the loss of a network that is equally wrong everywhere.
    gan = ConditionalGAN(read_recipe(FINE_TUNING, small))
    nothing = torch.full_like(field, -1.0)
    whole = gan.step((pixels, nothing), 0, 0.0)["l1"]
    half = gan.step((pixels, nothing.masked_fill(unknown, torch.nan)), 0, 0.0)["l1"]
    assert half == pytest.approx(whole / 2, rel=0.3)


def test_no_gradient_comes_from_what_is_not_known(tile: tuple[HEImage, Any]) -> None:
    image, _ = tile
    pixels = torch.from_numpy(image.pixels[:32, :32]).permute(2, 0, 1)[None] / 127.5 - 1
    small = {"generator": {"name": "compact-unet", "widths": [8, 8]}, "start_from": "", "weight_decay": 0.0}
    gan = ConditionalGAN(read_recipe(FINE_TUNING, small))
    before = {name: value.clone() for name, value in gan.generator.named_parameters()}
    gan.step((pixels, torch.full((1, 3, 32, 32), torch.nan)), 0, 1.0)
    for name, value in gan.generator.named_parameters():
        assert torch.equal(value, before[name]), name


def test_the_jitter_is_mild() -> None:
    recipe = RECIPES[FINE_TUNING]
    assert recipe.validation == 0
    assert recipe.minutes == 5
    assert recipe.discriminator_width == 0
    assert recipe.zoom[1] < Jitter((0.75, 1.4)).zoom[1]


# -- fine-tuning ---------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Path:
    architecture = {"name": "compact-unet", "widths": [8, 8, 16]}
    torch.manual_seed(0)
    card = ModelCard(
        name="base",
        kind="segmenter",
        architecture=architecture,
        encoding="distance",
        mpp=0.25,
        decode={"threshold": 0.45, "prominence": 0.2, "views": 2},
        recipe={"normalize": "none", "l1_weight": 20.0},
    )
    save_model(tmp_path / "base.safetensors", build(architecture).state_dict(), card)
    return tmp_path / "base.safetensors"


def test_a_model_decides_its_part_of_the_recipe(model: Path, tmp_path: Path) -> None:
    changes = as_model(model)
    recipe = read_recipe(FINE_TUNING, changes)
    assert recipe.start_from == str(model)
    assert recipe.generator == {"name": "compact-unet", "widths": [8, 8, 16]}
    assert (recipe.mpp, recipe.normalize, recipe.l1_weight) == (0.25, "none", 20.0)
    with pytest.raises(ModelError):
        as_model(tmp_path / "none.safetensors")


def test_regions_to_a_model(model: Path, tile: tuple[HEImage, Any], tmp_path: Path) -> None:
    image, labels = tile
    regions = corrected(labels.shape, (0, 90, 0, 110), (120, 200, 120, 220))
    run(write_corrections(image, labels, regions, tmp_path / "data", "tile"))
    tiny = {"patch": 32, "batch": 2, "crops_per_epoch": 10, "epochs_constant": 4, "epochs_decay": 2}
    recipe = read_recipe(FINE_TUNING, {**as_model(model), **tiny, "precision": "float32"})
    told: list[Any] = []
    best = run(train_segmenter(tmp_path / "data", recipe, tmp_path / "run"), told.append)
    assert any(isinstance(event, Finished) for event in told)
    assert any(isinstance(event, Losses) for event in told)
    # Nothing validates, so the newest model is the best, and its scores are called what they are.
    assert all(
        name.startswith("train_") for event in told if isinstance(event, ValidationScores) for name in event.values
    )
    card = read_card(best)
    assert card.decode["views"] == 2
    assert card.decode["threshold"] == 0.45
    assert set(RunFolder(tmp_path / "run").data()["train"]) == {"tile-1", "tile-2"}
