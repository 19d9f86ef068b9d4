from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.reading import FileFault
from napari_nucleigan.data.datasets.formats.outlines import _places, find_coco, unpacked, write_coco
from napari_nucleigan.data.images.files import HEImage, write_image

if TYPE_CHECKING:
    from pathlib import Path

SQUARE = [1, 1, 4, 1, 4, 4, 1, 4]
SHAPE = (5, 7)


def saved(root: Path, *outlines: Any, **changed: Any) -> Path:
    """Write an image and a file with these outlines; a dictionary with other keys is a whole annotation."""
    write_image(root / "images" / "x.png", np.full((*SHAPE, 3), 200, np.uint8))
    annotations = [
        each
        if isinstance(each, dict) and "counts" not in each
        else {"id": number, "image_id": 4, "category_id": 1, "iscrowd": 0, "segmentation": each}
        for number, each in enumerate(outlines)
    ]
    images = [{"id": 4, "file_name": "x.png", "height": SHAPE[0], "width": SHAPE[1]}]
    content = {"images": images, "annotations": annotations, "categories": []} | changed
    (root / "instances.json").write_text(json.dumps(content))
    return root


def labels_of(root: Path) -> np.ndarray:
    return np.asarray(find_coco(root).entries[0].read().labels)


def test_polygons_and_run_lengths_of_both_kinds(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[1:4, 2:5], mask[2, 3], mask[4, 6] = True, False, True
    # as pycocotools 2.0.11 encodes it
    packed = {"size": list(SHAPE), "counts": ";32NO0128N"}
    assert unpacked(packed["counts"]) == [11, 3, 2, 1, 1, 1, 2, 3, 10, 1]  # type: ignore[arg-type]
    plain = {"size": list(SHAPE), "counts": [11, 3, 2, 1, 1, 1, 2, 3, 10, 1]}
    assert np.array_equal(labels_of(saved(tmp_path / "a", packed)), mask)
    assert np.array_equal(labels_of(saved(tmp_path / "b", plain)), mask)
    labels = labels_of(saved(tmp_path / "c", [SQUARE]))
    assert labels.sum() == 9
    assert labels[1, 1] == labels[3, 3] == 1


def test_polygons_of_a_nucleus_unite(tmp_path: Path) -> None:
    labels = labels_of(saved(tmp_path, [SQUARE, [3, 3, 5, 3, 5, 5, 3, 5], [0, 0, 1, 1]]))
    assert labels[3, 3] == labels[4, 4] == 1


def pack(lengths: list[int]) -> str:
    """Plain reference of the compressed text."""
    text = ""
    for index, length in enumerate(lengths):
        value = length - (lengths[index - 2] if index > 2 else 0)
        while True:
            low, value = value & 31, value >> 5
            more = value != (-1 if low & 16 else 0)
            text += chr(48 + (low | 32 * more))
            if not more:
                break
    return text


@given(st.lists(st.integers(0, 10**7), max_size=20))
def test_compressed_run_lengths_come_back(lengths: list[int]) -> None:
    assert unpacked(pack(lengths)) == lengths


@given(st.text(max_size=8))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert len(unpacked(text)) <= len(text)
    except ValueError as error:
        assert "run lengths" in str(error)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    crowd = {"image_id": 4, "iscrowd": 1, "segmentation": {"size": list(SHAPE), "counts": [35]}}
    bare = {"image_id": 4, "bbox": [0, 0, 2, 2]}
    empty = {"size": list(SHAPE), "counts": [35]}
    far = [[90, 90, 95, 90, 95, 95]]
    tile = find_coco(saved(tmp_path, crowd, bare, empty, far, [[1, 1, 2, 2]], [SQUARE], [SQUARE])).entries[0].read()
    assert +tile.tally == {"crowd": 1, "bare": 1, "empty": 2, "short": 1, "overlapping": 2, "hidden": 1}
    assert tile.labels.max() == 1


@pytest.mark.parametrize(
    "outline",
    [
        {"size": list(SHAPE), "counts": [34]},
        {"size": [7, 5], "counts": [35]},
        {"size": list(SHAPE), "counts": [40, -5]},
        {"size": list(SHAPE), "counts": "!!"},
        {"size": list(SHAPE), "counts": "o"},
        {"size": list(SHAPE), "counts": ["a"]},
        {"counts": [35]},
        [[1, 1, 2, 2, 3, 3, 4]],
        [[1, 1, 2, 2, "x", 3]],
        [[1, 1, 2, 2, 1e99, 3]],
        [3],
        7,
    ],
)
def test_damaged_outlines_are_refused(tmp_path: Path, outline: Any) -> None:
    (entry,) = find_coco(saved(tmp_path, outline)).entries
    with pytest.raises((ValueError, TypeError, KeyError)):
        entry.read()


@pytest.mark.parametrize(
    "changed",
    [
        {"images": None},
        {"annotations": [{"image_id": 5}]},
        {"annotations": [3]},
        {"images": [{"id": 4}]},
        {"images": [{"id": 4, "file_name": "x.png"}] * 2},
        {"images": [{"id": [], "file_name": "x.png"}]},
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match=r"instances\.json"):
        find_coco(saved(tmp_path, **changed))


@pytest.mark.parametrize(
    "counts",
    [
        [2**63, 2**63, 35],  # wrap around to the right sum
        [2**62] * 4 + [35],
        [-5, 40],
        [0.5, 34.5],
        ["35"],
        [True, 34],
        [10**30],
        [35, 35],
        "o" * 5000,
        "~",
        "`",
        35,
        None,
    ],
)
def test_run_lengths_that_do_not_fit_are_refused(tmp_path: Path, counts: Any) -> None:
    (entry,) = find_coco(saved(tmp_path, {"size": list(SHAPE), "counts": counts})).entries
    with pytest.raises((FileFault, TypeError)):
        entry.read()


@pytest.mark.parametrize("size", [[7, 5], [10**9, 10**9], "57", None, [5]])
def test_run_lengths_of_another_size_are_refused(tmp_path: Path, size: Any) -> None:
    (entry,) = find_coco(saved(tmp_path, {"size": size, "counts": [0, 35]})).entries
    with pytest.raises((FileFault, TypeError)):
        entry.read()


@given(st.lists(st.integers(0, 9), max_size=12))
def test_run_lengths_go_down_the_columns(lengths: list[int]) -> None:
    shape = (3, 1 + sum(lengths) // 3 + 5)
    lengths = [*lengths, shape[0] * shape[1] - sum(lengths)]
    inside = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    flat = np.zeros(shape, bool)
    flat.reshape(-1)[_places({"size": list(shape), "counts": lengths}, shape)] = True
    assert np.array_equal(flat.T.reshape(-1), inside)


def test_nuclei_that_cover_the_image_too_often_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_nucleigan.data.datasets.formats.entries._MOST", 350)
    whole = {"size": list(SHAPE), "counts": [0, 35]}
    (entry,) = find_coco(saved(tmp_path, *[whole] * 10)).entries
    entry.read()
    (entry,) = find_coco(saved(tmp_path, *[whole] * 11)).entries
    with pytest.raises(FileFault, match="too many times"):
        entry.read()


def test_names_of_a_mac_are_found(tmp_path: Path) -> None:
    write_image(tmp_path / unicodedata.normalize("NFD", "Gewebe é.png"), np.full((*SHAPE, 3), 200, np.uint8))
    saved(tmp_path, images=[{"id": 4, "file_name": "Gewebe é.png"}], annotations=[])
    found = find_coco(tmp_path)
    assert ([entry.name for entry in found.entries], found.broken) == (["Gewebe é"], {})


@pytest.mark.parametrize("content", ["", "[]", "{", "null", "[" * 100_000])
def test_files_that_are_no_coco(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DatasetError, match=r"no COCO|nested too deeply"):
        find_coco(tmp_path)


def test_images_are_found_where_they_are(tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "x.png"},
        {"id": 2, "file_name": "train\\deep\\y.png"},
        {"id": 3, "file_name": "../../etc/passwd"},
        {"id": 4, "file_name": "/home/me/z.png"},
    ]
    saved(tmp_path, images=images, annotations=[])
    for name in ("images/train/deep/y.png", "other/z.png"):
        write_image(tmp_path / name, np.full((4, 4, 3), 200, np.uint8))
    found = find_coco(tmp_path / "instances.json")
    assert [(entry.name, entry.split) for entry in found.entries] == [
        ("x", ""),
        ("train/deep/y", "train"),
        ("home/me/z", ""),
    ]
    assert list(found.broken) == ["../../etc/passwd"]


def test_which_file_must_be_clear(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "more.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"2 \.json files"):
        find_coco(tmp_path)


def test_size_that_differs(tmp_path: Path) -> None:
    images = [{"id": 4, "file_name": "x.png", "height": 9, "width": 9}]
    with pytest.raises(ValueError, match="9, 9"):
        find_coco(saved(tmp_path, images=images)).entries[0].read()


def test_what_is_written(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.int32)
    labels[1:4, 1:4], labels[2, 2] = 2_000_000_000, 0
    labels[0, 6], labels[4, 4] = 3, 3
    list(write_coco(tmp_path, iter([("x", HEImage(np.full((*SHAPE, 3), 200, np.uint8)), labels)])))
    content = json.loads((tmp_path / "annotations.json").read_text())
    first, second = content["annotations"]
    assert first["segmentation"] == [[6, 0, 7, 0, 7, 1, 6, 1], [4, 4, 5, 4, 5, 5, 4, 5]]
    assert (first["area"], first["bbox"]) == (2, [4, 0, 3, 5])
    assert second["segmentation"] == {"size": [5, 7], "counts": [6, 3, 2, 1, 1, 1, 2, 3, 16]}
    assert (second["area"], second["bbox"]) == (8, [1, 1, 3, 3])
    assert content["categories"][0]["name"] == "nucleus"
    assert content["images"] == [{"id": 1, "file_name": "x.png", "height": 5, "width": 7}]


@pytest.mark.parametrize("outline", [SQUARE, [[[1, 1], [4, 1], [4, 4], [1, 4]]], [[str(each) for each in SQUARE]]])
def test_polygons_as_others_write_them(tmp_path: Path, outline: Any) -> None:
    labels = labels_of(saved(tmp_path, outline))
    assert labels.sum() == 9
    assert labels[1:4, 1:4].all()
