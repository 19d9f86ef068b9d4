"""Artefacts in every format: nuclei that lie in them are marked, and none is dropped."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from _defects import inked
from classed_nuclei import slide_nuclei
from napari_nucleigan.base.events import Note, run
from napari_nucleigan.contributions.readers import get_reader
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.segmentation import SegmentSettings, refilter, segment
from napari_nucleigan.segmentation.artefacts import ARTEFACT, KINDS, ArtefactMap
from napari_nucleigan.segmentation.formats import check_results, format_of, write_slide_results
from napari_nucleigan.segmentation.slides import segment_slide
from oracle import model, picture, scatter
from slide_pictures import write_slide

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (200, 240)


def test_all_formats_tell_them(tmp_path: Path) -> None:
    kinds = np.array([[0, 1, 2], [3, 4, 0], [1, 0, 3]], np.uint8)
    found = replace(slide_nuclei(SHAPE), artefacts=ArtefactMap(kinds, np.ones((3, 3), bool), (80.0, 80.0)))
    names = ["x.csv", "x.geojson", "x.ome.zarr", "x.parquet", "x.artefacts.tif"]
    run(write_slide_results([tmp_path / name for name in names], found))
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found.count
    expected = {}
    for row in rows:
        y, x = (float(row[f"centroid_{axis}_px"]) + 0.5 for axis in "yx")
        expected[int(row["label"])] = ["", *KINDS][kinds[int(y / 80), int(x / 80)]]
        assert row[ARTEFACT] == expected[int(row["label"])]
    assert set(expected.values()) == {"", *KINDS}
    features = json.loads((tmp_path / "x.geojson").read_text())["features"]
    assert {int(one["properties"]["name"]): one["properties"].get("metadata", {}) for one in features} == {
        label: {ARTEFACT: kind} if kind else {} for label, kind in expected.items()
    }
    properties = zarr.open_group(tmp_path / "x.ome.zarr", mode="r").attrs["ome"]["image-label"]["properties"]
    assert {one["label-value"]: one.get(ARTEFACT, "") for one in properties} == expected
    table = pd.read_parquet(tmp_path / "x.parquet")
    assert dict(zip(table["label"], table[ARTEFACT], strict=True)) == expected
    assert np.array_equal(tifffile.imread(tmp_path / "x.artefacts.tif"), kinds)
    with tifffile.TiffFile(tmp_path / "x.artefacts.tif") as tif:
        tags = tif.pages[0].tags
        lengths = [1e4 * below / above for above, below in (tags[f"{axis}Resolution"].value for axis in "YX")]
    assert lengths == pytest.approx([20, 20])
    reader = get_reader(str(tmp_path / "x.artefacts.tif"))
    assert reader is not None
    ((values, arguments, kind),) = reader(str(tmp_path / "x.artefacts.tif"))
    assert np.array_equal(values, kinds)
    assert kind == "labels"
    assert arguments["scale"] == pytest.approx((20, 20))
    assert arguments["metadata"]["nucleigan"]["view"] == "artefacts"


def test_a_map_of_artefacts_is_a_format_of_its_own(tmp_path: Path) -> None:
    assert format_of(tmp_path / "slide.artefacts.tif") == ".artefacts.tif"
    assert format_of(tmp_path / "slide.density.tif") == ".density.tif"
    assert format_of(tmp_path / "slide.tif") == ".tif"
    check_results([tmp_path / "slide.artefacts.tif"])


def test_images_and_slides_say_which_nuclei_lie_in_them(tmp_path: Path) -> None:
    known = scatter((600, 600))
    clean = picture(known)
    pixels, inside = inked(clean.pixels, 0.25, "green")
    # The oracle reads the picture; the stroke is drawn where it reads background only.
    pixels = np.where((inside & ~(clean.pixels[..., 0] > 128))[..., None], pixels, clean.pixels)
    settings = SegmentSettings(device="cpu", precision="float32", tile=2048)
    notes: list[str] = []
    found = run(
        segment(HEImage(pixels, 0.25, "x"), settings, model()),
        lambda event: notes.append(event.text) if isinstance(event, Note) else None,
    )
    assert found.artefacts is not None
    assert found.features[ARTEFACT].shape == found.features["label"].shape
    places = (found.features[f"centroid_{axis}_px"] for axis in "yx")
    assert np.array_equal(found.features[ARTEFACT], found.artefacts.named(*places))
    again = refilter(found, settings.model_copy(update={"min_area": 12.0}))
    assert set(again.features[ARTEFACT]) <= set(found.features[ARTEFACT])
    assert [text for text in notes if ARTEFACT in text] == [found.artefacts.note()][: bool(found.artefacts.shares())]
    result = run(segment_slide(write_slide(tmp_path / "s.tif", pixels), tmp_path / "s.csv", settings, model=model()))
    assert result.artefacts is not None
    assert result.provenance["artefacts"].keys() == result.artefacts.shares().keys()
    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert result.nuclei == len(rows)
    values = [(float(row["centroid_y_px"]), float(row["centroid_x_px"])) for row in rows]
    named = result.artefacts.named(*np.array(values).T)
    assert [row[ARTEFACT] for row in rows] == named.tolist()
