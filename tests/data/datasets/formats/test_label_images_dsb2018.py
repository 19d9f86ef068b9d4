from __future__ import annotations

from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest

from napari_nucleigan.base.errors import DatasetError, LabelsError
from napari_nucleigan.data.datasets.formats.label_images import find_dsb2018
from napari_nucleigan.data.images.files import write_image

if TYPE_CHECKING:
    from pathlib import Path


def make(root: Path, name: str, *masks: np.ndarray, shape: tuple[int, int] = (8, 9)) -> Path:
    write_image(root / name / "images" / f"{name}.png", np.full((*shape, 3), 220, np.uint8))
    (root / name / "masks").mkdir()
    for number, mask in enumerate(masks):
        (root / name / "masks" / f"{number:02d}.png").write_bytes(imagecodecs.png_encode(mask))
    return root


def square(top: int, left: int, value: int = 255, dtype: type = np.uint8) -> np.ndarray:
    mask = np.zeros((8, 9), dtype)
    mask[top : top + 4, left : left + 4] = value
    return mask


def test_masks_of_every_kind(tmp_path: Path) -> None:
    colours = np.dstack([square(4, 4)] * 3 + [np.full((8, 9), 255, np.uint8)])
    masks = (square(0, 0), square(0, 5, 1), square(4, 0, 1, np.uint16), colours, np.zeros((8, 9), np.uint8))
    found = find_dsb2018(make(tmp_path, "n", *masks))
    assert [entry.name for entry in found.entries] == ["n"]
    tile = found.entries[0].read()
    assert tile.labels[0, 0] == 1
    assert tile.labels[0, 5] == 2
    assert tile.labels[7, 0] == 3
    assert tile.labels[7, 7] == 4
    assert +tile.tally == {"blank": 1}


def test_overlaps_are_counted(tmp_path: Path) -> None:
    tile = find_dsb2018(make(tmp_path, "n", square(0, 0), square(2, 2), square(2, 2))).entries[0].read()
    assert tile.tally["overlapping"] == 3
    assert tile.tally["hidden"] == 1
    assert tile.labels.max() == 2


def test_masks_of_another_size_or_damaged(tmp_path: Path) -> None:
    make(tmp_path, "n", square(0, 0)[:5])
    with pytest.raises(ValueError, match=r"00\.png has"):
        find_dsb2018(tmp_path).entries[0].read()
    (tmp_path / "n" / "masks" / "00.png").write_bytes(imagecodecs.png_encode(square(0, 0))[:40])
    with pytest.raises(LabelsError, match="damaged"):
        find_dsb2018(tmp_path).entries[0].read()


def test_folders_that_are_incomplete(tmp_path: Path) -> None:
    make(tmp_path / "train", "n", square(0, 0))
    write_image(tmp_path / "train" / "n" / "images" / "again.png", np.zeros((8, 9, 3), np.uint8))
    make(tmp_path / "test", "m", square(0, 0))
    write_image(tmp_path / "test" / "bare" / "images" / "bare.png", np.zeros((8, 9, 3), np.uint8))
    found = find_dsb2018(tmp_path)
    assert [(entry.name, entry.split) for entry in found.entries] == [("test/m", "test")]
    assert found.broken == {"train/n": "its images/ must hold one image, not 2"}
    assert found.notes == ("Left out, folders without masks/: 1.",)
    with pytest.raises(DatasetError, match="no folders NAME/masks"):
        find_dsb2018(tmp_path / "test" / "bare" / "images")


def test_masks_that_are_not_read_are_no_image_without_nuclei(tmp_path: Path) -> None:
    make(tmp_path, "n")
    assert find_dsb2018(tmp_path).entries[0].read().labels.max() == 0
    (tmp_path / "n" / "masks" / "1.bmp").write_bytes(b"BM")
    found = find_dsb2018(tmp_path)
    assert found.broken == {"n": "its masks/ holds no PNG or TIFF, but 1.bmp; save the masks as PNG"}
    assert found.entries == ()
