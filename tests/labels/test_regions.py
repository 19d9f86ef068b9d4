from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import ConvexHull

from napari_nucleigan.labels.regions import local_density, numbered, regions, regions_of, runs


def test_regions_equal_their_definition_on_200_pairs(label_pairs):
    for truth, pred in label_pairs:
        cut = runs(truth, pred)
        for labels, index, ids in ((truth, cut.truth, cut.truth_ids), (pred, cut.pred, cut.pred_ids)):
            found = regions(cut, index, len(ids))
            for place, label in enumerate(ids):
                points = np.argwhere(labels == label)
                low, high = points.min(0), points.max(0) + 1
                assert found.areas[place] == len(points)
                assert found.centres[place] == pytest.approx(points.mean(0), abs=1e-9)
                assert found.boxes[place].tolist() == [low[0], high[0], low[1], high[1]]


def test_no_regions():
    empty = np.zeros((4, 5), int)
    found = regions(runs(empty, empty), np.zeros(4, int), 0)
    assert found.areas.shape == (0,)
    assert found.centres.shape == (0, 2)
    assert found.boxes.shape == (0, 4)


# Places in a disc of radius 1, from its centre: those of a grid that lie in it.
FINE = (np.arange(960) + 0.5) / 480 - 1
DISC = FINE[:, None] ** 2 + FINE**2 <= 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.floats(3, 60))
def test_crowding_equals_counting(seed, count, radius):
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(5, 80, 2).tolist())
    points, centres = (random.uniform(0, np.array(shape) - 1, (n, 2)) for n in (7, count))
    found = local_density(points, centres, radius, shape)
    for point, value in zip(points, found, strict=True):
        near = (((centres - point) ** 2).sum(1) <= radius**2).sum()
        places = point[:, None] + 0.5 + radius * FINE
        rows, columns = ((axis >= 0) & (axis <= length) for axis, length in zip(places, shape, strict=True))
        inside = DISC[rows][:, columns].sum() / DISC.sum()
        assert value == pytest.approx(near / inside, rel=0.03)


def test_an_even_crowd_is_even_up_to_the_border():
    centres = np.argwhere(np.ones((40, 40))) * 10 + 4.5
    found = local_density(centres, centres, 60, (400, 400))
    assert found == pytest.approx(np.pi * 6**2, rel=0.12)
    assert found.mean() == pytest.approx(np.pi * 6**2, rel=0.03)


def test_no_points_or_no_centres():
    points, none = np.ones((3, 2)), np.zeros((0, 2))
    assert local_density(points, none, 5, (9, 9)).tolist() == [0, 0, 0]
    assert local_density(none, points, 5, (9, 9)).shape == (0,)


@given(hnp.arrays(np.int32, (5, 6), elements=st.sampled_from([0, 3, 8, 2**31 - 1])))
def test_numbers_keep_the_order(labels):
    values, new = numbered(labels)
    assert values.tolist() == [value for value in np.unique(labels) if value]
    for number, value in enumerate(values, 1):
        assert np.array_equal(new == number, labels == value)
    assert new.max() == len(values)


def test_second_moments_and_hulls_equal_their_definition_on_200_pairs(label_pairs):
    for labels, _ in label_pairs:
        values, found = regions_of(labels)
        rows, columns, mixed = found.second_moments()
        hulls = found.hull_areas()
        for place, label in enumerate(values):
            points = np.argwhere(labels == label)
            expected = np.cov(points.T, bias=True)
            assert [rows[place], columns[place], mixed[place]] == pytest.approx(expected.ravel()[[0, 3, 1]], abs=1e-9)
            corners = np.concatenate([points + shift for shift in ((0, 0), (0, 1), (1, 0), (1, 1))])
            assert hulls[place] == pytest.approx(ConvexHull(corners).volume)
