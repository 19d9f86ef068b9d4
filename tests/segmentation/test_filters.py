from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.segmentation.filters import kept
from napari_nucleigan.segmentation.settings import NucleiFilter

TABLE = {
    "label": np.array([3, 5, 9]),
    "area_um2": np.array([10.0, 20.0, 30.0]),
    "confidence": np.array([0.2, np.nan, 0.9]),
    "class": np.array(["tumour", "", "stroma"]),
}


def left(**values: object) -> list[int]:
    return TABLE["label"][kept(NucleiFilter.checked(**values), TABLE, "slide")].tolist()


def test_each_limit_leaves_what_it_says() -> None:
    assert left() == [3, 5, 9]
    assert left(min_confidence=0.5) == [5, 9]  # what is not known is not below
    assert left(min_area=20) == [5, 9]
    assert left(max_area=20) == [3, 5]
    assert left(classes=("tumour", "stroma")) == [3, 9]
    assert left(min_area=15, max_area=25, min_confidence=0.1) == [5]
    assert NucleiFilter().idle
    assert not NucleiFilter(min_area=1).idle


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_lower_limit_brings_nuclei_back(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert set(left(min_confidence=high)) <= set(left(min_confidence=low))


def test_what_the_table_does_not_say_is_an_error() -> None:
    bare = {"label": TABLE["label"]}
    for values, words in (
        ({"min_confidence": 0.5}, "no column 'confidence'"),
        ({"min_area": 5}, "no column 'area_um2'"),
        ({"classes": ("tumour",)}, "no column 'class'"),
    ):
        with pytest.raises(LabelsError, match=words):
            kept(NucleiFilter.checked(**values), bare, "slide")
    with pytest.raises(LabelsError, match="class 'tumor'; there are stroma, tumour"):
        left(classes=("tumor",))
    # A classifier knows classes that no nucleus has.
    assert kept(NucleiFilter(classes=("fat",)), TABLE, "slide", ["fat"]).sum() == 0
    with pytest.raises(RecipeError, match="above the largest"):
        NucleiFilter.checked(min_area=30, max_area=20)
