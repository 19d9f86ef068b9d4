"""The numbers behind the live plots."""

from __future__ import annotations

import csv
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.events import Losses, Note, ValidationScores
from napari_nucleigan.widgets.train.series import LR, SPEED, Curve, Series, save_table, thin

if TYPE_CHECKING:
    from pathlib import Path

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


def losses(step: int, value: float = 0.5, **more: float) -> Losses:
    return Losses(step, {"l1": value, **more}, 1e-3, 12.0)


@given(VALUES, st.floats(0, 0.99), st.lists(st.integers(1, 59), max_size=4))
def test_the_running_mean_is_its_definition_however_values_come(
    values: list[float], smoothing: float, cuts: list[int]
) -> None:
    curve = Curve(smoothing)
    bounds = sorted({0, *(cut for cut in cuts if cut < len(values)), len(values)})
    for begin, end in pairwise(bounds):
        curve.extend(range(begin, end), values[begin:end])
        curve.smooth  # noqa: B018 (what is averaged is averaged once)
    expected = []
    for n in range(len(values)):
        weights = smoothing ** np.arange(n, -1, -1.0)
        expected.append(np.dot(weights, values[: n + 1]) / weights.sum())
    np.testing.assert_allclose(curve.smooth, expected, rtol=1e-9, atol=1e-6)
    np.testing.assert_array_equal(curve.values, values)


@given(VALUES, st.floats(0, 0.99), st.data())
def test_a_rewound_curve_is_as_if_the_rest_had_never_come(
    values: list[float], smoothing: float, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(values)))
    curve, plain = Curve(smoothing), Curve(smoothing)
    curve.extend(range(len(values)), values)
    curve.smooth  # noqa: B018
    curve.extend([cut], [1.0])
    plain.extend([*range(cut), cut], [*values[:cut], 1.0])
    np.testing.assert_array_equal(curve.steps, plain.steps)
    np.testing.assert_allclose(curve.smooth, plain.smooth, rtol=1e-9, atol=1e-6)


def test_series_sort_what_events_tell() -> None:
    series = Series()
    series.feed([Note("hello"), losses(10), losses(20, 0.4, penalty=2.0), ValidationScores(20, {"aji": 0.6}, True)])
    assert list(series.losses) == ["l1", "penalty"]
    assert series.losses["l1"].steps.tolist() == [10, 20]
    assert series.losses["penalty"].steps.tolist() == [20]
    assert series.scores["aji"].values.tolist() == [0.6]
    assert series.rates[LR].at(12) == 1e-3
    assert series.rates[SPEED].at(12) == 12.0
    assert series.last_step == 20
    assert series.losses["l1"].at(14) == 0.5
    assert series.losses["l1"].at(16) == 0.4
    assert Curve().at(3) is None


@pytest.mark.parametrize("at_once", [True, False])
def test_a_resumed_run_takes_its_later_steps_back(at_once: bool) -> None:
    story = [losses(10), losses(20), ValidationScores(20, {"aji": 0.6}, True), losses(30), losses(40)]
    again = [losses(20, 0.1), losses(30, 0.1)]
    series = Series(0.9)
    for part in [[*story, *again]] if at_once else [story, again]:
        series.feed(part)
    assert series.losses["l1"].steps.tolist() == [10, 20, 30]
    assert series.losses["l1"].values.tolist() == [0.5, 0.1, 0.1]
    assert len(series.scores["aji"]) == 0
    assert series.last_step == 30


@given(
    st.lists(st.floats(-1e3, 1e3) | st.just(float("nan")), min_size=1, max_size=500),
    st.integers(1, 60),
    st.floats(-10, 510),
    st.floats(0, 520),
)
def test_a_thinned_curve_looks_the_same(values: list[float], columns: int, begin: float, length: float) -> None:
    steps, array = np.arange(len(values), dtype=float), np.array(values)
    places, found = thin(steps, array, begin, begin + length, columns)
    assert len(places) == len(found) <= max(3 * columns, 2 * columns + 4)
    assert np.isfinite(found).all()
    assert (np.diff(places) >= 0).all()
    inside = array[(steps >= begin) & (steps <= begin + length)]
    inside = inside[np.isfinite(inside)]
    if len(inside):  # no peak is lost
        assert found.min() <= inside.min()
        assert found.max() >= inside.max()
    assert set(found) <= set(array[np.isfinite(array)])


def test_the_table_has_a_row_for_each_run_and_step(tmp_path: Path) -> None:
    first, second = Series(), Series()
    first.feed([losses(10), losses(20, 0.25), ValidationScores(20, {"aji": 0.6}, True)])
    second.feed([losses(5, 0.125)])
    save_table(tmp_path / "values.csv", {"first": first, "second, again": second})
    with (tmp_path / "values.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["run"], row["step"], row["loss l1"], row["score aji"]) for row in rows] == [
        ("first", "10", "0.5", ""),
        ("first", "20", "0.25", "0.6"),
        ("second, again", "5", "0.125", ""),
    ]
    assert rows[0][LR] == "0.001"
    assert rows[0][SPEED] == "12.0"
