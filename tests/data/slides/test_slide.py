from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.images.files import write_image
from napari_nucleigan.data.slides import Slide, open_slide
from napari_nucleigan.data.slides.slide import BLOCK, CachedLevel, Level, StridedLevel
from slide_files import write_pyramid, write_zarr

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nucleigan.data.slides.slide import Box


class Remembering(Level):
    """A plane in memory that remembers what was read of it."""

    def __init__(self, values: np.ndarray, tile: tuple[int, int] = (64, 64)) -> None:
        super().__init__("a", values.shape, values.dtype, tile)
        self.values = values
        self.boxes: list[Box] = []

    def _read(self, box: Box) -> np.ndarray:
        self.boxes.append(box)
        return self.values[box[0] : box[1], box[2] : box[3]]


@pytest.fixture
def plane() -> Remembering:
    return Remembering(np.random.default_rng(0).integers(0, 256, (300, 420, 3), np.uint8))


@pytest.mark.parametrize(
    "parts",
    [
        (slice(10, 90), slice(100, 230)),
        (slice(None, None, 3), slice(5, -5, 2)),
        (slice(None, None, -2), slice(300, 10, -7)),
        (7, slice(None)),
        (-1, -1),
        (slice(3, 9), slice(3, 9), 0),
        (slice(3, 9), 4, slice(0, 2)),
        slice(290, 900),
        5,
        (slice(50, 50), slice(None)),
        (slice(9, 3), slice(500, 600)),
        ([5, 2, 2, 290], slice(3, 90)),
        (slice(3, 90), []),
        (slice(3, 90), np.array([400, -1])),
    ],
)
def test_slices_as_numpy_does(plane: Remembering, parts: Any) -> None:
    assert np.array_equal(plane[parts], plane.values[parts])
    assert plane[parts].shape == plane.values[parts].shape
    assert np.array_equal(np.asarray(plane.lazy()[parts]), plane.values[parts])


@pytest.mark.parametrize("shape", [(1 << 40, 1 << 40, 3), (0, 5), (500_000, 500_000)])
def test_a_size_that_no_slide_has_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=f"it has {shape[1]} x {shape[0]} pixels"):
        StridedLevel(_Sized(shape), 2)


class _Sized(Level):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__("a.zarr", shape, np.uint8, (256, 256))

    def _read(self, box: Any) -> Any:
        raise AssertionError


def test_beyond_the_end_is_an_error(plane: Remembering) -> None:
    with pytest.raises(IndexError):
        plane[300]


def test_a_dask_array_reads_only_what_is_sliced(plane: Remembering) -> None:
    large = Remembering(np.broadcast_to(np.uint8(3), (100_000, 80_000, 3)), (256, 256))
    assert large.lazy().npartitions == 49 * 40
    assert np.asarray(large.lazy()[50_000:50_100, 40_000:40_300]).shape == (100, 300, 3)
    assert large.boxes == [(50_000, 50_100, 40_000, 40_300)]


@pytest.mark.parametrize(
    ("shape", "tile", "block"),
    [
        ((9000, 9000, 3), (240, 240), (1920, 1920)),
        ((9000, 9000, 3), (512, 4096), (1024, 4096)),
        ((90_000, 80_000, 3), (8, 80_000), (48, 80_000)),
        ((100, 80, 3), (512, 512), (100, 80)),
        ((9000, 9000), (9000, 9000), (9000, 9000)),
    ],
)
def test_blocks_are_of_whole_tiles(shape: tuple[int, ...], tile: tuple[int, int], block: tuple[int, int]) -> None:
    made = Remembering(np.broadcast_to(np.uint8(0), shape), tile)
    assert made.block == block
    assert made.block[1] <= max(BLOCK, tile[1])


@pytest.mark.parametrize("step", [2, 4, 7])
def test_thinned(step: int) -> None:
    whole = Remembering(np.random.default_rng(0).integers(0, 256, (4500, 2300, 3), np.uint8), (256, 256))
    thin = StridedLevel(whole, step)
    assert np.array_equal(thin[:], whole.values[::step, ::step])
    assert np.array_equal(np.asarray(thin.lazy()), whole.values[::step, ::step])
    assert np.array_equal(thin[11:300, 7:310], whole.values[::step, ::step][11:300, 7:310])
    assert max((box[1] - box[0]) * (box[3] - box[2]) for box in whole.boxes) <= BLOCK**2


def test_held_is_read_once_whoever_asks(plane: Remembering) -> None:
    held = CachedLevel(plane)
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda row: held[row : row + 5], range(0, 300, 5)))
    assert np.array_equal(np.concatenate(parts), plane.values)
    assert plane.boxes == [(0, 300, 0, 420)]


class Broken(Remembering):
    def _read(self, box: Box) -> np.ndarray:
        raise ValueError("no marker")


def test_what_cannot_be_read_is_told_with_its_place() -> None:
    with pytest.raises(
        ImageError, match=r"a cannot be read in rows 3 to 9, columns 0 to 40 of its 40 x 30 pixels: .*no marker"
    ):
        Broken(np.zeros((30, 40), np.uint8))[3:9]


def test_a_slide_of_arrays(tmp_path: Path, plane: Remembering) -> None:
    import dask.array as da
    import zarr

    stored = zarr.create_array(tmp_path / "a.zarr", data=plane.values[::4, ::4].copy(), chunks=(50, 50, 3))
    slide = Slide("a", tmp_path, (plane.values, da.from_array(plane.values[::2, ::2], chunks=64), stored))
    assert slide.downsamples == (1, 2, 4)
    for level, step in enumerate((1, 2, 4)):
        assert np.array_equal(slide.region((3, 60, 5, 70), level), plane.values[::step, ::step][3:60, 5:70])
        assert np.array_equal(np.asarray(slide.levels[level]), plane.values[::step, ::step])


# -- of files, by threads --------------------------------------------------------------------------


def opened(kind: str, folder: Path, rgb: np.ndarray) -> Slide:
    if kind == "zarr":
        return open_slide(write_zarr(folder / "a.ome.zarr", rgb, "0.5"))
    if kind == "mosaic":
        (folder / "tiles").mkdir()
        for row in range(3):
            for column in range(5):
                part = rgb[100 * row : 100 * row + 100, 100 * column : 100 * column + 100]
                write_image(folder / "tiles" / f"r{row}_c{column}.png", np.ascontiguousarray(part))
        return open_slide(folder / "tiles")
    if kind == "strips":
        tifffile.imwrite(folder / "a.tif", rgb, photometric="rgb", rowsperstrip=7, compression="zlib")
        return open_slide(folder / "a.tif")
    if kind == "uncompressed":
        tifffile.imwrite(folder / "a.tif", rgb, photometric="rgb")
        return open_slide(folder / "a.tif")
    path = write_pyramid(folder / "a.tif", rgb, subifds=False, compression="zlib")
    if kind == "tiles":
        return open_slide(path)
    pytest.importorskip("openslide")
    from napari_nucleigan.data.slides.openslide import open_with_openslide

    return open_with_openslide(path)


@pytest.mark.parametrize("kind", ["tiles", "strips", "uncompressed", "zarr", "mosaic", "openslide"])
def test_regions_are_read_by_many_threads(kind: str, tmp_path: Path, tiny_he: Any) -> None:
    rgb = tiny_he(300, 420, 40)[0]
    slide = opened(kind, tmp_path, rgb)
    height, width = rgb.shape[:2]
    start = threading.Barrier(8)

    def read(seed: int) -> int:
        random = np.random.default_rng(seed)
        start.wait()
        wrong = 0
        for _ in range(15):
            top, left = random.integers(0, height - 40), random.integers(0, width - 40)
            bottom, right = top + random.integers(1, 120), left + random.integers(1, 120)
            box = int(top), int(min(bottom, height)), int(left), int(min(right, width))
            wrong += not np.array_equal(slide.region(box), rgb[box[0] : box[1], box[2] : box[3]])
        return wrong

    with slide, ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(read, range(8))) == 0


def test_a_damaged_tile_is_told_and_the_rest_is_read(tmp_path: Path, tiny_he: Any) -> None:
    rgb = tiny_he(300, 420, 40)[0]
    path = write_pyramid(tmp_path / "a.tif", rgb, compression="jpeg")
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        offset, count = page.dataoffsets[8], page.databytecounts[8]  # the second tile of the second row
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    with open_slide(path) as slide:
        assert slide.region((0, 64, 0, 420)).shape == (64, 420, 3)
        with pytest.raises(ImageError, match=r"a\.tif cannot be read in rows 64 to 128, columns 64 to 128"):
            slide.region((64, 128, 64, 128))
