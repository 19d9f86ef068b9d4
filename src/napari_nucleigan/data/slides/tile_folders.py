"""A folder of tiles whose names tell where they lie, as one slide."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.text import printable
from napari_nucleigan.data.images.files import list_images, read_image, read_mpp
from napari_nucleigan.data.slides.slide import Level, Slide, with_overview

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_nucleigan.labels.regions import Bounds

# `slide_x2048_y1024.png`, `x=2048,y=1024`, `[d=2,x=2048,y=1024,w=512,h=512]`: pixels from the upper left corner.
_PIXELS = re.compile(r"(?:^|[^a-z])x([=_]?-?)(\d+)[^0-9a-z]+?y([=_]?-?)(\d+)", re.IGNORECASE)
# What QuPath says beside: by how much the tile was made smaller than the slide, whose pixels all the other numbers are.
_SMALLER = re.compile(r"\[d=(\d+(?:\.\d+)?),x=", re.IGNORECASE)
_EXTENT = re.compile(r",y=\d+,w=(\d+),h=(\d+)", re.IGNORECASE)
# `slide_r02_c11.png`, `row2_col11`: numbers of row and column.
_PLACES = re.compile(r"(?:^|[^a-z])r(?:ow)?[=_-]?(\d+)[^0-9a-z]*c(?:ol(?:umn)?)?[=_-]?(\d+)", re.IGNORECASE)
_LONGEST = 1_000_000  # pixels of a side; the largest slides have 300 000
_EMPTY = 1000  # places for each tile, from which on names mean something else than places
_WHITE = 255


class _Tile(NamedTuple):
    """A tile in its row and column, which begin anywhere: numbers, or pixels of the slide."""

    row: int
    column: int
    file: Path


class _Grid(NamedTuple):
    """Pixels of the slide from tile to tile, or 1 where they are numbered; and pixels that a tile has."""

    step: tuple[int, int]
    size: tuple[int, int]


def is_mosaic(path: Path) -> bool:
    """Tell whether a folder holds several images whose names tell their places."""
    try:
        files = list_images(path)
        return len(files) > 1 and bool(_places(path, files))
    except ImageError:
        return False


def open_mosaic(path: Path) -> Slide:
    """Open a folder of tiles as a slide.

    The names tell where tiles lie: ``NAME_x2048_y1024.png`` in pixels from the upper left corner, or ``NAME_r2_c1.png``
    by row and column, from 0 or 1. The slide begins where the first tile does. All tiles but those of the last row and
    column have one size; missing ones are white, as glass is. Of ``NAME [d=2,x=2048,y=1024,w=512,h=512].png``, as
    QuPath exports tiles, the numbers are pixels of the full resolution, and the tile has half of them.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    Slide

    Raises
    ------
    ImageError
        As `open_slide`, and if the names do not tell the places, or the tiles do not lie on a grid.
    """
    files = list_images(path)
    if not files:
        raise ImageError(f"{path} is neither an OME-Zarr image nor a folder of tiles: it holds no images.")
    tiles, in_pixels = _places(path, files)
    grid = _grid(path, tiles) if in_pixels else _Grid((1, 1), _pixels(tiles[0].file))
    top, left = min(tile.row for tile in tiles), min(tile.column for tile in tiles)
    places: dict[tuple[int, int], Path] = {}
    for tile in tiles:
        (row, below), (column, beside) = divmod(tile.row - top, grid.step[0]), divmod(tile.column - left, grid.step[1])
        if below or beside:
            raise ImageError(
                f"The tiles of {path} do not lie on a grid of {grid.step[1]} x {grid.step[0]} pixels: "
                f"{printable(tile.file.name)} begins at column {tile.column}, row {tile.row}. Tiles that overlap "
                "cannot be opened as one image."
            )
        if (row, column) in places:
            raise ImageError(
                f"Two tiles of {path} lie in one place (row {tile.row}, column {tile.column}): "
                f"{printable(places[row, column].name)} and {printable(tile.file.name)}."
            )
        places[row, column] = tile.file
    rows, columns = (1 + max(place[axis] for place in places) for axis in (0, 1))
    height, width = rows * grid.size[0], columns * grid.size[1]
    if max(height, width) > _LONGEST or rows * columns > _EMPTY * (len(tiles) + 1):
        raise ImageError(
            f"The names of the {len(tiles)} images in {path} would make a slide of {width} x {height} pixels, nearly "
            "all of them white; do they tell places?"
        )
    levels, notes = with_overview([_Mosaic(path.name, places, (rows, columns), grid.size)])
    if missing := rows * columns - len(places):
        notes = (*notes, f"{missing} of {rows * columns} tiles are missing; they are white.")
    return Slide(path.name, path, levels, read_mpp(files[0]), {}, notes)


def _places(path: Path, files: list[Path]) -> tuple[list[_Tile], bool]:
    found = [match for file in files if (match := _PIXELS.search(file.stem))]
    if len(found) == len(files):
        # A hyphen separates where every name has one, and is a sign elsewhere.
        dashed = all(match[sign] == "-" for match in found for sign in (1, 3))
        y, x = ([int(match[sign + 1]) * _sign(match[sign], dashed) for match in found] for sign in (3, 1))
        return [_Tile(*place) for place in zip(y, x, files, strict=True)], True
    found = [match for file in files if (match := _PLACES.search(file.stem))]
    if len(found) == len(files):
        return [_Tile(int(match[1]), int(match[2]), file) for match, file in zip(found, files, strict=True)], False
    raise ImageError(
        f"The names of the images in {path} do not tell where they lie, as NAME_x2048_y1024.png or NAME_r2_c1.png do; "
        "open them one by one."
    )


def _sign(separator: str, dashed: bool) -> int:
    return -1 if separator.endswith("-") and not dashed else 1


def _grid(path: Path, tiles: list[_Tile]) -> _Grid:
    """Find the distance and the size of tiles whose names tell pixels."""
    largest = max(tiles, key=lambda tile: min(_extent(tile.file)))
    width, height = (max(_extent(tile.file)[axis] for tile in tiles) for axis in (0, 1))
    if min(_extent(largest.file)) > 0:
        return _Grid((height, width), _pixels(largest.file))
    factors = {float(found[1]) if (found := _SMALLER.search(tile.file.stem)) else 1.0 for tile in tiles}
    if len(factors) > 1 or 0 in factors:
        raise ImageError(f"The tiles of {path} were made smaller by several factors; take those of one into a folder.")
    (factor,) = factors
    first = _pixels(tiles[0].file)
    steps = []
    for axis in (0, 1):
        places = np.unique([tile[axis] for tile in tiles])
        steps.append(int(np.diff(places).min()) if len(places) > 1 else round(first[axis] * factor))
    size = round(steps[0] / factor), round(steps[1] / factor)
    if first[0] > size[0] or first[1] > size[1]:
        raise ImageError(
            f"The tiles of {path} do not lie on a grid: they begin {size[1]} x {size[0]} pixels apart, and "
            f"{printable(tiles[0].file.name)} has {first[1]} x {first[0]}. Tiles that overlap cannot be opened as one "
            "image."
        )
    return _Grid((steps[0], steps[1]), size)


def _extent(file: Path) -> tuple[int, int]:
    """Width and height in pixels of the slide, as the name tells; 0 where it does not."""
    found = _EXTENT.search(file.stem)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _pixels(file: Path) -> tuple[int, int]:
    """Height and width of an image."""
    height, width = read_image(file).pixels.shape[:2]
    return height, width


class _Mosaic(Level):
    """Tiles in their places, by row and column."""

    def __init__(
        self, file: str, places: dict[tuple[int, int], Path], count: tuple[int, int], size: tuple[int, int]
    ) -> None:
        super().__init__(file, (count[0] * size[0], count[1] * size[1], 3), np.uint8, size)
        self._places = places

    def _read(self, box: Bounds) -> npt.NDArray[Any]:
        top, bottom, left, right = box
        height, width = self.tile
        found = np.full((bottom - top, right - left, 3), _WHITE, np.uint8)
        for row in range(top // height, -(-bottom // height)):
            for column in range(left // width, -(-right // width)):
                if (row, column) not in self._places:
                    continue
                pixels = _read(self._places[row, column], height, width)
                y, x = row * height - top, column * width - left  # where its corner falls
                part = pixels[max(0, -y) : bottom - top - y, max(0, -x) : right - left - x]
                y, x = max(0, y), max(0, x)
                found[y : y + part.shape[0], x : x + part.shape[1]] = part
        return found


def _read(file: Path, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Read a tile, which may lack a part of its place at the right and lower end."""
    pixels = read_image(file).pixels
    if pixels.shape[0] > height or pixels.shape[1] > width:
        raise ImageError(
            f"The tile {file} has {pixels.shape[1]} x {pixels.shape[0]} pixels, more than its place of {width} x "
            f"{height}."
        )
    return pixels
