from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_nucleigan.labels.regions import runs
from napari_nucleigan.metrics.paint_outcomes import mark


def marked(truth, pred, ranks=None):
    """Mark every nucleus as a row of its own."""
    cut = runs(np.atleast_2d(truth), np.atleast_2d(pred))
    n, m = len(cut.truth_ids), len(cut.pred_ids)
    ranks = np.arange(n + m + 1) if ranks is None else ranks
    picture, hidden = mark(cut, cut.truth, np.where(cut.pred > 0, cut.pred + n, 0), ranks)
    return picture, hidden, cut


def coverable(rows):
    """How many rows can have a pixel of their own: by trying, row after row, to make room."""
    owner = {}

    def place(row, tried):
        nucleus, labels = row
        for pixel in np.flatnonzero(labels.ravel() == nucleus).tolist():
            if pixel in tried:
                continue
            tried.add(pixel)
            if pixel not in owner or place(owner[pixel], tried):
                owner[pixel] = row
                return True
        return False

    return sum(place(row, set()) for row in rows)


shapes = st.tuples(st.integers(1, 6), st.integers(1, 6))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_as_many_rows_are_seen_as_can_be(data):
    shape = data.draw(shapes)
    truth, pred = (data.draw(arrays(np.int32, shape, elements=st.integers(0, 6))) for _ in "ab")
    count = len(np.unique(truth[truth > 0])) + len(np.unique(pred[pred > 0]))
    ranks = np.concatenate([[0], 1 + np.array(data.draw(st.permutations(range(count))), dtype=int)])
    picture, hidden, cut = marked(truth, pred, ranks)
    n = len(cut.truth_ids)
    seen = set(np.unique(picture).tolist()) - {0}
    assert seen == set(range(1, count + 1)) - set(hidden)
    # A pixel is given to a nucleus that lies there, and none is left out.
    first = np.repeat(cut.truth, cut.lengths).reshape(shape)
    second = np.repeat(np.where(cut.pred > 0, cut.pred + n, 0), cut.lengths).reshape(shape)
    assert ((picture == first) | (picture == second)).all()
    assert ((picture > 0) == ((truth > 0) | (pred > 0))).all()
    rows = [(int(i), truth) for i in cut.truth_ids] + [(int(j), pred) for j in cut.pred_ids]
    assert len(seen) == coverable(rows)


def test_the_higher_rank_takes_what_two_share():
    picture, hidden, _ = marked([1, 1, 1, 0], [0, 0, 2, 2])
    assert picture.tolist() == [[1, 1, 2, 2]]
    assert not hidden
    assert marked([1, 1, 1, 0], [0, 0, 2, 2], np.array([0, 2, 1]))[0].tolist() == [[1, 1, 1, 2]]


def test_what_is_covered_all_over_takes_some_back():
    picture, hidden, _ = marked([0, 1, 1, 0], [2, 2, 3, 3])
    assert sorted(np.unique(picture)) == [1, 2, 3]
    assert not hidden
    # Where the other has nothing else, they share.
    assert marked([1, 1, 1, 1], [2, 2, 2, 2])[0].tolist() == [[1, 1, 2, 2]]


def test_a_chain_of_single_pixels_is_solved_along_its_length():
    # Each nucleus but the last has pixels only in common with its neighbours.
    truth = np.repeat(np.arange(1, 40), 2)[:-1]
    pred = np.repeat(np.arange(1, 40), 2)[1:]
    for ranks in (np.arange(79), np.concatenate([[0], np.arange(78, 0, -1)])):
        picture, hidden, _ = marked(truth, pred, ranks)
        assert len(hidden) == 1
        assert len(np.unique(picture)) == 77
    picture, hidden, _ = marked(np.append(truth, 0), np.append(pred, 39))
    assert not hidden
    assert len(np.unique(picture)) == 78


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (1, 1)])
def test_nothing_to_mark(shape):
    empty = np.zeros(shape, int)
    picture, hidden = mark(runs(empty, empty), *(np.zeros(empty.size and 1, int),) * 2, np.zeros(1, int))
    assert picture.shape == shape
    assert not picture.any()
    assert not hidden
