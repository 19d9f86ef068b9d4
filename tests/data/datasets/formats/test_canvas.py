from __future__ import annotations

import numpy as np
import pytest

from napari_nucleigan.data.datasets.formats.canvas import SENTENCES, Canvas, sentences


def box(top: float, left: float, bottom: float, right: float) -> list[list[tuple[float, float]]]:
    return [[(left, top), (right, top), (right, bottom), (left, bottom)]]


def test_later_ones_lie_on_top_and_what_is_lost_is_counted() -> None:
    canvas = Canvas((10, 10))
    boxes = [box(0, 0, 4, 4), box(2, 2, 6, 6), box(7, 7, 8, 8), box(6.5, 6.5, 9, 9), box(20, 20, 30, 30)]
    canvas.draw([[each] for each in boxes], range(1, 6))
    canvas.draw([[box(0.6, 5, 0.9, 9)]], [6])  # thinner than a pixel
    labels = canvas.finish()
    assert labels[3, 3] == 2
    assert labels.max() == 3  # the third is hidden, the fifth and sixth hold no pixel
    assert (labels == 1).sum() == 12
    assert canvas.tally == {"overlapping": 4, "hidden": 1, "empty": 2}


def test_polygons_of_a_nucleus_unite_and_holes_stay_open() -> None:
    canvas = Canvas((10, 10))
    ring = [*box(0, 0, 6, 6), *box(2, 2, 4, 4)]
    canvas.draw([[ring, box(4, 4, 8, 8)]], [1])
    labels = canvas.finish()
    assert labels[3, 3] == 0
    assert labels[5, 5] == labels[7, 7] == 1
    assert not +canvas.tally


def test_zero_cuts_out_what_lies_below() -> None:
    canvas = Canvas((6, 6))
    canvas.draw([[box(0, 0, 6, 6)], [box(1, 1, 3, 3)], [box(2, 2, 3, 3)]], [1, 0, 2])
    labels = canvas.finish(renumber=False)
    assert (labels[1, 1], labels[2, 2], labels[5, 5]) == (0, 2, 1)


def test_numbers_stay_if_asked() -> None:
    canvas = Canvas((6, 6))
    canvas.draw([[box(0, 0, 2, 2)], [box(3, 3, 6, 6)]], [70, 5])
    assert set(np.unique(canvas.finish(renumber=False))) == {0, 5, 70}
    assert set(np.unique(canvas.finish())) == {0, 1, 2}


@pytest.mark.parametrize("corner", [np.nan, np.inf, -np.inf, 1e9])
def test_absurd_corners_are_refused(corner: float) -> None:
    with pytest.raises(ValueError, match="corner"):
        Canvas((6, 6)).draw([[[[(0, 0), (corner, 1), (2, 2)]]]], [1])


def test_nothing_to_draw() -> None:
    canvas = Canvas((3, 4))
    canvas.draw([], [])
    assert not canvas.finish().any()


def test_sentences_name_numbers() -> None:
    said = sentences({"overlapping": (3, 2), "short": (1, 1), "hidden": (0, 0)})
    assert said[0].startswith("3 nuclei overlap")
    assert "(in 1 image)" in said[1]
    assert len(said) == 2
    assert all(sentence[0].islower() for sentence in SENTENCES.values())
