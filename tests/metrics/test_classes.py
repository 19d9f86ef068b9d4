from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.metrics import overlaps, panoptic_quality, pool_classes, tally_overlaps, tally_points
from napari_nucleigan.metrics.classes import match_points


def example() -> tuple[np.ndarray, np.ndarray]:
    """Four true nuclei of 2 x 5 pixels; predictions: the same, one of 8 of its pixels, one elsewhere, one spurious."""
    truth, pred = np.zeros((10, 30), np.int32), np.zeros((10, 30), np.int32)
    for label, left in enumerate((0, 6, 12, 18), start=1):
        truth[0:2, left : left + 5] = label
    pred[0:2, 0:5] = 7
    pred[0:2, 6:10] = 5
    pred[0:2, 12:17] = 9
    pred[6:8, 0:5] = 3
    return truth, pred


def test_the_figures_are_those_of_a_hand() -> None:
    truth, pred = example()
    table = overlaps(truth, pred)
    assert table.truth_ids.tolist() == [1, 2, 3, 4]
    assert table.pred_ids.tolist() == [7, 5, 9, 3]
    # 1 -> 7 right; 2 -> 5 right with IoU 0.8; 3 -> 9 of another class; 4 missed; 3 spurious.
    tally = tally_overlaps(table, ["a", "a", "b", "b"], ["a", "a", "a", "b"])
    assert tally.names == ("a", "b")
    assert tally.confusion.tolist() == [[2, 0, 0], [1, 0, 1], [0, 1, 0]]
    a, b = tally.scores
    assert (a.n_truth, a.n_pred, a.tp) == (2, 3, 2)
    assert (b.n_truth, b.n_pred, b.tp) == (2, 1, 0)
    assert a.precision == pytest.approx(2 / 3)
    assert a.recall == 1
    assert a.f1 == pytest.approx(4 / 5)
    assert b.f1 == 0
    # PQ of a: (1 + 0.8) / (2 + 1 / 2).
    assert a.pq == pytest.approx(1.8 / 2.5)
    assert b.pq == 0
    assert tally.mean_f1 == pytest.approx(0.4)
    assert tally.weighted_f1 == pytest.approx((2 * 0.8 + 2 * 0) / 4)
    assert tally.mean_pq == pytest.approx(0.36)
    assert tally.accuracy == pytest.approx(2 / 3)


@given(st.data())
def test_pq_of_a_class_is_that_of_its_nuclei_alone(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    truth = random.integers(0, 12, (12, 12))
    pred = np.where(
        random.random((12, 12)) < data.draw(st.sampled_from([0.1, 0.4])), random.integers(0, 12, (12, 12)), truth
    )
    table = overlaps(truth, pred)
    kinds = np.array(["a", "b", "c"])[random.integers(0, 3, (2, 12))]
    tally = tally_overlaps(
        table, kinds[0][table.truth_ids].tolist(), kinds[1][table.pred_ids].tolist(), ["a", "b", "c"]
    )
    for scores in tally.scores:
        mine = [np.where((kinds[side][labels] == scores.name), labels, 0) for side, labels in enumerate((truth, pred))]
        alone = panoptic_quality(overlaps(*mine))
        assert (scores.tp, scores.n_truth - scores.tp, scores.n_pred - scores.tp) == (alone.tp, alone.fn, alone.fp)
        if scores.pq is not None:
            assert scores.pq == pytest.approx(alone.pq)
    assert tally.confusion[:-1].sum() == table.n_truth
    assert tally.confusion[:, :-1].sum() == table.n_pred


def test_points_are_pairs_within_the_radius() -> None:
    truth = np.array([[0.0, 0], [10, 0], [20, 0], [50, 0]])
    pred = np.array([[6.0, 0], [13, 0], [26.1, 0], [50, 5.9], [90, 0]])
    # 0 and 1 of the truth both reach the first prediction; paired so that both have one.
    tally = tally_points(truth, pred, ["a", "a", "b", "b"], ["a", "b", "b", "b", "a"])
    assert tally.confusion.tolist() == [[1, 1, 0], [0, 1, 1], [1, 1, 0]]
    assert tally.scores[1].pq is None
    assert tally.mean_pq is None
    assert tally.scores[0].f1 == pytest.approx(2 / 4)
    # At the radius itself they are one, beyond it not.
    assert len(match_points(truth[:1], pred[:1], 6.0)[0]) == 1
    assert len(match_points(truth[:1], pred[:1], 5.999)[0]) == 0


@given(st.integers(0, 2**32), st.integers(0, 5), st.integers(0, 5))
def test_no_other_pairs_are_more_or_nearer(seed: int, n: int, m: int) -> None:
    random = np.random.default_rng(seed)
    truth, pred = random.uniform(0, 8, (n, 2)), random.uniform(0, 8, (m, 2))
    rows, columns = match_points(truth, pred, 3.0)
    assert len(set(rows.tolist())) == len(rows) == len(set(columns.tolist()))
    away = np.linalg.norm(truth[:, None] - pred[None], axis=2).reshape(n, m)
    best = (0, 0.0)
    for count in range(1, min(n, m) + 1):
        for some in itertools.combinations(range(n), count):
            for others in itertools.permutations(range(m), count):
                distances = away[list(some), list(others)]
                if (distances <= 3).all():
                    best = max(best, (count, -float(distances.sum())))
    assert len(rows) == best[0]
    assert float(away[rows, columns].sum()) == pytest.approx(-best[1])


def test_nothing_has_no_figures() -> None:
    nothing = np.zeros((0, 2))
    tally = tally_points(nothing, nothing, [], [], ["a"])
    assert tally.scores[0].f1 is None
    assert tally.weighted_f1 is tally.mean_f1 is tally.accuracy is None


def test_nuclei_without_a_class_are_in_no_average() -> None:
    truth, pred = example()
    tally = tally_overlaps(overlaps(truth, pred), ["a", "a", "", ""], ["a", "a", "a", ""])
    assert tally.mean_f1 == tally.weighted_f1 == pytest.approx(4 / 5)


def test_images_are_added_up() -> None:
    truth, pred = example()
    table = overlaps(truth, pred)
    one = tally_overlaps(table, ["a", "a", "b", "b"], ["a", "a", "a", "b"])
    both = pool_classes([one, one])
    assert both.confusion.tolist() == (2 * one.confusion).tolist()
    assert both.mean_pq == pytest.approx(one.mean_pq)
    with pytest.raises(ValueError, match="the same classes"):
        pool_classes([one, tally_overlaps(table, ["a"] * 4, ["a"] * 4)])
    with pytest.raises(ValueError, match="not among the classes: b"):
        tally_overlaps(table, ["a", "a", "b", "b"], ["a"] * 4, ["a"])
