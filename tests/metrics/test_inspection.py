from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.metrics import OUTCOMES, aji, evaluate, hausdorff, inspect, overlaps

COLUMNS = ("id", "outcome", "iou", "hausdorff", "average_hausdorff", "row", "column", "area", "density", "host")


def same(a, b):
    """Whether two inspections found the same."""
    tables = [np.array_equal(getattr(a.nuclei, name), getattr(b.nuclei, name), equal_nan=True) for name in COLUMNS]
    return (
        all(tables)
        and a.scores == b.scores
        and np.array_equal(a.picture, b.picture)
        and a.nuclei.pred_ids == b.nuclei.pred_ids
        and a.nuclei.truth_ids == b.nuclei.truth_ids
    )


def in_picture(found):
    """Count the outcomes of the values of the picture."""
    values = np.unique(found.picture[found.picture > 0])
    outcomes = [found.nucleus(value)["outcome"] for value in values]
    return {name: outcomes.count(name) for name in OUTCOMES}


@pytest.mark.parametrize("threshold", [0.05, 0.4, 0.5, 0.95])
def test_table_counts_and_picture_agree_on_200_pairs(label_pairs, threshold):
    for truth, pred in label_pairs:
        found = inspect(truth, pred, threshold, hausdorff=False)
        nuclei, scores = found.nuclei, found.scores
        # Every nucleus is in one row, every row is seen.
        for members, labels in ((nuclei.truth_ids, truth), (nuclei.pred_ids, pred)):
            listed = [label for row in members for label in row]
            assert sorted(listed) == np.unique(labels[labels > 0]).tolist()
        assert found.counts == in_picture(found)
        assert np.unique(found.picture[found.picture > 0]).tolist() == nuclei.id.tolist()
        # A pixel shows a row of which a nucleus lies there.
        for row, (names, others) in enumerate(zip(nuclei.truth_ids, nuclei.pred_ids, strict=True)):
            shown = found.picture == row + 1
            assert (np.isin(truth, names) | np.isin(pred, others))[shown].all()
        assert ((found.picture > 0) == ((truth > 0) | (pred > 0))).all()
        # The table and the scores tell the same.
        rows = list(zip(nuclei.names, nuclei.truth_ids, nuclei.pred_ids, strict=True))
        assert found.counts["matched"] == scores.tp
        assert sum(len(a) for name, a, _ in rows if name != "matched") == scores.fn
        assert sum(len(b) for name, _, b in rows if name != "matched") == scores.fp
        assert all(len(a) == len(b) == 1 for name, a, b in rows if name == "matched")
        assert all((len(a), len(b)) == (1, 0) for name, a, b in rows if name == "missed")
        assert all((len(a), len(b)) == (0, 1) for name, a, b in rows if name == "spurious")
        hosts = nuclei.host[nuclei.host > 0]
        assert (nuclei.names[hosts - 1] == "matched").all()
        assert scores == evaluate(truth, pred, hausdorff=False, iou=threshold)


def test_rows_tell_what_is_true_of_their_nuclei(label_pairs):
    for truth, pred in label_pairs:
        found = inspect(truth, pred, 0.4)
        table = overlaps(truth, pred)
        for row in found.nuclei.records():
            mine = np.isin(truth, row["truth_ids"]) if row["truth_ids"] else np.isin(pred, row["pred_ids"])
            assert row["area"] == mine.sum()
            assert (row["row"], row["column"]) == pytest.approx(np.argwhere(mine).mean(0), abs=1e-9)
            points = np.argwhere(np.isin(truth, row["truth_ids"]) | np.isin(pred, row["pred_ids"]))
            low, high = points.min(0), points.max(0) + 1
            assert row["box"] == [low[0], high[0], low[1], high[1]]
            pairs = list(zip(table.truth_ids[table.truth_index], table.pred_ids[table.pred_index], strict=True))
            if row["outcome"] == "matched":
                mine = [k for k, (a, b) in enumerate(pairs) if a in row["truth_ids"] and b in row["pred_ids"]]
            else:
                mine = [k for k, (a, b) in enumerate(pairs) if a in row["truth_ids"] or b in row["pred_ids"]]
            ious = table.ious[mine]
            assert row["iou"] == max(ious, default=0)
            distances = [
                hausdorff(np.where(truth == pairs[k][0], 1, 0), np.where(pred == pairs[k][1], 1, 0))
                for k in mine
                if table.ious[k] == ious.max()
            ]
            expected = [(one.hausdorff, one.average) for one in distances] or [(None, None)]
            assert any((row["hausdorff"], row["average_hausdorff"]) == pytest.approx(pair) for pair in expected)


def test_the_reference_pair(metrics_pair):
    found = inspect(*metrics_pair)
    assert found.scores == evaluate(*metrics_pair)
    assert found.counts["matched"] == 669
    assert found.counts == in_picture(found)
    truth, _ = metrics_pair
    assert np.isin(np.unique(truth[truth > 0]), truth[found.contours > 0]).all()
    assert set(np.unique(found.contours)) <= {0, *found.nuclei.id.tolist()}


@settings(max_examples=60, deadline=None)
@given(st.integers(1000, 2**32), st.integers(0, 2**32))
def test_what_is_taken_from_before_changes_nothing(make_pair, seed, change):
    truth, pred = make_pair(seed)
    before = inspect(truth, pred)
    random = np.random.default_rng(change)
    for labels in (truth, pred):
        rows, columns = (slice(*np.sort(random.integers(0, size + 1, 2))) for size in labels.shape)
        labels[rows, columns] = random.choice([0, 77, *np.unique(labels)])
    # The images were changed in place: what was found before must not follow.
    assert same(inspect(truth, pred, previous=before), inspect(truth, pred))
    assert same(inspect(truth[:3], pred[:3], previous=before), inspect(truth[:3], pred[:3]))


def test_chains_that_no_picture_can_show_are_joined():
    truth, pred = np.array([[1, 2, 2]]), np.array([[4, 4, 5]])
    for threshold in (0.5, 0.9):
        found = inspect(truth, pred, threshold)
        assert len(found.nuclei) == 3
        assert found.counts == in_picture(found)
        assert sum(map(len, found.nuclei.truth_ids)) == sum(map(len, found.nuclei.pred_ids)) == 2
        assert found.scores.fn == found.scores.fp == 2


def test_empty_images():
    empty, some = np.zeros((6, 6), int), np.zeros((6, 6), int)
    some[2:4, 2:5] = 3
    nothing = inspect(empty, empty)
    assert (len(nothing.nuclei), nothing.scores.f1, nothing.worst().tolist()) == (0, 1, [])
    assert nothing.by_size().n_truth.tolist() == [0]
    assert nothing.counts == dict.fromkeys(OUTCOMES, 0)
    assert inspect(some, empty).counts["missed"] == inspect(empty, some).counts["spurious"] == 1
    assert inspect(np.zeros((0, 0), int), np.zeros((0, 0), int)).picture.shape == (0, 0)
    assert np.isnan(inspect(some, empty).nuclei.hausdorff[0])


def test_rows_are_plain_numbers_for_json():
    truth = np.array([[1, 1, 0, 2]], np.uint16)
    found = inspect(truth, np.array([[5, 5, 0, 0]]))
    rows = json.loads(json.dumps(found.nuclei.records(), allow_nan=False))
    assert [row["outcome"] for row in rows] == ["matched", "missed"]
    assert rows[0]["truth_ids"], rows[0]["pred_ids"] == ([1], [5])
    assert rows[1]["hausdorff"] is None


def test_the_worst_come_first():
    truth = np.array([[1, 1, 1, 0, 2, 2, 0, 3, 3, 3]])
    pred = np.array([[1, 1, 0, 0, 2, 2, 0, 0, 0, 0]])
    found = inspect(truth, pred)
    assert [found.nucleus(value)["truth_ids"] for value in found.worst()] == [[3], [1], [2]]
    assert len(found.worst(1)) == 1


def test_sizes_and_crowds_are_scored_apart(metrics_pair):
    found = inspect(*metrics_pair, hausdorff=False)
    for bins in (found.by_size(), found.by_density()):
        assert bins.n_truth.sum() == 800
        assert bins.n_pred.sum() == 791
        assert (bins.recall * bins.n_truth).sum() == pytest.approx(669)
        assert (bins.precision * bins.n_pred).sum() == pytest.approx(669)
    assert len(found.by_size([0, 100, 1e9]).recall) == 2


def test_density_counts_within_fifty_microns():
    labels = np.zeros((400, 400), int)
    labels[200, [100, 190, 320]] = 1, 2, 3
    assert inspect(labels, labels, mpp=0.5).nuclei.density.astype(int).tolist() == [2, 2, 1]
    assert inspect(labels, labels, mpp=0.1).nuclei.density[1] > 3  # a disc that the image does not hold
    assert same(inspect(labels, labels), inspect(labels, labels, mpp=0.25))


def test_contours_are_the_border_pixels_of_true_nuclei():
    truth = np.zeros((6, 7), int)
    truth[1:5, 1:5], truth[1:5, 5:] = 40, 30
    found = inspect(truth, np.zeros_like(truth)).contours
    inner = np.zeros_like(truth)
    inner[2:4, 2:4] = 1
    inner[2:4, 6] = 1
    assert ((found > 0) == ((truth > 0) & (inner == 0))).all()
    assert (found[1, 1], found[1, 5]) == (1, 2)


def test_huge_labels_are_named_as_they_are():
    truth = np.zeros((4, 4), np.uint64)
    truth[1:3, 1:3] = 2**63
    found = inspect(truth, truth)
    assert found.nuclei.truth_ids == [(2**63,)]
    assert same(inspect(truth, truth, previous=found), found)


@pytest.mark.parametrize("threshold", [0.0, 0.04, 0.96, 1.0, float("nan")])
def test_thresholds_out_of_range_are_refused(threshold):
    with pytest.raises(ValueError, match=r"0\.05 to 0\.95"):
        inspect(np.zeros((2, 2), int), np.zeros((2, 2), int), threshold)


def test_what_is_no_pair_of_planes_is_refused():
    with pytest.raises(LabelsError, match="plane"):
        inspect(np.zeros((2, 2, 2), int), np.zeros((2, 2, 2), int))
    with pytest.raises(LabelsError, match="shape"):
        inspect(np.zeros((2, 2), int), np.zeros((2, 3), int))


def test_large_images_need_no_look_at_each_nucleus_alone(metrics_pair):
    truth, pred = (np.tile(labels, (2, 2)) for labels in metrics_pair)
    shift = np.kron(np.arange(4).reshape(2, 2) * 1000, np.ones_like(metrics_pair[0]))
    truth, pred = (np.where(labels > 0, labels + shift, 0) for labels in (truth, pred))
    found = inspect(truth, pred, hausdorff=False)
    assert found.scores.aji == aji(overlaps(truth, pred))
    assert found.counts == in_picture(found)
