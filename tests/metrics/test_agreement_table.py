from __future__ import annotations

import numpy as np
import pytest

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.labels.regions import numbered
from napari_nucleigan.metrics import overlaps


def test_the_table_equals_sets_of_pixels(label_pairs, monkeypatch):
    for cells in (1 << 22, 0):  # counted densely, and sparsely
        monkeypatch.setattr("napari_nucleigan.metrics.agreement._DENSE_CELLS", cells)
        for truth, pred in label_pairs:
            table = overlaps(truth, pred)
            for labels, ids, areas in (
                (truth, table.truth_ids, table.truth_areas),
                (pred, table.pred_ids, table.pred_areas),
            ):
                assert sorted(ids) == [i for i in np.unique(labels) if i]
                assert areas.tolist() == [(labels == i).sum() for i in ids]
                firsts = [np.flatnonzero(labels == i)[0] for i in ids]
                assert firsts == sorted(firsts)
            found = {
                (table.truth_ids[i], table.pred_ids[j]): (shared, union, iou)
                for i, j, shared, union, iou in zip(
                    table.truth_index,
                    table.pred_index,
                    table.intersections,
                    table.unions,
                    table.ious,
                    strict=True,
                )
            }
            expected = {}
            for i in table.truth_ids:
                for j in table.pred_ids:
                    shared = ((truth == i) & (pred == j)).sum()
                    union = ((truth == i) | (pred == j)).sum()
                    if shared:
                        expected[i, j] = (shared, union, shared / union)
            assert found == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.uint64])
def test_every_integer_type_is_read(dtype, label_pairs):
    truth, pred = label_pairs[3]
    table = overlaps(truth.astype(dtype), pred.astype(dtype))
    assert table.intersections.tolist() == overlaps(truth, pred).intersections.tolist()


def test_huge_labels_take_no_huge_memory():
    truth = np.zeros((50, 50), dtype=np.uint64)
    truth[5:10, 5:10] = 2**63
    truth[20:30, 20:30] = 7
    table = overlaps(truth, truth)
    assert table.truth_ids.tolist() == [2**63, 7]
    assert table.intersections.tolist() == [25, 100]
    assert numbered(truth)[1].max() == 2


def test_no_pixels_and_no_nuclei():
    for shape in ((0, 0), (1, 1), (5, 4)):
        table = overlaps(np.zeros(shape, dtype=int), np.zeros(shape, dtype=int))
        assert (table.n_truth, table.n_pred, len(table.intersections)) == (0, 0, 0)


def test_ties_fall_to_the_first_in_the_image():
    truth = np.array([[1, 1, 1, 1]])
    pred = np.array([[9, 9, 3, 3]])
    table = overlaps(truth, pred)
    best = table.best(table.ious, table.intersections)
    assert table.pred_ids[table.pred_index[best]].tolist() == [9]


@pytest.mark.parametrize(
    ("truth", "pred", "reason"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), r"shape \(2, 2\).*\(2, 3\)"),
        (np.zeros((2, 2)), np.zeros((2, 2), int), "true labels are of type float64"),
        (np.zeros((2, 2), int), np.zeros((2, 2), bool), "predicted labels are of type bool"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), "predicted labels hold negative"),
    ],
)
def test_what_is_no_pair_of_label_images_is_refused(truth, pred, reason):
    with pytest.raises(LabelsError, match=reason):
        overlaps(truth, pred)
