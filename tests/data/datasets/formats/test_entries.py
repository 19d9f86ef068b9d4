from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.data.datasets.formats.entries import Entry, ImportedImage, files_below, named, paired, split_of

if TYPE_CHECKING:
    from pathlib import Path


def read(image: Path, annotation: Path) -> ImportedImage:
    raise NotImplementedError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def entry(name: str) -> Entry:
    return Entry(name, lambda: read(*[]), ())  # type: ignore[arg-type]


def pairs(root: Path) -> dict[str, Any]:
    found = paired(root, ".mat", read)
    return {each.name: [str(path.relative_to(root)) for path in each.files] for each in named(found.entries)}


def test_folders_as_hovernet_has_them(tmp_path: Path) -> None:
    touch(tmp_path, "Train/Images/a.png", "Train/Labels/a.mat", "Train/Overlay/a.png", "Test/Images/b.png")
    touch(tmp_path, "Test/Labels/b.mat", "__MACOSX/Train/Labels/a.mat", ".hidden/c.mat", "Train/.a.mat")
    assert pairs(tmp_path) == {
        "a": ["Train/Images/a.png", "Train/Labels/a.mat"],
        "b": ["Test/Images/b.png", "Test/Labels/b.mat"],
    }
    assert {each.name: each.split for each in named(paired(tmp_path, ".mat", read).entries)} == {
        "a": "train",
        "b": "test",
    }


def test_equal_names_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{split}/{kind}" for split in ("train", "test") for kind in ("Images/x.png", "Labels/x.mat")))
    assert pairs(tmp_path) == {
        "train-x": ["train/Images/x.png", "train/Labels/x.mat"],
        "test-x": ["test/Images/x.png", "test/Labels/x.mat"],
    }


def test_side_by_side_and_a_slide_beside_its_tiff(tmp_path: Path) -> None:
    touch(tmp_path, "p/x.svs", "p/x.tif", "p/x.mat", "p/y.svs", "p/y.mat")
    assert pairs(tmp_path) == {"x": ["p/x.tif", "p/x.mat"], "y": ["p/y.svs", "p/y.mat"]}


def test_what_has_no_partner_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "x.mat", "y.png", "z.png", "z.mat")
    found = paired(tmp_path, ".mat", read)
    assert [each.name for each in found.entries] == ["z"]
    assert "no image x" in found.broken["x.mat"]
    assert found.notes == ("Left out, images without annotation: y.png.",)


def test_what_is_ambiguous_is_not_guessed(tmp_path: Path) -> None:
    touch(tmp_path, "images1/x.png", "images2/x.png", "mat/x.mat", "a/y.png", "a/y.mat", "b/y.mat")
    found = paired(tmp_path, ".mat", read)
    assert "it may belong to" in found.broken["mat/x.mat"]
    assert "has another annotation" in found.broken["b/y.mat"]


def test_nothing_to_pair(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no \.mat files"):
        paired(tmp_path, ".mat", read)
    with pytest.raises(DatasetError, match="no folder"):
        files_below(tmp_path / "absent")


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("Train", "train"),
        ("test_same", "test"),
        ("MoNuSegTestData", "test"),
        ("MoNuSeg 2018 Training Data", "train"),
        ("valid", "val"),
        ("validation-2", "val"),
        ("constraints", ""),
        ("latest", ""),
        ("Fold 1", ""),
    ],
)
def test_split_by_folder(folder: str, split: str) -> None:
    assert split_of(["data", folder]) == split


def test_names_differ_and_suit_every_system() -> None:
    names = [each.name for each in named(map(entry, ["a/x", "b/x", "a-x", "B/X", "...", 'q:"1"', "d/e/q"]))]
    assert names == ["a-x", "b-x", "a-x-2", "B-X-2", "image", "q__1_", "q"]
    assert len({name.casefold() for name in names}) == len(names)
