from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.io import imsave

from napari_nucleigan import stains
from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.events import Progress, run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.training.images import (
    PART,
    in_bfloat16,
    in_parts,
    prepare,
    prepare_all,
    sampler,
    split,
    stain_reference,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.base.events import Event
    from napari_nucleigan.training.recipes import SegmenterRecipe, SynthesizerRecipe

    Recipes = Callable[..., SegmenterRecipe | SynthesizerRecipe]
    Images = Callable[..., tuple[NDArray[np.uint8], NDArray[np.int32]]]


def _names(parts: tuple[Dataset, Dataset]) -> list[tuple[str, ...]]:
    return [part.names for part in parts]


def test_images_called_val_validate(dataset: Path, tiny_recipe: Recipes) -> None:
    given = Dataset.open(dataset)
    rows = {**given.splits, "tile2": "val"}
    parts = split(Dataset(given.folder, given.names, given.organs, rows), tiny_recipe(validation=0.5))
    assert _names(parts) == [("tile0", "tile1", "tile3"), ("tile2",)]


def test_else_a_share_of_every_organ_is_held_out(dataset: Path, tiny_recipe: Recipes) -> None:
    given = Dataset.open(dataset)
    training, validation = split(given, tiny_recipe(validation=0.5))
    assert sorted(given.organs[name] for name in validation.names) == ["colon", "liver"]
    # Test images are of neither part.
    assert sorted(training.names + validation.names) == ["tile0", "tile1", "tile2", "tile3"]
    assert _names(split(given, tiny_recipe(validation=0.0)))[1] == ()
    assert _names(split(given, tiny_recipe(seed=1, validation=0.5))) == _names(
        split(given, tiny_recipe(seed=1, validation=0.5))
    )


def test_nothing_to_train_on_is_told(dataset: Path, tiny_recipe: Recipes) -> None:
    with pytest.raises(DatasetError, match="calls none of them 'train'"):
        split(Dataset.open(dataset).only(["tile4"]), tiny_recipe())


def test_a_tile_is_what_the_files_say(dataset: Path, tiny_recipe: Recipes) -> None:
    given = Dataset.open(dataset)
    tile = prepare(given, "tile1", tiny_recipe())
    image, labels = given.pair("tile1")
    assert (tile.name, tile.organ) == ("tile1", "liver")
    assert np.array_equal(tile.pixels, image.pixels)
    assert np.array_equal(tile.labels, labels)


def test_images_without_labels_have_no_nuclei(tmp_path: Path, tiny_he: Images, tiny_synthesizer: Recipes) -> None:
    pixels, _ = tiny_he(40, 56)
    imsave(tmp_path / "a.png", pixels)
    tile = prepare(Dataset.open(tmp_path, labelled=False), "a", tiny_synthesizer())
    assert np.array_equal(tile.pixels, pixels)
    assert tile.labels.shape == (40, 56)
    assert tile.labels.dtype == np.int32
    assert not tile.labels.any()
    assert tile.organ == "unknown"


@pytest.mark.parametrize(("mpp", "shape"), [(0.5, (80, 160)), (0.125, (20, 40)), (0.26, (40, 80)), (None, (40, 80))])
def test_tiles_come_at_the_recipes_magnification(
    mpp: float | None, shape: tuple[int, int], tmp_path: Path, tiny_he: Images, tiny_recipe: Recipes
) -> None:
    pixels, labels = tiny_he(40, 80)
    write_image(tmp_path / "images" / "a.tif", pixels, mpp=mpp)
    write_labels(tmp_path / "labels" / "a.tif", labels)
    tile = prepare(Dataset.open(tmp_path), "a", tiny_recipe())
    assert tile.pixels.shape == (*shape, 3)
    assert tile.pixels.dtype == np.uint8
    assert tile.labels.shape == shape
    assert set(np.unique(tile.labels)) == set(np.unique(labels))
    # The grey level of nuclei stays where the labels are.
    assert tile.pixels[tile.labels > 0].mean() < 0.8 * tile.pixels[tile.labels == 0].mean()


@pytest.mark.parametrize("method", ["macenko", "reinhard"])
def test_stains_are_brought_to_the_reference(method: str, dataset: Path, tiny_recipe: Recipes) -> None:
    recipe = tiny_recipe(normalize=method)
    pixels = Dataset.open(dataset).image("tile0").pixels
    expected = stains.normalize(pixels, stain_reference(recipe), stains.fit(pixels, method))
    assert np.array_equal(prepare(Dataset.open(dataset), "tile0", recipe).pixels, expected)
    assert stain_reference(recipe).method == method


def test_crops_are_cut_as_the_recipe_says(dataset: Path, tiny_recipe: Recipes) -> None:
    tiles = [prepare(Dataset.open(dataset), name, tiny_recipe()) for name in ("tile0", "tile1")]
    still = tiny_recipe(turns=False, zoom=(1.0, 1.0), stain=0.0, hue=0.0, light=0.0, blur=0.0, noise=0.0)
    images, fields = run(sampler(tiles, still)).batch(0, 4)
    assert images.shape == fields.shape == (4, 3, 32, 32)
    whole = [np.lib.stride_tricks.sliding_window_view(tile.pixels, (32, 32), axis=(0, 1)) for tile in tiles]
    for image in np.rint((images.numpy() + 1) * 127.5):
        assert any((windows == image).all(axis=(2, 3, 4)).any() for windows in whole)
    other = run(sampler(tiles, tiny_recipe(seed=1))).batch(0, 2)[0]
    assert not torch.equal(other, run(sampler(tiles, tiny_recipe())).batch(0, 2)[0])


def test_preparing_can_be_stopped_after_every_image(dataset: Path, tiny_recipe: Recipes) -> None:
    told: list[Event] = []
    tiles = run(prepare_all(Dataset.open(dataset), tiny_recipe()), told.append)
    assert told == [Progress(number, 5, "preparing images") for number in range(5)]
    assert [tile.name for tile in tiles] == [f"tile{number}" for number in range(5)]
    told.clear()
    run(sampler(tiles, tiny_recipe()), told.append)
    assert told == [Progress(number, 5, "preparing crops") for number in range(5)]


@pytest.mark.parametrize(
    ("shape", "stride", "count"),
    [((37, 101), 16, 1), ((PART, PART), 2, 1), ((PART + 1, 300), 16, 2), ((2100, 1030), 4, 6)],
)
def test_a_field_in_parts_is_the_field_in_one(shape: tuple[int, int], stride: int, count: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    seen: list[tuple[int, ...]] = []

    def blurred(window: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(window.shape)
        # Reaches two pixels, and depends on where the window begins.
        return np.moveaxis(ndimage.uniform_filter(window.astype(np.float32), (5, 5, 0), mode="mirror"), -1, 0)

    told: list[Event] = []
    progress = Progress(1, 2, "validating")
    field = run(in_parts(blurred, pixels, 2, stride, progress), told.append)
    assert told == [progress] * count
    assert len(seen) == count
    assert np.allclose(field, blurred(pixels), atol=1e-3)
    halo = -(-2 // stride) * stride
    assert max(max(window) for window in seen[:count]) <= PART + 2 * halo


def test_the_recipe_decides_the_precision(tiny_recipe: Recipes) -> None:
    assert in_bfloat16(tiny_recipe(precision="bfloat16"), "cpu")
    assert not in_bfloat16(tiny_recipe(precision="float32"), "cuda")
    assert isinstance(in_bfloat16(tiny_recipe(precision="auto"), "cpu"), bool)
