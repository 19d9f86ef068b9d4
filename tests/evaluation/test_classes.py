from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.errors import DatasetError, LabelsError
from napari_nucleigan.base.events import Note, run
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.evaluation import evaluate_classes
from napari_nucleigan.evaluation.class_files import find_classed
from napari_nucleigan.labels.features import measure, write_csv
from napari_nucleigan.labels.geojson import write_geojson

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (40, 60)


def nuclei(shift: int = 0) -> np.ndarray:
    labels = np.zeros(SHAPE, np.int32)
    for label, (top, left) in enumerate(((2, 2), (2, 22), (22, 2), (22, 22)), start=1):
        labels[top : top + 10, left + shift : left + shift + 10] = label
    return labels


def table(labels: np.ndarray, classes: list[str]) -> dict[str, np.ndarray]:
    return {**measure(labels, mpp=0.5), "class": np.array(classes)}


def as_geojson(folder: Path, labels: np.ndarray, classes: list[str]) -> None:
    write_geojson(folder / "x.geojson", labels, table(labels, classes), 0.5)


def as_labels(folder: Path, labels: np.ndarray, classes: list[str]) -> None:
    write_labels(folder / "x.tif", labels, 0.5)
    write_csv(folder / "x.csv", table(labels, classes))


def as_table(folder: Path, labels: np.ndarray, classes: list[str]) -> None:
    write_csv(folder / "x.csv", table(labels, classes))


def as_qupath(folder: Path, labels: np.ndarray, classes: list[str]) -> None:
    """Polygons without the size of the image, and classes as older versions of QuPath write them."""
    as_geojson(folder, labels, classes)
    content = json.loads((folder / "x.geojson").read_text())
    for feature in content["features"]:
        feature["properties"]["classification"] = {
            "name": feature["properties"]["classification"]["name"],
            "colorRGB": -1,
        }
    (folder / "x.geojson").write_text(json.dumps(content["features"]))


def as_points(folder: Path, labels: np.ndarray, classes: list[str]) -> None:
    """One table of all images, as points of experts come."""
    known = table(labels, classes)
    rows = [
        f"x.png,{x},{y},{kind}"
        for x, y, kind in zip(known["centroid_x_px"], known["centroid_y_px"], classes, strict=True)
    ]
    (folder / "points.csv").write_text("\n".join(["name,x,y,type", *rows, "other,1,1,a"]) + "\n")


WAYS = [as_geojson, as_labels, as_table, as_qupath, as_points]


@pytest.mark.parametrize("truth_as", WAYS)
@pytest.mark.parametrize("pred_as", WAYS)
def test_every_way_to_tell_classes_gives_the_same(tmp_path: Path, truth_as: object, pred_as: object) -> None:
    true, pred = tmp_path / "true", tmp_path / "pred"
    for folder in (true, pred):
        folder.mkdir()
    truth_as(true, nuclei(), ["a", "a", "b", "b"])  # type: ignore[operator]
    pred_as(pred, nuclei(2), ["a", "b", "b", "b"])  # type: ignore[operator]

    report = run(evaluate_classes(pred, true, mpp=0.5))

    by_name = dict(report.images)
    tally = by_name["x"]
    a, b = (each for each in tally.scores if each.name)
    assert (a.tp, a.n_truth, a.n_pred) == (1, 2, 1)
    assert (b.tp, b.n_truth, b.n_pred) == (2, 2, 3)
    assert tally.weighted_f1 == pytest.approx((2 * 2 / 3 + 2 * 4 / 5) / 4)
    if as_table not in (truth_as, pred_as) and as_points not in (truth_as, pred_as):
        # Shifted by 2 of 10 pixels: an IoU of 80 / 120.
        assert a.pq == pytest.approx(2 / 3 / 1.5)


def test_the_report_says_it_in_every_form(tmp_path: Path) -> None:
    for name, shift, classes in (("true", 0, "aabb"), ("pred", 2, "abbb")):
        (tmp_path / name).mkdir()
        as_labels(tmp_path / name, nuclei(shift), list(classes))
    report = run(evaluate_classes(tmp_path / "pred", tmp_path / "true"))
    header, rows = report.table()
    assert header == ["class", "true", "found", "precision", "recall", "F1", "PQ"]
    assert rows[0] == ["a", "2", "1", "1.000", "0.500", "0.667", "0.444"]
    assert rows[-1][-1] == f"{(2 / 3 / 1.5 + 2 * 2 / 3 / 2.5) / 2:.3f}"
    header, rows = report.confusion()
    assert header == ["true \\ found", "a", "b", "missed"]
    assert rows == [["a", "1", "1", "0"], ["b", "0", "2", "0"], ["spurious", "0", "0", ""]]
    content = json.loads(json.dumps(report.to_json()))
    assert content["f1_weighted"] == pytest.approx(11 / 15)
    assert content["mpq"] == pytest.approx(content["mpq_plus"])
    lines = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [(line["level"], line["name"], line["class"], line["tp"]) for line in lines] == [
        ("image", "x", "a", "1"),
        ("image", "x", "b", "2"),
        ("overall", "overall", "a", "1"),
        ("overall", "overall", "b", "2"),
    ]
    assert "| a | 2 | 1 | 1.000 |" in report.to_markdown()


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no file or folder"):
        find_classed(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="holds no classes of nuclei"):
        find_classed(tmp_path)
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match="no columns for a class"):
        find_classed(path)
    path.write_text("x,y,class\n1,2\n")
    with pytest.raises(DatasetError, match="row 2 has 2 cells, and its header 3"):
        find_classed(path)
    path.write_text("x,y,class\n1,two,a\n")
    with pytest.raises(DatasetError, match="Nothing could be compared; x: Cannot read"):
        run(evaluate_classes(path, path, mpp=0.5))
    path.write_text("x,y,class\n1,2,a\n")
    with pytest.raises(DatasetError, match="give it by --mpp"):
        run(evaluate_classes(path, path))


def test_a_table_may_come_from_a_spreadsheet(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("\ufeffX;Y;Class;Image\n1,5;2,5;a;folder/one.png\n\n3;4;b;one\n", encoding="utf-8")
    found = find_classed(tmp_path / "x.csv")
    assert list(found) == ["one"]
    nuclei = found["one"]()
    assert nuclei.places.tolist() == [[1.5, 2.5], [3, 4]]
    assert nuclei.classes == ["a", "b"]


def test_classes_that_never_meet_are_noted(tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("x,y,class\n1,2,Tumor\n")
    other.write_text("x,y,class\n1,2,tumor\n")
    notes: list[str] = []
    report = run(
        evaluate_classes(one, other, mpp=0.5),
        lambda event: notes.append(event.text) if isinstance(event, Note) else None,
    )
    assert notes == ["No class is on both sides: the truth has tumor, the predictions Tumor."]
    assert report.pooled.weighted_f1 == 0


def test_only_a_split_is_compared(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("name,split\nx,test\ny,train\n")
    path = tmp_path / "points.csv"
    path.write_text("name,x,y,class\nx,1,2,a\ny,1,2,a\nz,1,1,a\n")
    report = run(evaluate_classes(path, path, mpp=0.5, split="test"))
    assert [name for name, _ in report.images] == ["x"]
    assert report.missing == report.extra == ()


def test_tables_of_spreadsheets(tmp_path: Path) -> None:
    for form, text in {"comma": "label, class\n1, a\n2, b\n", "semicolon": "label;class\n1;a\n2;b\n"}.items():
        (tmp_path / form).mkdir()
        write_labels(tmp_path / form / "x.tif", nuclei())
        (tmp_path / form / "x.csv").write_text(text)
        assert find_classed(tmp_path / form)["x"]().classes == ["a", "b", "", ""]


def test_the_reason_is_that_of_the_polygons(tmp_path: Path) -> None:
    ring = {"type": "Polygon", "coordinates": [[["a", "b"], [1, 2], [3, 4]]]}
    (tmp_path / "x.geojson").write_text(json.dumps([{"type": "Feature", "geometry": ring}]))
    with pytest.raises(LabelsError, match="could not convert string to float: 'a'"):
        find_classed(tmp_path / "x.geojson")["x"]()
