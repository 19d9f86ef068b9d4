from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shapely.geometry import shape as to_shape

from napari_nucleigan.base.errors import LabelsError, OutputError
from napari_nucleigan.data.images.files import read_labels
from napari_nucleigan.labels.geojson import (
    labels_to_geojson,
    read_annotations,
    read_geojson,
    read_mpp,
    write_geojson,
)

if TYPE_CHECKING:
    from pathlib import Path

LABELS = np.array([[0, 5, 5, 0], [0, 5, 0, 0], [2, 0, 0, 5]], np.uint16)


def feature(geometry: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def square(left: float, top: float, side: float = 2) -> dict[str, Any]:
    right, bottom = left + side, top + side
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {"type": "Polygon", "coordinates": [ring]}


def saved(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_collection_as_qupath_has_it() -> None:
    table = {
        "label": np.array([2, 5]),
        "area_px": np.array([1, 4]),
        "solidity": np.array([1, np.nan]),
    }
    collection = labels_to_geojson(LABELS, table, mpp=0.25)
    assert collection["type"] == "FeatureCollection"
    assert collection["nucleigan"] == {"height": 3, "width": 4, "mpp": 0.25}
    first, second = collection["features"]
    assert first["type"] == "Feature"
    assert first["geometry"] == {
        "type": "Polygon",
        "coordinates": [[[0, 2], [1, 2], [1, 3], [0, 3], [0, 2]]],
    }
    assert first["properties"]["objectType"] == "detection"
    assert first["properties"]["classification"]["name"] == "Nucleus"
    assert first["properties"]["name"] == "2"
    assert first["properties"]["measurements"] == {"area_px": 1, "solidity": 1.0}
    assert second["geometry"]["type"] == "MultiPolygon"
    assert second["properties"]["measurements"] == {"area_px": 4}
    json.dumps(collection, allow_nan=False)


@given(
    hnp.arrays(
        np.int64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=10),
        elements=st.sampled_from([0, 0, 1, 2, 9, 2**31 - 1]),
    )
)
@settings(max_examples=150, deadline=None)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, labels: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("geojson") / "a.geojson"
    write_geojson(path, labels)
    assert np.array_equal(read_geojson(path, labels.shape), labels)
    assert np.array_equal(read_geojson(path), labels)


def test_real_nuclei_are_valid_and_come_back(tmp_path: Path, kumar: Path) -> None:
    labels = read_labels(kumar / "labels" / "TCGA-HE-7128-01Z-00-DX1.tif")
    write_geojson(tmp_path / "a.geojson", labels)
    assert np.array_equal(read_geojson(tmp_path / "a.geojson"), labels)
    for one in json.loads((tmp_path / "a.geojson").read_text())["features"]:
        shape = to_shape(one["geometry"])
        assert shape.is_valid
        assert shape.area == (labels == int(one["properties"]["name"])).sum()


def test_microns_per_pixel(tmp_path: Path) -> None:
    write_geojson(tmp_path / "a.geojson", LABELS, mpp=0.25)
    assert read_mpp(tmp_path / "a.geojson") == 0.25
    write_geojson(tmp_path / "a.geojson", LABELS)
    assert read_mpp(tmp_path / "a.geojson") is None
    assert read_mpp(tmp_path / "none.geojson") is None
    assert read_mpp(saved(tmp_path / "b.geojson", [])) is None


class TestForeignFiles:
    def test_names_become_labels_where_all_are_different_integers(self, tmp_path: Path) -> None:
        features = [feature(square(0, 0), name="7"), feature(square(3, 0), name="3")]
        path = saved(tmp_path / "a.json", {"type": "FeatureCollection", "features": features})
        assert read_geojson(path).tolist() == [[7, 7, 0, 3, 3]] * 2

    @pytest.mark.parametrize("names", [("7", "7"), ("7", "tumour"), ("0", "1"), ("²", "1")])
    def test_else_they_are_numbered(self, tmp_path: Path, names: tuple[str, str]) -> None:
        features = [feature(square(3 * i, 0), name=name) for i, name in enumerate(names)]
        path = saved(tmp_path / "a.json", features)
        assert read_geojson(path, (2, 6)).tolist() == [[1, 1, 0, 2, 2, 0]] * 2

    def test_cells_are_drawn_as_their_nuclei(self, tmp_path: Path) -> None:
        cell = feature(square(0, 0, 5)) | {"nucleusGeometry": square(1, 1)}
        assert (read_geojson(saved(tmp_path / "a.json", cell), (5, 5)) > 0).sum() == 4

    def test_no_properties(self, tmp_path: Path) -> None:
        one = {"type": "Feature", "geometry": square(0, 0), "properties": None}
        assert read_geojson(saved(tmp_path / "a.json", [one])).tolist() == [[1, 1], [1, 1]]

    def test_outside_is_cut_off(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.json", [feature(square(-1, -1)), feature(square(50, 50))])
        assert read_geojson(path, (3, 3)).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]

    def test_no_nuclei(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.json", {"type": "FeatureCollection", "features": []})
        assert not read_geojson(path, (4, 5)).any()

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ([feature({"type": "Point", "coordinates": [1, 2]})], "no polygons, but points"),
            ([feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]})], "fewer than 3"),
            ([feature({"type": "Polygon", "coordinates": []})], "fewer than 3"),
            ([feature({"type": "Polygon", "coordinates": [[1, 2, 3]]})], "no GeoJSON"),
            ([feature({"type": "Polygon", "coordinates": [[["a", 1]] * 4]})], "no GeoJSON"),
            ({"type": "FeatureCollection"}, "no GeoJSON"),
            ({"a": 1}, "no Feature"),
            ([feature({"type": "Sphere", "coordinates": []})], "of the type 'Sphere'"),
            ([feature(square(1e12, 0))], "absurdly far away"),
            ([feature({"type": "Polygon", "coordinates": [[[0, 0], [1], [2, 2]]]})], "no GeoJSON"),
            (
                {"type": "FeatureCollection", "features": [], "nucleigan": {"height": -4, "width": 4}},
                "height and width",
            ),
            ({"type": "FeatureCollection", "features": [], "nucleigan": {"height": 4, "width": 4, "mpp": -1}}, "long"),
            ({"type": "FeatureCollection", "features": [feature(square(150_000, 150_000))]}, "90.* GB of memory"),
            ({"type": "FeatureCollection", "features": [], "nucleigan": {"height": 50_000, "width": 50_000}}, "10 GB"),
            (3, "no GeoJSON"),
            ([{"type": "Feature", "geometry": None}], "without a place"),
            (
                {"type": "FeatureCollection", "features": [], "nucleigan": {"height": "a"}},
                "no GeoJSON",
            ),
        ],
    )
    def test_what_is_no_polygons(self, tmp_path: Path, content: Any, reason: str) -> None:
        with pytest.raises(LabelsError, match=reason):
            read_geojson(saved(tmp_path / "a.json", content))

    def test_not_finite(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.json", [feature(square(0, float("nan")))])
        with pytest.raises(LabelsError, match="not finite"):
            read_geojson(path)

    def test_missing_and_cut_short(self, tmp_path: Path) -> None:
        with pytest.raises(LabelsError, match="no such file"):
            read_geojson(tmp_path / "a.geojson")
        write_geojson(tmp_path / "a.geojson", LABELS)
        (tmp_path / "a.geojson").write_bytes((tmp_path / "a.geojson").read_bytes()[:-40])
        with pytest.raises(LabelsError, match="damaged"):
            read_geojson(tmp_path / "a.geojson")
        (tmp_path / "a.geojson").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(LabelsError, match="not in UTF-8"):
            read_geojson(tmp_path / "a.geojson")

    def test_what_is_no_area_is_left_out_and_said(self, tmp_path: Path) -> None:
        point, line = {"type": "MultiPoint", "coordinates": [[1, 1]]}, {"type": "LineString", "coordinates": [[0, 0]]}
        thin = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}
        several = {"type": "GeometryCollection", "geometries": [square(0, 0), point, square(3, 0)]}
        features = [feature(several), feature(point), feature(line), feature(thin)]
        path = saved(tmp_path / "a.json", {"type": "FeatureCollection", "features": features})
        known = read_annotations(path)
        assert known.draw().tolist() == [[1, 1, 0, 1, 1]] * 2
        assert known.notes == (
            "What is no area was left out of a.json: points (2), lines (1), polygons of fewer than 3 corners (1).",
        )

    @pytest.mark.parametrize("key", ["objectType", "object_type"])
    def test_annotations_around_detections_are_no_nuclei(self, tmp_path: Path, key: str) -> None:
        kinds = ("annotation", "tma_core", "detection", "cell")
        objects = [feature(square(number, 0), **{key: kind}) for number, kind in enumerate(kinds)]
        path = saved(tmp_path / "a.json", objects)
        assert len(read_annotations(path).nuclei) == 4
        known = read_annotations(path, nuclei_only=True)
        assert [rings[0][0][0].tolist() for rings in known.nuclei] == [[2, 0], [3, 0]]
        assert known.notes == ("Annotations and cores around the detections (2) were left out of a.json.",)
        saved(path, objects[:2])
        assert len(read_annotations(path, nuclei_only=True).nuclei) == 2
        assert read_annotations(path, nuclei_only=True).notes == ()

    def test_holes_islands_and_names(self, tmp_path: Path) -> None:
        rings = [square(0, 0, 7)["coordinates"][0], square(1, 1, 5)["coordinates"][0]]
        donut = {"type": "MultiPolygon", "coordinates": [rings, square(2, 2, 3)["coordinates"]]}
        path = saved(tmp_path / "a.json", [feature({"type": "Point", "coordinates": [0, 0]}), feature(donut, name="9")])
        drawn = read_geojson(path)
        assert set(np.unique(drawn)) == {0, 9}
        assert (drawn > 0).sum() == 49 - 25 + 9
        assert (drawn[1, 1], drawn[3, 3]) == (0, 9)

    def test_bare_geometries_and_a_byte_order_mark(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text(json.dumps(square(0, 0)), encoding="utf-8-sig")
        assert read_geojson(path).tolist() == [[1, 1], [1, 1]]

    def test_long_names_are_no_labels(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.json", [feature(square(0, 0), name="1" * 5000)])
        assert read_geojson(path).max() == 1

    def test_a_bomb_is_not_unpacked(self, tmp_path: Path) -> None:
        path = tmp_path / "a.geojson.gz"
        path.write_bytes(b"".join([gzip.compress(b" " * 10_000_000)] * 50))
        with pytest.raises(LabelsError, match="GB of memory"):
            read_geojson(path)


def test_no_labels(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="float64"):
        write_geojson(tmp_path / "a.geojson", np.zeros((4, 4)))
    with pytest.raises(OutputError):
        (tmp_path / "b").write_text("")
        write_geojson(tmp_path / "b" / "a.geojson", LABELS)
