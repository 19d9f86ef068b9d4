from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_nucleigan.labels.regions import runs
from napari_nucleigan.metrics import OUTCOMES, overlaps
from napari_nucleigan.metrics.agreement import pairs_above, panoptic_quality
from napari_nucleigan.metrics.outcomes import find_outcomes, paint_outcomes


def nuclei(labels):
    """Each nucleus as a set of pixels, in the order of the first pixel."""
    flat = labels.ravel().tolist()
    order = dict.fromkeys(label for label in flat if label)
    return [{k for k, value in enumerate(flat) if value == label} for label in order]


def iou(a, b):
    return len(a & b) / len(a | b)


def plain_pairs(truth, pred, threshold):
    """Most pairs above the threshold, then the largest sum of IoU: by trying all."""
    few, many = sorted((truth, pred), key=len)
    table = [[iou(a, b) for b in many] for a in few]
    best = (0, 0.0)
    for chosen in permutations(range(len(many)), len(few)):
        ious = [row[j] for row, j in zip(table, chosen, strict=True) if row[j] > threshold]
        best = max(best, (len(ious), sum(ious)))
    return best


def plain_events(truth, pred, matched):
    """Rows of (outcome, true nuclei, predictions, true nucleus of the host), from the definitions."""
    rows = [("matched", {i}, {j}, None) for i, j in matched]
    pair_of_truth, pair_of_pred = dict(matched), {j: i for i, j in matched}
    lies_in_pred = {
        i: j
        for i, a in enumerate(truth)
        for j, b in enumerate(pred)
        if 2 * len(a & b) > len(a) and i not in pair_of_truth
    }
    lies_in_truth = {
        j: i
        for i, a in enumerate(truth)
        for j, b in enumerate(pred)
        if 2 * len(a & b) > len(b) and j not in pair_of_pred
    }
    done_truth, done_pred = set(pair_of_truth), set(pair_of_pred)
    busy_truth, busy_pred = set(), set()
    for j in range(len(pred)):
        parts = {i for i, whole in lies_in_pred.items() if whole == j}
        if parts and j in pair_of_pred:
            rows.append(("merged", parts, set(), pair_of_pred[j]))
        elif len(parts) > 1:
            rows.append(("merged", parts, {j}, None))
            busy_pred.add(j)
        else:
            continue
        busy_truth |= parts
    for i in range(len(truth)):
        parts = {j for j, whole in lies_in_truth.items() if whole == i and j not in busy_pred} - done_pred
        if i in busy_truth or not parts:
            continue
        if i in pair_of_truth:
            rows.append(("split", set(), parts, i))
        elif len(parts) > 1:
            rows.append(("split", {i}, parts, None))
            busy_truth.add(i)
        else:
            continue
        busy_pred |= parts
    rows += [("missed", {i}, set(), None) for i in range(len(truth)) if i not in done_truth | busy_truth]
    rows += [("spurious", set(), {j}, None) for j in range(len(pred)) if j not in done_pred | busy_pred]
    return rows


def as_rows(found):
    """The rows of `find_outcomes` in the form of `plain_events`."""
    rows = []
    for row, (outcome, host) in enumerate(zip(found.outcomes, found.hosts, strict=True)):
        of_host = int(np.flatnonzero(found.truth_rows == host)[0]) if host >= 0 else None
        members = (set(np.flatnonzero(rows_of == row).tolist()) for rows_of in (found.truth_rows, found.pred_rows))
        rows.append((OUTCOMES[outcome], *members, of_host))
    return rows


def ordered(rows):
    return sorted((name, sorted(truth), sorted(pred), -1 if host is None else host) for name, truth, pred, host in rows)


@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.35, 0.5, 0.75])
def test_pairs_are_as_many_and_as_good_as_can_be(label_pairs, threshold):
    for truth, pred in label_pairs:
        table = overlaps(truth, pred)
        pairs = pairs_above(table, threshold)
        count, total = plain_pairs(nuclei(truth), nuclei(pred), threshold)
        assert len(pairs) == count == panoptic_quality(table, threshold).tp
        assert table.ious[pairs].sum() == pytest.approx(total, abs=1e-12)
        assert (table.ious[pairs] > threshold).all()
        for index in (table.truth_index, table.pred_index):
            assert len(set(index[pairs].tolist())) == len(pairs)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.8])
def test_every_outcome_equals_its_definition_on_200_pairs(label_pairs, threshold):
    for truth, pred in label_pairs:
        table = overlaps(truth, pred)
        pairs = pairs_above(table, threshold)
        matched = list(zip(table.truth_index[pairs].tolist(), table.pred_index[pairs].tolist(), strict=True))
        found = as_rows(find_outcomes(table, pairs))
        assert ordered(found) == ordered(plain_events(nuclei(truth), nuclei(pred), matched))


def test_each_nucleus_is_in_one_row_and_rows_go_by_their_first_nucleus(label_pairs):
    for truth, pred in label_pairs:
        table = overlaps(truth, pred)
        rows = as_rows(find_outcomes(table, pairs_above(table, 0.5)))
        for side, count in ((1, table.n_truth), (2, table.n_pred)):
            assert sorted(nucleus for row in rows for nucleus in row[side]) == list(range(count))
            assert not any(a[side] & b[side] for a, b in combinations(rows, 2))
        firsts = [min(row[1], default=table.n_truth + min(row[2], default=0)) for row in rows]
        assert firsts == sorted(firsts)


def outcomes_of(truth, pred, threshold=0.5):
    table = overlaps(np.atleast_2d(truth), np.atleast_2d(pred))
    return ordered(as_rows(find_outcomes(table, pairs_above(table, threshold))))


def test_a_nucleus_in_halves_is_split():
    assert outcomes_of([1, 1, 1, 1], [1, 1, 2, 2]) == [("split", [0], [0, 1], -1)]


def test_two_nuclei_in_one_are_merged():
    assert outcomes_of([1, 1, 2, 2], [1, 1, 1, 1]) == [("merged", [0, 1], [0], -1)]


def test_what_is_cut_off_a_matched_nucleus_is_split_from_it():
    assert outcomes_of([1, 1, 1, 1], [1, 1, 1, 2]) == [("matched", [0], [0], -1), ("split", [], [1], 0)]


def test_what_a_matched_prediction_swallows_is_merged_into_it():
    assert outcomes_of([1, 1, 1, 2], [1, 1, 1, 1]) == [("matched", [0], [0], -1), ("merged", [1], [], 0)]


def test_a_poor_pair_is_missed_and_spurious():
    assert outcomes_of([1, 1, 1, 0], [0, 0, 1, 1]) == [("missed", [0], [], -1), ("spurious", [], [0], -1)]
    assert outcomes_of([1, 1, 1, 0], [0, 0, 1, 1], 0.2) == [("matched", [0], [0], -1)]


def test_more_pairs_go_before_better_ones():
    # The first true nucleus and the second prediction have an IoU of 7/11, but two pairs can be made without it.
    truth = [1] * 10 + [2] * 4
    pred = [3, 3, 0] + [4] * 8 + [0] * 3
    assert [row[:3] for row in outcomes_of(truth, pred, 0.05)] == [("matched", [0], [0]), ("matched", [1], [1])]
    assert [row[0] for row in outcomes_of(truth, pred, 0.1)] == ["matched", "missed", "split"]


def test_a_higher_threshold_never_finds_more_pairs(label_pairs):
    for truth, pred in label_pairs:
        table = overlaps(truth, pred)
        counts = [len(pairs_above(table, threshold)) for threshold in np.linspace(0, 0.95, 20)]
        assert counts == sorted(counts, reverse=True)


def marked(truth, pred, ranks=None):
    """Mark every nucleus as a row of its own."""
    cut = runs(np.atleast_2d(truth), np.atleast_2d(pred))
    n, m = len(cut.truth_ids), len(cut.pred_ids)
    ranks = np.arange(n + m + 1) if ranks is None else ranks
    picture, hidden = paint_outcomes(cut, cut.truth, np.where(cut.pred > 0, cut.pred + n, 0), ranks)
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
    picture, hidden = paint_outcomes(runs(empty, empty), *(np.zeros(empty.size and 1, int),) * 2, np.zeros(1, int))
    assert picture.shape == shape
    assert not picture.any()
    assert not hidden
