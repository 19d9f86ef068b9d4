from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.masks.polygons import PRESETS, preset, save
from napari_nucleigan.training.images import TrainingImage
from napari_nucleigan.training.mask_batches import MaskBatches, check_masks, open_masks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.training.recipes import SynthesizerRecipe

    Recipes = Callable[..., SynthesizerRecipe]
    Images = Callable[..., tuple[NDArray[np.uint8], NDArray[np.int32]]]


def _tile(name: str, labels: NDArray[np.int32]) -> TrainingImage:
    return TrainingImage(name, "liver", np.zeros((*labels.shape, 3), np.uint8), labels)


def _same(first: list[Any], second: list[Any]) -> bool:
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def _places(height: int, width: int, start: int = 1) -> NDArray[np.int32]:
    """Labels of which each pixel's says where it lies."""
    return np.arange(start, start + height * width, dtype=np.int32).reshape(height, width)


@pytest.mark.parametrize("masks", ["fit", "labels", "kidney"])
def test_masks_depend_on_seed_and_step_alone(masks: str, tiny_synthesizer: Recipes, tiny_he: Images) -> None:
    tiles = [_tile(f"t{seed}", tiny_he(seed=seed)[1]) for seed in (0, 1)]
    recipe = tiny_synthesizer(masks=masks)
    first, second = (run(open_masks(recipe, tiles)) for _ in range(2))
    later = second.draw(5, ["t0", "t1"])
    assert _same(first.draw(3, ["t0", "t1"]), second.draw(3, ["t0", "t1"]))
    assert _same(first.draw(5, ["t0", "t1"]), later)
    others = [
        first.draw(4, ["t0", "t1"]),
        run(open_masks(tiny_synthesizer(masks=masks, seed=1), tiles)).draw(3, ["t0"] * 2),
    ]
    for other in others:
        assert not _same(first.draw(3, ["t0", "t1"]), other)


@pytest.mark.parametrize("masks", ["fit", "labels", "breast"])
def test_masks_are_label_images_of_the_crops_size(masks: str, tiny_synthesizer: Recipes, tiny_he: Images) -> None:
    tiles = [_tile("a", tiny_he(seed=0)[1])]
    source = run(open_masks(tiny_synthesizer(masks=masks, patch=64), tiles))
    for labels, side in ((source.draw(0, ["a"])[0], 64), (source.draw(0, ["a"], 96)[0], 96)):
        assert labels.shape == (side, side)
        assert labels.dtype == np.int32
        assert labels.max() > 0
        assert labels.min() == 0
        assert labels.flags.c_contiguous


@pytest.mark.parametrize("encoding", ["distance", "binary", "contour"])
def test_fields_are_the_masks_encoded(encoding: str, tiny_synthesizer: Recipes, tiny_he: Images) -> None:
    source = run(open_masks(tiny_synthesizer(masks="labels", encoding=encoding), [_tile("a", tiny_he()[1])]))
    fields, tissues = source.batch(2, ["a", "a", "a"])
    assert not tissues.any()
    assert fields.shape == (3, 3, 32, 32)
    assert fields.dtype == torch.float32
    for field, labels in zip(fields, source.draw(2, ["a", "a", "a"]), strict=True):
        assert np.array_equal(field.numpy(), encode(labels, encoding))


def test_labels_are_cut_and_turned_but_never_changed(tiny_synthesizer: Recipes) -> None:
    labels = _places(40, 50)
    source = MaskBatches({"a": [labels]}, tiny_synthesizer())
    orientations = set()
    for step in range(60):
        (crop,) = source.draw(step, ["a"])
        rows, columns = np.divmod(crop - 1, 50)
        assert np.array_equal(labels[rows, columns], crop)
        steps = int(rows[1, 0] - rows[0, 0]), int(columns[1, 0] - columns[0, 0])
        orientations.add((*steps, int(rows[0, 1] - rows[0, 0]), int(columns[0, 1] - columns[0, 0])))
    assert len(orientations) == 8
    assert {abs(a) + abs(b) for a, b, _, _ in orientations} == {1}


def test_small_labels_are_surrounded_by_background(tiny_synthesizer: Recipes) -> None:
    source = MaskBatches({"a": [_places(5, 200)]}, tiny_synthesizer())
    (crop,) = source.draw(0, ["a"])
    assert crop.shape == (32, 32)
    assert (crop > 0).sum() == 5 * 32


def test_each_image_gets_masks_like_its_own(tiny_synthesizer: Recipes) -> None:
    tiles = [_tile("a", _places(64, 64)), _tile("b", _places(64, 64, 10_000))]
    source = run(open_masks(tiny_synthesizer(masks="labels"), tiles))
    for step in range(10):
        first, second, third = source.draw(step, ["a", "b", "elsewhere"])
        assert first.max() < 10_000 <= second.min()
        assert third.shape == (32, 32)
    strangers = [source.draw(step, ["elsewhere"])[0].min() >= 10_000 for step in range(30)]
    assert 5 < sum(strangers) < 25


def test_fits_follow_each_tile(tiny_synthesizer: Recipes, tiny_he: Images) -> None:
    tiles = [_tile("few", tiny_he(192, 192, 4, 0)[1]), _tile("many", tiny_he(192, 192, 60, 1)[1])]
    source = run(open_masks(tiny_synthesizer(masks="fit", patch=192), tiles))
    counts = np.array([[int(labels.max()) for labels in source.draw(step, ["few", "many"])] for step in range(4)])
    assert counts[:, 0].mean() < 0.5 * counts[:, 1].mean()


def test_a_tile_without_nuclei_does_not_stop_the_others(tiny_synthesizer: Recipes, tiny_he: Images) -> None:
    empty = np.zeros((64, 64), np.int32)
    source = run(open_masks(tiny_synthesizer(masks="fit"), [_tile("empty", empty), _tile("a", tiny_he()[1])]))
    drawn = [source.draw(step, ["empty", "a"]) for step in range(8)]
    assert not any(pair[0].any() for pair in drawn)
    assert any(pair[1].any() for pair in drawn)
    with pytest.raises(LabelsError, match="nothing to learn"):
        run(open_masks(tiny_synthesizer(masks="fit"), [_tile("empty", empty)]))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_need_no_labels(name: str, tiny_synthesizer: Recipes) -> None:
    recipe = tiny_synthesizer(masks=name, patch=96)
    check_masks(recipe, labelled=False)
    source = run(open_masks(recipe, []))
    assert _same(source.draw(1, ["a"]), MaskBatches({"x": preset(name)}, recipe).draw(1, ["b"]))


@pytest.mark.parametrize("part", ["", "labels"])
def test_a_folder_of_label_images(part: str, tmp_path: Path, tiny_synthesizer: Recipes) -> None:
    for index in range(3):
        write_labels(tmp_path / part / f"{index}.tif", np.full((40, 40), index + 1, np.int32))
    recipe = tiny_synthesizer(masks=str(tmp_path))
    check_masks(recipe, labelled=False)
    source = run(open_masks(recipe, []))
    assert {int(source.draw(step, ["any"])[0].max()) for step in range(30)} == {1, 2, 3}


def test_label_images_are_brought_to_the_scale_of_the_recipe(tmp_path: Path, tiny_synthesizer: Recipes) -> None:
    write_labels(tmp_path / "coarse.tif", _places(40, 40), 0.5)
    recipe = tiny_synthesizer(masks=str(tmp_path / "coarse.tif"), mpp=0.25)
    check_masks(recipe, labelled=False)
    crop = run(open_masks(recipe, [])).draw(0, ["any"], 80)[0]
    assert np.array_equal(np.unique(crop, return_counts=True)[1], np.full(1600, 4))


def test_saved_statistics(tmp_path: Path, tiny_synthesizer: Recipes) -> None:
    save(preset("liver"), tmp_path / "mine.json")
    recipe = tiny_synthesizer(masks=str(tmp_path / "mine.json"))
    check_masks(recipe, labelled=False)
    assert _same(run(open_masks(recipe, [])).draw(1, ["a"]), MaskBatches({"x": preset("liver")}, recipe).draw(1, ["b"]))
    (tmp_path / "mine.json").write_text("{")
    with pytest.raises(RecipeError, match="does not hold the statistics of masks"):
        check_masks(recipe, labelled=False)


@pytest.mark.parametrize("masks", ["fit", "labels"])
def test_masks_cannot_come_from_labels_that_are_not_there(masks: str, tiny_synthesizer: Recipes) -> None:
    check_masks(tiny_synthesizer(masks=masks), labelled=True)
    with pytest.raises(RecipeError, match=r"have no labels.* breast, kidney, liver, prostate"):
        check_masks(tiny_synthesizer(masks=masks), labelled=False)


def test_what_is_no_source_is_one_clear_error(tmp_path: Path, tiny_synthesizer: Recipes) -> None:
    with pytest.raises(RecipeError, match="'lung' is neither a file nor a folder, nor one of fit, labels, all"):
        check_masks(tiny_synthesizer(masks="lung"), labelled=True)
    with pytest.raises(LabelsError, match="no label images in"):
        check_masks(tiny_synthesizer(masks=str(tmp_path)), labelled=True)
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(LabelsError, match=r"a\.png"):
        check_masks(tiny_synthesizer(masks=str(tmp_path)), labelled=True)


def test_no_mask_is_cut_from_what_split_csv_keeps_for_tests(tmp_path: Path, tiny_synthesizer: Recipes) -> None:
    for name, label in (("a", 1), ("b", 2)):
        labels = np.zeros((40, 40), np.int32)
        labels[5:35, 5:35] = np.arange(900).reshape(30, 30) // 450 * 10 + label
        write_labels(tmp_path / "labels" / f"{name}.tif", labels, 0.25)
    (tmp_path / "split.csv").write_text("name,organ,split\na,liver,train\nb,liver,test\n")
    masks = run(open_masks(tiny_synthesizer(masks=str(tmp_path)), []))
    drawn = {int(label) for step in range(20) for label in np.unique(masks.draw(step, ["x"])[0])}
    assert drawn == {0, 1, 11}
