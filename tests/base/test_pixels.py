from __future__ import annotations

import copy
import json
import pickle

import pytest

from napari_nucleigan.base.pixels import Mpp, mpp_of, sides


def test_square_pixels_are_plain_numbers() -> None:
    assert type(mpp_of(0.25, 0.25)) is float
    assert type(mpp_of(0.25, 0.2501)) is float
    assert mpp_of(0.25000000012, 0.25) == 0.25
    assert sides(0.25) == (0.25, 0.25)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_others_know_their_sides(again: object) -> None:
    found = again(mpp_of(0.2, 0.8))  # type: ignore[operator]
    assert isinstance(found, Mpp)
    assert found == pytest.approx(0.4)
    assert sides(found) == (0.2, 0.8)
    assert json.loads(json.dumps(found)) == pytest.approx(0.4)
