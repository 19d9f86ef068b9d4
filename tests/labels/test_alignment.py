from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.labels.alignment import Grid, align


def grid(shape, scale=1.0, move=(0, 0), angle=0.0, micron=True, name="truth"):
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    scales = np.broadcast_to(scale, 2)
    matrix = np.array([[cos, -sin, move[0]], [sin, cos, move[1]], [0, 0, 1]]) @ np.diag([*scales, 1])
    return Grid(shape, matrix, micron, name)


def numbered(shape):
    return np.arange(1, shape[0] * shape[1] + 1).reshape(shape)


def test_one_grid_is_left_as_it_is():
    labels = numbered((5, 7))
    found = align(grid((5, 7), 0.25), grid((5, 7), 0.25, name="pred"))
    assert found.same
    assert found.notes == ()
    assert np.shares_memory(found.truth(labels), labels)
    assert found.pred(labels).shape == (5, 7)


def test_dust_of_rounding_is_no_difference():
    assert align(grid((1000, 1000), 0.25), grid((1000, 1000), 0.25000000012, move=(1e-9, 0))).same


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(-6, 6), st.integers(-6, 6)),
    st.sampled_from([0.25, 1.0, 3.0]),
)
def test_shifted_images_are_compared_where_both_lie(first, second, shift, scale):
    truth, pred = grid(first, scale), grid(second, scale, np.array(shift) * scale, name="pred")
    top, left = np.maximum(shift, 0)
    bottom, right = np.minimum(first, np.add(second, shift))
    if top >= bottom or left >= right:
        with pytest.raises(LabelsError, match="no place in common"):
            align(truth, pred)
        return
    found = align(truth, pred)
    a, b = numbered(first), numbered(second)
    assert np.array_equal(found.truth(a), a[top:bottom, left:right])
    moved = b[top - shift[0] : bottom - shift[0], left - shift[1] : right - shift[1]]
    assert np.array_equal(found.pred(b), moved)
    assert np.allclose(found.grid.matrix[:2, 2], np.array([top, left]) * scale)
    whole = first == second and shift == (0, 0)
    assert found.same == whole
    assert len(found.notes) == (not whole)


@pytest.mark.parametrize("factor", [2, 3, 7])
@pytest.mark.parametrize("coarse_is_truth", [True, False])
def test_the_coarser_image_is_brought_to_the_finer_pixels(factor, coarse_is_truth):
    labels = numbered((4, 6))
    # Pixel edges coincide: the centre of the first coarse pixel lies (factor - 1) / 2 fine pixels further in.
    coarse = grid((4, 6), 0.25 * factor, np.full(2, 0.25 * (factor - 1) / 2), name="coarse")
    fine = grid((4 * factor, 6 * factor), 0.25, name="fine")
    found = align(coarse, fine) if coarse_is_truth else align(fine, coarse)
    brought = (found.truth if coarse_is_truth else found.pred)(labels)
    assert np.array_equal(brought, np.kron(labels, np.ones((factor, factor), int)))
    assert found.grid.shape == fine.shape
    assert len(found.notes) == 1
    assert f"{factor} times as wide" in found.notes[0]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 3), st.booleans(), st.tuples(st.integers(2, 9), st.integers(2, 9)))
def test_quarter_turns_and_mirrors_are_exact(turns, mirrored, shape):
    def turn(pixels):
        return np.rot90(pixels, turns)[:, ::-1] if mirrored else np.rot90(pixels, turns)

    labels = numbered(shape)
    rows, columns = (turn(at) for at in np.indices(shape))
    matrix = np.eye(3)
    for axis, at in enumerate((rows, columns)):
        matrix[axis] = at[1, 0] - at[0, 0], at[0, 1] - at[0, 0], at[0, 0]
    found = align(Grid(shape, np.eye(3), True, "truth"), Grid(rows.shape, matrix, True, "pred"))
    assert np.array_equal(found.truth(labels), found.pred(turn(labels)))
    assert found.truth(labels).size == labels.size


def test_a_turned_image_takes_what_the_other_does_not_cover_out_of_both():
    found = align(grid((60, 60)), grid((60, 60), move=(20, -20), angle=30, name="pred"))
    ones = np.ones((60, 60), int)
    a, b = found.truth(ones), found.pred(ones)
    assert np.array_equal(a, b)
    assert 0 < a.mean() < 1
    assert "turned" in found.notes[0]
    assert "both lie" in found.notes[1]


def test_half_a_pixel_is_brought_to_the_nearest():
    labels = numbered((6, 6))
    found = align(grid((6, 6)), grid((6, 6), move=(0.3, -0.4), name="pred"))
    assert np.array_equal(found.pred(labels), labels)


def test_without_units_on_one_side_equal_shapes_are_compared_as_arrays():
    bare = grid((5, 5), micron=False, name="loaded")
    known = grid((5, 5), 0.25, (10, 10), name="segmented")
    for pair in ((bare, known), (known, bare)):
        found = align(*pair)
        assert found.same
        assert "“loaded” has no units" in found.notes[0]
        assert found.grid.micron
        assert np.array_equal(found.grid.matrix, known.matrix)


@pytest.mark.parametrize(
    ("truth", "pred", "reason"),
    [
        (grid((5, 5)), grid((5, 6), micron=False, name="pred"), "Give “pred” a scale and units"),
        (grid((5, 5)), grid((5, 5), move=(3, 0), micron=False, name="pred"), "Give “pred” a scale and units"),
        (grid((5, 5)), grid((5, 5), move=(50, 0), name="pred"), "no place in common"),
        (grid((5, 5)), grid((5, 5), 9.0, name="pred"), "A pixel of “pred” is as wide as 9 of “truth”"),
        (grid((5, 5), (1, 0)), grid((5, 5)), "“truth” has a scale of zero"),
        (grid((5, 5)), grid((0, 5), name="pred"), "“pred” has no pixels"),
    ],
)
def test_what_cannot_be_compared_is_refused(truth, pred, reason):
    with pytest.raises(LabelsError, match=reason):
        align(truth, pred)


def test_labels_of_another_shape_are_refused():
    found = align(grid((5, 5)), grid((5, 5)))
    with pytest.raises(LabelsError, match="shape"):
        found.pred(np.zeros((5, 6), int))


def test_large_images_are_looked_up_in_blocks(monkeypatch):
    labels = numbered((9, 11))
    pair = grid((9, 11)), grid((9, 11), angle=20, move=(1, 1), name="pred")
    whole = align(*pair).pred(labels)
    monkeypatch.setattr("napari_nucleigan.labels.alignment._BLOCK", 30)
    assert np.array_equal(align(*pair).pred(labels), whole)
