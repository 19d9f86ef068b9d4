from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.labels.features import measure
from napari_nucleigan.labels.known import is_current, rows_of, with_known

LABELS = np.array([[0, 5, 5, 0], [0, 5, 0, 0], [2, 2, 0, 0]])


def test_columns_that_only_the_earlier_table_has_are_kept() -> None:
    known = {
        "index": [9, 5],
        "area_px": [1, 1],
        "confidence": [0.1, 0.7],
        "class": ["a", "b"],
        "embedding": [[1, 2], [3, 4]],
    }
    table = with_known(measure(LABELS), pd.DataFrame(known))
    assert table["label"].tolist() == [2, 5]
    assert table["area_px"].tolist() == [2, 3]
    np.testing.assert_array_equal(table["confidence"], [np.nan, 0.7])
    assert table["class"].tolist() == ["", "b"]
    assert "embedding" not in table
    assert "index" not in table


def test_nothing_is_known() -> None:
    table = measure(LABELS)
    assert with_known(table, None).keys() == table.keys()
    assert with_known(table, {"area_px": [1]}).keys() == table.keys()
    assert with_known(table, {"label": [], "class": []}).keys() == table.keys()


def test_texts_that_are_missing_are_empty() -> None:
    known = pd.DataFrame({"label": [2, 5], "class": [np.nan, "b"]})
    assert with_known(measure(LABELS), known)["class"].tolist() == ["", "b"]


def test_current_is_what_has_the_same_labels_and_areas() -> None:
    labels, areas = np.array([2, 5]), np.array([2, 3])
    known = {"index": np.array([5, 2]), "area_px": np.array([3, 2])}
    assert is_current(known, labels, areas, {})
    assert is_current(known, labels, areas, {"confidence": False})
    assert not is_current(known, labels, areas, {"confidence": True})
    assert not is_current(known, labels, areas + 1, {})
    assert not is_current(known, np.array([2, 6]), areas, {})
    assert not is_current({"area_px": areas}, labels, areas, {})


@given(st.lists(st.integers(-5, 20)), st.lists(st.integers(-5, 20), unique=True))
def test_rows_of_labels(labels: list[int], known: list[int]) -> None:
    rows = rows_of(np.array(labels, int), np.array(known, int))
    assert rows.tolist() == [known.index(label) if label in known else -1 for label in labels]
