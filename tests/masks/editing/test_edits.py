from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label as connected

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.masks.editing import edits
from napari_nucleigan.masks.polygons import PolygonMasks, fit_tissue, sample, sample_tissue
from tissue_pictures import tissue_picture

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


MPP_FILLING = 0.5
SPARSE_FILLING = PolygonMasks(density=2500, area=40, touching=0)
label_images_filling = hnp.arrays(
    np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 4)
)


@pytest.fixture(scope="module")
def mask_filling() -> np.ndarray:
    labels = sample(SPARSE_FILLING, (200, 240), MPP_FILLING, seed=1)
    assert labels.max() > 15
    return labels


def ids_of_filling(labels: np.ndarray) -> list[int]:
    return [int(value) for value in np.unique(labels) if value]


def test_filling_an_empty_canvas_is_sampling() -> None:
    empty = np.zeros((90, 70), np.uint8)
    edit = edits.fill(empty, SPARSE_FILLING, MPP_FILLING, seed=4)
    np.testing.assert_array_equal(edit.labels, sample(SPARSE_FILLING, (90, 70), MPP_FILLING, seed=4))
    assert list(edit.ids) == ids_of_filling(edit.labels)
    assert edit.labels.dtype == np.int32
    assert not empty.any()


def test_filling_again_leaves_what_is_there(mask_filling: np.ndarray) -> None:
    edit = edits.fill(mask_filling, SPARSE_FILLING, MPP_FILLING, seed=2)
    there = mask_filling > 0
    np.testing.assert_array_equal(edit.labels[there], mask_filling[there])
    added = edit.labels[(edit.labels > 0) & ~there]
    assert set(np.unique(added)) == set(edit.ids)
    assert edit.left_out > 0
    # none of the new ones is cut: each is just as it was drawn
    drawn = sample(SPARSE_FILLING, mask_filling.shape, MPP_FILLING, seed=2)
    for number in edit.ids:
        (original,) = np.unique(drawn[edit.labels == number])
        assert (drawn == original).sum() == (edit.labels == number).sum()


def test_filling_a_region(mask_filling: np.ndarray) -> None:
    box = (60, 150, 50, 170)
    edit = edits.fill(np.zeros_like(mask_filling), SPARSE_FILLING, MPP_FILLING, seed=3, region=box)
    assert len(edit.ids) > 5
    assert edits.inside(edit.labels, box) == list(edit.ids)
    # they may reach beyond the region, and none has a straight side where it ends
    outside = edit.labels.copy()
    outside[60:150, 50:170] = 0
    assert outside.any()
    even, empty = SPARSE_FILLING.changed(clustering=0), np.zeros_like(mask_filling)
    counts = [len(edits.fill(empty, even, MPP_FILLING, seed=seed, region=box).ids) for seed in range(8)]
    assert np.mean(counts) / (90 * 120 * MPP_FILLING**2 * 1e-6) == pytest.approx(SPARSE_FILLING.density, rel=0.15)
    # the region's own border at the canvas cuts nuclei, as the whole canvas's does
    corner = edits.fill(
        np.zeros_like(mask_filling), PolygonMasks(density=12000), MPP_FILLING, seed=3, region=(0, 200, 0, 120)
    )
    assert corner.labels[0].any()
    assert corner.labels[:, 0].any()
    assert corner.labels[-1].any()


def test_filling_can_replace(mask_filling: np.ndarray) -> None:
    box = (60, 150, 50, 170)
    before = edits.inside(mask_filling, box)
    edit = edits.fill(mask_filling, SPARSE_FILLING, MPP_FILLING, seed=3, region=box, replace=True, first=1000)
    assert before
    assert not set(before) & set(ids_of_filling(edit.labels))
    kept = set(ids_of_filling(mask_filling)) - set(before)
    for number in kept:
        np.testing.assert_array_equal(edit.labels == number, mask_filling == number)
    assert set(ids_of_filling(edit.labels)) == kept | set(edit.ids)
    assert min(edit.ids) == 1000


@given(label_images_filling, label_images_filling, st.integers(-12, 12), st.integers(-12, 12))
def test_placing_never_covers_nor_cuts(labels: np.ndarray, nuclei: np.ndarray, row: int, column: int) -> None:
    edit = edits.place(labels, nuclei, (row, column))
    np.testing.assert_array_equal(edit.labels[labels > 0], labels[labels > 0])
    wide = np.pad(nuclei, 60)
    for number in edit.ids:
        rows, columns = np.nonzero(edit.labels == number)
        (original,) = np.unique(wide[rows - row + 60, columns - column + 60])
        rows, columns = np.nonzero(nuclei == original)
        seen = (0 <= rows + row) & (rows + row < labels.shape[0]) & (0 <= columns + column)
        seen &= columns + column < labels.shape[1]
        assert seen.sum() == (edit.labels == number).sum()


def test_deleting(mask_filling: np.ndarray) -> None:
    edit = edits.delete(mask_filling, [3, 5])
    assert set(ids_of_filling(mask_filling)) - set(ids_of_filling(edit.labels)) == {3, 5}
    assert ((edit.labels != mask_filling) == np.isin(mask_filling, [3, 5])).all()
    np.testing.assert_array_equal(edits.delete(mask_filling, []).labels, mask_filling)


@pytest.fixture(scope="module")
def tissue_like() -> PolygonMasks:
    """Statistics of glass, crowded cells and fibres with few nuclei."""
    pixels, labels, _ = tissue_picture()
    return fit_tissue([pixels], [labels], count=3)


def test_filling_with_tissue_is_sampling_with_tissue(tissue_like: PolygonMasks) -> None:
    shape = (128, 150)
    edit = edits.fill(np.zeros(shape, np.int32), tissue_like, 0.25, seed=4)
    labels, cells = sample_tissue(tissue_like, shape, 0.25, 4)
    np.testing.assert_array_equal(edit.labels, labels)
    np.testing.assert_array_equal(edit.tissue, cells)
    assert edits.fill(np.zeros(shape, np.int32), SPARSE_FILLING, 0.25).tissue is None


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_nuclei_are_those_of_the_tissue_that_is_known(tissue_like: PolygonMasks, mpp: float) -> None:
    assert tissue_like.layout is not None
    empty = np.zeros((int(96 / mpp), int(96 / mpp)), np.int32)
    classes = tissue_like.layout.classes
    known = np.full((24, 24), classes.number("lumen"), np.uint8)
    known[:, 12:] = classes.number("crowded")
    known[20:] = 0
    counts = np.zeros(2, int)
    for seed in range(4):
        edit = edits.fill(empty, tissue_like, mpp, seed, tissue=known)
        assert edit.tissue is not None
        np.testing.assert_array_equal(edit.tissue[:20], known[:20])
        assert (edit.tissue > 0).all()
        upper = edit.labels[: empty.shape[0] * 20 // 24]
        for side, half in enumerate(np.split(upper, 2, axis=1)):
            counts[side] += np.unique(half[half > 0]).size
    own = [tissue_like.layout.nuclei[number - 1].nuclei.density for number in (known[0, 0], known[0, 23])]
    assert counts[0] / counts[1] == pytest.approx(own[0] / own[1], abs=0.15)
    # Only what lies in the region is added.
    box = tuple(int(edge / mpp) for edge in (16, 48, 40, 96))
    edit = edits.fill(empty, tissue_like, mpp, 1, box, tissue=np.zeros_like(known))
    assert edit.tissue is not None
    rows, columns = np.nonzero(edit.tissue)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 11, 10, 23)
    assert len(rows) == 8 * 14
    again = edits.fill(empty, tissue_like, mpp, 1, box, tissue=edit.tissue)
    np.testing.assert_array_equal(again.tissue, edit.tissue)


def test_a_map_that_does_not_fit_is_refused(tissue_like: PolygonMasks) -> None:
    empty = np.zeros((64, 64), np.int32)
    for known in (np.zeros((3, 4), np.uint8), np.full((4, 4), 9, np.uint8)):
        with pytest.raises(RecipeError, match="Begin another map"):
            edits.fill(empty, tissue_like, 0.25, tissue=known)
