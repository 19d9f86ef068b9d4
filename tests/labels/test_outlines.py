from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shapely.geometry import MultiPolygon
from shapely.geometry import Polygon as ShapelyPolygon
from shapely.geometry.polygon import orient
from skimage.measure import label as connected

from napari_nucleigan.base.reading import FileFault
from napari_nucleigan.labels.outlines import draw, outlines

# Small values and sizes, so that labels touch, enclose and cross each other in every way.
label_images = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3))


def shapes_of(polygons: list[Any]) -> list[ShapelyPolygon]:
    return [ShapelyPolygon(polygon[0], polygon[1:]) for polygon in polygons]


@given(label_images)
@settings(max_examples=300, deadline=None)
def test_outlines_are_valid_exact_and_right_handed(labels: np.ndarray) -> None:
    found = outlines(labels)
    assert list(found) == [value for value in np.unique(labels) if value]
    for value, polygons in found.items():
        shapes = shapes_of(polygons)
        assert all(shape.is_valid for shape in shapes)
        assert MultiPolygon(shapes).is_valid
        assert sum(shape.area for shape in shapes) == (labels == value).sum()
        assert len(shapes) == connected(labels == value, connectivity=1).max()
        for shape, polygon in zip(shapes, polygons, strict=True):
            assert list(orient(shape).exterior.coords)[:-1] in [
                [tuple(c) for c in np.roll(polygon[0], -k, axis=0)] for k in range(len(polygon[0]))
            ]
            assert all(not ShapelyPolygon(ring).exterior.is_ccw for ring in polygon[1:])


@given(label_images)
@settings(max_examples=300, deadline=None)
def test_drawing_the_outlines_gives_the_labels_back(labels: np.ndarray) -> None:
    drawn = np.zeros_like(labels)
    for value, polygons in outlines(labels).items():
        draw(drawn, polygons, [value] * len(polygons))
    assert np.array_equal(drawn, labels)


def test_only_turns_are_corners() -> None:
    labels = np.zeros((5, 9), int)
    labels[1:4, 2:8] = 7
    assert outlines(labels) == {7: [[[[2, 1], [8, 1], [8, 4], [2, 4]]]]}


def test_ring_that_closes_in_a_corner_has_a_hole() -> None:
    # The pixel inside and the one outside meet the ring's own two ends in one corner.
    labels = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]])
    (polygon,) = outlines(labels)[1]
    assert len(polygon) == 2
    assert ShapelyPolygon(polygon[0], polygon[1:]).is_valid


def test_island_in_a_hole_is_a_part_of_its_own() -> None:
    labels = np.ones((7, 7), int)
    labels[1:6, 1:6] = 0
    labels[2:5, 2:5] = 1
    labels[3, 3] = 0
    polygons = sorted(outlines(labels)[1], key=lambda polygon: polygon[0][1][0])
    assert [len(polygon) for polygon in polygons] == [2, 2]
    assert sorted(shape.area for shape in shapes_of(polygons)) == [8, 24]


@given(st.integers(0, 10_000), st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_large_polygons_are_filled_in_bands(seed: int, area: int) -> None:
    random = np.random.default_rng(seed)
    polygons = [[random.uniform(-5, 35, (int(random.integers(3, 9)), 2)) for _ in range(2)] for _ in range(4)]
    whole, parts = np.zeros((30, 25), int), np.zeros((30, 25), int)
    draw(whole, polygons, [1, 2, 3, 4])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_nucleigan.labels.outlines._AREA", area)
        draw(parts, polygons, [1, 2, 3, 4])
    assert np.array_equal(whole, parts)


def test_what_would_take_minutes_is_refused_at_once() -> None:
    canvas = np.zeros((1000, 1000), int)
    square = np.array([(0, 0), (1000, 0), (1000, 1000), (0, 1000)])
    with pytest.raises(FileFault, match="too many times"):
        draw(canvas, [[square]] * 1000, range(1000))
    zigzag = np.column_stack([np.linspace(0, 1000, 1_000_000), np.tile([0, 1000], 500_000)])
    with pytest.raises(FileFault, match="too many times"):
        draw(canvas, [[zigzag]], [1])
    assert not canvas.any()


def test_nothing() -> None:
    assert outlines(np.zeros((4, 4), int)) == {}
    labels = np.zeros((4, 4), int)
    draw(labels, [], [])
    assert not labels.any()


@given(st.lists(st.tuples(st.floats(-3, 12), st.floats(-3, 12)), min_size=3, max_size=6, unique=True))
@settings(max_examples=200, deadline=None)
def test_drawing_tells_centres_by_even_and_odd(corners: list[tuple[float, float]]) -> None:
    labels = np.zeros((8, 10), int)
    draw(labels, [[corners]], [1])
    for row, column in np.ndindex(labels.shape):
        x, y = column + 0.5, row + 0.5
        crossings = [
            x0 + (y - y0) * (x1 - x0) / (y1 - y0)
            for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True)
            if (y0 <= y) != (y1 <= y)
        ]
        if any(abs(crossing - x) < 1e-9 for crossing in crossings):
            continue
        assert labels[row, column] == sum(crossing < x for crossing in crossings) % 2


@pytest.mark.parametrize("values", [[1, 2], [2, 1]])
def test_later_polygons_win(values: list[int]) -> None:
    labels = np.zeros((6, 6), int)
    square = [[0, 0], [4, 0], [4, 4], [0, 4]]
    draw(labels, [[square], [[[x + 2, y + 2] for x, y in square]]], values)
    assert labels[3, 3] == values[1]
    assert labels[0, 0] == values[0]
