from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleigan.metrics.outcomes import binned


def score(truth, pred, edges, n_matched=0):
    """Score numbers of which the first so many are matched, with IoU 0.8."""
    first, second = (np.arange(len(values)) < n_matched for values in (truth, pred))
    return binned(np.array(truth), np.array(pred), first, second, np.full(len(truth), 0.8), edges)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 9), max_size=12),
    st.lists(st.integers(0, 9), max_size=12),
    st.integers(0, 12),
    st.lists(st.integers(0, 10), min_size=2, max_size=5, unique=True).map(sorted),
)
def test_bins_equal_their_definition(truth, pred, matched, edges):
    matched = min(matched, len(truth), len(pred))
    found = score(truth, pred, edges, matched)
    for place, (low, high) in enumerate(pairwise(edges)):
        last = place == len(edges) - 2

        def inside(values, low=low, high=high, last=last):
            return [i for i, value in enumerate(values) if low <= value < high or (last and value == high)]

        a, b = inside(truth), inside(pred)
        hits, right = [i for i in a if i < matched], [j for j in b if j < matched]
        recall, precision = (len(x) / len(y) if y else np.nan for x, y in ((hits, a), (right, b)))
        f1 = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
        assert (found.low[place], found.high[place]) == (low, high)
        assert (found.n_truth[place], found.n_pred[place]) == (len(a), len(b))
        expected = [recall, precision, f1, 0.8 if hits else np.nan]
        values = [column[place] for column in (found.recall, found.precision, found.f1, found.mean_iou)]
        assert values == pytest.approx(expected, nan_ok=True)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=40), st.lists(st.integers(0, 50), max_size=40), st.integers(1, 7))
def test_bins_of_equally_many_leave_none_out(truth, pred, count):
    found = score(truth, pred, count)
    assert 1 <= len(found.low) <= count
    assert found.n_truth.sum() == len(truth)
    assert found.n_pred.sum() == len(pred)


def test_distinct_values_fall_into_bins_evenly():
    assert score(range(100), [], 5).n_truth.tolist() == [20] * 5


@pytest.mark.parametrize("edges", [[1], [1, 1], [2, 1]])
def test_borders_that_do_not_rise_are_refused(edges):
    with pytest.raises(ValueError, match="rise"):
        score([1], [1], edges)
    with pytest.raises(ValueError, match="at least one"):
        score([1], [1], 0)
