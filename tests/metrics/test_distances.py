from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.metrics import distances, hausdorff, overlaps, sahasrabudhe_hausdorff


def nuclei(labels):
    """Coordinates of each nucleus, in the order of the first pixel."""
    order = dict.fromkeys(label for label in labels.ravel().tolist() if label)
    return [np.argwhere(labels == label) for label in order]


def nearest(a, b):
    """Distance of each point of a to the nearest of b."""
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2)).min(axis=1)


def shared(a, b):
    return {*map(tuple, a)} & {*map(tuple, b)}


def diameter(points):
    return 2 * np.sqrt(len(points) / np.pi)


def plain(truth, pred):
    maxima, averages, charges, used = [], [], [], set()
    for g in truth:
        meets = [j for j, s in enumerate(pred) if shared(g, s)]
        if not meets:
            charges.append(diameter(g))
            continue
        best = max(meets, key=lambda j: (len(shared(g, pred[j])), -len(pred[j]), -j))
        used.add(best)
        forth, back = nearest(g, pred[best]), nearest(pred[best], g)
        maxima.append(max(forth.max(), back.max()))
        averages.append((forth.mean() + back.mean()) / 2)
        charges.append(min(averages[-1], diameter(g)))
    charges += [diameter(s) for j, s in enumerate(pred) if j not in used]
    nothing = None if charges else 0.0
    return (
        np.mean(maxima) if maxima else nothing,
        np.mean(averages) if averages else nothing,
        np.mean(charges) if charges else 0.0,
        len(maxima),
        len(truth) - len(maxima),
        len(pred) - len(used),
    )


def plain_sahasrabudhe(truth, pred):
    found = []
    for g in truth:
        parts = [np.array(sorted(shared(g, s))) for s in pred if shared(g, s)]
        if parts:
            found.append(max(nearest(g, part).max() for part in parts))
    return np.mean(found) if found else None if truth or pred else 0.0


@pytest.mark.parametrize(("side", "window"), [(96, 1 << 16), (0, 1 << 16), (0, 12), (0, 0)])
def test_every_distance_equals_its_definition_on_200_pairs(label_pairs, monkeypatch, side, window):
    # Windows up to so wide are measured many at a time, up to so many pixels at once; what fits none in other ways.
    monkeypatch.setattr(distances, "_SIDE", side)
    monkeypatch.setattr(distances, "_WINDOW", window)
    for truth, pred in label_pairs:
        found = hausdorff(truth, pred)
        sets = nuclei(truth), nuclei(pred)
        values = (found.hausdorff, found.average, found.penalised)
        counts = (found.matched, found.missed, found.spurious)
        assert (*values, *counts) == pytest.approx(plain(*sets), abs=1e-9)
        published = sahasrabudhe_hausdorff(truth, pred)
        assert published == pytest.approx(plain_sahasrabudhe(*sets), abs=1e-9)


def test_the_reference_pair(metrics_pair):
    found = hausdorff(*metrics_pair)
    assert found.hausdorff == pytest.approx(5.31937, abs=5e-6)
    assert found.average == pytest.approx(0.68456, abs=5e-6)
    assert (found.matched, found.missed, found.spurious) == (747, 53, 82)


@settings(max_examples=50, deadline=None)
@given(st.integers(1000, 2**32))
def test_identical_images_are_at_distance_0(make_pair, seed):
    truth, _ = make_pair(seed)
    found = hausdorff(truth, truth)
    assert (found.hausdorff, found.average, found.penalised) == (0, 0, 0)
    assert (found.missed, found.spurious) == (0, 0)
    assert sahasrabudhe_hausdorff(truth, truth) == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(1000, 2**32))
def test_labels_are_only_names(make_pair, seed):
    truth, pred = make_pair(seed)
    random = np.random.default_rng(seed)
    first, second = (np.concatenate([[0], random.permutation(100) * 10**9 + 1]) for _ in "ab")
    assert hausdorff(first[truth], second[pred]) == hausdorff(truth, pred)


@settings(max_examples=50, deadline=None)
@given(st.integers(1000, 2**32))
def test_to_leave_out_the_only_match_of_a_nucleus_never_helps(make_pair, seed):
    truth, pred = make_pair(seed)
    table = overlaps(truth, pred)
    before = hausdorff(truth, pred).penalised
    for j, name in enumerate(table.pred_ids):
        meets = table.truth_index[table.pred_index == j]
        if len(meets) == 1 and (table.truth_index == meets[0]).sum() == 1:
            assert hausdorff(truth, np.where(pred == name, 0, pred)).penalised >= before - 1e-12


def test_empty_images():
    empty, some = np.zeros((9, 9), int), np.zeros((9, 9), int)
    some[2:6, 2:6] = 3
    nothing = hausdorff(empty, empty)
    assert (nothing.hausdorff, nothing.average, nothing.penalised) == (0, 0, 0)
    for pair, missed in (((some, empty), 1), ((empty, some), 0)):
        found = hausdorff(*pair)
        assert (found.hausdorff, found.average, found.missed) == (None, None, missed)
        assert found.penalised == pytest.approx(2 * np.sqrt(16 / np.pi))
        assert sahasrabudhe_hausdorff(*pair) is None


def test_a_nucleus_in_two_pieces_is_one():
    truth, pred = np.zeros((1, 12), int), np.zeros((1, 12), int)
    truth[0, [0, 11]] = 4
    pred[0, 0] = 4
    found = hausdorff(truth, pred)
    assert (found.hausdorff, found.average) == (11, 11 / 4)


def test_a_mask_taken_for_one_nucleus_is_measured_by_a_sample():
    truth, mask = np.zeros((400, 400), int), np.ones((400, 400), int)
    truth[100:120, 50:80] = 1
    found = hausdorff(truth, mask)
    across, down = (
        np.maximum(np.maximum(a - np.arange(400), np.arange(400) - b), 0) for a, b in ((50, 79), (100, 119))
    )
    outside = np.hypot(across, down[:, None])
    assert found.average == pytest.approx(outside.mean() / 2, rel=0.01)
    assert found.hausdorff == pytest.approx(outside.max(), rel=0.03)
    assert found.average == pytest.approx(hausdorff(mask, truth).average)


def test_other_shapes_are_refused_even_with_a_table():
    truth = np.ones((3, 3), int)
    for measure in (hausdorff, sahasrabudhe_hausdorff):
        with pytest.raises(LabelsError, match="shape"):
            measure(truth, truth[:2], overlaps(truth, truth))


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), shape=st.tuples(st.integers(1, 60), st.integers(1, 60)), count=st.integers(1, 9))
def test_many_at_a_time_are_to_the_last_bit_what_they_are_one_by_one(seed, shape, count):
    random = np.random.default_rng(seed)
    truth, pred = (random.integers(0, count + 1, shape).astype(np.int32) for _ in range(2))
    truth[: shape[0] // 2] //= 2  # some in large pieces
    table = overlaps(truth, pred)
    pairs = np.arange(len(table.intersections))
    together = distances.pair_distances(truth, pred, table, pairs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "_SIDE", 0)
        alone = distances.pair_distances(truth, pred, table, pairs)
    for found, right in zip(together, alone, strict=True):
        assert found.tobytes() == right.tobytes()
