from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.labels.polygons import polygons_to_labels
from napari_nucleigan.masks.editing.document import LARGEST_ID, MaskDocument

SIZE = 14
label_images = hnp.arrays(np.int32, (SIZE, SIZE), elements=st.integers(0, 4))
polygon = st.lists(st.tuples(st.integers(-6, 2 * SIZE + 6), st.integers(-6, 2 * SIZE + 6)), min_size=3, max_size=6).map(
    lambda corners: np.array(corners, float) / 2
)
stroke = st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1), st.integers(1, 6), st.integers(0, 6))


class Views:
    """Labels and shapes as a viewer keeps them, following one document."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels.copy()
        self.document = MaskDocument(labels)
        self.shapes = list(self.document.polygons)
        self.ids = list(self.document.polygon_ids)

    def labels_changed(self) -> None:
        change = self.document.follow_labels(self.labels)
        if change is not None:
            kept = [at for at, number in enumerate(self.ids) if number not in change.removed]
            self.shapes = [self.shapes[at] for at in kept] + change.polygons
            self.ids = [self.ids[at] for at in kept] + change.ids
        self.check()

    def shapes_changed(self) -> None:
        change = self.document.follow_polygons(self.shapes, ["polygon"] * len(self.shapes), self.ids)
        if change is not None:
            self.labels[change.rows, change.columns] = change.values
            self.shapes = [shape for shape, number in zip(self.shapes, change.ids, strict=True) if number]
            self.ids = [number for number in change.ids if number]
        self.check()

    def check(self) -> None:
        """Both show the same, and at rest neither asks the other for anything."""
        np.testing.assert_array_equal(self.document.labels, self.labels)
        assert len(set(self.ids)) == len(self.ids)
        drawn = polygons_to_labels(self.shapes, self.labels.shape, self.ids)
        np.testing.assert_array_equal(drawn, self.labels)
        assert self.document.follow_labels(self.labels) is None
        assert self.document.follow_polygons(self.shapes, ["polygon"] * len(self.shapes), self.ids) is None
        counts = np.bincount(self.labels.ravel())[1:]
        np.testing.assert_array_equal(self.document.areas, counts[counts > 0])
        assert self.document.ids == (np.flatnonzero(counts) + 1).tolist()
        assert set(self.document.ids) | set(self.document.hidden) == set(self.ids)


@given(label_images, st.lists(st.one_of(polygon, stroke), max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=400)
def test_both_forms_follow_one_another(labels: np.ndarray, steps: list, random: object) -> None:
    views = Views(labels)
    views.check()
    for step in steps:
        if isinstance(step, tuple):
            row, column, size, number = step
            views.labels[row : row + size, column : column + size] = number
            views.labels_changed()
            continue
        kind = random.choice(["add", "move", "remove", "change"])  # type: ignore[attr-defined]
        if kind == "add" or not views.shapes:
            views.shapes.append(step)
            views.ids.append(0)
        else:
            at = random.randrange(len(views.shapes))  # type: ignore[attr-defined]
            if kind == "remove":
                del views.shapes[at], views.ids[at]
            else:
                views.shapes[at] = step if kind == "change" else views.shapes[at] + step[0] / 2
        views.shapes_changed()


def square(row: float, column: float, size: float = 4) -> np.ndarray:
    return np.array([[row, column], [row, column + size], [row + size, column + size], [row + size, column]])


def test_moving_over_another_and_away_harms_nothing() -> None:
    labels = np.zeros((20, 30), np.int32)
    labels[4:10, 4:10] = 1
    labels[4:10, 18:24] = 2
    views = Views(labels)
    home = views.shapes[1].copy()
    views.shapes[1] = home - (0, 12)
    views.shapes_changed()
    assert (views.labels == 1).sum() < 36
    views.shapes[1] = home
    views.shapes_changed()
    np.testing.assert_array_equal(views.labels, labels)


def test_a_covered_nucleus_is_kept_and_said() -> None:
    labels = np.zeros((20, 30), np.int32)
    labels[5:7, 5:7] = 3
    views = Views(labels)
    views.shapes.append(square(0, 0, 15))
    views.ids.append(0)
    views.shapes_changed()
    assert views.document.ids == [4]
    assert views.document.hidden == [3]
    del views.shapes[1], views.ids[1]
    views.shapes_changed()
    np.testing.assert_array_equal(views.labels, labels)


def test_corners_stay_as_drawn_until_their_pixels_change_and_come_back_with_undo() -> None:
    views = Views(np.zeros((40, 40), np.int32))
    drawn = [np.array([[3.3, 4.1], [5.2, 20.7], [18.4, 12.9]]), np.array([[10.3, 2.2], [15.1, 18.3], [20.9, 11]])]
    views.shapes += drawn
    views.ids += [0, 0]
    views.shapes_changed()
    before = views.labels.copy()
    views.labels[30:34, 30:34] = 9
    views.labels_changed()
    for number, corners in enumerate(drawn, 1):
        np.testing.assert_array_equal(views.shapes[views.ids.index(number)], corners)
    views.labels[19, 11] = 0  # erased from the upper one, where it is alone
    views.labels_changed()
    np.testing.assert_array_equal(views.shapes[views.ids.index(1)], drawn[0])
    assert len(views.shapes[views.ids.index(2)]) > 10
    views.labels[...] = before  # undo
    views.labels_changed()
    assert views.ids == [1, 2]
    for number, corners in enumerate(drawn, 1):
        np.testing.assert_array_equal(views.shapes[views.ids.index(number)], corners)


def test_numbers_are_never_used_again() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[2:5, 2:5], labels[10:14, 10:14] = 1, 7
    views = Views(labels)
    del views.shapes[1], views.ids[1]
    views.shapes_changed()
    views.shapes += [square(8, 8), square(1, 1)]
    views.ids += [0, 1]  # new, and a copy of the first as napari pastes it
    views.shapes_changed()
    assert views.ids == [1, 8, 9]
    assert views.document.new_id() == 10


def test_kinds_order_and_refusals() -> None:
    document = MaskDocument(np.zeros((20, 20), np.uint8))
    corners = [square(2, 2), [[0, 0], [9, 9]], square(4, 4, 6)]
    change = document.follow_polygons(corners, ["ellipse", "line", "rectangle"], [0, 0, 0], order=[2, 1, 0])
    assert change is not None
    assert change.ids == [1, 0, 2]
    assert len(change.refused) == 1
    assert "no nucleus" in change.refused[0]
    assert document.labels[5, 5] == 1  # the first lies on top
    assert document.polygon_ids == [2, 1]
    assert document.follow_polygons([corners[0], corners[2]], ["ellipse", "rectangle"], [1, 2], order=[1, 0]) is None
    change = document.follow_polygons([corners[0], corners[2]], ["ellipse", "rectangle"], [1, 2])
    assert change is not None
    assert document.labels[5, 5] == 2


def test_bad_labels_are_refused_and_nothing_changes() -> None:
    with pytest.raises(LabelsError, match="number them anew"):
        MaskDocument(np.array([[LARGEST_ID + 1]]))
    with pytest.raises(LabelsError, match="negative"):
        MaskDocument(np.array([[-1]]))
    document = MaskDocument(np.ones((4, 4), np.int32))
    for bad in (np.ones((5, 4), np.int32), np.full((4, 4), -1), np.full((4, 4), LARGEST_ID + 1)):
        with pytest.raises(LabelsError):
            document.follow_labels(bad)
    assert (document.labels == 1).all()
