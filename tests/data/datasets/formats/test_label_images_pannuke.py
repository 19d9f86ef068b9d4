from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.data.datasets.formats.label_images import find_pannuke

if TYPE_CHECKING:
    from pathlib import Path


def arrays(count: int = 3, side: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(count)
    images = random.integers(0, 256, (count, side, side, 3)).astype(float)
    masks = np.zeros((count, side, side, 6))
    masks[..., 5] = 1
    masks[:, 1:4, 1:4, 0] = 3
    masks[:, 6:9, 1:4, 0] = 8
    masks[:, 1:4, 6:9, 2] = 3  # the same number in another class is another nucleus
    masks[1:, 3:6, 3:5, 4] = 1  # overlaps one of the first class
    return images, masks, np.array(["Breast", "Bile-duct", "Adrenal_gland"] * count)[:count]


def fold(root: Path, number: int, split: bool = True, **changed: Any) -> Path:
    images, masks, types = arrays()
    content = {"images": images, "masks": masks, "types": types} | changed
    for name, array in content.items():
        if array is not None:
            folder = root / f"Fold {number}" / ("masks" if name == "masks" else "images") / f"fold{number}"
            folder = folder if split else root
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{name}.npy", array, allow_pickle=True)
    return root


def test_folds_as_published(tmp_path: Path) -> None:
    found = find_pannuke(fold(fold(fold(tmp_path, 1), 2), 3))
    assert [entry.name for entry in found.entries[::4]] == ["fold1-00000", "fold2-00001", "fold3-00002"]
    assert [entry.split for entry in found.entries[::3]] == ["train", "val", "test"]
    assert [entry.organ for entry in found.entries[:3]] == ["breast", "bile-duct", "adrenal_gland"]
    assert "first of PanNuke's three splits" in found.notes[0]
    images, masks, _ = arrays()
    tile = found.entries[1].read()
    assert np.array_equal(tile.pixels, images[1])
    assert tile.labels.max() == 4
    assert (tile.labels[2, 2], tile.labels[7, 2], tile.labels[2, 7], tile.labels[5, 3]) == (1, 2, 3, 4)
    assert np.array_equal(tile.labels > 0, masks[1, ..., :5].any(-1))
    assert tile.tally["overlapping"] == 2
    assert tile.mpp == 0.25


def test_arrays_in_one_folder_without_types(tmp_path: Path) -> None:
    found = find_pannuke(fold(tmp_path, 1, split=False, types=None))
    assert (found.entries[0].name, found.entries[0].organ, found.entries[0].split) == ("patch-00000", "", "")
    assert not found.notes


def test_arrays_are_not_read_into_memory(tmp_path: Path) -> None:
    found = find_pannuke(fold(tmp_path, 1))
    images, masks, index = found.entries[0].read.args  # type: ignore[attr-defined]
    assert isinstance(images, np.memmap)
    assert isinstance(masks, np.memmap)
    assert index == 0


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"masks": np.array([{"a": 1}], dtype=object)}, "no array of numbers"),
        ({"types": np.array(["Breast", 1, 2], dtype=object)}, "no array of numbers"),
        ({"types": np.array(["Breast"])}, "3 names"),
        ({"images": None, "types": None}, "no images.npy"),
        ({"images": arrays()[0][:2]}, "differ in shape"),
        ({"images": arrays()[0].astype(str)}, "PanNuke's are numbers"),
        ({"masks": arrays()[1][..., :3]}, "256, 6"),
        ({"masks": arrays()[1][0]}, "256, 6"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, changed: dict[str, Any], error: str) -> None:
    with pytest.raises(DatasetError, match=error):
        find_pannuke(fold(tmp_path, 1, **changed))


def test_files_that_are_cut_short(tmp_path: Path) -> None:
    path = fold(tmp_path, 1) / "Fold 1" / "masks" / "fold1" / "masks.npy"
    whole = path.read_bytes()
    for length in (0, 5, 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DatasetError, match=r"masks\.npy"):
            find_pannuke(tmp_path)
    with pytest.raises(DatasetError, match=r"no masks\.npy"):
        find_pannuke(tmp_path / "Fold 1" / "images")


@pytest.mark.parametrize("value", [-1, 0.5, np.nan, 1e12])
def test_values_that_are_no_labels(tmp_path: Path, value: float) -> None:
    masks = arrays()[1]
    masks[0, 0, 0, 0] = value
    (first, *_) = find_pannuke(fold(tmp_path, 1, masks=masks)).entries
    with pytest.raises(ValueError, match="no labels"):
        first.read()


@pytest.mark.parametrize("value", [-1, 256, np.nan])
def test_values_that_are_no_colours(tmp_path: Path, value: float) -> None:
    images = arrays()[0]
    images[0, 0, 0, 0] = value
    (first, *_) = find_pannuke(fold(tmp_path, 1, images=images)).entries
    with pytest.raises(ValueError, match="colours"):
        first.read()


def test_sizes_that_are_not_there_are_refused(tmp_path: Path) -> None:
    """A file with holes takes no room on the disk, and may be larger than the memory."""
    root = fold(tmp_path, 1, split=False, types=None)
    for name, channels in (("images", 3), ("masks", 6)):
        array = np.lib.format.open_memmap(root / f"{name}.npy", "w+", np.uint8, (1, 20_000, 20_000, channels))
        del array
    with pytest.raises(DatasetError, match="GB of memory"):
        find_pannuke(root)
    for shape in ("(10000000000, 256, 256, 3)", f"({2**62}, {2**62}, 4, 3)"):
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
        (root / "images.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        with pytest.raises(DatasetError, match=r"Cannot read .*images\.npy"):
            find_pannuke(root)


def test_archives_of_arrays_are_refused(tmp_path: Path) -> None:
    root = fold(tmp_path, 1, split=False, types=None)
    with (root / "masks.npy").open("wb") as handle:
        np.savez(handle, masks=arrays()[1])
    with pytest.raises(DatasetError, match="archive of arrays"):
        find_pannuke(root)


def test_fractions_are_no_colours(tmp_path: Path) -> None:
    (first, *_) = find_pannuke(fold(tmp_path, 1, images=arrays()[0] / 255)).entries
    with pytest.raises(ValueError, match="fractions up to 1, not colours from 0 to 255; multiply them by 255"):
        first.read()
