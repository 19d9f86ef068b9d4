from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.pixels import sides
from napari_nucleigan.data.slides import open_slide
from napari_nucleigan.data.slides.label_pyramids import (
    SHARD,
    LabelPyramid,
    is_label_pyramid,
    label_folders,
    open_label_pyramid,
)
from slide_files import halved, write_label_zarr, write_labels_of, write_zarr

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def labels(tiny_he: Any) -> np.ndarray:
    found: np.ndarray = tiny_he(300, 420, 40)[1].astype(np.uint32)
    return found


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_in_microns(tmp_path: Path, labels: np.ndarray, version: str) -> None:
    path = write_label_zarr(tmp_path / "a.ome.zarr", labels, version)
    assert is_label_pyramid(path)
    pyramid = open_label_pyramid(path)
    assert (pyramid.name, pyramid.mpp, pyramid.offset, pyramid.notes) == ("a", 0.25, (0, 0), ())
    assert (pyramid.features, dict(pyramid.provenance)) == (None, {})
    assert len(pyramid.levels) == 3
    for level, array in enumerate(pyramid.levels):
        assert array.dtype == np.uint32
        assert np.array_equal(np.asarray(array), halved(labels, level))


def test_our_own_say_where_they_come_from(tmp_path: Path, labels: np.ndarray) -> None:
    (tmp_path / "a.csv").write_text("label\n")
    own = {"features": "a.csv", "mpp": 0.25, "provenance": {"model": "nucleigan-he", "version": "0.1.0"}}
    pyramid = open_label_pyramid(write_label_zarr(tmp_path / "a.ome.zarr", labels, **own))
    assert pyramid.features == tmp_path / "a.csv"
    assert pyramid.provenance == own["provenance"]


def test_a_table_that_is_gone_is_said(tmp_path: Path, labels: np.ndarray) -> None:
    pyramid = open_label_pyramid(write_label_zarr(tmp_path / "a.ome.zarr", labels, features="a.csv"))
    assert pyramid.features is None
    assert pyramid.notes == ("The table of its nuclei, a.csv, is not beside it.",)


def test_a_part_of_a_slide_has_its_place(tmp_path: Path, labels: np.ndarray) -> None:
    path = write_label_zarr(tmp_path / "a.ome.zarr", labels, translation=(100, 25.5))
    assert open_label_pyramid(path).offset == (100, 25.5)


def test_transforms_of_the_whole_pyramid_come_after_those_of_a_level(tmp_path: Path, labels: np.ndarray) -> None:
    path = write_label_zarr(tmp_path / "a.ome.zarr", labels, translation=(100, 25.5))
    group = zarr.open_group(path, mode="a")
    known = group.attrs["ome"]
    known["multiscales"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [2, 2]},
        {"type": "translation", "translation": [1, 2]},
    ]
    group.attrs["ome"] = known
    pyramid = open_label_pyramid(path)
    assert (pyramid.mpp, pyramid.offset) == (0.5, (201, 53))


def test_without_units_all_is_in_pixels(tmp_path: Path, labels: np.ndarray) -> None:
    pyramid = open_label_pyramid(write_label_zarr(tmp_path / "a.ome.zarr", labels, mpp=None, translation=(7, 8)))
    assert (pyramid.mpp, pyramid.offset) == (None, (7, 8))


def test_a_single_large_level_gets_smaller_ones(tmp_path: Path) -> None:
    labels = np.zeros((5000, 64), np.uint32)
    labels[4096:] = 9
    pyramid = open_label_pyramid(write_label_zarr(tmp_path / "a.ome.zarr", labels, levels=1))
    assert [level.shape for level in pyramid.levels] == [(5000, 64), (2500, 32), (1250, 16)]
    assert np.array_equal(np.asarray(pyramid.levels[2]), labels[::4, ::4])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_of_an_image(tmp_path: Path, labels: np.ndarray, tiny_he: Any, version: str) -> None:
    image = write_zarr(tmp_path / "a.ome.zarr", tiny_he(300, 420, 40)[0], version)
    assert label_folders(image) == []
    folder = write_labels_of(image, version, ["nuclei", "glands", "absent"])
    for name in ("nuclei", "glands"):
        write_label_zarr(folder / name, labels, version)
    assert label_folders(image) == [folder / "nuclei", folder / "glands"]
    assert open_label_pyramid(folder / "glands").name == "glands"
    with open_slide(image) as slide:
        assert slide.shape == (300, 420)


def remove_level(path: Path) -> None:
    shutil.rmtree(path / "1")


def cut_metadata(path: Path) -> None:
    file = path / "0" / "zarr.json"
    file.write_text(file.read_text()[:100])


def without_axes(path: Path) -> None:
    file = path / "zarr.json"
    known = json.loads(file.read_text())
    del known["attributes"]["ome"]["multiscales"][0]["axes"]
    file.write_text(json.dumps(known))


def with_fractions(path: Path) -> None:
    shutil.rmtree(path / "0")
    zarr.open_group(path, mode="a").create_array("0", data=np.zeros((300, 420), np.float32))


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (remove_level, r"a\.ome\.zarr: its array 1 is missing"),
        (cut_metadata, r"a\.ome\.zarr: it is damaged, cut short or no labels in OME-Zarr"),
        (without_axes, r"a\.ome\.zarr: it is damaged.*'axes' is missing"),
        (with_fractions, r"float32 values on the axes .*, and labels are whole numbers"),
    ],
)
def test_damage(tmp_path: Path, labels: np.ndarray, harm: Any, why: str) -> None:
    path = write_label_zarr(tmp_path / "a.ome.zarr", labels)
    harm(path)
    with pytest.raises(LabelsError, match=why):
        open_label_pyramid(path)


def test_what_is_none(tmp_path: Path, tiny_he: Any) -> None:
    image = write_zarr(tmp_path / "a.ome.zarr", tiny_he(300, 420, 40)[0], "0.5")
    assert not is_label_pyramid(image)
    with pytest.raises(LabelsError, match="no label image in OME-Zarr"):
        open_label_pyramid(image)
    with pytest.raises(LabelsError, match="no such folder"):
        open_label_pyramid(tmp_path / "none")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_tests_write_what_ome_zarr_reads(tmp_path: Path, labels: np.ndarray, tiny_he: Any, version: str) -> None:
    pytest.importorskip("ome_zarr", reason="ome-zarr is not installed")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    image = write_zarr(tmp_path / "a.ome.zarr", tiny_he(300, 420, 40)[0], version)
    for path in (write_label_zarr(tmp_path / "b.ome.zarr", labels, version, features="b.csv"), image):
        node = next(iter(Reader(parse_url(path))()))
        assert [level.shape[-2:] for level in node.data] == [(300, 420), (150, 210), (75, 105)]
        last = node.metadata["coordinateTransformations"][-1]
        assert last[0]["scale"][-2:] == [1.0, 1.0]


def test_a_pyramid_says_where_it_lies(tmp_path: Path, labels: np.ndarray) -> None:
    pyramid = LabelPyramid(tmp_path / "a.ome.zarr", (300, 420), (0.5, 0.25), {}, (0.125, -0.0625))
    pyramid.write(0, 0, labels)
    found = open_label_pyramid(tmp_path / "a.ome.zarr")
    assert found.mpp is not None
    assert sides(found.mpp) == (0.5, 0.25)
    assert found.offset == pytest.approx((0.125, -0.0625))
    assert np.array_equal(found.planes[0][:], labels)


def test_a_file_holds_many_chunks(tmp_path: Path) -> None:
    rows, columns = np.array([1, 4095, 4096, 8999]), np.array([5499, 4095, 4096, 1])
    labels = np.zeros((9000, 5500), np.uint32)
    labels[rows, columns] = [1, 2, 3, 2**31]
    pyramid = LabelPyramid(tmp_path / "a.ome.zarr", (9000, 5500), (0.25, 0.25), {})
    assert len(pyramid.chunks) == 6
    for top, bottom, left, right in pyramid.chunks:
        pyramid.write(top, left, labels[top:bottom, left:right])
    for level in range(1, len(pyramid.levels)):
        pyramid.downsample(level)
    found = open_label_pyramid(tmp_path / "a.ome.zarr")
    assert len(found.planes) == 5
    for level, plane in enumerate(found.planes):
        assert np.array_equal(plane[:], labels[:: 2**level, :: 2**level])
    files = [path for path in (tmp_path / "a.ome.zarr" / "0").rglob("*") if path.is_file()]
    # Of the six files two show no nucleus; one more has the metadata.
    assert len(files) == 5
    assert pyramid.levels[0].shards == (SHARD, SHARD)
    assert pyramid.levels[-1].shards == (1024, 1024)


def test_others_read_files_of_many_chunks(tmp_path: Path, labels: np.ndarray) -> None:
    Reader = pytest.importorskip("ome_zarr.reader").Reader
    from ome_zarr.io import parse_url

    pyramid = LabelPyramid(tmp_path / "a.ome.zarr", (5000, 5000), (0.25, 0.25), {})
    whole = np.zeros((5000, 5000), np.uint32)
    whole[4000:4300, 3900:4320] = labels
    for top, bottom, left, right in pyramid.chunks:
        pyramid.write(top, left, whole[top:bottom, left:right])
    node = next(iter(Reader(parse_url(tmp_path / "a.ome.zarr"))()))
    assert np.array_equal(np.asarray(node.data[0][4000:4300, 3900:4320]), labels)
