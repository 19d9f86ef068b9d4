from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon

from napari_nucleigan.masks.sampler.random_outlines import fill, polygon_moments, walk


@given(
    seed=st.integers(0, 2**32),
    vertices=st.integers(3, 40),
    irregularity=st.floats(0, 1),
    spikiness=st.floats(0, 0.5),
    smoothed=st.booleans(),
)
def test_area_is_one_and_moments_are_those_of_something_round(
    seed: int, vertices: int, irregularity: float, spikiness: float, smoothed: bool
) -> None:
    points = walk(np.random.default_rng(seed), 4, vertices, irregularity, spikiness, smoothed)
    area, centre, moments = polygon_moments(points)
    assert area == pytest.approx(np.ones(4), rel=1e-4)
    assert np.abs(centre).max() < 1e-3
    assert np.abs(moments[:, 0, 1]).max() < 1e-3
    assert moments[:, 0, 0] == pytest.approx(moments[:, 1, 1], rel=2e-3)


def test_moments_of_a_rectangle() -> None:
    rectangle = np.array([[[1, 2], [1, 8], [5, 8], [5, 2]]], float)
    area, centre, moments = polygon_moments(rectangle)
    assert area == pytest.approx([24])
    assert centre[0] == pytest.approx([3, 5])
    assert moments[0] == pytest.approx(np.diag([16 / 12, 36 / 12]))


def test_straight_sides_have_as_many_points_as_corners_and_smooth_ones_more() -> None:
    random = np.random.default_rng(0)
    assert walk(random, 5, 7, smoothed=False).shape == (5, 7, 2)
    assert walk(random, 5, 7, smoothed=True).shape[1] > 20
    assert walk(random, 0, 7).shape[0] == 0


def test_many_even_corners_without_spikes_are_a_circle() -> None:
    points = walk(np.random.default_rng(0), 3, 32, irregularity=0, spikiness=0)
    assert np.linalg.norm(points, axis=-1) == pytest.approx(np.sqrt(1 / np.pi), rel=1e-3)


def test_spikes_depart_from_a_circle() -> None:
    rough = [
        np.linalg.norm(walk(np.random.default_rng(1), 50, spikiness=each), axis=-1).std() for each in (0, 0.1, 0.3)
    ]
    assert rough[0] < rough[1] < rough[2]


@given(seed=st.integers(0, 2**32), count=st.integers(0, 9), corners=st.integers(3, 9))
def test_equals_scikit_image_polygon_by_polygon(seed: int, count: int, corners: int) -> None:
    random = np.random.default_rng(seed)
    # Within the grid that corners are rounded to, and off the centres of pixels, where conventions differ.
    points = np.round(random.uniform(-15, 45, (count, corners, 2)) * 4096) / 4096 + 2.0**-13
    expected = np.zeros((31, 23), np.int32)
    for number in reversed(range(count)):
        expected[polygon(points[number, :, 0], points[number, :, 1], expected.shape)] = number + 1
    points = np.round(points * 4096) / 4096
    assert np.count_nonzero(fill(points, (31, 23)) != expected) <= count


def test_polygons_that_share_a_side_leave_no_gap_and_no_overlap() -> None:
    left = np.array([[0, 0], [0, 5], [9, 8], [9, 0]], float)
    right = np.array([[0, 5], [0, 12], [9, 12], [9, 8]], float)
    alone = [np.count_nonzero(fill(each[None], (9, 12))) for each in (left, right)]
    both = fill(np.stack([left, right]), (9, 12))
    assert (both > 0).all()
    assert sum(alone) == both.size


def test_the_first_is_on_top() -> None:
    square = np.array([[0, 0], [0, 4], [4, 4], [4, 0]], float)
    assert fill(np.stack([square, square + 2]), (6, 6))[3, 3] == 1


def test_nothing_to_fill() -> None:
    assert not fill(np.zeros((0, 8, 2)), (5, 7)).any()
    assert not fill(np.full((3, 8, 2), 99.0), (5, 7)).any()
    assert not fill(np.full((3, 8, 2), 2.5), (5, 7)).any()
