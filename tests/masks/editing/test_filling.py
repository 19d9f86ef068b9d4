from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucleigan.masks.editing import filling
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


def test_filling_an_empty_canvas_is_sampling() -> None:
    empty = np.zeros((90, 70), np.uint8)
    edit = filling.fill(empty, SPARSE, MPP, seed=4)
    np.testing.assert_array_equal(edit.labels, sample(SPARSE, (90, 70), MPP, seed=4))
    assert list(edit.ids) == ids_of(edit.labels)
    assert edit.labels.dtype == np.int32
    assert not empty.any()


def test_filling_again_leaves_what_is_there(mask: np.ndarray) -> None:
    edit = filling.fill(mask, SPARSE, MPP, seed=2)
    there = mask > 0
    np.testing.assert_array_equal(edit.labels[there], mask[there])
    added = edit.labels[(edit.labels > 0) & ~there]
    assert set(np.unique(added)) == set(edit.ids)
    assert edit.left_out > 0
    # none of the new ones is cut: each is just as it was drawn
    drawn = sample(SPARSE, mask.shape, MPP, seed=2)
    for number in edit.ids:
        (original,) = np.unique(drawn[edit.labels == number])
        assert (drawn == original).sum() == (edit.labels == number).sum()


def test_filling_a_region(mask: np.ndarray) -> None:
    box = (60, 150, 50, 170)
    edit = filling.fill(np.zeros_like(mask), SPARSE, MPP, seed=3, region=box)
    assert len(edit.ids) > 5
    assert filling.inside(edit.labels, box) == list(edit.ids)
    # they may reach beyond the region, and none has a straight side where it ends
    outside = edit.labels.copy()
    outside[60:150, 50:170] = 0
    assert outside.any()
    even, empty = SPARSE.changed(clustering=0), np.zeros_like(mask)
    counts = [len(filling.fill(empty, even, MPP, seed=seed, region=box).ids) for seed in range(8)]
    assert np.mean(counts) / (90 * 120 * MPP**2 * 1e-6) == pytest.approx(SPARSE.density, rel=0.15)
    # the region's own border at the canvas cuts nuclei, as the whole canvas's does
    corner = filling.fill(np.zeros_like(mask), PolygonMasks(density=12000), MPP, seed=3, region=(0, 200, 0, 120))
    assert corner.labels[0].any()
    assert corner.labels[:, 0].any()
    assert corner.labels[-1].any()


def test_filling_can_replace(mask: np.ndarray) -> None:
    box = (60, 150, 50, 170)
    before = filling.inside(mask, box)
    edit = filling.fill(mask, SPARSE, MPP, seed=3, region=box, replace=True, first=1000)
    assert before
    assert not set(before) & set(ids_of(edit.labels))
    kept = set(ids_of(mask)) - set(before)
    for number in kept:
        np.testing.assert_array_equal(edit.labels == number, mask == number)
    assert set(ids_of(edit.labels)) == kept | set(edit.ids)
    assert min(edit.ids) == 1000


@given(label_images, label_images, st.integers(-12, 12), st.integers(-12, 12))
def test_placing_never_covers_nor_cuts(labels: np.ndarray, nuclei: np.ndarray, row: int, column: int) -> None:
    edit = filling.place(labels, nuclei, (row, column))
    np.testing.assert_array_equal(edit.labels[labels > 0], labels[labels > 0])
    wide = np.pad(nuclei, 60)
    for number in edit.ids:
        rows, columns = np.nonzero(edit.labels == number)
        (original,) = np.unique(wide[rows - row + 60, columns - column + 60])
        rows, columns = np.nonzero(nuclei == original)
        seen = (0 <= rows + row) & (rows + row < labels.shape[0]) & (0 <= columns + column)
        seen &= columns + column < labels.shape[1]
        assert seen.sum() == (edit.labels == number).sum()


def test_deleting(mask: np.ndarray) -> None:
    edit = filling.delete(mask, [3, 5])
    assert set(ids_of(mask)) - set(ids_of(edit.labels)) == {3, 5}
    assert ((edit.labels != mask) == np.isin(mask, [3, 5])).all()
    np.testing.assert_array_equal(filling.delete(mask, []).labels, mask)
