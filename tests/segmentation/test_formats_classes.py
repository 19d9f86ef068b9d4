"""Classes of nuclei in every format, of images and of slides."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr

from classed_nuclei import CLASSES, image_nuclei, slide_nuclei
from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.events import run
from napari_nucleigan.base.text import uncell
from napari_nucleigan.data.slides import is_slide
from napari_nucleigan.data.slides.zarr_arrays import METADATA
from napari_nucleigan.labels.classes import colours
from napari_nucleigan.labels.geojson import read_annotations
from napari_nucleigan.segmentation.file_plan import plan_files, plan_outputs
from napari_nucleigan.segmentation.formats import IMAGE_FORMATS, SLIDE_FORMATS, write_result, write_slide_results
from napari_nucleigan.segmentation.stores import nuclei

if TYPE_CHECKING:
    from pathlib import Path

COLOURS = colours(sorted(filter(None, CLASSES)))


def known() -> dict[int, str]:
    table = image_nuclei().features
    return dict(zip(table["label"].tolist(), table["class"].tolist(), strict=True))


@pytest.mark.parametrize("of", ["image", "slide"])
def test_tables_and_outlines_have_them(tmp_path: Path, of: str) -> None:
    if of == "image":
        for suffix in (".csv", ".geojson"):
            write_result(tmp_path / f"x{suffix}", image_nuclei(vectors=2))
    else:
        run(write_slide_results([tmp_path / "x.csv", tmp_path / "x.geojson"], slide_nuclei(vectors=2)))
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {int(row["label"]): uncell(row["class"]) for row in rows} == known()
    assert "embedding" not in rows[0]
    assert not any(row["class"].startswith("=") for row in rows)
    found = read_annotations(tmp_path / "x.geojson")
    assert {
        label: "" if name == "Nucleus" else name for label, name in zip(found.labels, found.classes, strict=True)
    } == (known())
    for feature in json.loads((tmp_path / "x.geojson").read_text())["features"]:
        kind = feature["properties"]["classification"]
        assert kind["color"] == list(COLOURS.get(kind["name"], (80, 40, 160)))
        assert "class" not in feature["properties"]["measurements"]
        assert "embedding" not in feature["properties"]["measurements"]


def test_labels_in_ome_zarr_have_colours_and_properties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(write_slide_results([tmp_path / "x.ome.zarr"], slide_nuclei()))
    said = zarr.open_group(tmp_path / "x.ome.zarr", mode="r").attrs["ome"]["image-label"]
    assert {entry["label-value"]: entry["class"] for entry in said["properties"]} == known()
    assert {entry["label-value"]: entry["rgba"] for entry in said["colors"]} == {
        label: [*COLOURS[name], 255] for label, name in known().items() if name
    }
    monkeypatch.setattr(nuclei, "MOST_PROPERTIES", 10)
    run(write_slide_results([tmp_path / "x.ome.zarr"], slide_nuclei()))
    said = zarr.open_group(tmp_path / "x.ome.zarr", mode="r").attrs["ome"]["image-label"]
    assert said.keys() == {"version"}


def test_the_map_has_a_channel_for_each(tmp_path: Path) -> None:
    slide = slide_nuclei()
    run(write_slide_results([tmp_path / "x.density.tif"], slide))
    with tifffile.TiffFile(tmp_path / "x.density.tif") as tif:
        planes = tif.asarray()
        description = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert planes.shape == (4, 1, 1)
    assert [channel["Name"] for channel in description["Channel"]] == ["all", *(n.replace('"', "'") for n in COLOURS)]
    assert description["PhysicalSizeX"] == 64
    area = 200 * 240 / 16 / 1e6
    counts = [len(known()), *(list(known().values()).count(name) for name in COLOURS)]
    assert (planes[:, 0, 0] * area).tolist() == pytest.approx(counts, rel=1e-5)


def test_the_classifier_says_which_colours(tmp_path: Path) -> None:
    slide = slide_nuclei()
    slide.provenance["classes"] = {"Fibroblast": [1, 2, 3], "epithelial": [4, 5, 6], '=cmd, "x"': [7, 8, 9]}
    run(write_slide_results([tmp_path / "x.geojson"], slide))
    found = {
        feature["properties"]["classification"]["name"]: feature["properties"]["classification"]["color"]
        for feature in json.loads((tmp_path / "x.geojson").read_text())["features"]
    }
    assert found == {**slide.provenance["classes"], "Nucleus": [80, 40, 160]}


def test_names_of_stores_are_understood(tmp_path: Path) -> None:
    store = tmp_path / "x.spatialdata.zarr"
    (task,) = plan_files([tmp_path / "a.png"], store, IMAGE_FORMATS, ["csv", "h5ad"])
    assert task.outputs == (store, tmp_path / "x.csv", tmp_path / "x.h5ad")
    assert plan_outputs("a", store, ["parquet"]) == (store, tmp_path / "x.parquet")
    assert plan_outputs("a", tmp_path, ["spatialdata"]) == (tmp_path / "a.spatialdata.zarr",)
    assert {".parquet", ".h5ad", ".spatialdata.zarr"} <= {*IMAGE_FORMATS} & {*SLIDE_FORMATS}
    with pytest.raises(OutputError, match="cannot be written as"):
        plan_files([tmp_path / "a.png"], tmp_path / "x.zarr", IMAGE_FORMATS)


def test_a_store_is_no_slide(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    store = tmp_path / "x.spatialdata.zarr"
    write_result(store, image_nuclei())
    assert not is_slide(store)


def test_rows_are_measured_alike_in_tiles() -> None:
    """The slide of these tests is its image: else what they compare would say nothing."""
    tables = list(slide_nuclei().tables())
    assert len(tables) > 2
    labels = np.concatenate([table["label"] for table in tables])
    areas = np.concatenate([table["area_px"] for table in tables])[np.argsort(labels)]
    assert areas.tolist() == image_nuclei().features["area_px"].tolist()


def test_properties_of_many_nuclei_stay_readable() -> None:
    longest = {"class": "a" * 60, "class_probability": 0.1234567890123456, "confidence": 0.1234567890123456}
    entries = {"properties": [{"label-value": 10**6, **longest}], "colors": [{"label-value": 10**6, "rgba": [255] * 4}]}
    text = json.dumps({"attributes": {"ome": {"image-label": entries}}}, indent=2)
    assert len(text) * nuclei.MOST_PROPERTIES < METADATA
