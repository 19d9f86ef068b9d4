"""A folder of tiles whose names tell where they lie, as one slide."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.images.files import list_images, read_image, read_mpp
from napari_nucleigan.data.slides.slide import Level, Slide, with_overview

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_nucleigan.labels.regions import Bounds

# `slide_x2048_y1024.png`, `x=2048,y=1024`, `[x=2048,y=1024,w=512,h=512]`: pixels from the upper left corner.
_PIXELS = re.compile(r"(?:^|[^a-z])x[=_-]?(\d+)[^0-9a-z]+y[=_-]?(\d+)", re.IGNORECASE)
# `slide_r02_c11.png`, `row2_col11`: numbers of row and column.
_PLACES = re.compile(r"(?:^|[^a-z])r(?:ow)?[=_-]?(\d+)[^0-9a-z]*c(?:ol(?:umn)?)?[=_-]?(\d+)", re.IGNORECASE)
_WHITE = 255


class _Tile(NamedTuple):
    row: int
    column: int
    file: Path


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
    by row and column, from 0 or 1. All tiles but those of the last row and column have one size; missing ones are
    white, as glass is.

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
    first = read_image(files[0])
    height, width = _size(tiles, in_pixels, first.pixels.shape[:2])
    if in_pixels:
        stray = next((tile for tile in tiles if tile.row % height or tile.column % width), None)
        if stray is None and (first.pixels.shape[0] > height or first.pixels.shape[1] > width):
            stray = tiles[0]
        if stray is not None:
            raise ImageError(
                f"The tiles of {path} do not lie on a grid of {width} x {height} pixels: {stray.file.name} begins at "
                f"column {stray.column}, row {stray.row}. Tiles that overlap cannot be opened as one image."
            )
        tiles = [_Tile(tile.row // height, tile.column // width, tile.file) for tile in tiles]
    top, left = min(tile.row for tile in tiles), min(tile.column for tile in tiles)
    places = {(tile.row - top, tile.column - left): tile.file for tile in tiles}
    if len(places) < len(tiles):
        place, count = Counter((tile.row, tile.column) for tile in tiles).most_common(1)[0]
        raise ImageError(f"{count} tiles of {path} lie in one place (row {place[0]}, column {place[1]}).")
    rows, columns = (1 + max(place[axis] for place in places) for axis in (0, 1))
    levels, notes = with_overview([_Mosaic(path.name, places, (rows, columns), (height, width))])
    if missing := rows * columns - len(places):
        notes = (*notes, f"{missing} of {rows * columns} tiles are missing; they are white.")
    return Slide(path.name, path, levels, read_mpp(files[0]), {}, notes)


def _places(path: Path, files: list[Path]) -> tuple[list[_Tile], bool]:
    for pattern, in_pixels in ((_PIXELS, True), (_PLACES, False)):
        found = [(pattern.search(file.stem), file) for file in files]
        if all(match for match, _ in found):
            # x is the column and comes first; of numbered places the row does.
            order = (2, 1) if in_pixels else (1, 2)
            return [_Tile(int(m[order[0]]), int(m[order[1]]), file) for m, file in found if m], in_pixels
    raise ImageError(
        f"The names of the images in {path} do not tell where they lie, as NAME_x2048_y1024.png or NAME_r2_c1.png do; "
        "open them one by one."
    )


def _size(tiles: list[_Tile], in_pixels: bool, first: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the tiles: the distance of their places, or the size of the first one."""
    if not in_pixels:
        return first
    steps = []
    for axis, fallback in ((0, first[0]), (1, first[1])):
        places = np.unique([tile[axis] for tile in tiles])
        steps.append(int(np.diff(places).min()) if len(places) > 1 else fallback)
    return steps[0], steps[1]


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
