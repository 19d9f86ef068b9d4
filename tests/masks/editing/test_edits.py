from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label as connected

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.masks.editing import edits
from napari_nucleigan.masks.sampler.sample import PolygonMasks, sample

MPP = 0.5
SPARSE = PolygonMasks(density=2500, area=40, touching=0)
label_images = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 4))


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    labels = sample(SPARSE, (200, 240), MPP, seed=1)
    assert labels.max() > 15
    return labels


def ids_of(labels: np.ndarray) -> list[int]:
    return [int(value) for value in np.unique(labels) if value]


def areas(labels: np.ndarray) -> np.ndarray:
    return np.bincount(labels.ravel())


@given(label_images, st.sets(st.integers(0, 5)), st.floats(0.5, 2))
def test_growing_covers_nothing(labels: np.ndarray, ids: set[int], distance: float) -> None:
    made = edits.grow(labels, ids, distance, MPP).labels
    np.testing.assert_array_equal(made[labels > 0], labels[labels > 0])
    assert set(made[labels == 0]) <= (ids & set(labels.ravel())) | {0}


@given(label_images, st.sets(st.integers(0, 5)), st.floats(0.5, 4))
def test_shrinking_loses_no_nucleus(labels: np.ndarray, ids: set[int], distance: float) -> None:
    made = edits.shrink(labels, ids, distance, MPP).labels
    assert ids_of(made) == ids_of(labels)
    changed = made != labels
    assert not made[changed].any()
    assert set(labels[changed]) <= ids


def test_amounts_are_in_microns() -> None:
    labels = np.zeros((60, 60), np.int32)
    rows, columns = np.mgrid[:60, :60]
    labels[(rows - 30) ** 2 + (columns - 30) ** 2 <= 10**2] = 8
    for mpp in (0.25, 0.5):
        grown = edits.grow(labels, [8], 1, mpp).labels
        assert (grown == 8).sum() == pytest.approx(np.pi * (10 + 1 / mpp) ** 2, rel=0.05)
        shrunk = edits.shrink(labels, [8], 1, mpp).labels
        assert (shrunk == 8).sum() == pytest.approx(np.pi * (10 - 1 / mpp) ** 2, rel=0.08)
        back = edits.shrink(grown, [8], 1, mpp).labels
        assert (back != labels).sum() < 0.05 * (labels > 0).sum()


def test_growing_neighbours_stay_apart() -> None:
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 5:15] = 1
    labels[5:15, 20:30] = 2
    made = edits.grow(labels, [1, 2], 10, 1).labels
    assert set(np.unique(made)) == {0, 1, 2}
    assert connected(made == 1, connectivity=1).max() == connected(made == 2, connectivity=1).max() == 1
    only = edits.grow(labels, [1], 10, 1).labels
    np.testing.assert_array_equal(only == 2, labels == 2)


def test_a_nucleus_cut_by_the_canvas_does_not_shrink_from_it() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[0:10, 5:15] = 1
    made = edits.shrink(labels, [1], 1, 0.5).labels
    assert made[0, 8:12].all()
    assert not made[9, 5:15].any()
    whole = np.ones((4, 4), np.int32)
    np.testing.assert_array_equal(edits.shrink(whole, [1], 1, 0.5).labels, whole)


def test_jitter_moves_without_harm(mask: np.ndarray) -> None:
    ids = ids_of(mask)
    edit = edits.jitter(mask, ids, 2.0, MPP, seed=5)
    assert ids_of(edit.labels) == ids
    assert len(edit.ids) + edit.left_out == len(ids)
    assert len(edit.ids) > len(ids) / 2
    before, after = areas(mask), areas(edit.labels)
    for number in ids:
        if number not in edit.ids:
            np.testing.assert_array_equal(edit.labels == number, mask == number)
            continue
        assert after[number] == pytest.approx(before[number], rel=0.12, abs=3)
        shift = np.argwhere(edit.labels == number).mean(axis=0) - np.argwhere(mask == number).mean(axis=0)
        assert np.hypot(*shift) <= 2.0 / MPP + 0.5
    assert (edit.labels != mask).any()
    np.testing.assert_array_equal(edits.jitter(mask, ids, 2.0, MPP, seed=5).labels, edit.labels)
    assert (edits.jitter(mask, ids, 2.0, MPP, seed=6).labels != edit.labels).any()
    others = edits.jitter(mask, ids[:3], 2.0, MPP).labels
    np.testing.assert_array_equal(
        np.where(np.isin(mask, ids[3:]), others, 0), np.where(np.isin(mask, ids[3:]), mask, 0)
    )


def test_jitter_without_room_stays() -> None:
    labels = np.arange(1, 10, dtype=np.int32).reshape(3, 3).repeat(6, 0).repeat(6, 1)
    edit = edits.jitter(labels, [5, 1], 3, 1, seed=0)
    np.testing.assert_array_equal(np.unique(edit.labels), np.unique(labels))
    assert edit.left_out >= 1


def test_copies_are_twins(mask: np.ndarray) -> None:
    ids = ids_of(mask)[2:6]
    edit = edits.copy(mask, ids, seed=2)
    assert len(edit.ids) + edit.left_out == 4
    assert edit.ids
    np.testing.assert_array_equal(edit.labels[mask > 0], mask[mask > 0])
    assert sorted(areas(edit.labels)[list(edit.ids)]) == sorted(areas(mask)[ids[: len(edit.ids)]])
    # a pixel lies between
    alone = np.isin(edit.labels, edit.ids[0])
    around = np.pad(alone, 1)
    around = around[:-2, 1:-1] | around[2:, 1:-1] | around[1:-1, :-2] | around[1:-1, 2:]
    assert not edit.labels[around & ~alone].any()


def test_no_room_for_copies() -> None:
    labels = np.ones((6, 6), np.int32)
    edit = edits.copy(labels, [1])
    assert edit.ids == ()
    assert edit.left_out == 1
    np.testing.assert_array_equal(edit.labels, labels)


def test_splitting_parts() -> None:
    labels = np.zeros((10, 30), np.int32)
    labels[2:5, 2:5] = labels[2:8, 10:20] = labels[8, 20] = 6
    labels[0, 0] = 2
    edit = edits.split(labels, [6, 2])
    assert edit.ids == (7, 8)
    assert (edit.labels == 6).sum() == 60
    assert (edit.labels > 0).sum() == (labels > 0).sum()
    assert edits.split(edit.labels, [6, 7, 8]).ids == ()


@pytest.mark.parametrize("change", [edits.grow, edits.shrink, edits.jitter])
def test_less_than_a_pixel_is_refused(mask: np.ndarray, change: object) -> None:
    with pytest.raises(LabelsError, match="less than a pixel"):
        change(mask, [1], 0.2, MPP)  # type: ignore[operator]
