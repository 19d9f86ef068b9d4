from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.masks.encoding import ENCODINGS, FARTHEST, decode, encode
from napari_nucleigan.masks.splitting import GRID
from napari_nucleigan.metrics import aji, overlaps

steady = settings(deadline=None, derandomize=True, max_examples=40)


def crowd(seed, height, width, tries, radius, squeeze, turn):
    """Draw ellipses of one shape; where they overlap, each pixel goes to the nearer centre.

    Such nuclei are convex and touch along straight borders. No centre lies inside another ellipse.
    """
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    nearest = np.full((height, width), float(radius**2))
    labels = np.zeros((height, width), np.int32)
    centres = []

    def squared_distance(centre, row, column):
        down, right = row - centre[0], column - centre[1]
        along = down * np.cos(turn) + right * np.sin(turn)
        across = right * np.cos(turn) - down * np.sin(turn)
        return along**2 * squeeze + across**2 / squeeze

    for centre in random.uniform(0, (height, width), (tries, 2)):
        if any(squared_distance(centre, *other) < radius**2 for other in centres):
            continue
        centres.append(centre)
        distance = squared_distance(centre, rows, columns)
        closer = distance < nearest
        labels[closer] = len(centres)
        nearest[closer] = distance[closer]
    return labels


def crowds(sides=(32, 96), tries=(1, 120)):
    return st.builds(
        crowd,
        st.integers(0, 2**32 - 1),
        st.integers(*sides),
        st.integers(*sides),
        st.integers(*tries),
        st.floats(5, 10),
        st.floats(0.7, 1.4),
        st.floats(0, 3.1),
    )


def touching_pairs(labels):
    down = (labels[1:] != labels[:-1]) & (labels[1:] > 0) & (labels[:-1] > 0)
    return int(down.sum())


def agreement(labels, found):
    return aji(overlaps(labels, found))


# -- decode inverts encode -----------------------------------------------------------------------


@given(crowds())
@steady
def test_every_touching_nucleus_comes_back(labels):
    found = decode(encode(labels))
    assert found.max() == labels.max()
    assert agreement(labels, found) >= 0.93
    assert np.array_equal(found > 0, ndimage.binary_fill_holes(labels > 0) & (found > 0))


def test_crowds_come_back_on_the_mean():
    masks = [crowd(seed, 128, 128, 120, 5 + seed % 6, 0.8 + 0.1 * (seed % 5), 0.3 * seed) for seed in range(30)]
    assert sum(touching_pairs(mask) > 20 for mask in masks) > 25
    scores = [agreement(mask, decode(encode(mask))) for mask in masks]
    assert np.mean(scores) >= 0.98


@given(hnp.arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 5)))
@steady
def test_no_two_nuclei_are_merged_however_they_touch(blocks):
    # Blocks of 3x3 pixels: any shape, any contact, but each nucleus is thick enough to have a heart.
    labels = np.kron(blocks, np.ones((3, 3), np.int32))
    found = decode(encode(labels))
    hearts = encode(labels)[2] == 1
    owners = {}
    for mine, true in zip(found[hearts], labels[hearts], strict=True):
        assert owners.setdefault(mine, true) == true


@pytest.mark.parametrize("corner", [(3, 8), (2, 8), (4, 8)])
def test_slivers_stay_apart_from_the_small_nuclei_that_they_touch(corner):
    # A nucleus two pixels wide, cut by the edge, whose corner meets a small nucleus at an angle.
    labels = np.zeros((10, 10), np.int32)
    labels[0:4, 1:9] = 1
    labels[corner[0] :, corner[1] :] = 2
    found = decode(encode(labels))
    assert found.max() == 2
    assert agreement(labels, found) > 0.9


def test_two_slivers_side_by_side_stay_apart():
    labels = np.zeros((12, 8), np.int32)
    labels[1:11, 2:4] = 1
    labels[1:11, 4:6] = 2
    assert np.array_equal(decode(encode(labels)), labels)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_separate_nuclei_come_back_in_every_encoding(encoding, tiny_he):
    _, labels = tiny_he(seed=3)
    found = decode(encode(labels, encoding), encoding)
    assert found.max() == labels.max()
    # Outlines lose the corner pixels that meet the inside only diagonally.
    assert agreement(labels, found) >= (0.95 if encoding == "contour" else 1)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_empty_glass_has_no_nuclei_in_any_encoding(encoding):
    # What is never shown to a network is absence in every channel.
    assert not decode(np.full((3, 20, 30), -1, np.float32), encoding).any()


def test_three_classes_share_out_the_image():
    labels = np.zeros((20, 20), np.int32)
    labels[2:10, 2:10], labels[2:10, 10:18], labels[15, 3:9] = 1, 2, 3
    inside, boundary, background = encode(labels, "three-class") > 0
    assert np.array_equal(inside.astype(int) + boundary + background, np.ones_like(labels))
    assert np.array_equal(background, labels == 0)
    # Two pixels of boundary on every side, also where two nuclei touch; a sliver is all inside.
    assert inside[4:8, 4:8].all() and inside[:12].sum() == 2 * 16
    assert inside[15, 3:9].all()
    assert np.array_equal(decode(encode(labels, "three-class"), "three-class") > 0, labels > 0)
    assert decode(encode(labels, "three-class"), "three-class").max() == 3


def test_pixel_distances_grow_from_the_rim_and_are_cut_off():
    labels = np.zeros((80, 80), np.int32)
    labels[5:75, 5:75] = 4
    distance = (encode(labels, "pixel-distance")[0] + 1) / 2 * FARTHEST
    assert distance[40, 4:9] == pytest.approx([0, 1, 2, 3, 4], abs=1e-4)
    assert distance.max() == FARTHEST


@pytest.fixture(scope="module")
def kumar_labels(kumar):
    # The round trip involves no model, so the test tiles may be among them.
    dataset = Dataset.open(kumar)
    return [dataset.labels(name) for name in dataset.names]


def test_the_labels_of_kumar_come_back(kumar_labels):
    scores = [agreement(labels, decode(encode(labels))) for labels in kumar_labels]
    assert len(scores) == 30
    assert np.mean(scores) >= 0.98
    assert min(scores) >= 0.95


def test_the_binary_encoding_cannot_keep_the_nuclei_of_kumar_apart(kumar_labels):
    scores = [agreement(labels, decode(encode(labels, "binary"), "binary")) for labels in kumar_labels[:8]]
    assert max(scores) < 0.95


# -- decode is local -----------------------------------------------------------------------------


def shapes(labels):
    """Return each nucleus as the set of its pixels."""
    where = np.nonzero(labels)
    order = np.argsort(labels[where], kind="stable")
    pixels = np.stack(where, axis=1)[order]
    borders = np.flatnonzero(np.diff(labels[where][order])) + 1
    return {frozenset(map(tuple, part.tolist())) for part in np.split(pixels, borders)}


@given(crowds((100, 160), (60, 300)), st.integers(0, 2), st.integers(0, 2), st.sampled_from([0.0, 0.1]))
@settings(deadline=None, derandomize=True, max_examples=15)
def test_a_tile_has_the_nuclei_of_the_whole(labels, down, right, noise):
    side, halo = 96, 32
    top, left = down * GRID, right * GRID
    field = encode(labels)
    field += np.random.default_rng(top).uniform(-noise, noise, field.shape).astype(np.float32)
    whole = decode(field)
    tile = decode(field[:, top : top + side, left : left + side])
    height, width = tile.shape
    # A nucleus is no wider than the halo, so those that reach the core are whole in the tile.
    core = np.zeros(labels.shape, bool)
    core[top + halo : top + height - halo, left + halo : left + width - halo] = True
    expected = shapes(np.where(np.isin(whole, whole[core]), whole, 0)) if core.any() else set()
    shifted = {frozenset((row + top, column + left) for row, column in shape) for shape in shapes(tile)}
    assert expected <= shifted


# -- what the channels are -----------------------------------------------------------------------


def test_the_channels_of_a_square():
    labels = np.zeros((9, 9), np.uint8)
    labels[2:7, 2:7] = 200
    interior, contour, distance = encode(labels)
    assert np.array_equal(interior, np.where(labels, 1, -1))
    band = np.full((9, 9), -1.0)
    band[1, 2:7] = band[7, 2:7] = band[2:7, 1] = band[2:7, 7] = 1
    band[2:7, 2:7] = 1
    band[4, 4] = -1
    assert np.array_equal(contour, band)
    profile = [-1, -1, -1, 0, 1, 0, -1, -1, -1]
    assert np.array_equal(distance[4], profile)
    assert np.array_equal(distance[:, 4], profile)


def test_the_edge_of_the_image_counts_as_the_border_of_a_nucleus():
    distance = encode(np.ones((5, 5), np.int32))[2]
    assert distance[2, 2] == 1
    assert (distance[[0, -1]] == -1).all()


@given(
    hnp.arrays(np.int16, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.integers(0, 4)),
    st.sampled_from(list(ENCODINGS)),
    st.permutations([7, 100_000, -3, 2**40]),
)
@steady
def test_the_field_depends_on_the_shapes_alone(labels, encoding, values):
    field = encode(labels, encoding)
    assert field.dtype == np.float32
    assert field.shape == (3, *labels.shape)
    assert field.min() >= -1
    assert field.max() <= 1
    renamed = np.array([0, *values], np.int64)[labels]
    assert np.array_equal(encode(renamed, encoding), field)
    assert np.array_equal(encode(labels[::-1].T, encoding), field[:, ::-1].transpose(0, 2, 1))


def test_the_binary_encoding_is_the_filled_nuclei():
    labels = np.kron([[1, 2], [0, 3]], np.ones((4, 4), np.int32))
    field = encode(labels, "binary")
    assert (field == np.where(labels, 1, -1)).all()
    assert decode(field, "binary").max() == 1


def test_the_contour_encoding_is_outlines_two_pixels_wide_between_nuclei():
    labels = np.zeros((8, 14), np.int32)
    labels[1:7, 1:7], labels[1:7, 7:13] = 1, 2
    field = encode(labels, "contour")
    assert (field == field[0]).all()
    assert np.array_equal(field[0, 3], [-1, 1, -1, -1, -1, -1, 1, 1, -1, -1, -1, -1, 1, -1])
    found = decode(field, "contour")
    assert np.array_equal(found[2:6], labels[2:6])


def test_the_contour_encoding_takes_the_widest_region_for_background():
    labels = np.zeros((20, 20), np.int32)
    labels[:, :14] = 1
    found = decode(encode(labels, "contour"), "contour")
    assert not found[10, 5]
    assert found[10, 18]


# -- images at the limits ------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (1, 1), (1, 40), (40, 1), (17, 23)])
def test_background_alone_has_no_nuclei(shape, encoding):
    field = encode(np.zeros(shape, np.uint8), encoding)
    assert field.shape == (3, *shape)
    assert (field == -1).all() or encoding == "three-class"
    found = decode(field, encoding)
    assert found.shape == shape
    assert found.dtype == np.int32
    assert not found.any()


@pytest.mark.parametrize("encoding", ["distance", "binary"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (2, 2), (64, 64)])
def test_one_nucleus_that_fills_the_image(shape, encoding):
    assert (decode(encode(np.full(shape, 9), encoding), encoding) == 1).all()


def test_nuclei_of_one_pixel():
    labels = np.zeros((9, 9), np.int64)
    labels[1, 1], labels[1, 3], labels[5, 5], labels[8, 8] = 1, 2, 3, 4
    assert np.array_equal(decode(encode(labels)), labels)


def test_a_strip_of_one_row():
    labels = np.array([[0, 4, 4, 4, 0, 9, 9, 0, 0, 2]])
    assert np.array_equal(decode(encode(labels)), [[0, 1, 1, 1, 0, 2, 2, 0, 0, 3]])
    assert np.array_equal(decode(encode(labels.T)), decode(encode(labels)).T)


def test_no_background_at_all():
    labels = np.kron([[5, 6], [7, 8]], np.ones((6, 6), np.int32))
    found = decode(encode(labels))
    assert found.all()
    assert found.max() == 4
    assert agreement(labels, found) >= 0.9


def test_parts_that_do_not_touch_become_nuclei_of_their_own():
    labels = np.zeros((8, 20), np.int32)
    labels[1:7, 1:7] = labels[1:7, 12:18] = 3
    assert decode(encode(labels)).max() == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint64, np.int64, bool])
def test_every_integer_type_is_taken(dtype):
    labels = np.zeros((8, 8), dtype)
    labels[1:6, 2:7] = 1
    assert np.array_equal(decode(encode(labels)), labels)


def test_values_of_any_size_and_sign_are_nuclei():
    labels = np.zeros((7, 21), np.int64)
    labels[1:6, 1:6], labels[1:6, 6:11], labels[1:6, 12:17] = -(2**60), 2**60, 5
    assert decode(encode(labels)).max() == 3
    huge = np.where(labels == 5, np.uint64(2**63 + 1), np.uint64(0))
    assert decode(encode(huge)).max() == 1


# -- decoding ------------------------------------------------------------------------------------


def disc(radius, side):
    rows, columns = np.mgrid[:side, :side] - side // 2
    return (rows**2 + columns**2 <= radius**2).astype(np.int32)


def test_small_nuclei_are_dropped_and_the_rest_numbered_without_gaps():
    labels = np.zeros((10, 30), np.int32)
    labels[1:5, 1:5], labels[1:4, 10:13], labels[1:8, 20:26] = 1, 2, 3
    field = encode(labels)
    assert decode(field, min_area=9).max() == 3
    assert np.array_equal(decode(field, min_area=10), np.where(labels == 3, 2, labels == 1))
    assert not decode(field, min_area=1000).any()


@pytest.mark.parametrize("encoding", ["distance", "binary"])
def test_small_nuclei_are_dropped_in_every_encoding(encoding, tiny_he):
    _, labels = tiny_he(seed=1)
    areas = np.bincount(labels.ravel())[1:]
    least = int(np.median(areas))
    found = decode(encode(labels, encoding), encoding, min_area=least)
    assert found.max() == (areas >= least).sum()


def test_pinholes_are_closed_and_gaps_are_not():
    field = np.ones((3, 40, 40), np.float32)
    field[:, [0, -1]] = field[:, :, [0, -1]] = -1
    pinhole, gap = (slice(10, 13), slice(10, 14)), (slice(25, 28), slice(25, 30))
    field[0][pinhole] = field[0][gap] = -1
    found = decode(field) > 0
    assert found[pinhole].all()
    assert not found[gap].any()


def test_a_hole_at_the_edge_of_the_picture_may_be_larger_than_it_looks():
    field = np.ones((3, 40, 40), np.float32)
    field[0, 0, 5:8] = field[0, 20, -1] = -1
    found = decode(field)
    assert not found[0, 5:8].any()
    assert not found[20, -1]


def test_the_threshold_is_a_probability():
    field = encode(disc(8, 31))
    field[0] = np.where(disc(4, 31), 0.5, np.where(disc(8, 31), -0.5, -1))
    assert np.array_equal(decode(field, threshold=0.25) > 0, disc(8, 31) > 0)
    assert np.array_equal(decode(field, threshold=0.75) > 0, disc(4, 31) > 0)
    assert not decode(field, threshold=0.76).any()


def test_a_smaller_prominence_cuts_more():
    heights = np.concatenate(
        [np.linspace(-1, 1, 12), np.linspace(1, 0, 6), np.linspace(0, 1, 6), np.linspace(1, -1, 12)]
    )
    field = np.ones((3, 11, heights.size), np.float32)
    field[2] = heights
    assert decode(field, prominence=0.6).max() == 1
    cut = decode(field, prominence=0.4)
    assert cut.max() == 2
    assert (cut[:, :16] == 1).all()
    assert (cut[:, -16:] == 2).all()


def test_foreground_without_a_seed_is_dropped():
    field = np.full((3, 12, 30), -1.0, np.float32)
    field[0, 2:10, 2:10] = field[0, 2:10, 15:25] = 1
    field[2, 2:10, 2:10] = 1
    found = decode(field)
    assert (found[2:10, 2:10] == 1).all()
    assert not found[:, 15:].any()


def test_smoothing_heals_a_heart_that_noise_has_split():
    field = encode(disc(9, 31))
    field[2, :, 15] = -0.9
    assert decode(field).max() == 2
    assert decode(field, smoothing=1.5).max() == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_fields_of_other_precision_are_taken(dtype):
    labels = crowd(5, 64, 64, 40, 7, 1.0, 0.0)
    found = decode(encode(labels).astype(dtype))
    assert found.dtype == np.int32
    assert agreement(decode(encode(labels)), found) >= 0.99


def test_values_beyond_the_range_are_taken_for_its_ends():
    labels = crowd(6, 64, 64, 40, 7, 1.0, 0.0)
    field = encode(labels)
    assert np.array_equal(decode(np.where(abs(field) == 1, 3 * field, field)), decode(field))


def test_decoding_leaves_its_input_alone():
    field = encode(crowd(7, 48, 48, 30, 6, 1.0, 0.0))
    field.setflags(write=False)
    decode(field)


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros((4, 4)), "not 2-D of float64"),
        (np.zeros((2, 4, 4), int), "not 3-D of int64"),
        (np.zeros(4, int), "not 1-D"),
    ],
)
def test_what_is_no_label_image_is_refused(labels, said):
    with pytest.raises(LabelsError, match=said):
        encode(labels)


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (4, 4, 3), (1, 3, 4, 4)])
def test_what_is_no_field_is_refused(shape):
    with pytest.raises(LabelsError, match="shape"):
        decode(np.zeros(shape, np.float32))


def test_an_unknown_encoding_is_refused():
    with pytest.raises(RecipeError, match="choose one of distance, binary, contour"):
        encode(np.zeros((4, 4), int), "hover")
    with pytest.raises(RecipeError, match="no mask encoding 'hover'"):
        decode(np.zeros((3, 4, 4)), "hover")
