from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shapely.geometry import MultiPoint, Point
from skimage.measure import regionprops_table

from napari_nucleigan.base.errors import LabelsError, OutputError
from napari_nucleigan.base.pixels import mpp_of
from napari_nucleigan.labels.features import measure, write_csv, write_csv_parts

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = {
    "label": "label",
    "area": "area_px",
    "centroid-0": "centroid_y_px",
    "centroid-1": "centroid_x_px",
    "equivalent_diameter_area": "equivalent_diameter_px",
    "perimeter": "perimeter_px",
    "eccentricity": "eccentricity",
}
NAMES = ("label", "area", "centroid", "equivalent_diameter_area", "perimeter", "eccentricity")


def assert_as_scikit_image(labels: np.ndarray) -> None:
    found, expected = measure(labels), regionprops_table(labels, properties=NAMES)
    for theirs, ours in PAIRS.items():
        np.testing.assert_allclose(found[ours], expected[theirs], rtol=1e-9, atol=1e-7, err_msg=ours)


@given(
    hnp.arrays(
        np.int32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.sampled_from([0, 0, 1, 3]),
    )
)
@settings(max_examples=200, deadline=None)
def test_scikit_image_agrees(labels: np.ndarray) -> None:
    assert_as_scikit_image(labels)


def test_scikit_image_agrees_on_real_nuclei(metrics_pair: Any) -> None:
    for labels in metrics_pair:
        assert_as_scikit_image(labels)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8)))
@settings(max_examples=200, deadline=None)
def test_solidity_counts_the_pixels_of_the_hull(mask: np.ndarray) -> None:
    if not mask.any():
        return
    hull = MultiPoint(np.argwhere(mask)).convex_hull
    count = sum(hull.covers(Point(place)) for place in np.ndindex(mask.shape))
    assert measure(mask.astype(int))["solidity"].tolist() == [mask.sum() / count]


def test_nuclei_do_not_disturb_each_other() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 6, (40, 50)) * 7
    table = measure(labels)
    for row, label in enumerate(table["label"]):
        alone = measure(np.where(labels == label, label, 0))
        for name, column in table.items():
            assert column[row] == pytest.approx(alone[name][0]), name


def test_shapes() -> None:
    labels = np.zeros((60, 60), np.uint16)
    y, x = np.mgrid[:60, :60]
    labels[(y - 15) ** 2 + (x - 15) ** 2 <= 100] = 1
    labels[((y - 45) / 4) ** 2 + ((x - 30) / 12) ** 2 <= 1] = 9
    labels[5, 50] = 20
    labels[10:20, 40:50] = 21
    labels[10:15, 40:45] = 0
    table = measure(labels)
    assert table["label"].tolist() == [1, 9, 20, 21]
    assert table["eccentricity"][0] == pytest.approx(0, abs=0.01)
    assert table["eccentricity"][1] == pytest.approx(np.sqrt(1 - (4 / 12) ** 2), abs=0.01)
    assert table["equivalent_diameter_px"][0] == pytest.approx(20, abs=0.3)
    assert table["perimeter_px"][0] == pytest.approx(2 * np.pi * 10, rel=0.05)
    assert table["solidity"].tolist() == pytest.approx([1, 1, 1, 75 / 85])
    assert (table["centroid_y_px"][2], table["centroid_x_px"][2]) == (5, 50)


def test_microns() -> None:
    labels = np.zeros((10, 10), int)
    labels[2:6, 4:8] = 1
    table = measure(labels, mpp=0.25)
    assert table["area_um2"].tolist() == [1.0]
    assert table["centroid_y_um"].tolist() == [3.5 * 0.25]
    assert table["perimeter_um"] == 0.25 * table["perimeter_px"]
    assert not [name for name in measure(labels) if "um" in name]


def test_stains(tiny_he: Any) -> None:
    rgb, labels = tiny_he(96, 96, 6)
    table = measure(labels, rgb)
    assert (table["haematoxylin_mean_od"] > table["eosin_mean_od"]).all()
    ground = measure(np.where(labels == 0, 1, 0), rgb)
    assert (table["haematoxylin_mean_od"] > 2 * ground["haematoxylin_mean_od"]).all()
    darker = np.clip(rgb * np.where(labels == 1, 0.5, 1)[..., None], 0, 255).astype(np.uint8)
    change = measure(labels, darker)["haematoxylin_mean_od"] - table["haematoxylin_mean_od"]
    assert change[0] > 0
    assert np.abs(change[1:]).max() < 1e-6


@pytest.mark.parametrize("mpp", [None, 0.25])
def test_no_nuclei(mpp: float | None) -> None:
    table = measure(np.zeros((5, 6), int), np.zeros((5, 6, 3), np.uint8), mpp)
    assert {len(column) for column in table.values()} == {0}
    assert list(table) == list(measure(np.ones((5, 6), int), np.zeros((5, 6, 3), np.uint8), mpp))


def test_one_pixel_no_background_and_huge_labels() -> None:
    assert measure(np.array([[3]]))["area_px"].tolist() == [1]
    table = measure(np.array([[2**31 - 1, 5], [5, 5]]))
    assert table["label"].tolist() == [5, 2**31 - 1]
    assert table["area_px"].tolist() == [3, 1]


def test_wrong_input() -> None:
    with pytest.raises(LabelsError, match="one size"):
        measure(np.zeros((5, 6), int), np.zeros((6, 5, 3), np.uint8))
    with pytest.raises(LabelsError, match="float64"):
        measure(np.zeros((5, 6)))


def test_csv(tmp_path: Path) -> None:
    table = {
        "label": np.array([1, 20]),
        "area_um2": np.array([0.1 + 0.2, np.nan]),
        "name": np.array(["a,b", "c"]),
    }
    write_csv(tmp_path / "a.csv", table)
    assert (tmp_path / "a.csv").read_text() == 'label,area_um2,name\n1,0.3,"a,b"\n20,,c\n'
    with (tmp_path / "a.csv").open() as handle:
        assert [row["label"] for row in csv.DictReader(handle)] == ["1", "20"]
    write_csv(tmp_path / "b.csv", {"label": np.array([], int)})
    assert (tmp_path / "b.csv").read_text() == "label\n"
    nothing = {name: column[:0] for name, column in table.items()}
    write_csv_parts(tmp_path / "b.csv", iter([nothing, table, nothing, table]))
    header, *rows = (tmp_path / "a.csv").read_text().splitlines()
    assert (tmp_path / "b.csv").read_text().splitlines() == [header, *rows, *rows]
    (tmp_path / "c.csv").mkdir()
    with pytest.raises(OutputError):
        write_csv(tmp_path / "c.csv", table)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(("height", "width"), [(0.25, 0.125), (0.125, 0.25), (0.5, 0.25), (0.2, 0.6)])
def test_pixels_that_are_not_square(height: float, width: float) -> None:
    radii = np.array([[5.0, 5.0], [4.0, 7.0], [7.0, 4.0]])
    labels = np.zeros((round(30 / height), round(90 / width)), np.int32)
    y, x = (np.arange(length) + 0.5 for length in labels.shape)
    for number, (down, across) in enumerate(radii):
        inside = (((y * height - 15) / down) ** 2)[:, None] + (((x * width - 15 - 30 * number) / across) ** 2)[
            None
        ] <= 1
        labels[inside] = number + 1
    found = measure(labels, mpp=mpp_of(height, width))
    assert found["area_um2"] == pytest.approx(np.pi * radii.prod(axis=1), rel=0.02)
    assert found["centroid_y_um"] == pytest.approx([15 - height / 2] * 3, abs=0.02)
    assert found["centroid_x_um"] == pytest.approx(np.array([15, 45, 75]) - width / 2, abs=0.02)
    assert found["equivalent_diameter_um"] == pytest.approx(2 * np.sqrt(radii.prod(axis=1)), rel=0.02)
    eccentricity = np.sqrt(1 - (4 / 7) ** 2)
    assert found["eccentricity"] == pytest.approx([0, eccentricity, eccentricity], abs=0.25)
    # Ramanujan's formula
    a, b = radii.T
    perimeter = np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b)))
    assert found["perimeter_um"] == pytest.approx(perimeter, rel=0.06)
    assert found["perimeter_px"] == pytest.approx(measure(labels)["perimeter_px"])
