from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_nucleigan.masks import splitting
from napari_nucleigan.masks.splitting import GRID, split_by_prominence


def _relief(*heights: float, width: int = 5) -> np.ndarray:
    return np.repeat(np.array(heights, np.float32)[None], width, axis=0)


def _everywhere(relief: np.ndarray) -> np.ndarray:
    return np.ones(relief.shape, bool)


@pytest.mark.parametrize(("prominence", "count"), [(0.25, 2), (0.35, 1)])
def test_a_pass_parts_two_peaks_when_it_is_deep_enough(prominence: float, count: int) -> None:
    relief = _relief(0.2, 0.6, 0.9, 0.5, 0.8, 0.4)
    labels = split_by_prominence(relief, _everywhere(relief), prominence, 0.0)
    assert np.unique(labels).size == count
    if count == 2:
        assert np.unique(labels[:, :3]).size == np.unique(labels[:, 4:]).size == 1


def test_a_chain_merges_its_highest_pass_first() -> None:
    # The middle peak belongs to the side behind the higher pass, whatever the order of the pixels.
    relief = _relief(1.0, 0.3, 0.6, 0.5, 0.9)
    for turned in (relief, relief[:, ::-1]):
        labels = split_by_prominence(np.ascontiguousarray(turned), _everywhere(turned), 0.2, 0.0)
        parts = labels if turned is relief else labels[:, ::-1]
        assert parts[0, 2] == parts[0, 4] != parts[0, 0]


def test_low_peaks_are_dropped() -> None:
    relief = _relief(0.8, 0.1, 0.25, 0.1)
    foreground = _everywhere(relief)
    foreground[:, 1] = False
    labels = split_by_prominence(relief, foreground, 0.1, 0.3)
    assert labels[:, 0].all()
    assert not labels[:, 1:].any()


def test_no_foreground_gives_nothing() -> None:
    relief = np.zeros((4, 7), np.float32)
    assert not split_by_prominence(relief, np.zeros((4, 7), bool), 0.1, 0.0).any()


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.5))
def test_every_object_is_connected_and_every_part_with_a_peak_is_covered(seed: int, prominence: float) -> None:
    random = np.random.default_rng(seed)
    relief = ndimage.gaussian_filter(random.random((40, 50), dtype=np.float32), 2)
    relief = (relief - relief.min()) / np.ptp(relief)
    foreground = relief > 0.3
    labels = split_by_prominence(relief, foreground, prominence, 0.0)
    assert not labels[~foreground].any()
    parts, count = ndimage.label(foreground)
    square = np.ones((3, 3), bool)
    for part in range(1, count + 1):
        own = parts == part
        covered = labels[own] > 0
        # A part may miss a peak of its own where it meets a higher one at a corner, or hardly rises at all.
        at_a_corner = (foreground & ~own & ndimage.binary_dilation(own, square)).any()
        assert covered.all() or (not covered.any() and (at_a_corner or relief[own].max() < 0.302))
    for index in np.unique(labels[labels > 0]):
        assert ndimage.label(labels == index, square)[1] == 1


@given(st.integers(0, 2**32 - 1))
def test_the_count_is_that_of_the_peaks_that_stand_out(seed: int) -> None:
    random = np.random.default_rng(seed)
    steps = random.permutation(np.arange(1, 26)) / 26.0
    relief = _relief(*steps.astype(np.float32))
    prominence = 0.3
    labels = split_by_prominence(relief, _everywhere(relief), prominence, 0.0)
    assert np.unique(labels).size == _count_by_definition(steps, prominence)


def _count_by_definition(heights: np.ndarray, prominence: float) -> int:
    """Count the peaks of a profile whose drop to the pass towards a higher peak is large enough."""
    count = 0
    for place, height in enumerate(heights):
        neighbours = heights[max(place - 1, 0) : place + 2]
        if height < neighbours.max():
            continue
        passes = []
        for side in (heights[place::-1], heights[place:]):
            higher = np.flatnonzero(side > height)
            if higher.size:
                passes.append(side[: higher[0]].min())
        count += not passes or height - max(passes) >= prominence
    return count


@given(st.integers(0, 2**32 - 1), st.integers(0, 2))
def test_a_window_on_the_grid_sees_the_same_borders(seed: int, offset: int) -> None:
    random = np.random.default_rng(seed)
    # Few levels make many ties: those between the two halves of a plateau, for one.
    relief = np.round(ndimage.gaussian_filter(random.random((96, 96), dtype=np.float32), 3) * 40) / 40
    relief = (relief - relief.min()) / np.ptp(relief)
    foreground = np.zeros(relief.shape, bool)
    start = offset * GRID // 2 // GRID * GRID
    foreground[start + 2 : start + 60, start + 2 : start + 60] = True
    whole = split_by_prominence(relief, foreground, 0.2, 0.0)
    window = np.s_[start:, start:]
    part = split_by_prominence(np.ascontiguousarray(relief[window]), foreground[window], 0.2, 0.0)
    pairs = np.unique(np.stack([whole[window].ravel(), part.ravel()]), axis=1)
    assert pairs.shape[1] == np.unique(whole).size == np.unique(part).size


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 16, 40]))
def test_the_blocks_of_the_flood_leave_no_trace(seed: int, block: int) -> None:
    random = np.random.default_rng(seed)
    relief = np.round(ndimage.gaussian_filter(random.random((60, 90), dtype=np.float32), 2) * 100) / 100
    relief = (relief - relief.min()) / np.ptp(relief)
    foreground = ndimage.gaussian_filter(random.random(relief.shape), 2) > 0.5
    at_once = split_by_prominence(relief, foreground, 0.1, 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitting, "_BLOCK", block)
        assert np.array_equal(split_by_prominence(relief, foreground, 0.1, 0.1), at_once)
