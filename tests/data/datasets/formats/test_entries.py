from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.data.datasets.formats.entries import (
    SENTENCES,
    Canvas,
    Entry,
    ImportedImage,
    files_below,
    find_pairs,
    sentences,
    split_of,
    with_unique_names,
)

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
    found = find_pairs(root, ".mat", read)
    return {
        each.name: [str(path.relative_to(root)) for path in each.files] for each in with_unique_names(found.entries)
    }


def test_folders_as_hovernet_has_them(tmp_path: Path) -> None:
    touch(tmp_path, "Train/Images/a.png", "Train/Labels/a.mat", "Train/Overlay/a.png", "Test/Images/b.png")
    touch(tmp_path, "Test/Labels/b.mat", "__MACOSX/Train/Labels/a.mat", ".hidden/c.mat", "Train/.a.mat")
    assert pairs(tmp_path) == {
        "a": ["Train/Images/a.png", "Train/Labels/a.mat"],
        "b": ["Test/Images/b.png", "Test/Labels/b.mat"],
    }
    assert {each.name: each.split for each in with_unique_names(find_pairs(tmp_path, ".mat", read).entries)} == {
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
    found = find_pairs(tmp_path, ".mat", read)
    assert [each.name for each in found.entries] == ["z"]
    assert "no image x" in found.broken["x.mat"]
    assert found.notes == ("Left out, images without annotation: y.png.",)


def test_what_is_ambiguous_is_not_guessed(tmp_path: Path) -> None:
    touch(tmp_path, "images1/x.png", "images2/x.png", "mat/x.mat", "a/y.png", "a/y.mat", "b/y.mat")
    found = find_pairs(tmp_path, ".mat", read)
    assert "it may belong to" in found.broken["mat/x.mat"]
    assert "has another annotation" in found.broken["b/y.mat"]


def test_nothing_to_pair(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no \.mat files"):
        find_pairs(tmp_path, ".mat", read)
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
    names = [each.name for each in with_unique_names(map(entry, ["a/x", "b/x", "a-x", "B/X", "...", 'q:"1"', "d/e/q"]))]
    assert names == ["a-x", "b-x", "a-x-2", "B-X-2", "image", "q__1_", "q"]
    assert len({name.casefold() for name in names}) == len(names)


def box(top: float, left: float, bottom: float, right: float) -> list[list[tuple[float, float]]]:
    return [[(left, top), (right, top), (right, bottom), (left, bottom)]]


def test_later_ones_lie_on_top_and_what_is_lost_is_counted() -> None:
    canvas = Canvas((10, 10))
    boxes = [box(0, 0, 4, 4), box(2, 2, 6, 6), box(7, 7, 8, 8), box(6.5, 6.5, 9, 9), box(20, 20, 30, 30)]
    canvas.draw([[each] for each in boxes], range(1, 6))
    canvas.draw([[box(0.6, 5, 0.9, 9)]], [6])  # thinner than a pixel
    labels = canvas.finish()
    assert labels[3, 3] == 2
    assert labels.max() == 3  # the third is hidden, the fifth and sixth hold no pixel
    assert (labels == 1).sum() == 12
    assert canvas.tally == {"overlapping": 4, "hidden": 1, "empty": 2}


def test_polygons_of_a_nucleus_unite_and_holes_stay_open() -> None:
    canvas = Canvas((10, 10))
    ring = [*box(0, 0, 6, 6), *box(2, 2, 4, 4)]
    canvas.draw([[ring, box(4, 4, 8, 8)]], [1])
    labels = canvas.finish()
    assert labels[3, 3] == 0
    assert labels[5, 5] == labels[7, 7] == 1
    assert not +canvas.tally


def test_zero_cuts_out_what_lies_below() -> None:
    canvas = Canvas((6, 6))
    canvas.draw([[box(0, 0, 6, 6)], [box(1, 1, 3, 3)], [box(2, 2, 3, 3)]], [1, 0, 2])
    labels = canvas.finish(renumber=False)
    assert (labels[1, 1], labels[2, 2], labels[5, 5]) == (0, 2, 1)


def test_numbers_stay_if_asked() -> None:
    canvas = Canvas((6, 6))
    canvas.draw([[box(0, 0, 2, 2)], [box(3, 3, 6, 6)]], [70, 5])
    assert set(np.unique(canvas.finish(renumber=False))) == {0, 5, 70}
    assert set(np.unique(canvas.finish())) == {0, 1, 2}


@pytest.mark.parametrize("corner", [np.nan, np.inf, -np.inf, 1e9])
def test_absurd_corners_are_refused(corner: float) -> None:
    with pytest.raises(ValueError, match="corner"):
        Canvas((6, 6)).draw([[[[(0, 0), (corner, 1), (2, 2)]]]], [1])


def test_nothing_to_draw() -> None:
    canvas = Canvas((3, 4))
    canvas.draw([], [])
    assert not canvas.finish().any()


def test_sentences_name_numbers() -> None:
    said = sentences({"overlapping": (3, 2), "short": (1, 1), "hidden": (0, 0)})
    assert said[0].startswith("3 nuclei overlap")
    assert "(in 1 image)" in said[1]
    assert len(said) == 2
    assert all(sentence[0].islower() for sentence in SENTENCES.values())
