from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleigan.tiling import Box, batches, plan_tiles


@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    core=st.integers(1, 300),
    halo=st.integers(0, 200),
    stride=st.sampled_from([1, 4, 32, 256]),
)
@settings(max_examples=80, deadline=None)
def test_cores_cover_the_image_once_on_aligned_offsets(
    height: int, width: int, core: int, halo: int, stride: int
) -> None:
    seen = np.zeros((height, width), int)
    tiles = plan_tiles((height, width), core, halo, stride)
    for tile in tiles:
        seen[tile.core.slices] += 1
        assert max(tile.core.shape) <= max(core, stride)
        assert tile.window.top % stride == tile.window.left % stride == 0
        for near, far, length in (
            (tile.core.top - tile.window.top, tile.window.bottom - tile.core.bottom, height),
            (tile.core.left - tile.window.left, tile.window.right - tile.core.right, width),
        ):
            assert 0 <= near <= halo + stride
            assert 0 <= far <= halo + stride
            assert length
        for side, limit in ((tile.window.top, 0), (tile.window.left, 0)):
            assert side >= limit
        for end, begin, length in (
            (tile.window.bottom, tile.core.bottom, height),
            (tile.window.right, tile.core.right, width),
        ):
            assert end == length or end - begin >= halo
    assert (seen == 1).all()


def test_tiles_are_of_about_equal_size() -> None:
    tiles = plan_tiles((2049, 100), 2048, 128, 32)
    assert [tile.core.shape[0] for tile in tiles] == [1056, 993]


def test_a_small_image_is_one_tile() -> None:
    (tile,) = plan_tiles((1000, 1000), 1024, 128, 32)
    assert tile.core == tile.window == Box(0, 1000, 0, 1000)


@pytest.mark.parametrize(("count", "size", "groups"), [(5, 2, [2, 2, 1]), (1, 4, [1]), (0, 4, [])])
def test_batches(count: int, size: int, groups: list[int]) -> None:
    tiles = plan_tiles((count * 32, 32), 32, 0, 32) if count else []
    assert [len(group) for group in batches(tiles, size)] == groups


boxes = st.builds(lambda y, x, h, w: Box(y, y + h, x, x + w), *[st.integers(0, 20)] * 2, *[st.integers(1, 20)] * 2)


@given(boxes, boxes)
def test_boxes_meet_and_join_as_their_pixels_do(one: Box, other: Box) -> None:
    seen = np.zeros((2, 40, 40), bool)
    seen[0][one.slices], seen[1][other.slices] = True, True
    assert one.meets(other) == other.meets(one) == seen.all(axis=0).any()
    if one.meets(other):
        shared = np.zeros((40, 40), bool)
        shared[(one & other).slices] = True
        assert np.array_equal(shared, seen.all(axis=0))
    rows, columns = np.nonzero(seen.any(axis=0))
    assert one | other == Box(rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)


def test_a_box_grows_as_far_as_the_image_reaches() -> None:
    assert Box(3, 9, 10, 20).grown(5, (12, 40)) == Box(0, 12, 5, 25)
    assert Box.of((12, 40)).grown(5, (12, 40)) == Box(0, 12, 0, 40)
