from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.classification import Points, assign, read_points


def table(folder: Path, text: str) -> Path:
    path = folder / "points.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_points(tmp_path: Path) -> None:
    found = read_points(
        table(tmp_path, "\ufeffName,X,y,id,type\na,1,2.5,7,round\n\nb.png,3,4,8, long \na,5,6,9,'=long\n")
    )
    assert list(found) == ["a", "b.png"]
    assert found["a"].places.tolist() == [[1, 2.5], [5, 6]]
    assert found["a"].types == ("round", "=long")
    assert found["b.png"].types == ("long",)


def test_semicolons_separate_too(tmp_path: Path) -> None:
    assert len(read_points(table(tmp_path, "name;x;y;type\na;1;2;round\n"))["a"]) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'name', 'x', 'y', 'type'"),
        ("name,x,y\na,1,2\n", "no column 'type'"),
        ("name,x,y,type\n", "no points with a class"),
        ("name,x,y,type\na,1,nan,round\n", "y of row 2 is 'nan', which is no finite number"),
        ("name,x,y,type\na,inf,2,round\n", "x of row 2"),
        ("name,x,y,type\na,one,2,round\n", "x of row 2 is 'one'"),
        ("name,x,y,type\na,1,2,round\na,1,2,\n", "row 3 has no type"),
        ("name,x,y,type\n,1,2,round\n", "row 2 names no image"),
        ("name,x,y,type\na,1,2\n", "row 2 has 3 cells, and its header 4"),
        ("name,x,y,type\n" + "".join(f"a,1,2,{n}\n" for n in range(40)), "40 different types"),
        ("name,x,y,type\na,1,2," + "x" * 200 + "\n", "200 characters"),
    ],
)
def test_a_fault_of_a_table_gets_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LabelsError, match=said) as caught:
        read_points(table(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_geojson_of_qupath(tmp_path: Path) -> None:
    def feature(geometry: dict[str, object], name: str | None) -> dict[str, object]:
        properties = {"classification": {"name": name}} if name else {}
        return {"type": "Feature", "geometry": geometry, "properties": properties}

    square = [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]
    content = {
        "type": "FeatureCollection",
        "features": [
            feature({"type": "Point", "coordinates": [3, 4]}, "Tumor"),
            feature({"type": "MultiPoint", "coordinates": [[5, 6], [7, 8]]}, "Stroma"),
            feature({"type": "Polygon", "coordinates": square}, "Tumor"),
            feature({"type": "Point", "coordinates": [9, 9]}, None),
        ],
    }
    path = tmp_path / "slide.geojson"
    path.write_text(json.dumps(content))
    found = read_points(path)
    assert list(found) == ["slide"]
    assert found["slide"].places.tolist() == [[3, 4], [5, 6], [7, 8], [2, 2]]
    assert found["slide"].types == ("Tumor", "Stroma", "Stroma", "Tumor")
    path.write_text('{"type": "FeatureCollection", "features": [{"geometry": 3, "properties": 4}]}')
    with pytest.raises(LabelsError, match="Cannot read"):
        read_points(path)


def test_each_nucleus_gets_the_type_of_the_point_in_it() -> None:
    labels = np.zeros((40, 60), np.int32)
    for number, left in enumerate((2, 12, 22, 40), 1):
        labels[10:16, left : left + 6] = number
    points = Points(
        np.array([[4.0, 12.0], [14, 12], [15, 13], [25, 17], [25, 5], [45, 30], [99, 1], [-1, 1], [44, 12.5]]),
        ("a", "a", "b", "c", "d", "e", "a", "a", "b"),
    )
    found = assign(points, labels, 0.5)
    # The third is hit from outside, by the nearer one first and by another type too.
    assert found.types == ("a", "", "", "b")
    assert (found.outside, found.missed, found.disputed) == (2, 1, 2)
    assert found.note("img") == (
        "img: 2 points lie outside of it and 1 points have no nucleus in them or near and 2 nuclei hold points of "
        "different types; these were left out."
    )


def test_a_point_near_a_nucleus_is_its_point_unless_another_lies_in_it() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[8:12, 8:12] = 1
    near, inside = [10.0, 13.5], [10.0, 10.0]
    assert assign(Points(np.array([near]), ("a",)), labels, 0.5).types == ("a",)
    assert assign(Points(np.array([near]), ("a",)), labels, 2.0).types == ("",)
    assert assign(Points(np.array([near, inside]), ("a", "b")), labels, 0.5).types == ("b",)
    assert assign(Points(np.array([near]), ("a",)), np.zeros((20, 20), np.int32), 0.5).missed == 1


@pytest.mark.parametrize("kind", ["round", {"name": "round"}, {"names": ["round"], "color": [1, 2, 3]}])
def test_classes_as_versions_of_qupath_write_them(tmp_path: Path, kind: object) -> None:
    path = tmp_path / "a.geojson"
    point = {"type": "Point", "coordinates": [1, 2]}
    path.write_text(json.dumps([{"type": "Feature", "geometry": point, "properties": {"classification": kind}}]))
    assert read_points(path)["a"].types == ("round",)
