"""Finished results, read and written again with fewer nuclei."""

from __future__ import annotations

import csv
import gzip
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from classed_nuclei import image_nuclei, slide_nuclei
from napari_nucleigan.base.errors import LabelsError, OutputError
from napari_nucleigan.base.events import Progress, run
from napari_nucleigan.data.images.files import read_labels
from napari_nucleigan.data.images.tiff import read_density
from napari_nucleigan.segmentation import SegmentSettings, stored, write_result
from napari_nucleigan.segmentation.confidence import EVIDENCE
from napari_nucleigan.segmentation.filter_files import filter_results, find_results
from napari_nucleigan.segmentation.formats import write_slide_results
from napari_nucleigan.segmentation.settings import NucleiFilter
from napari_nucleigan.segmentation.slides import segment_slide
from napari_nucleigan.segmentation.stored import StoredNuclei, read_table
from oracle import model, picture, scatter
from slide_pictures import write_slide

if TYPE_CHECKING:
    from pathlib import Path

SLIDE = (".ome.zarr", ".csv", ".geojson.gz", ".density.tif", ".tif")
SURE = NucleiFilter(min_confidence=0.5, min_area=6)


def rows(path: Path) -> dict[int, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return {int(row["label"]): row for row in csv.DictReader(handle)}


def outlines(path: Path) -> dict[int, Any]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return {int(each["properties"]["name"]): each for each in json.loads(text)["features"]}


def levels(path: Path) -> list[Any]:
    group = zarr.open_group(path, mode="r")
    return [group[part["path"]][:] for part in group.attrs["ome"]["multiscales"][0]["datasets"]]  # type: ignore[index]


def assert_same(found: dict[int, Any], known: dict[int, Any]) -> None:
    """Of a table in text the first eight digits are left."""
    assert found.keys() == known.keys()
    for label, each in found.items():
        one, other = (feature["properties"].pop("measurements") for feature in (each, dict(known[label])))
        assert one == pytest.approx(other, rel=1e-7)
        known[label]["properties"]["measurements"] = other
        assert {**each, "properties": {**each["properties"], "measurements": other}} == known[label]


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide of 16 tiles at half the model's microns per pixel, segmented into a folder."""
    folder = tmp_path_factory.mktemp("slide")
    pixels = np.kron(picture(scatter((400, 300))).pixels, np.ones((2, 2, 1), np.uint8))
    path = write_slide(folder / "glass.tif", pixels, 0.125)
    card = {"weights": [0.0] * (EVIDENCE - 1) + [2.0], "bias": -9.5}  # the larger, the surer
    settings = SegmentSettings(device="cpu", precision="float32", tile=128)
    known = model(None, confidence=card, encoding="distance")
    run(segment_slide(path, folder / "found", settings, [each[1:] for each in SLIDE], model=known))
    return folder / "found"


def test_hidden_nuclei_are_hidden_in_all_files_alike(slide: Path, tmp_path: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in slide.iterdir()}
    told: list[Any] = []
    (result,) = run(filter_results([slide], tmp_path / "sure", SURE), told.append)
    assert {path.name: path.stat().st_mtime_ns for path in slide.iterdir()} == before
    assert sorted(path.name for path in result.outputs) == sorted(before)
    steps = [event.done / event.total for event in told if isinstance(event, Progress)]
    assert steps == sorted(steps)

    whole, found = rows(slide / "glass.csv"), rows(tmp_path / "sure" / "glass.csv")
    kept = {label for label, row in whole.items() if float(row["confidence"]) >= 0.5 and float(row["area_um2"]) >= 6}
    assert 10 < len(kept) < len(whole) - 10
    assert found == {label: whole[label] for label in kept}
    assert result.nuclei == len(kept)
    assert result.provenance["hidden"] == len(whole) - len(kept)

    drawn = outlines(slide / "glass.geojson.gz")
    assert_same(outlines(tmp_path / "sure" / "glass.geojson.gz"), {label: drawn[label] for label in kept})
    for one, other in zip(levels(slide / "glass.ome.zarr"), levels(tmp_path / "sure" / "glass.ome.zarr"), strict=True):
        assert np.array_equal(other, np.where(np.isin(one, list(kept)), one, 0))
    labels = read_labels(slide / "glass.tif")
    assert np.array_equal(
        read_labels(tmp_path / "sure" / "glass.tif"), np.where(np.isin(labels, list(kept)), labels, 0)
    )
    maps = [read_density(folder / "glass.density.tif").values for folder in (slide, tmp_path / "sure")]
    assert maps[0].shape == maps[1].shape
    assert 0 < maps[1].sum() < maps[0].sum()

    # A filter of the first result brings all back, and so it says what the segmentation itself has said.
    run(filter_results([slide / "glass.csv"], tmp_path / "all", NucleiFilter()))
    assert rows(tmp_path / "all" / "glass.csv") == whole
    assert_same(outlines(tmp_path / "all" / "glass.geojson.gz"), drawn)
    assert np.array_equal(read_density(tmp_path / "all" / "glass.density.tif").values, maps[0])
    one, other = (zarr.open_group(folder / "glass.ome.zarr").attrs.asdict() for folder in (slide, tmp_path / "all"))
    for group in (one, other):
        properties = group["ome"]["image-label"].pop("properties")  # type: ignore[index]
        assert {each["label-value"]: each["confidence"] for each in properties} == pytest.approx(
            {label: float(row["confidence"]) for label, row in whole.items()}
        )
    assert one == other


def test_of_a_later_filter_the_first_result_is_the_source(slide: Path, tmp_path: Path) -> None:
    one = run(filter_results([slide], tmp_path, NucleiFilter(min_area=12), ["csv"]))[0]
    other = run(filter_results([slide], tmp_path, NucleiFilter(min_area=6), ["csv"]))[0]
    assert one.nuclei < other.nuclei
    run(filter_results([slide], tmp_path / "one.csv", NucleiFilter(max_area=6)))
    assert all(float(row["area_um2"]) <= 6 for row in rows(tmp_path / "one.csv").values())


def test_nuclei_across_squares_are_drawn_whole(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {}
    for block, margin in ((2048, 128), (32, 1)):
        monkeypatch.setattr(stored, "_BLOCK", block)
        monkeypatch.setattr(stored, "_MARGIN", margin)
        found = StoredNuclei(slide / "glass.ome.zarr")
        drawn[block] = canvas = np.zeros(found.shape, np.uint32)
        count = 0
        for part in found.parts():
            (top, left), (height, width) = part.origin, part.labels.shape
            view = canvas[top : top + height, left : left + width]
            assert not (view[part.labels > 0]).any()
            view[part.labels > 0] = part.labels[part.labels > 0]
            assert set(np.unique(part.labels)) - {0} == set(part.features["label"].tolist())
            count += len(part.features["label"])
        assert count == found.count
    assert np.array_equal(drawn[2048], drawn[32])
    assert np.array_equal(drawn[32], levels(slide / "glass.ome.zarr")[0])


def test_stores_and_classes(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    anndata: Any = pytest.importorskip("anndata")
    nuclei = slide_nuclei(vectors=3)
    nuclei.provenance |= {"mpp": 0.25, "model": "oracle"}
    ends = (".ome.zarr", ".csv", ".parquet", ".h5ad", ".spatialdata.zarr", ".density.tif")
    (tmp_path / "a").mkdir()
    run(write_slide_results([tmp_path / "a" / f"x{end}" for end in ends], nuclei))
    wanted = NucleiFilter(classes=('=cmd, "x"', "Fibroblast"))
    (result,) = run(filter_results([tmp_path / "a"], tmp_path / "b", wanted))
    assert len(result.outputs) == len(ends)
    known = {name: read_table(tmp_path / name / "x.ome.zarr") for name in "ab"}
    mine = np.isin(known["a"]["class"], wanted.classes)
    assert 0 < mine.sum() == result.nuclei < len(mine)
    order = np.argsort(known["b"]["label"]), np.argsort(known["a"]["label"][mine])
    for name, values in known["a"].items():
        assert np.array_equal(known["b"][name][order[0]], values[mine][order[1]], equal_nan=values.dtype.kind == "f")
    assert known["b"]["embedding"].shape == (result.nuclei, 3)
    table = anndata.read_h5ad(tmp_path / "b" / "x.h5ad")
    assert table.obs["label"].tolist() == known["b"]["label"].tolist()
    assert set(table.obs["class"]) == set(wanted.classes or ())
    # The table as text says the same, with the names as they are.
    (tmp_path / "a" / "x.parquet").unlink()
    text = read_table(tmp_path / "a" / "x.ome.zarr")
    assert np.array_equal(text["class"], known["a"]["class"])
    shapes = zarr.open_group(tmp_path / "b" / "x.spatialdata.zarr" / "tables" / "table", mode="r")
    assert shapes["obs/label"][:].tolist() == known["b"]["label"].tolist()  # type: ignore[index]
    with pytest.raises(LabelsError, match="class 'fibroblast'"):
        run(filter_results([tmp_path / "a"], tmp_path / "c", NucleiFilter(classes=("fibroblast",))))


def test_images_have_results_too(tmp_path: Path) -> None:
    found = image_nuclei()
    for name in ("one", "two"):
        for end in (".tif", ".csv", ".geojson"):
            (tmp_path / "a").mkdir(exist_ok=True)
            write_result(tmp_path / "a" / f"{name}{end}", found)
    results = run(filter_results([tmp_path / "a"], tmp_path / "b", NucleiFilter(min_confidence=0.45)))
    assert [result.source.name for result in results] == ["one.tif", "two.tif"]
    kept = found.features["label"][found.features["confidence"] >= 0.45]
    assert sorted(rows(tmp_path / "b" / "two.csv")) == sorted(kept.tolist())
    labels = read_labels(tmp_path / "b" / "two.tif")
    assert np.array_equal(labels, np.where(np.isin(found.labels, kept), found.labels, 0))
    drawn = outlines(tmp_path / "a" / "one.geojson")
    assert_same(outlines(tmp_path / "b" / "one.geojson"), {label: drawn[label] for label in kept.tolist()})


def test_no_nuclei_left(slide: Path, tmp_path: Path) -> None:
    (result,) = run(filter_results([slide], tmp_path, NucleiFilter(min_area=1e5)))
    assert result.nuclei == 0
    assert rows(tmp_path / "glass.csv") == {}
    assert outlines(tmp_path / "glass.geojson.gz") == {}
    assert not any(level.any() for level in levels(tmp_path / "glass.ome.zarr"))


def test_faults_are_said(slide: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the result itself"):
        run(filter_results([slide], slide, SURE))
    with pytest.raises(LabelsError, match="no finished result"):
        find_results([tmp_path])
    with pytest.raises(LabelsError, match="no finished result"):
        find_results([tmp_path / "none.csv"])
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "glass.ome.zarr").symlink_to(slide / "glass.ome.zarr")
    with pytest.raises(LabelsError, match="not beside it"):
        run(filter_results([alone / "glass.ome.zarr"], tmp_path / "out", SURE))
    lines = (slide / "glass.csv").read_text().splitlines()
    strange = lines[1].split(",")
    strange[0] = "99999"
    (alone / "glass.csv").write_text("\n".join([*lines, ",".join(strange)]) + "\n")
    with pytest.raises(LabelsError, match="nucleus 99999 is in the table only"):
        run(filter_results([alone / "glass.ome.zarr"], tmp_path / "out", NucleiFilter(), ["geojson"]))
    (alone / "glass.csv").write_text("what,ever\n1,2\n")
    with pytest.raises(LabelsError, match="no column 'label'"):
        run(filter_results([alone / "glass.ome.zarr"], tmp_path / "out", SURE))
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
