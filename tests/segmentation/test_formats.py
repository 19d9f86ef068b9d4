from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr
from shapely.geometry import shape as geometry

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import read_labels, read_mpp
from napari_nucleigan.data.slides import Slide
from napari_nucleigan.labels.geojson import read_geojson
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.file_plan import plan_outputs
from napari_nucleigan.segmentation.formats import SLIDE_FORMATS, USUAL
from napari_nucleigan.segmentation.slides import SlideResult, segment_slide
from oracle import model, scatter
from slide_pictures import slide_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.data.slides.slide import Slide as AnySlide

EXACT = {"device": "cpu", "precision": "float32"}


def written(slide: AnySlide, out: Path, tile: int = 256) -> SlideResult:
    return run(segment_slide(slide, out, SegmentSettings(tile=tile, **EXACT), SLIDE_FORMATS, model=model()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("slide")
    written(slide_of(scatter((1200, 700), 32)), out)
    return out


@pytest.fixture(scope="module")
def labels(folder: Path) -> np.ndarray:
    return read_labels(folder / "picture.tif")


def test_labels_are_one_image_that_anything_reads(folder: Path, labels: np.ndarray) -> None:
    assert labels.shape == (1200, 700)
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert labels.max() > 700
    assert read_mpp(folder / "picture.tif") == pytest.approx(0.25)
    with tifffile.TiffFile(folder / "picture.tif") as tif:
        assert tif.pages[0].is_tiled


def test_the_pyramid_holds_the_same_labels(folder: Path, labels: np.ndarray) -> None:
    group = zarr.open_group(folder / "picture.ome.zarr", mode="r")
    assert group.metadata.zarr_format == 3
    ome = group.attrs["ome"]
    assert ome["version"] == "0.5"
    assert "image-label" in ome
    (image,) = ome["multiscales"]
    assert [axis["name"] for axis in image["axes"]] == ["y", "x"]
    assert {axis["unit"] for axis in image["axes"]} == {"micrometer"}
    assert len(image["datasets"]) == 2
    for number, entry in enumerate(image["datasets"]):
        step = 2**number
        assert entry["coordinateTransformations"] == [
            {"type": "scale", "scale": [0.25 * step] * 2},
            {"type": "translation", "translation": [0, 0]},
        ]
        assert np.array_equal(group[entry["path"]][:], labels[::step, ::step])
    assert group.attrs["nucleigan"]["nuclei"] == labels.max()
    assert group.attrs["nucleigan"]["provenance"]["model"] == "oracle"


def test_ome_zarr_reads_the_pyramid_back(folder: Path, labels: np.ndarray) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    place = parse_url(folder / "picture.ome.zarr")
    assert place is not None
    (node, *_) = Reader(place)()
    assert [np.asarray(level).shape for level in node.data] == [(1200, 700), (600, 350)]
    assert np.array_equal(np.asarray(node.data[0]), labels)


@pytest.mark.parametrize("name", ["picture.geojson", "picture.geojson.gz"])
def test_polygons_are_valid_and_fill_to_the_same_labels(folder: Path, labels: np.ndarray, name: str) -> None:
    assert np.array_equal(read_geojson(folder / name), labels)
    raw = (folder / name).read_bytes()
    content = json.loads(gzip.decompress(raw) if name.endswith("gz") else raw)
    assert content["type"] == "FeatureCollection"
    assert len(content["features"]) == labels.max()
    assert all(geometry(feature["geometry"]).is_valid for feature in content["features"])
    feature = content["features"][0]["properties"]
    assert feature["objectType"] == "detection"
    assert feature["measurements"]["area_um2"] == feature["measurements"]["area_px"] / 16


def test_the_table_has_a_row_for_each_nucleus(folder: Path, labels: np.ndarray) -> None:
    with (folder / "picture.csv").open(newline="") as file:
        rows = {int(row["label"]): row for row in csv.DictReader(file)}
    assert sorted(rows) == list(range(1, labels.max() + 1))
    areas = np.bincount(labels.ravel())
    for label, row in rows.items():
        assert int(row["area_px"]) == areas[label]
    some = np.argwhere(labels == 500).mean(axis=0)
    assert float(rows[500]["centroid_y_px"]) == pytest.approx(some[0])
    assert float(rows[500]["centroid_x_um"]) == pytest.approx(some[1] * 0.25)


def test_the_map_counts_every_nucleus_once(folder: Path, labels: np.ndarray) -> None:
    density = tifffile.imread(folder / "picture.density.tif")
    assert density.dtype == np.float32
    assert density.shape == (5, 3)
    sides = [np.minimum(64, np.array(length) - 64 * np.arange(count)) for length, count in ((300, 5), (175, 3))]
    assert (density * np.outer(*sides) / 1e6).sum() == pytest.approx(labels.max(), rel=1e-5)
    with tifffile.TiffFile(folder / "picture.density.tif") as tif:
        tags = tif.pages[0].tags
        assert tags["XResolution"].value[0] / tags["XResolution"].value[1] == pytest.approx(1e4 / 64)
        assert tags["ResolutionUnit"].value == tifffile.RESUNIT.CENTIMETER


def test_a_slide_of_another_scale_gets_its_own_pixels_and_microns(tmp_path: Path) -> None:
    known = slide_of(scatter((400, 600), 40))
    # The same picture with every pixel four times: half the microns per pixel.
    doubled = known.levels[0].repeat(2, axis=0).repeat(2, axis=1)
    slide = Slide("fine", Path("fine.svs"), (doubled,), 0.125)
    written(slide, tmp_path)
    with (tmp_path / "fine.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    drawn = read_geojson(tmp_path / "fine.geojson")
    assert drawn.shape == (800, 1200)
    areas = np.bincount(drawn.ravel())
    for row in table:
        assert int(row["area_px"]) == areas[int(row["label"])]
        assert float(row["area_um2"]) == pytest.approx(areas[int(row["label"])] * 0.125**2)
    (row,) = (row for row in table if row["label"] == "50")
    place = float(row["centroid_y_px"]), float(row["centroid_x_px"])
    assert place == pytest.approx(tuple(np.argwhere(drawn == 50).mean(axis=0).tolist()), abs=1e-4)
    group = zarr.open_group(tmp_path / "fine.ome.zarr", mode="r")
    assert group["0"].shape == (400, 600)
    assert group.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] == [0.25, 0.25]


def test_files_are_planned_by_their_names(tmp_path: Path) -> None:
    assert plan_outputs("a", tmp_path) == tuple(tmp_path / f"a{suffix}" for suffix in USUAL)
    assert plan_outputs("a", tmp_path, ["zarr", "tiff"]) == (tmp_path / "a.ome.zarr", tmp_path / "a.tif")
    named = tmp_path / "new" / "b.ome.zarr"
    assert plan_outputs("a", named) == (named,)
    assert plan_outputs("a", named, ["csv", "ome.zarr"]) == (named, named.with_name("b.csv"))
    assert plan_outputs("a", tmp_path / "c.density.tif") == (tmp_path / "c.density.tif",)
    with pytest.raises(OutputError, match=r"cannot be written as 'docx'; choose one of \.ome\.zarr"):
        plan_outputs("a", tmp_path, ["docx"])


def test_a_pyramid_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "s.ome.zarr"
    for side in (300, 200):
        run(segment_slide(slide_of(scatter((side, side))), out, SegmentSettings(**EXACT), model=model()))
        assert zarr.open_group(out, mode="r")["0"].shape == (side, side)
        assert [path.name for path in tmp_path.iterdir()] == ["s.ome.zarr"]


def _photographs(out: Path) -> None:
    out.mkdir()
    (out / "holiday.jpg").write_bytes(b"irreplaceable")


def _image(out: Path) -> None:
    zarr.create_array(out / "0", data=np.zeros((3, 8, 8), np.uint8))
    zarr.open_group(out).attrs.update({"ome": {"version": "0.5", "multiscales": [{}]}, "nucleigan": {}})


def _more_than_labels(out: Path) -> None:
    run(segment_slide(slide_of(scatter((100, 100))), out, SegmentSettings(**EXACT), model=model()))
    (out / "notes").mkdir()


@pytest.mark.parametrize("make", [_photographs, _image, _more_than_labels])
@pytest.mark.parametrize("name", ["s.ome.zarr", "s.zarr"])
def test_a_folder_that_is_no_pyramid_of_ours_is_refused(
    tmp_path: Path, make: Callable[[Path], None], name: str
) -> None:
    out = tmp_path / name
    make(out)
    before = sorted(out.rglob("*"))
    with pytest.raises(OutputError, match="not made by this program"):
        run(segment_slide(slide_of(scatter((200, 200))), out, SegmentSettings(**EXACT), model=model()))
    assert sorted(out.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("suffix", [".tif", ".geojson", ".geojson.gz", ".csv", ".density.tif"])
def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"s{suffix}"
    out.write_text("somebody's own")
    slide = slide_of(scatter((100, 100)))
    with pytest.raises(OutputError, match="not made by this program"):
        run(segment_slide(slide, out, SegmentSettings(**EXACT), model=model()))
    assert out.read_text() == "somebody's own"
    out.unlink()
    for _ in range(2):
        run(segment_slide(slide, out, SegmentSettings(**EXACT), model=model()))
