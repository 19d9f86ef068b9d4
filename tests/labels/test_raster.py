from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon

from napari_nucleigan.labels.raster import fill


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
