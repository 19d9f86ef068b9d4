from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.draw import ellipse

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.labels.outlines import draw
from napari_nucleigan.labels.polygons import (
    as_polygon,
    covered_area,
    inside,
    labels_to_polygons,
    one_ring,
    polygons_to_labels,
)
from napari_nucleigan.masks.polygons import preset, sample

if TYPE_CHECKING:
    from pathlib import Path

# Small values and sizes, so that labels touch, enclose and cross each other in every way.
label_images = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3))


@given(label_images, st.randoms(use_true_random=False))
@settings(max_examples=300)
def test_labels_come_back_from_polygons(labels: np.ndarray, random: object) -> None:
    polygons, ids = labels_to_polygons(labels)
    assert ids.tolist() == [value for value in np.unique(labels) if value]
    assert len(polygons) == len(ids)
    np.testing.assert_array_equal(polygons_to_labels(polygons, labels.shape, ids), labels)
    # each covers its own pixels only, so their order does not matter
    order = list(range(len(ids)))
    random.shuffle(order)  # type: ignore[attr-defined]
    again = polygons_to_labels([polygons[i] for i in order], labels.shape, ids[order])
    np.testing.assert_array_equal(again, labels)


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_one_ring_encloses_what_several_do(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    rings = [random.uniform(0, 30, (int(random.integers(3, 8)), 2)) for _ in range(count)]
    apart, together = np.zeros((30, 30), int), np.zeros((30, 30), int)
    draw(apart, [rings], [1])
    draw(together, [[one_ring(rings)]], [1])
    np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize("seed", range(3))
def test_random_masks_come_back(seed: int) -> None:
    labels = sample(preset("all"), (300, 400), seed=seed)
    assert labels.max() > 20
    polygons, ids = labels_to_polygons(labels)
    np.testing.assert_array_equal(polygons_to_labels(polygons, labels.shape, ids), labels)


def test_real_labels_come_back(kumar: Path) -> None:
    data = Dataset.open(kumar).subset("train")
    for name in data.names[:2]:
        labels = data.labels(name)
        polygons, ids = labels_to_polygons(labels)
        np.testing.assert_array_equal(polygons_to_labels(polygons, labels.shape, ids), labels)


def test_one_label_for_all_is_traced_in_time() -> None:
    labels = np.zeros((240, 240), np.int32)
    labels[1::4, 1::4] = 1
    polygons, ids = labels_to_polygons(labels)
    np.testing.assert_array_equal(polygons_to_labels(polygons, labels.shape, ids), labels)


def test_float32_as_napari_keeps_it_is_exact() -> None:
    labels = np.zeros((4, 16384), np.int32)
    labels[1:3, 16370:16384] = 5
    labels[1, 16372] = 0
    polygons, ids = labels_to_polygons(labels)
    np.testing.assert_array_equal(polygons_to_labels([p.astype(np.float32) for p in polygons], (4, 16384), ids), labels)


def test_a_corner_is_half_a_pixel_from_the_centre() -> None:
    labels = np.zeros((5, 6), np.uint8)
    labels[2, 3] = 9
    (polygon,), ids = labels_to_polygons(labels)
    assert ids.tolist() == [9]
    assert sorted(map(tuple, polygon.tolist())) == [(1.5, 2.5), (1.5, 3.5), (2.5, 2.5), (2.5, 3.5)]


def test_holes_and_parts_are_one_polygon() -> None:
    labels = np.zeros((9, 20), np.int32)
    labels[1:8, 1:8] = 4
    labels[3:5, 3:5] = 7  # a nucleus inside another
    labels[6, 2] = 0
    labels[2:5, 12:18] = 4  # a part far off
    polygons, ids = labels_to_polygons(labels)
    assert ids.tolist() == [4, 7]
    np.testing.assert_array_equal(polygons_to_labels(polygons, labels.shape, ids), labels)


def test_later_polygons_are_on_top() -> None:
    square = np.array([[0, 0], [0, 4], [4, 4], [4, 0]], float) - 0.5
    labels = polygons_to_labels([square, square + 2], (8, 8))
    assert (labels == 1).sum() == 12
    assert (labels == 2).sum() == 16
    labels = polygons_to_labels([square + 2, square], (8, 8), [2, 1])
    assert (labels == 1).sum() == 16


def test_touching_polygons_stay_apart_to_the_pixel() -> None:
    left = np.array([[0, 0], [0, 3.7], [8, 5.2], [8, 0]], float)
    right = np.array([[0, 3.7], [0, 9], [8, 9], [8, 5.2]], float)
    labels = polygons_to_labels([left, right], (9, 10))
    alone = [polygons_to_labels([polygon], (9, 10)) for polygon in (left, right)]
    assert not (alone[0] * alone[1]).any()  # no pixel is claimed twice
    assert (labels > 0).sum() == alone[0].sum() + alone[1].sum()


@given(
    hnp.arrays(float, (3, 2), elements=st.floats(-0.3, 0.3)),
    st.integers(0, 6),
    st.integers(0, 6),
)
def test_a_nucleus_below_a_pixel_is_not_lost(corners: np.ndarray, row: int, column: int) -> None:
    labels = polygons_to_labels([corners * 0.9 + 0.3 + (row, column)], (8, 8))
    assert (labels == 1).sum() == 1


def test_outside_the_canvas_is_cut_off() -> None:
    square = np.array([[-3, -3], [-3, 2], [2, 2], [2, -3]], float)
    assert (polygons_to_labels([square], (5, 5)) > 0).sum() == 4
    assert not polygons_to_labels([square - 50], (5, 5)).any()
    assert polygons_to_labels([], (5, 5)).shape == (5, 5)
    assert polygons_to_labels([square], (0, 5)).shape == (0, 5)


@pytest.mark.parametrize(
    ("polygons", "ids", "words"),
    [
        ([[[0, 0], [1, 1]]], None, "at least three"),
        ([[[0, 0], [1, 1], [np.nan, 0]]], None, "finite"),
        ([[[0, 0], [1, 1], [1, 0]]], [0], "from 1"),
        ([[[0, 0], [1, 1], [1, 0]]], [2**31], "2147483647"),
        ([[[0, 0], [1, 1], [1, 0]]], [1, 2], "one for each"),
    ],
)
def test_what_is_no_polygon_is_refused(polygons: list, ids: list | None, words: str) -> None:
    with pytest.raises(LabelsError, match=words):
        polygons_to_labels(polygons, (5, 5), ids)


def test_an_ellipse_is_drawn_as_one() -> None:
    box = np.array([[10, 20], [10, 50], [30, 50], [30, 20]], float)
    drawn = polygons_to_labels([as_polygon(box, "ellipse")], (40, 60))
    expected = np.zeros((40, 60), np.int32)
    expected[ellipse(20, 35, 10, 15)] = 1
    assert ((drawn > 0) != (expected > 0)).sum() < 0.02 * expected.sum()
    # turned, as napari keeps it: a box that does not lie along the axes
    turned = np.array([[10, 20], [20, 30], [0, 50], [-10, 40]], float)
    area = np.pi * np.hypot(10, 10) / 2 * np.hypot(20, 20) / 2
    assert (polygons_to_labels([as_polygon(turned + 15, "ellipse")], (60, 80)) > 0).sum() == pytest.approx(
        area, rel=0.05
    )


def test_paths_are_closed_and_lines_refused() -> None:
    path = [[0, 0], [0, 9], [9, 9]]
    np.testing.assert_array_equal(as_polygon(path, "path"), path)
    for corners, kind in (([[0, 0], [5, 5]], "line"), ([[0, 0], [5, 5], [9, 9]], "path"), ([[1, 1]] * 4, "rectangle")):
        with pytest.raises(LabelsError, match="no nucleus"):
            as_polygon(corners, kind)
    with pytest.raises(LabelsError, match="2-D"):
        as_polygon(np.zeros((4, 3)), "polygon")


corner = st.tuples(st.integers(-3, 12), st.integers(-3, 12))


@given(st.lists(st.lists(corner, min_size=3, max_size=3), max_size=3))
def test_area_covered_by_triangles(triangles: list[list[tuple[int, int]]]) -> None:
    import shapely

    shapes = [shapely.Polygon(corners) for corners in triangles]
    canvas = shapely.box(-0.5, -0.5, 7.5, 9.5)
    expected = shapely.union_all([shape for shape in shapes if shape.area]).intersection(canvas).area
    found = covered_area([np.array(corners, float) for corners in triangles], (8, 10))
    assert found == pytest.approx(expected, abs=0.08)  # where edges cross, a thousandth of the canvas


def test_area_covered_by_rectangles_is_exact() -> None:
    first = np.array([[0.3, 0], [0.3, 4.0], [5.7, 4.0], [5.7, 0]])
    assert covered_area([first], (100, 100)) == pytest.approx(21.6)
    assert covered_area([first, first + np.array([0, 2])], (100, 100)) == pytest.approx(32.4)
    assert covered_area([first + 200], (100, 100)) == 0
    assert covered_area([first * 1000 - 500], (100, 50)) == pytest.approx(5000)
    assert covered_area([], (100, 100)) == 0


def test_points_inside() -> None:
    square = np.array([[0, 0], [0, 4.0], [4.0, 4.0], [4.0, 0]])
    points = np.array([[1, 1], [5, 5], [1, 12], [9, 9]], float)
    assert inside(points, [square, square + np.array([0, 10])]).tolist() == [True, False, True, False]
    assert inside(points, []).tolist() == [False] * 4
