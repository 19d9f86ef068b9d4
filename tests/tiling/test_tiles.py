from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleigan.masks.encoding import decode, encode
from napari_nucleigan.masks.splitting import GRID
from napari_nucleigan.tiling.tiles import (
    Box,
    Instances,
    Mosaic,
    batches,
    decode_tile,
    plan_tiles,
)
from oracle import alike, scatter


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


def _through_tiles(labels: np.ndarray, core: int) -> np.ndarray:
    field = encode(labels)
    mosaic = Mosaic(labels.shape)
    for tile in plan_tiles(labels.shape, core, 64, GRID):
        mosaic.add(decode_tile(field[:, *tile.window.slices], tile, {}))
    return mosaic.labels


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    core=st.integers(20, 200),
    spacing=st.integers(16, 40),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=15, deadline=None)
def test_tiles_give_the_nuclei_of_one_pass(height: int, width: int, core: int, spacing: int, seed: int) -> None:
    labels = scatter((height, width), spacing, seed)
    whole = decode(encode(labels))
    assert alike(_through_tiles(labels, core), whole)


def test_thousands_of_nuclei_survive_thousands_of_borders() -> None:
    labels = scatter((1200, 1200), 20)
    whole = decode(encode(labels))
    assert whole.max() > 3000
    assert alike(_through_tiles(labels, 160), whole)


def test_a_nucleus_that_both_neighbours_find_is_painted_once() -> None:
    mosaic = Mosaic((20, 20))
    mask = np.ones((6, 6), bool)
    mosaic.add(Instances(np.array([[5, 5]]), (mask,)))
    mosaic.add(Instances(np.array([[5, 6], [5, 11]]), (mask, mask)))
    assert mosaic.labels.max() == 2
    assert (mosaic.labels == 1).sum() == 36
    assert (mosaic.labels == 2).sum() == 36


def test_what_is_left_of_a_nucleus_that_mostly_lies_under_others_is_dropped() -> None:
    mosaic = Mosaic((20, 20))
    mosaic.add(Instances(np.array([[0, 0]]), (np.ones((20, 12), bool),)))
    mosaic.add(Instances(np.array([[8, 8]]), (np.ones((5, 6), bool),)))
    assert mosaic.labels.max() == 1


def test_touching_nuclei_that_overlap_by_rounding_both_stay() -> None:
    mosaic = Mosaic((20, 20))
    mosaic.add(Instances(np.array([[0, 0]]), (np.ones((10, 10), bool),)))
    mosaic.add(Instances(np.array([[0, 9]]), (np.ones((10, 10), bool),)))
    assert np.bincount(mosaic.labels.ravel()).tolist() == [400 - 190, 100, 90]


@pytest.mark.parametrize(("count", "size", "groups"), [(5, 2, [2, 2, 1]), (1, 4, [1]), (0, 4, [])])
def test_batches(count: int, size: int, groups: list[int]) -> None:
    tiles = plan_tiles((count * 32, 32), 32, 0, 32) if count else []
    assert [len(group) for group in batches(tiles, size)] == groups
