from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.contributions.readers import get_reader
from napari_nucleigan.data.slides import is_slide, list_slides, open_slide
from napari_nucleigan.data.slides.slide import OVERVIEW

czi = pytest.importorskip("pylibCZIrw.czi")

if TYPE_CHECKING:
    from pathlib import Path


def write_czi(path: Path, pixels: np.ndarray, mpp: float | None = 0.25) -> Path:
    with czi.create_czi(str(path)) as document:
        # In two pieces, as scanners write mosaics, which do not begin at 0.
        for left in (0, 200):
            part = np.ascontiguousarray(pixels[:, left : left + (200 if not left else pixels.shape[1]), ::-1])
            document.write(part, plane={"C": 0}, location=(1000 + left, -50))
        if mpp:
            document.write_metadata("a slide", scale_x=1e-6 * mpp, scale_y=1e-6 * mpp)
    return path


def test_a_slide_of_zeiss(tmp_path: Path, tiny_he: Any) -> None:
    pixels = tiny_he(300, 420, 40)[0]
    path = write_czi(tmp_path / "a.czi", pixels)
    assert is_slide(path)
    assert list_slides(tmp_path) == [path]
    with open_slide(path) as slide:
        assert (slide.name, slide.shape, slide.notes) == ("a", (300, 420), ())
        assert slide.mpp == pytest.approx(0.25)
        assert np.array_equal(slide.region((0, 300, 0, 420)), pixels)
        assert np.array_equal(slide.region((17, 90, 190, 333)), pixels[17:90, 190:333])
    assert get_reader(str(path)) is not None


def test_its_levels_are_read_when_the_slide_has_gone(tmp_path: Path, tiny_he: Any) -> None:
    pixels = tiny_he(300, 420, 40)[0]
    reader = get_reader(str(write_czi(tmp_path / "a.czi", pixels)))
    assert reader is not None
    ((levels, _, kind),) = reader(str(tmp_path / "a.czi"))
    gc.collect()
    assert kind == "image"
    assert np.array_equal(levels[0][20:90, 190:333].compute(), pixels[20:90, 190:333])


def test_smaller_levels_are_there(tmp_path: Path) -> None:
    pixels = np.full((1100, 2100, 3), 240, np.uint8)
    pixels[:, :200] = (150, 60, 120)
    with open_slide(write_czi(tmp_path / "a.czi", pixels, None)) as slide:
        assert slide.mpp is None
        assert len(slide.planes) > 1
        small = slide.planes[-1][:]
        assert max(small.shape) <= OVERVIEW
        assert np.abs(small[5, 5].astype(int) - (150, 60, 120)).max() <= 3
        assert np.abs(small[-5, -5].astype(int) - 240).max() <= 3


def test_what_is_no_colour_and_what_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path)) as document:
        document.write(np.zeros((50, 60, 1), np.uint16), plane={"C": 0})
    with pytest.raises(ImageError, match="Gray16"):
        open_slide(path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ImageError, match="Cannot read"):
        open_slide(path)
