from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.errors import LabelsError, OutputError, RecipeError
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.masks.polygons import (
    PRESETS,
    PolygonMasks,
    label_files,
    learn,
    learn_by_organ,
    preset,
    sample,
    save,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(2):
        labels = sample(PolygonMasks(area=20), (300, 300), seed=seed)
        write_labels(tmp_path / "set" / "labels" / f"{seed}.tif", labels, 0.25)
    return tmp_path / "set"


def test_presets_and_saved_statistics(tmp_path: Path) -> None:
    assert learn("liver") is preset("liver")
    changed = preset("liver").changed(density=3000)
    save(changed, tmp_path / "mine.json")
    assert learn(str(tmp_path / "mine.json")) == changed


def test_a_file_a_folder_and_a_data_set(folder: Path) -> None:
    whole = learn(str(folder))
    assert whole == learn(str(folder / "labels"))
    assert len(whole.tissues) == 2
    assert learn(str(folder / "labels" / "0.tif")).area == pytest.approx(20, rel=0.3)


def test_the_size_of_pixels_comes_from_the_file_or_from_the_user(folder: Path, tmp_path: Path) -> None:
    assert learn(str(folder), 1.0) == learn(str(folder))
    bare = tmp_path / "bare.tif"
    write_labels(bare, sample(PolygonMasks(area=20), (300, 300), seed=0))
    assert learn(str(bare), 0.5).area == pytest.approx(4 * learn(str(bare)).area, rel=0.01)


def test_labels_of_different_pixel_sizes(folder: Path) -> None:
    write_labels(folder / "labels" / "coarse.tif", np.eye(90, dtype=np.int32), 0.5)
    with pytest.raises(LabelsError, match=r"differ in microns per pixel, from 0\.25 to 0\.5"):
        learn(str(folder))


def test_what_masks_cannot_be_like(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such preset and no such file"):
        learn("lung")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabelsError, match="no label images"):
        learn(str(tmp_path / "empty"))
    (tmp_path / "bad.json").write_text('{"density": "many"}')
    with pytest.raises(RecipeError, match="does not hold the statistics of masks"):
        learn(str(tmp_path / "bad.json"))
    with pytest.raises(OutputError):
        save(PolygonMasks(), tmp_path / "empty")


def test_organ_by_organ(folder: Path, tmp_path: Path) -> None:
    assert tuple(learn_by_organ("all")) == PRESETS[1:]
    assert learn_by_organ("liver") == {"liver": preset("liver")}
    save(preset("liver"), tmp_path / "mine.json")
    assert learn_by_organ(str(tmp_path / "mine.json")) == {"": preset("liver")}
    (folder / "split.csv").write_text("name,organ,split\n1,skin,train\n")
    found = learn_by_organ(str(folder))
    assert list(found) == ["", "skin"]
    assert found[""] == learn(str(folder / "labels" / "0.tif"))


def test_nothing_is_learnt_from_test_images(folder: Path) -> None:
    (folder / "split.csv").write_text("name,organ,split\n0,skin,train\n1,liver,test\n")
    assert learn(str(folder)) == learn(str(folder / "labels" / "0.tif"))
    assert list(learn_by_organ(str(folder))) == ["skin"]
    (folder / "split.csv").write_text("name,organ,split\n0,skin,test\n1,liver,test\n")
    assert list(learn_by_organ(str(folder))) == ["liver", "skin"]


def test_an_organ_without_nuclei_is_named(folder: Path) -> None:
    write_labels(folder / "labels" / "none.tif", np.zeros((50, 50), np.int32), 0.25)
    (folder / "split.csv").write_text("name,organ,split\nnone,skin,train\n")
    learn(str(folder))
    with pytest.raises(LabelsError, match="skin: No label image holds a nucleus"):
        learn_by_organ(str(folder))


def test_label_files_of_a_file_a_folder_and_a_data_set(folder: Path, tmp_path: Path) -> None:
    files = [folder / "labels" / "0.tif", folder / "labels" / "1.tif"]
    assert label_files(folder) == label_files(folder / "labels") == files
    assert label_files(files[0]) == files[:1]
    with pytest.raises(LabelsError, match="no masks at"):
        label_files(tmp_path / "x")
