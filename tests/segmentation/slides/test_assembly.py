from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.pixels import mpp_of, sides
from napari_nucleigan.masks.encoding import decode, encode
from napari_nucleigan.segmentation.instances import Instances, Mosaic, owned
from napari_nucleigan.segmentation.slides import assembly as assembly_module
from napari_nucleigan.segmentation.slides.assembly import HELD, Assembly, TileStore
from napari_nucleigan.segmentation.slides.nuclei import SlideNuclei
from napari_nucleigan.segmentation.slides.worker import ModelView
from napari_nucleigan.tiling import Box, Tile, plan_tiles
from oracle import scatter
from slide_pictures import slide_of

if TYPE_CHECKING:
    from pathlib import Path


@cache
def tile_records(
    shape: tuple[int, int], core: int, noise: float = 0.0
) -> tuple[list[Tile], list[Instances], np.ndarray]:
    """Cut the field of labels tile by tile; noise that differs from tile to tile makes neighbours disagree."""
    field = encode(scatter(shape, 22)).astype(np.float32)
    tiles = plan_tiles(shape, core, 64, 32)
    mosaic = Mosaic(shape)
    records = []
    for number, tile in enumerate(tiles):
        part = field[:, *tile.window.slices]
        random = np.random.default_rng(number)
        seen = part + noise * (2 * random.random(part.shape) - 1)
        labels = decode(seen.astype(np.float32), threshold=0.5, prominence=0.1)
        found = Instances.of(labels, tile.window, owned(labels, tile))
        mosaic.add(found)
        records.append(replace(found, features={"x": np.arange(len(found))}))
    return tiles, records, mosaic.labels


def assembled(tiles: list[Tile], records: list[Instances]) -> Assembly:
    assembly = Assembly(tiles, lambda number: records[number])
    for number, record in enumerate(records):
        assembly.add(number, record)
    return assembly


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.6])
@pytest.mark.parametrize("core", [64, 128])
def test_it_decides_as_the_mosaic_in_memory_does(core: int, noise: float) -> None:
    tiles, records, expected = tile_records((400, 500), core, noise)
    assembly = assembled(tiles, records)
    # In the order of the tiles, as the mosaic counts.
    found = assembly.paint(Box(0, 400, 0, 500), np.arange(1, assembly.count + 1, dtype=np.uint32))
    assert assembly.count == expected.max() > 300
    assert np.array_equal(found, expected)


def test_numbers_follow_the_first_pixels_whatever_the_tiles() -> None:
    pictures = []
    for core in (64, 96, 128, 512):
        tiles, records, _ = tile_records((400, 500), core)
        assembly = assembled(tiles, records)
        pictures.append(assembly.paint(Box(0, 400, 0, 500), assembly.numbers()))
    assert all(np.array_equal(pictures[0], other) for other in pictures[1:])
    values, first = np.unique(pictures[0], return_index=True)
    assert values.tolist() == list(range(assembly.count + 1))
    assert (np.diff(first[1:]) > 0).all()


@given(st.data())
def test_parts_are_those_of_the_whole(data: st.DataObject) -> None:
    tiles, records, _ = tile_records((200, 300), 64)
    assembly = assembled(tiles, records)
    whole = assembly.paint(Box(0, 200, 0, 300), assembly.numbers())
    top, left = data.draw(st.integers(0, 199)), data.draw(st.integers(0, 299))
    box = Box(top, data.draw(st.integers(top + 1, 220)), left, data.draw(st.integers(left + 1, 320)))
    part = assembly.paint(box, assembly.numbers())
    inside = part[: 200 - top, : 300 - left]
    assert np.array_equal(inside, whole[box.slices])
    assert part.sum() == inside.sum()


def test_what_counts_is_told_tile_by_tile() -> None:
    tiles, records, _ = tile_records((200, 300), 64, 0.6)
    assembly = assembled(tiles, records)
    numbers, total = assembly.numbers(), 0
    for number in assembly.tiles():
        record, kept, place, masks = assembly.nuclei(number)
        assert len(kept) == len(masks) == len(numbers[place])
        assert place.start == total
        total = place.stop
        for index in assembly.trimmed(number):
            assert index in kept
            # It gave pixels away, so its mask is smaller than what its tile saw.
            assert masks[kept.tolist().index(index)][2].sum() < record.masks[index].sum()
    assert total == assembly.count
    assert any(assembly.trimmed(number) for number in assembly.tiles())


def test_few_records_are_held() -> None:
    tiles, records, _ = tile_records((600, 200), 64)
    asked: list[int] = []

    def load(number: int) -> Instances:
        asked.append(number)
        return records[number]

    assembly = Assembly(tiles, load)
    for number, record in enumerate(records):
        assembly.add(number, record)
    assert len(assembly._recent) <= HELD
    # Neighbours were still at hand.
    assert not asked
    assembly.paint(Box(0, 64, 0, 200), assembly.numbers())
    assert set(asked) <= set(range(8))


def test_of_a_wide_slide_no_more_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles, records, _ = tile_records((200, 1500), 64)
    asked: list[int] = []

    def load(number: int) -> Instances:
        asked.append(number)
        return records[number]

    def assembled() -> Assembly:
        assembly = Assembly(tiles, load)
        for number, record in enumerate(records):
            assembly.add(number, record)
            assert len(assembly._recent) <= assembly_module.HELD
        return assembly

    few = assembled()
    assert len(tiles) > 4 * HELD
    assert len(asked) <= len(tiles)
    monkeypatch.setattr(assembly_module, "HELD", len(tiles))
    asked.clear()
    all_ = assembled()
    assert not asked
    whole = Box(0, 200, 0, 1500)
    assert few.count == all_.count > 100
    assert np.array_equal(few.paint(whole, few.numbers()), all_.paint(whole, all_.numbers()))


def test_a_record_that_has_gone_is_said() -> None:
    tiles, records, _ = tile_records((600, 200), 64)
    assembly = Assembly(tiles, lambda _: None)
    for number, record in enumerate(records):
        assembly.add(number, record)
    with pytest.raises(OutputError, match="run the same again"):
        assembly.paint(Box(0, 64, 0, 200), assembly.numbers())


def test_no_nuclei_at_all() -> None:
    tiles = plan_tiles((100, 100), 64, 32, 32)
    empty = Instances(np.zeros((0, 2), int), ())
    assembly = assembled(tiles, [empty] * len(tiles))
    assert assembly.count == 0
    assert not assembly.paint(Box(0, 100, 0, 100), assembly.numbers()).any()


def test_the_store_keeps_records_and_forgets_damaged_ones(tmp_path: Path) -> None:
    store = TileStore(tmp_path / "tiles")
    assert store.numbers() == set()
    made = Instances(np.zeros((3, 2), int), (np.ones((2, 3), bool),) * 3, {"x": np.arange(3)})
    store.put(7, made)
    store.put(8, made)
    assert store.numbers() == {7, 8}
    assert len(store.get(7) or ()) == 3
    file = tmp_path / "tiles" / "0000008.npz"
    whole = file.read_bytes()
    damaged = [whole[:cut] for cut in range(0, len(whole), 97)] + [
        bytes(len(whole)),
        whole[:200] + bytes(50) + whole[250:],
    ]
    for content in damaged:
        file.write_bytes(content)
        assert store.get(8) is None
        assert store.numbers() == {7}
    with pytest.raises(ValueError, match="no record"):
        Instances.unpack(replace(made, features={"x": np.arange(2)}).pack())
    assert store.get(9) is None
    # What a killed run has left half-written is no record.
    (tmp_path / "tiles" / ".0000009.ab12.part.npz").write_bytes(b"half")
    assert store.numbers() == {7}


def test_a_place_that_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "tiles").write_text("in the way")
    with pytest.raises(OutputError, match="a file of that name is in the way"):
        TileStore(tmp_path / "tiles")


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.125, mpp_of(0.5, 0.125)])
def test_labels_lie_where_the_slide_does(mpp: float) -> None:
    view = ModelView(slide_of(scatter((200, 240)), mpp), mpp, 0.25)
    found = SlideNuclei(view, Assembly([Tile(Box.of((1, 1)), Box.of((1, 1)))], lambda _: None), mpp, {})
    for length, place, side, inner in zip(found.pixel, found.place, sides(mpp), (200, 240), strict=True):
        # The corner of the first pixel is that of the slide, and the last corner too.
        assert place - length / 2 == pytest.approx(-side / 2)
        count = view.shape[0] if inner == 200 else view.shape[1]
        assert place + (count - 0.5) * length == pytest.approx((inner - 0.5) * side)
