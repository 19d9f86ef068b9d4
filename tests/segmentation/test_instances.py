from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleigan.masks.encoding import decode, encode
from napari_nucleigan.masks.splitting import GRID
from napari_nucleigan.segmentation.instances import Instances, Mosaic, owned, stamp
from napari_nucleigan.tiling import plan_tiles
from oracle import alike, scatter


def record_of(count: int, seed: int = 0) -> Instances:
    random = np.random.default_rng(seed)
    masks = [random.random(random.integers(1, 30, 2)) > 0.4 for _ in range(count)]
    corners = random.integers(0, 10**6, (count, 2))
    features = {"area_px": np.array([mask.sum() for mask in masks], np.int64), "solidity": random.random(count)}
    return Instances(corners, tuple(masks), features)


@given(st.integers(0, 12), st.integers(0, 1000))
def test_bytes_give_the_record_back(count: int, seed: int) -> None:
    made = record_of(count, seed)
    found = Instances.unpack(made.pack())
    assert len(found) == count
    assert all(np.array_equal(*pair) for pair in zip(found.masks, made.masks, strict=True))
    assert np.array_equal(found.corners, made.corners)
    assert np.array_equal(found.boxes, made.boxes)
    assert found.features.keys() == made.features.keys()
    assert all(np.array_equal(found.features[name], made.features[name]) for name in made.features)
    assert found.features["area_px"].dtype == np.int64


def test_nothing_in_a_record_is_executed() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, corners=np.array([{"a": 1}], object))
    with pytest.raises(ValueError, match="no record"):
        Instances.unpack(buffer.getvalue())


def test_nuclei_travel_between_processes() -> None:
    made = record_of(5)
    found = pickle.loads(pickle.dumps(made))
    assert np.array_equal(found.boxes, made.boxes)
    assert all(np.array_equal(*pair) for pair in zip(found.masks, made.masks, strict=True))
    assert found.features.keys() == made.features.keys()


def _through_tiles(labels: np.ndarray, core: int) -> np.ndarray:
    field = encode(labels)
    mosaic = Mosaic(labels.shape)
    for tile in plan_tiles(labels.shape, core, 64, GRID):
        found = decode(field[:, *tile.window.slices])
        mosaic.add(Instances.of(found, tile.window, owned(found, tile)))
    return mosaic.labels


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    core=st.integers(20, 200),
    spacing=st.integers(16, 40),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=15, deadline=None)
def test_tiles_give_the_nuclei_of_one_pass(height: int, width: int, core: int, spacing: int, seed: int) -> None:
    labels = scatter((height, width), spacing, seed)
    whole = decode(encode(labels))
    assert alike(_through_tiles(labels, core), whole)


def test_thousands_of_nuclei_survive_thousands_of_borders() -> None:
    labels = scatter((1200, 1200), 20)
    whole = decode(encode(labels))
    assert whole.max() > 3000
    assert alike(_through_tiles(labels, 160), whole)


def test_a_nucleus_that_both_neighbours_find_is_painted_once() -> None:
    mosaic = Mosaic((20, 20))
    mask = np.ones((6, 6), bool)
    mosaic.add(Instances(np.array([[5, 5]]), (mask,)))
    mosaic.add(Instances(np.array([[5, 6], [5, 11]]), (mask, mask)))
    assert mosaic.labels.max() == 2
    assert (mosaic.labels == 1).sum() == 36
    assert (mosaic.labels == 2).sum() == 36


def test_what_is_left_of_a_nucleus_that_mostly_lies_under_others_is_dropped() -> None:
    mosaic = Mosaic((20, 20))
    mosaic.add(Instances(np.array([[0, 0]]), (np.ones((20, 12), bool),)))
    mosaic.add(Instances(np.array([[8, 8]]), (np.ones((5, 6), bool),)))
    assert mosaic.labels.max() == 1


def test_touching_nuclei_that_overlap_by_rounding_both_stay() -> None:
    mosaic = Mosaic((20, 20))
    mosaic.add(Instances(np.array([[0, 0]]), (np.ones((10, 10), bool),)))
    mosaic.add(Instances(np.array([[0, 9]]), (np.ones((10, 10), bool),)))
    assert np.bincount(mosaic.labels.ravel()).tolist() == [400 - 190, 100, 90]


@given(st.integers(-6, 12), st.integers(-6, 12))
def test_stamps_are_cut_off_at_the_border(row: int, column: int) -> None:
    canvas = np.zeros((10, 10), int)
    stamp(canvas, row, column, np.ones((4, 3), bool), 5)
    wide = np.zeros((40, 40), int)
    wide[row + 15 : row + 19, column + 15 : column + 18] = 5
    assert np.array_equal(canvas, wide[15:25, 15:25])
