from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.contributions.writers import (
    layer_mpp,
    write_features_csv,
    write_labels_geojson,
    write_labels_tiff,
)
from napari_nucleigan.data.images.files import read_labels
from napari_nucleigan.labels.geojson import read_geojson

if TYPE_CHECKING:
    from pathlib import Path

LABELS = np.array([[0, 5, 5, 0], [0, 5, 0, 0], [2, 2, 0, 0]])


def layer_data(labels: Any = LABELS, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Return data and attributes of a Labels layer, as napari hands them to writers."""
    from napari.layers import Labels

    data, meta, _ = Labels(labels, **options).as_layer_data_tuple()
    return data, meta


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_tiff(tmp_path: Path) -> None:
    path = str(tmp_path / "a.tif")
    assert write_labels_tiff(path, *layer_data(scale=(500, 500), units=("nm", "nm"))) == [path]
    assert np.array_equal(read_labels(path), LABELS)
    with tifffile.TiffFile(path) as tif:
        assert tif.pages[0].tags.valueof("XResolution") == (20000, 1)


def test_geojson(tmp_path: Path) -> None:
    path = str(tmp_path / "a.geojson")
    assert write_labels_geojson(path, *layer_data(scale=(0.5, 0.5), units=("um", "um"))) == [path]
    assert np.array_equal(read_geojson(path), LABELS)
    content = json.loads((tmp_path / "a.geojson").read_text())
    assert content["nucleigan"]["mpp"] == 0.5
    assert content["features"][0]["properties"]["measurements"]["area_um2"] == 0.5


def test_geojson_has_the_classes_that_the_layer_knows(tmp_path: Path) -> None:
    features = {"index": [5, 2], "class": ["tumour", ""]}
    write_labels_geojson(str(tmp_path / "a.geojson"), *layer_data(features=features))
    found = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [one["properties"]["classification"]["name"] for one in found] == ["Nucleus", "tumour"]


class TestCsv:
    def test_measured_anew(self, tmp_path: Path) -> None:
        path = str(tmp_path / "a.csv")
        assert write_features_csv(path, *layer_data()) == [path]
        rows = rows_of(tmp_path / "a.csv")
        assert [(row["label"], row["area_px"]) for row in rows] == [("2", "2"), ("5", "3")]
        assert "area_um2" not in rows[0]

    @pytest.mark.parametrize("key", ["label", "index"])
    def test_stains_that_the_layer_knows_are_kept(self, tmp_path: Path, key: str) -> None:
        features = {key: [9, 5], "haematoxylin_mean_od": [0.1, 0.7], "area_px": [1, 1]}
        write_features_csv(str(tmp_path / "a.csv"), *layer_data(features=features))
        rows = rows_of(tmp_path / "a.csv")
        assert [row["haematoxylin_mean_od"] for row in rows] == ["", "0.7"]
        assert [row["area_px"] for row in rows] == ["2", "3"]

    def test_no_nuclei(self, tmp_path: Path) -> None:
        write_features_csv(str(tmp_path / "a.csv"), *layer_data(np.zeros((4, 4), int)))
        assert rows_of(tmp_path / "a.csv") == []


@pytest.mark.parametrize(
    ("options", "mpp"),
    [
        ({"scale": (0.25, 0.25), "units": ("um", "um")}, 0.25),
        ({"scale": (0.25, 0.25), "units": ("micrometer", "micrometer")}, 0.25),
        ({"scale": (0.0005, 0.0005), "units": ("mm", "mm")}, 0.5),
        ({"scale": (0.25e-6, 0.25e-6), "units": ("m", "m")}, 0.25),
        ({"scale": (0.2, 0.8), "units": ("um", "um")}, 0.4),
        ({"scale": (0.25, 0.25)}, None),
        ({"scale": (0.25, 0.25), "units": ("s", "s")}, None),
    ],
)
def test_microns_per_pixel(options: dict[str, Any], mpp: float | None) -> None:
    assert layer_mpp(layer_data(**options)[1]) == mpp
    assert layer_mpp({}) is None


def test_stacks_are_refused(tmp_path: Path) -> None:
    data, meta = layer_data(np.zeros((3, 4, 5), int), name="stack")
    for write, suffix in ((write_labels_tiff, "tif"), (write_labels_geojson, "geojson"), (write_features_csv, "csv")):
        with pytest.raises(LabelsError, match=r"shape is \(3, 4, 5\)"):
            write(str(tmp_path / f"a.{suffix}"), data, meta)
    assert list(tmp_path.iterdir()) == []


def test_multiscale(tmp_path: Path) -> None:
    data, meta = layer_data([LABELS, LABELS[::2, ::2]], multiscale=True)
    write_labels_tiff(str(tmp_path / "a.tif"), data, meta)
    assert np.array_equal(read_labels(tmp_path / "a.tif"), LABELS)


@pytest.mark.parametrize("suffix", ["tif", "geojson", "csv"])
def test_manifest(tmp_path: Path, suffix: str) -> None:
    import npe2
    from napari.layers import Labels

    path = str(tmp_path / f"a.{suffix}")
    layer = Labels(LABELS, scale=(0.5, 0.5), units=("um", "um")).as_layer_data_tuple()
    manager = npe2.PluginManager.instance()
    known = "napari-nucleigan" in manager
    if not known:
        manager.register(npe2.PluginManifest.from_distribution("napari-nucleigan"))
    try:
        assert npe2.write(path, [layer], plugin_name="napari-nucleigan") == [path]
    finally:
        if not known:
            manager.unregister("napari-nucleigan")
    assert (tmp_path / f"a.{suffix}").stat().st_size > 0
