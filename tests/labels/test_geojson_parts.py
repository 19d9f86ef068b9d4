from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.labels.geojson import (
    GeoJSONPart,
    labels_to_geojson,
    part_files,
    parts,
    read_annotations,
    write_geojson_parts,
)
from napari_nucleigan.labels.geojson.writing import compact, lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def rows_of_nuclei(count: int, each: int) -> Iterator[GeoJSONPart]:
    """Draw nuclei of 2 x 2 pixels, so many in a row."""
    for start in range(0, count, each):
        names = np.arange(start, min(start + each, count)) + 1
        labels = np.zeros((3, 3 * each), np.int32)
        labels[:2, 0 : 3 * len(names) : 3] = labels[:2, 1 : 3 * len(names) : 3] = names
        yield GeoJSONPart(labels, {"label": names, "area_px": np.full(len(names), 4)}, (3 * (start // each), 0))


def names_in(path: Path) -> list[int]:
    raw = path.read_bytes()
    content = json.loads(gzip.decompress(raw) if path.suffix.lower() == ".gz" else raw)
    assert content["nucleigan"] == {"height": 90, "width": 90, "mpp": 0.5}
    return [int(feature["properties"]["name"]) for feature in content["features"]]


@given(
    hnp.arrays(
        np.uint32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.sampled_from([0, 0, 1, 2, 9, 2**31 - 1]),
    ),
    st.tuples(st.integers(0, 10**5), st.integers(0, 10**5)),
    st.sampled_from([(1.0, 1.0), (2.0, 2.0), (0.4987, 1.503)]),
)
@settings(max_examples=150, deadline=None)
def test_parts_are_described_as_whole_images_are(
    labels: np.ndarray, origin: tuple[int, int], factors: tuple[float, float]
) -> None:
    names = np.setdiff1d(labels, 0).astype(np.int64)
    features = {
        "label": names,
        "area_px": np.arange(len(names)),
        "solidity": np.linspace(0.1, np.nan, len(names)),
        "class": np.array(["a", "", "b\\"])[np.arange(len(names)) % 3],
        "artefact": np.array(["", "fold"])[np.arange(len(names)) % 2],
    }
    colours = {"a": (1, 2, 3)}
    whole = labels_to_geojson(labels, features, colours=colours)["features"]
    assert [line.decode() for line in lines(labels, features, colours)] == [compact(one) for one in whole]

    def moved(part: Any) -> Any:
        if isinstance(part[0], list):
            return [moved(one) for one in part]
        return [pytest.approx((part[side] + origin[1 - side]) * factors[1 - side], abs=0.00501) for side in (0, 1)]

    placed = map(json.loads, lines(labels, features, colours, origin, factors))
    for one, other in zip(whole, placed, strict=True):
        assert other["geometry"]["coordinates"] == moved(one["geometry"]["coordinates"])


@pytest.mark.parametrize("name", ["x.geojson", "x.geojson.gz", "X.GEOJSON.GZ", "x.y.json"])
@pytest.mark.parametrize("count", [0, 10, 11, 35])
def test_many_nuclei_go_to_several_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, count: int
) -> None:
    monkeypatch.setattr(parts, "MOST", 10)
    path = tmp_path / name
    files = write_geojson_parts(path, rows_of_nuclei(count, 7), (90, 90), 0.5)
    assert files == part_files(path)
    assert sorted(files) == sorted(tmp_path.iterdir())
    assert files[0] == path
    found = [names_in(one) for one in files]
    assert [len(one) for one in found] == [10] * (count // 10) + ([count % 10] if count % 10 or not count else [])
    assert [number for one in found for number in one] == list(range(1, count + 1))
    if count > 10:
        assert files[1].name.partition(".part2.")[2].lower() in ("geojson", "geojson.gz", "json")
        (note,) = read_annotations(path).notes
        assert files[1].name in note
        assert "the others are in" in note


def test_files_of_a_larger_result_go_and_those_of_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST", 10)
    path = tmp_path / "x.geojson"
    write_geojson_parts(path, rows_of_nuclei(35, 7), (90, 90), 0.5)
    assert len(list(tmp_path.iterdir())) == 4
    write_geojson_parts(path, rows_of_nuclei(15, 7), (90, 90), 0.5)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x.geojson", "x.part2.geojson"]
    before = path.read_bytes()
    (tmp_path / "x.part3.geojson").write_text("somebody's own")
    with pytest.raises(OutputError, match=r"x\.part3\.geojson"):
        write_geojson_parts(path, rows_of_nuclei(35, 7), (90, 90), 0.5)
    assert path.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x.geojson", "x.part2.geojson", "x.part3.geojson"]


def test_what_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST", 10)

    def failing() -> Iterator[GeoJSONPart]:
        yield from rows_of_nuclei(21, 7)
        raise OutputError("the disk is full")

    with pytest.raises(OutputError, match="full"):
        write_geojson_parts(tmp_path / "x.geojson", failing(), (90, 90), 0.5)
    assert list(tmp_path.iterdir()) == []
