from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.adaptation.variety import pair_features, spread_out


def _largest_gap(points: np.ndarray, chosen: list[int]) -> float:
    return float(max(min(np.linalg.norm(point - points[index]) for index in chosen) for point in points))


@given(seed=st.integers(0, 10_000), count=st.integers(1, 12), total=st.integers(1, 30))
def test_the_choice_covers_and_repeats(seed: int, count: int, total: int) -> None:
    features = np.random.default_rng(seed).normal(size=(total, 4))
    chosen = spread_out(features, count)
    assert chosen == spread_out(features, count)
    assert len(set(chosen)) == len(chosen) == min(count, total)
    # More are always fewer and some others.
    assert spread_out(features, count + 1)[: len(chosen)] == chosen


def test_no_cluster_is_left_out() -> None:
    random = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    # One cluster has nearly all pairs: a random choice would miss the others.
    which = np.r_[np.zeros(97, int), [1, 2, 3]]
    points = centres[which] + random.normal(0, 0.1, (100, 2))
    chosen = spread_out(points, 4)
    assert {int(which[index]) for index in chosen} == {0, 1, 2, 3}
    assert _largest_gap(points, chosen) < _largest_gap(points, list(range(4)))


def test_what_is_not_known_counts_as_the_mean_and_the_same_pairs_are_taken_once() -> None:
    features = np.array([[0.0, np.nan], [0.0, np.nan], [1.0, np.nan], [np.nan, np.nan]])
    assert sorted(spread_out(features, 4)) == [0, 1, 2, 3]
    assert spread_out(np.zeros((3, 2)), 2) == [0, 1]
    assert spread_out(np.zeros((0, 2)), 2) == []


def test_features_tell_stains_density_and_size() -> None:
    labels = np.zeros((64, 64), np.int32)
    labels[8:16, 8:16], labels[40:48, 40:48] = 1, 2
    pale, dark = np.full((64, 64, 3), 230, np.uint8), np.full((64, 64, 3), 120, np.uint8)
    first, other = pair_features(pale, labels), pair_features(dark, labels)
    assert first[0] > other[0]
    assert first[-3] == pytest.approx(128 / 4096)
    assert first[-2:] == pytest.approx([np.log(3), np.log(64)])
    empty = pair_features(pale, np.zeros_like(labels))
    assert np.isnan(empty[:3]).all()
    assert empty[-3:-1] == pytest.approx([0, 0])
