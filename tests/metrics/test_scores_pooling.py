from __future__ import annotations

import numpy as np
import pytest

from napari_nucleigan.metrics import evaluate, overlaps, pool, tally
from napari_nucleigan.metrics.scores import pooled_figures


def tally_of(truth, pred, hausdorff=True, iou=0.5):
    return tally(overlaps(truth, pred), evaluate(truth, pred, hausdorff, iou=iou))


def side_by_side(labels):
    """Images in one row, each with labels of its own, and a column of background between them."""
    height, step = max(len(image) for image in labels), max(int(image.max()) for image in labels) + 1
    parts = []
    for place, image in enumerate(labels):
        room = np.zeros((height, image.shape[1] + 1), np.int64)
        room[: image.shape[0], :-1] = np.where(image > 0, image + place * step, 0)
        parts.append(room)
    return np.hstack(parts)


def check(found, wanted):
    for name, value in wanted.to_json().items():
        other = getattr(found, name)
        assert other is None if value is None else other == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("first", range(0, 200, 20))
@pytest.mark.parametrize("iou", [0.5, 0.25])
def test_pooled_images_score_as_one_image_that_holds_them_all(label_pairs, first, iou):
    some = label_pairs[first : first + 20]
    truth, pred = (side_by_side([pair[i] for pair in some]) for i in (0, 1))
    one, pooled = evaluate(truth, pred, iou=iou), pool([tally_of(*pair, iou=iou) for pair in some])
    check(pooled, one)


def test_the_tally_of_one_image_gives_its_scores_back(label_pairs):
    for truth, pred in label_pairs:
        found = pool([tally_of(truth, pred)])
        check(found, evaluate(truth, pred))


def test_nothing_pooled_is_empty():
    found = pool([])
    assert (found.aji, found.n_truth, found.hausdorff) == (1, 0, 0)


def test_pooled_images_without_matches_have_no_distance():
    some, empty = np.ones((3, 3), int), np.zeros((3, 3), int)
    found = pool([tally_of(some, empty), tally_of(empty, some)])
    assert (found.hausdorff, found.missed, found.spurious) == (None, 1, 1)
    assert found.average_hausdorff_penalised == pytest.approx(2 * np.sqrt(9 / np.pi))
    assert (found.precision, found.recall, found.sq) == (0, 0, 0)


def test_distances_that_one_image_lacks_are_left_out(label_pairs):
    found = pool([tally_of(*label_pairs[0]), tally_of(*label_pairs[1], hausdorff=False)])
    assert found.hausdorff is found.average_hausdorff_penalised is found.matched is None
    assert found.n_truth == sum(evaluate(*pair).n_truth for pair in label_pairs[:2])


def test_many_sums_at_once(label_pairs):
    rows = np.array([tally_of(*pair).sums for pair in label_pairs])
    figures = pooled_figures(rows)
    for name, values in figures.items():
        alone = [pooled_figures(row)[name] for row in rows]
        np.testing.assert_array_equal(values, alone)
