from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.segmentation.instances import Instances
from napari_nucleigan.segmentation.slides.tile_store import TileRecord, TileStore

if TYPE_CHECKING:
    from pathlib import Path


def record(count: int, seed: int = 0) -> tuple[TileRecord, list[np.ndarray]]:
    random = np.random.default_rng(seed)
    masks = [random.random(random.integers(1, 30, 2)) > 0.4 for _ in range(count)]
    corners = random.integers(0, 10**6, (count, 2))
    features = {"area_px": np.array([mask.sum() for mask in masks], np.int64), "solidity": random.random(count)}
    return TileRecord.of(Instances(corners, tuple(masks)), features), masks


@given(st.integers(0, 12), st.integers(0, 1000))
def test_bytes_give_the_record_back(count: int, seed: int) -> None:
    made, masks = record(count, seed)
    found = TileRecord.unpack(made.pack())
    assert len(found) == count
    assert all(np.array_equal(*pair) for pair in zip(found.masks(), masks, strict=True))
    assert np.array_equal(found.corners, made.corners)
    assert np.array_equal(found.ends - found.corners, found.shapes)
    assert found.features.keys() == made.features.keys()
    assert all(np.array_equal(found.features[name], made.features[name]) for name in made.features)
    assert found.features["area_px"].dtype == np.int64


def test_nothing_in_a_record_is_executed() -> None:
    import io

    buffer = io.BytesIO()
    np.savez(buffer, corners=np.array([{"a": 1}], object))
    with pytest.raises(ValueError, match="no record"):
        TileRecord.unpack(buffer.getvalue())


def test_the_store_keeps_records_and_forgets_damaged_ones(tmp_path: Path) -> None:
    store = TileStore(tmp_path / "tiles")
    assert store.numbers() == set()
    made, _ = record(3)
    store.put(7, made)
    store.put(8, made)
    assert store.numbers() == {7, 8}
    assert len(store.get(7) or ()) == 3
    file = tmp_path / "tiles" / "0000008.npz"
    file.write_bytes(file.read_bytes()[:100])
    assert store.get(8) is None
    assert store.get(9) is None
    # What a killed run has left half-written is no record.
    (tmp_path / "tiles" / ".0000009.ab12.part.npz").write_bytes(b"half")
    assert store.numbers() == {7, 8}


def test_a_place_that_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "tiles").write_text("in the way")
    with pytest.raises(OutputError, match="a file of that name is in the way"):
        TileStore(tmp_path / "tiles")
