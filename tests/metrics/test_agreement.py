from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleigan.metrics import aji, aji_plus, dice, overlaps, panoptic_quality

REFERENCE = {
    "aji": 0.6376327430724197,
    "aji_plus": 0.646867908959637,
    "dq": 0.84098051539912,
    "sq": 0.771183691073563,
    "pq": 0.6485504579864407,
    "dice": 0.8301322733649542,
}


def nuclei(labels):
    """Each nucleus as a set of pixels, in the order of the first pixel."""
    flat = labels.ravel().tolist()
    order = dict.fromkeys(label for label in flat if label)
    return [{k for k, value in enumerate(flat) if value == label} for label in order]


def plain_aji(truth, pred):
    used, shared, covered = set(), 0, 0
    for nucleus in truth:
        meets = [j for j, other in enumerate(pred) if nucleus & other]
        if not meets:
            covered += len(nucleus)
            continue
        best = max(
            meets,
            key=lambda j: (
                Fraction(len(nucleus & pred[j]), len(nucleus | pred[j])),
                len(nucleus & pred[j]),
                -j,
            ),
        )
        used.add(best)
        shared += len(nucleus & pred[best])
        covered += len(nucleus | pred[best])
    covered += sum(len(other) for j, other in enumerate(pred) if j not in used)
    return shared / covered if covered else 1.0


def plain_aji_plus(truth, pred):
    few, many = sorted((truth, pred), key=len)
    best = (Fraction(-1), 0, 0)
    for chosen in permutations(many, len(few)):
        pairs = [(a, b) for a, b in zip(few, chosen, strict=True) if a & b]
        total = sum((Fraction(len(a & b), len(a | b)) for a, b in pairs), Fraction(0))
        shared = sum(len(a & b) for a, b in pairs)
        matched = [id(nucleus) for pair in pairs for nucleus in pair]
        covered = sum(len(a | b) for a, b in pairs)
        covered += sum(len(nucleus) for nucleus in few + many if id(nucleus) not in matched)
        best = max(best, (total, shared, covered))
    _, shared, covered = best
    return shared / covered if covered else 1.0


def plain_quality(truth, pred, threshold):
    ious = [len(a & b) / len(a | b) for a in truth for b in pred]
    ious = [iou for iou in ious if iou > threshold]
    tp, fp, fn = len(ious), len(pred) - len(ious), len(truth) - len(ious)
    if not truth and not pred:
        return 1.0, 1.0, 0, 0, 0
    return 2 * tp / (2 * tp + fp + fn), sum(ious) / tp if tp else 0.0, tp, fp, fn


def plain_dice(truth, pred):
    a, b = set().union(*truth), set().union(*pred)
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0


def test_every_metric_equals_its_definition_on_200_pairs(label_pairs):
    for truth, pred in label_pairs:
        table = overlaps(truth, pred)
        sets = nuclei(truth), nuclei(pred)
        assert aji(table) == pytest.approx(plain_aji(*sets), abs=1e-12)
        assert aji_plus(table) == pytest.approx(plain_aji_plus(*sets), abs=1e-12)
        assert dice(table) == pytest.approx(plain_dice(*sets), abs=1e-12)
        for threshold in (0.5, 0.7):
            found = panoptic_quality(table, threshold)
            dq, sq, *counts = plain_quality(*sets, threshold)
            assert [found.tp, found.fp, found.fn] == counts
            assert (found.dq, found.sq) == pytest.approx((dq, sq), abs=1e-12)
            assert found.pq == pytest.approx(dq * sq, abs=1e-12)


def test_the_reference_pair(metrics_pair):
    table = overlaps(*metrics_pair)
    quality = panoptic_quality(table)
    found = {"aji": aji(table), "aji_plus": aji_plus(table), "dice": dice(table)}
    found |= {"dq": quality.dq, "sq": quality.sq, "pq": quality.pq}
    assert found == pytest.approx(REFERENCE, abs=1e-9)
    assert (table.n_truth, table.n_pred) == (800, 791)
    assert (quality.tp, quality.fp, quality.fn) == (669, 122, 131)
    assert quality.precision == pytest.approx(669 / 791)
    assert quality.recall == pytest.approx(669 / 800)


def values(truth, pred):
    table = overlaps(truth, pred)
    quality = panoptic_quality(table)
    return [aji(table), aji_plus(table), dice(table), quality.dq, quality.sq, quality.pq]


@settings(max_examples=100, deadline=None)
@given(st.integers(1000, 2**32))
def test_symmetric_where_the_definition_is(make_pair, seed):
    truth, pred = make_pair(seed)
    assert values(truth, pred)[1:] == pytest.approx(values(pred, truth)[1:], abs=1e-12)
    there, back = (panoptic_quality(overlaps(*p)) for p in ((truth, pred), (pred, truth)))
    assert (there.precision, there.fp) == (back.recall, back.fn)


@settings(max_examples=100, deadline=None)
@given(st.integers(1000, 2**32))
def test_identical_images_agree_fully(make_pair, seed):
    truth, _ = make_pair(seed)
    assert values(truth, truth) == [1.0] * 6


@settings(max_examples=100, deadline=None)
@given(st.integers(1000, 2**32), st.sampled_from([100, 10**5, 2**40]))
def test_labels_are_only_names(make_pair, seed, largest):
    truth, pred = make_pair(seed)
    random = np.random.default_rng(seed)

    def renamed(labels):
        names = random.permutation(100) * (largest // 100) + random.integers(1, largest // 100 + 1)
        return np.concatenate([[0], names])[labels]

    assert values(renamed(truth), renamed(pred)) == values(truth, pred)


@settings(max_examples=100, deadline=None)
@given(st.integers(1000, 2**32))
def test_all_values_lie_between_0_and_1(make_pair, seed):
    found = values(*make_pair(seed))
    assert all(0 <= value <= 1 for value in found)


def test_empty_images():
    empty, some = np.zeros((6, 6), int), np.zeros((6, 6), int)
    some[2:4, 2:5] = 3
    assert values(empty, empty) == [1.0] * 6
    assert values(empty, some) == [0.0] * 6
    assert values(some, empty) == [0.0] * 6
    assert panoptic_quality(overlaps(empty, some)).fp == 1
    assert panoptic_quality(overlaps(some, empty)).fn == 1


def test_a_merged_blob_serves_two_nuclei_in_aji_only():
    truth = np.array([[1, 1, 2, 2, 0]])
    pred = np.array([[7, 7, 7, 7, 7]])
    table = overlaps(truth, pred)
    assert aji(table) == pytest.approx(0.4)
    assert aji_plus(table) == pytest.approx(2 / 7)


def test_an_iou_of_just_one_half_is_no_pair():
    table = overlaps(np.array([[1, 1, 0]]), np.array([[1, 0, 0]]))
    assert panoptic_quality(table).tp == 0
    with pytest.raises(ValueError, match=r"1\.0"):
        panoptic_quality(table, 1.0)


def test_a_chain_of_overlaps_is_assigned_as_a_whole():
    # Greedy by IoU takes the middle pair and leaves two nuclei alone; the best sum takes the ends.
    truth = np.array([[1] * 6 + [2] * 8])
    pred = np.array([[4] * 3 + [5] * 7 + [6] * 4])
    table = overlaps(truth, pred)
    assert aji_plus(table) == pytest.approx(plain_aji_plus(nuclei(truth), nuclei(pred)))
