from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.images.files import write_image
from napari_nucleigan.data.slides import open_slide

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rgb(tiny_he: Any) -> np.ndarray:
    pixels: np.ndarray = tiny_he(150, 210, 20)[0]
    return pixels


def export(folder: Path, rgb: np.ndarray, form: str, factor: float = 1, top: int = 0, left: int = 0) -> None:
    """Write tiles of 64 pixels as QuPath names them: by pixels of a slide that is `factor` times as large."""
    for row in range(0, rgb.shape[0], 64):
        for column in range(0, rgb.shape[1], 64):
            part = np.ascontiguousarray(rgb[row : row + 64, column : column + 64])
            x, y, w, h = (round(factor * each) for each in (column, row, part.shape[1], part.shape[0]))
            write_image(folder / form.format(x=x + left, y=y + top, w=w, h=h), part)


@pytest.mark.parametrize(
    ("form", "factor"),
    [
        ("s [x={x},y={y},w={w},h={h}].png", 1),
        ("s [d=2,x={x},y={y},w={w},h={h}].png", 2),
        ("s [d=4.0,x={x},y={y},w={w},h={h},z=0,t=0].png", 4),
        ("s [d=1.5,x={x},y={y},w={w},h={h}].png", 1.5),
        ("s [d=2.718,x={x},y={y},w={w},h={h}].png", 174 / 64),
        ("s [x={x},y={y},w={w},h={h}].png", 3),
        ("s [d=2,x={x},y={y}].png", 2),
    ],
)
@pytest.mark.parametrize("origin", [(0, 0), (1100, 700)])
def test_coordinates_are_those_of_full_resolution(
    tmp_path: Path, rgb: np.ndarray, form: str, factor: float, origin: tuple[int, int]
) -> None:
    export(tmp_path, rgb, form, factor, *origin)
    with open_slide(tmp_path) as slide:
        assert slide.shape == (192, 256)
        assert np.array_equal(slide.region((0, 150, 0, 210)), rgb)
        assert (slide.region((150, 192, 0, 256)) == 255).all()


def test_tiles_that_overlap_are_refused(tmp_path: Path, rgb: np.ndarray) -> None:
    for x in (0, 48, 96):
        write_image(tmp_path / f"s [x={x},y=0,w=64,h=64].png", np.ascontiguousarray(rgb[:64, x : x + 64]))
    with pytest.raises(ImageError, match=r"grid of 64 x 64 pixels: .* Tiles that overlap"):
        open_slide(tmp_path)


@pytest.mark.parametrize("names", [("x0_y0", "x48_y0", "x96_y0"), ("[d=2,x=0,y=0]", "[d=2,x=64,y=0]")])
def test_tiles_that_are_larger_than_their_distance_are_refused(
    tmp_path: Path, rgb: np.ndarray, names: tuple[str, ...]
) -> None:
    for name in names:
        write_image(tmp_path / f"{name}.png", np.ascontiguousarray(rgb[:64, :64]))
    with pytest.raises(ImageError, match=r"do not lie on a grid: .* Tiles that overlap"):
        open_slide(tmp_path)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("r1_c1", "r99999999_c1"), "do they tell places"),
        (("x0_y0", "x64_y0", "x640000000_y0"), "do they tell places"),
        (("r1_c1", "r9999_c9999"), "do they tell places"),
        (("s [d=2,x=0,y=0]", "s [d=4,x=64,y=0]"), "several factors"),
        (("s [d=0,x=0,y=0]", "s [d=0,x=64,y=0]"), "several factors"),
    ],
)
def test_names_that_tell_no_places(tmp_path: Path, rgb: np.ndarray, names: tuple[str, ...], why: str) -> None:
    for name in names:
        write_image(tmp_path / f"{name}.png", np.ascontiguousarray(rgb[:64, :64]))
    with pytest.raises(ImageError, match=why):
        open_slide(tmp_path)


@pytest.mark.parametrize(
    ("form", "places"),
    [
        ("s_x{x}.png", ("-64_y-64", "0_y-64", "-64_y0", "0_y0")),
        ("s_x={x}.png", ("-128,y=-64", "-64,y=-64", "-128,y=0", "-64,y=0")),
        ("s_x-{x}.png", ("0_y-0", "64_y-0", "0_y-64", "64_y-64")),
    ],
)
def test_a_hyphen_is_a_sign_or_separates(tmp_path: Path, rgb: np.ndarray, form: str, places: tuple[str, ...]) -> None:
    for number, place in enumerate(places):
        row, column = divmod(number, 2)
        part = rgb[64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
        write_image(tmp_path / form.format(x=place), np.ascontiguousarray(part))
    with open_slide(tmp_path) as slide:
        assert np.array_equal(slide.region((0, 128, 0, 128)), rgb[:128, :128])
