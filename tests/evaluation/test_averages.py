from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.evaluation import Bootstrap, Interval, averages, bootstrap_means

NAN = float("nan")
numbers = st.floats(-100, 100, allow_nan=False).map(lambda value: round(value, 6))
columns = st.lists(numbers | st.just(NAN), min_size=2, max_size=12)


def plain_intervals(column, bootstrap):
    """Draw images one by one, sort the means, and read the quantiles between neighbours."""
    random, n = np.random.default_rng(bootstrap.seed), len(column)
    means = []
    for _ in range(bootstrap.resamples):
        drawn = [column[place] for place in random.integers(0, n, n)]
        known = [value for value in drawn if not math.isnan(value)]
        if known:
            means.append(math.fsum(known) / len(known))
    means.sort()
    ends = []
    for tail in ((1 - bootstrap.level) / 2, (1 + bootstrap.level) / 2):
        place = tail * (len(means) - 1)
        below = int(place)
        above = min(below + 1, len(means) - 1)
        ends.append(means[below] + (place - below) * (means[above] - means[below]))
    return ends


@given(columns, st.integers(0, 5), st.sampled_from([0.5, 0.9, 0.95]))
def test_intervals_equal_a_plain_bootstrap(column, seed, level):
    bootstrap = Bootstrap(50, level, seed)
    (found,) = bootstrap_means(np.array(column)[:, None], bootstrap)
    if sum(not math.isnan(value) for value in column) < bootstrap.least:
        assert found is None
    else:
        assert found.to_json() == pytest.approx(plain_intervals(column, bootstrap), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("level", "least"), [(0.5, 2), (0.9, 5), (0.95, 6), (0.99, 8)])
def test_few_images_have_no_interval(level, least):
    bootstrap = Bootstrap(50, level)
    assert bootstrap.least == least
    # The range of n values holds the median of whatever they are drawn from but when all lie on one side of it.
    assert 1 - 2 * 0.5**least >= level > 1 - 2 * 0.5 ** (least - 1)
    values = np.arange(float(least))[:, None]
    assert bootstrap_means(values[1:], bootstrap) == [None]
    assert bootstrap_means(values, bootstrap) != [None]
    assert bootstrap_means(np.vstack([values[1:], [[NAN]] * 9]), bootstrap) == [None]


@given(st.lists(numbers, min_size=6, max_size=12), st.integers(0, 5), st.floats(0.1, 10), numbers)
def test_intervals_move_with_the_values_and_stay_among_them(column, seed, factor, shift):
    values, bootstrap = np.array(column), Bootstrap(100, seed=seed)
    first, second = bootstrap_means(np.stack([values, factor * values + shift], axis=1), bootstrap)
    assert min(column) - 1e-9 <= first.low <= first.high <= max(column) + 1e-9
    moved = [factor * end + shift for end in first.to_json()]
    assert second.to_json() == pytest.approx(moved, rel=1e-6, abs=1e-6)


def test_the_table_of_draws_may_be_cut_anywhere(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(7, 3))
    whole = Bootstrap(100, seed=4).sums(rows)
    monkeypatch.setattr(averages, "_CELLS", 50)
    np.testing.assert_array_equal(Bootstrap(100, seed=4).sums(rows), whole)
    assert whole.shape == (100, 3)


def test_equal_images_leave_no_doubt_and_one_image_says_nothing():
    assert bootstrap_means(np.full((6, 1), 0.25)) == [Interval(0.25, 0.25)]
    assert bootstrap_means(np.full((1, 2), 0.25)) == [None, None]
    assert bootstrap_means(np.array([[0.1], [NAN], [NAN]])) == [None]
    assert bootstrap_means(np.full((6, 1), 0.25), Bootstrap(resamples=0)) == [None]


def test_more_images_or_a_lower_level_make_it_narrower():
    values = np.random.default_rng(1).normal(size=(400, 1))

    def width(part, level=0.95):
        (found,) = bootstrap_means(part, Bootstrap(500, level))
        return found.high - found.low

    assert width(values) < width(values[:25])
    assert width(values, 0.5) < width(values)


def test_an_interval_holds_the_true_mean_about_as_often_as_it_says():
    random = np.random.default_rng(2)
    inside = 0
    for seed in range(200):
        (found,) = bootstrap_means(random.normal(3, 1, size=(40, 1)), Bootstrap(300, seed=seed))
        inside += found.low <= 3 <= found.high
    assert 0.89 <= inside / 200 <= 0.98


@pytest.mark.parametrize("wrong", [{"resamples": -1}, {"level": 0.0}, {"level": 1.0}, {"seed": -1}])
def test_what_makes_no_interval_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must be"):
        Bootstrap(**wrong)
