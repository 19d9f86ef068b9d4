from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.classification import Points, assign, points_of, read_points
from napari_nucleigan.classification.points import Assignment


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


@pytest.mark.parametrize(
    "text",
    [
        "name;x;y;type\na;1,5;2;round\n",
        "\ufeff\nNAME;X;Y;Class\r\na;1,5;2;round\r\n;;;\r\n\r\n",
        "id\tImage\tx\ty\tClassification\n7\tscans/a\t1.5\t2\tround\n",
        '"name","x","y","type",\n"C:\\scans\\a","1.5","2","round",\n',
        "type,y,x,name\rround,2,1.5,a\r",
    ],
)
def test_tables_as_people_have_them(tmp_path: Path, text: str) -> None:
    found = read_points(table(tmp_path, text))
    assert list(found) == ["a"]
    assert (found["a"].places.tolist(), found["a"].types) == ([[1.5, 2]], ("round",))


def test_a_comma_in_a_number_is_no_decimal_where_commas_separate(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="x of row 2 is '1,234'"):
        read_points(table(tmp_path, 'name,x,y,type\na,"1,234",2,round\n'))


def test_the_points_of_an_image_are_found_by_its_name_with_or_without_suffix(tmp_path: Path) -> None:
    found = read_points(table(tmp_path, "name,x,y,type\na.png,1,2,round\na,3,4,long\nb.c,5,6,long\n"))
    for name in ("a", "a.png", "a.tif"):
        points = points_of(found, name)
        assert points is not None
        assert points.types == ("round", "long")
    assert points_of(found, "b") is None
    assert points_of(found, "x", "b.c") is not None


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
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [8, 8]},
                "properties": {"classification": {"names": ["Tumor", "Positive"], "color": [200, 0, 0]}},
            },
        ],
    }
    path = tmp_path / "slide.geojson"
    path.write_text(json.dumps(content))
    found = read_points(path)
    assert list(found) == ["slide"]
    assert found["slide"].places.tolist() == [[3, 4], [5, 6], [7, 8], [2, 2], [8, 8]]
    assert found["slide"].types == ("Tumor", "Stroma", "Stroma", "Tumor", "Tumor: Positive")
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
        "img: 2 points lie outside of it and 1 point has no nucleus around it or near and 2 nuclei hold points of "
        "different types; these were left out."
    )
    assert (
        Assignment(("a",), disputed=1).note("b") == "b: 1 nucleus holds points of different types; this was left out."
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
