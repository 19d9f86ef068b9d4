"""Tiled generator: a synthesizer at work on windows and tiles, the noise that it takes, and how tiles are joined."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.events import Job, Progress, run
from napari_nucleigan.networks.network_runner import NetworkRunner
from napari_nucleigan.tiling import Box, Tile, batches, plan_tiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_nucleigan.networks.network_runner import Precision
    from napari_nucleigan.networks.synthesizers import Synthesizer

BLOCK = 64
"""Side of a block of noise, in values of its map."""


@dataclass(frozen=True, eq=False)
class Window:
    """What the network looks at in one piece.

    Attributes
    ----------
    field : ndarray of float, shape (3, H, W) or (4, H, W)
        Field of the mask domain in [-1, 1], and the tissue where the network knows it.
    seed : int
        Seed of the noise.
    style : ndarray of float32, shape (style_size,)
        Style code.
    origin : (int, int)
        Row and column of its first pixel on the canvas: multiples of the network's stride.
    """

    field: NDArray[np.floating[Any]]
    seed: int
    style: NDArray[np.float32]
    origin: tuple[int, int] = (0, 0)


class TiledGenerator(NetworkRunner["Synthesizer"]):
    """Paint H&E from fields of the mask domain.

    Beyond its edges a canvas has no nuclei. Noise belongs to the place on the canvas, so whatever part is
    painted, it comes out the same. A network that looks no farther than its halo (`local`) is given tiles with
    that much around them, which join exactly, to the rounding of its arithmetic. One that mixes all of a tile is given
    tiles that overlap, and they are blended. See `NetworkRunner` for what happens when memory runs out.

    Parameters
    ----------
    network : Synthesizer
        In evaluation mode.
    device : str
        As `napari_nucleigan.base.devices.choose_device` takes it.
    precision : {"auto", "float32", "bfloat16"}
        Arithmetic.
    tile : int, optional
        Largest side of a tile without what lies around it, in pixels; by default 1024 on a CPU, 2048 on a GPU, and
        half (a quarter) of that where tiles are blended.
    batch : int, optional
        Windows at once; by default 4 on a GPU, 1 on a CPU.

    Raises
    ------
    DeviceError
        If the device is not to be had.
    """

    def __init__(
        self,
        network: Synthesizer,
        device: str = "auto",
        precision: Precision = "auto",
        tile: int | None = None,
        batch: int | None = None,
    ) -> None:
        super().__init__(network, device, precision, batch)
        self.stride = int(network.stride)
        self.halo = int(network.halo)
        self.local = bool(network.local)
        self.style_size = int(network.style_size)
        default = 1024 if self.on_cpu else 2048
        self.tile = tile or (default if self.local else default // 4)

    def paint(
        self, field: NDArray[np.floating[Any]], seed: int = 0, style: ArrayLike | None = None
    ) -> NDArray[np.uint8]:
        """Paint a canvas.

        Parameters
        ----------
        field : ndarray of float, shape (3, H, W) or (4, H, W)
            Field of the mask domain in [-1, 1], of any size. A network that knows tissue reads a fourth channel: the
            number of the tissue of each pixel, alike in a cell; without it the tissue is unknown.
        seed : int
            Seed of the noise.
        style : sequence of float, optional
            Style code, of `style_size`; by default zeros.

        Returns
        -------
        ndarray of uint8, shape (H, W, 3)
            RGB.

        Raises
        ------
        DeviceError
            If there is not the memory for a single tile.
        """
        return run(self.painting(field, seed, style))

    def painting(
        self,
        field: NDArray[np.floating[Any]],
        seed: int = 0,
        style: ArrayLike | None = None,
        region: Box | None = None,
    ) -> Job[NDArray[np.uint8]]:
        """Paint a canvas, or a region of it, tile by tile.

        Parameters
        ----------
        field, seed, style
            As for `paint`.
        region : Box, optional
            Paint this part only; it comes out as in the whole.

        Yields
        ------
        Progress or Note

        Returns
        -------
        ndarray of uint8, shape (h, w, 3)
            RGB of the region, by default of the whole canvas.
        """
        shape = (int(field.shape[1]), int(field.shape[2]))
        field = self._as_read(field)
        whole = Box.of(shape)
        region = region or whole
        code = np.zeros(self.style_size, np.float32) if style is None else np.asarray(style, np.float32)
        tiles = self._tiles(shape, region)
        blender = TileBlender(region, blended=not self.local and len(tiles) > 1)
        started, done = time.perf_counter(), 0
        yield Progress(0, len(tiles), "painting")
        for group in batches(tiles, self.batch):
            windows = [
                Window(field[:, *tile.window.slices], seed, code, (tile.window.top, tile.window.left)) for tile in group
            ]
            for tile, picture in zip(group, self.windows(windows), strict=True):
                blender.add(tile, picture, self.halo, whole)
            yield from self.notes()
            done += len(group)
            left = (time.perf_counter() - started) / done * (len(tiles) - done)
            yield Progress(done, len(tiles), "painting", left)
        return blender.picture()

    def windows(self, windows: Sequence[Window]) -> list[NDArray[np.uint8]]:
        """Paint some windows, each in one piece; those of one size share batches.

        Parameters
        ----------
        windows : sequence of Window
            Each of its own size.

        Returns
        -------
        list of ndarray of uint8, shape (H, W, 3)

        Raises
        ------
        DeviceError
            If not even the CPU has the memory for a single window.
        """
        windows = [replace(window, field=self._as_read(window.field)) for window in windows]
        return self.in_batches(windows, [window.field.shape for window in windows], self._forward)

    def _as_read(self, field: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Give a field the channels that the network reads: the tissue is unknown, or of no use."""
        if not self.network.tissue_classes:
            return field[:3]
        if field.shape[0] > 3:
            return field
        return np.concatenate([field, np.zeros_like(field[:1])])

    def _forward(self, windows: list[Window]) -> NDArray[np.uint8]:
        import torch

        channels, height, width = windows[0].field.shape
        rows, columns = (-(-length // self.stride) * self.stride for length in (height, width))
        fields = np.full((len(windows), channels, rows, columns), -1, dtype=np.float32)
        for field, window in zip(fields, windows, strict=True):
            field[:, :height, :width] = window.field
        noise = [
            np.stack([self._noise(window, level, channels, stride, (rows, columns)) for window in windows])
            for level, (channels, stride) in enumerate(self.network.noise)
        ]
        style = np.stack([window.style for window in windows])
        with torch.inference_mode(), self.autocast():
            given = [torch.from_numpy(array).to(self.device) for array in (fields, style, *noise)]
            maps = [array.contiguous(memory_format=torch.channels_last) for array in (given[0], *given[2:])]
            image = self.network(maps[0], maps[1:], given[1]).float()[..., :height, :width]
            pixels = image.permute(0, 2, 3, 1).add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
            result: NDArray[np.uint8] = pixels.contiguous().cpu().numpy()
        return result

    @staticmethod
    def _noise(window: Window, level: int, channels: int, stride: int, shape: tuple[int, int]) -> NDArray[np.float32]:
        (top, left), (height, width) = window.origin, shape
        if top % stride or left % stride:
            raise ValueError(f"the origin {window.origin} is not a multiple of the stride {stride}")
        return noise_map(
            window.seed, level, channels, (top // stride, left // stride), (height // stride, width // stride)
        )

    def _tiles(self, shape: tuple[int, int], region: Box) -> list[Tile]:
        """Plan the tiles that `region` takes."""
        if not self.local:
            tiles = plan_tiles(shape, self.tile, self.halo, self.stride)
            return [tile for tile in tiles if tile.window.meets(region)]
        # Cut the region only: what lies around a tile is all that matters to it. On the stride, as the halo counts.
        top, left = (start // self.stride * self.stride for start in (region.top, region.left))
        bottom, right = (
            min(length, -(-stop // self.stride) * self.stride)
            for length, stop in zip(shape, (region.bottom, region.right), strict=True)
        )
        parts = [tile.core for tile in plan_tiles((bottom - top, right - left), self.tile, 0, self.stride)]
        cores = [Box(top + part.top, top + part.bottom, left + part.left, left + part.right) for part in parts]
        return [Tile(core, core.grown(self.halo, shape)) for core in cores]


Painter = TiledGenerator
"""Its name in version 0.1.0."""


class TileBlender:
    """The picture of a region while its tiles come in."""

    def __init__(self, region: Box, blended: bool) -> None:
        self._region = region
        self._pixels = np.zeros((*region.shape, 3), np.float32 if blended else np.uint8)
        self._weights = np.zeros((*region.shape, 1), np.float32) if blended else None

    def add(self, tile: Tile, picture: NDArray[np.uint8], halo: int, canvas: Box) -> None:
        """Put a tile in its place; `picture` shows its window."""
        shown = tile.core if self._weights is None else tile.window
        part = shown & self._region
        here, there = part.within(self._region), part.within(tile.window)
        if self._weights is None:
            self._pixels[here] = picture[there]
            return
        rows = _ramp(tile.window.top, tile.window.bottom, canvas.bottom, halo)
        columns = _ramp(tile.window.left, tile.window.right, canvas.right, halo)
        weights = (rows[:, None] * columns)[there][..., None]
        self._pixels[here] += weights * picture[there]
        self._weights[here] += weights

    def picture(self) -> NDArray[np.uint8]:
        """Return what has been painted."""
        if self._weights is None:
            return self._pixels.astype(np.uint8, copy=False)
        return np.rint(self._pixels / self._weights).astype(np.uint8)


def _ramp(start: int, stop: int, end: int, halo: int) -> NDArray[np.float32]:
    """Weights along one side of a window: they rise and fall over what it shares with its neighbours.

    The rise of one tile and the fall of the next, both squared sines over twice the halo, sum to 1.
    """
    steps = np.arange(stop - start) + 0.5
    up = np.ones_like(steps) if start == 0 else np.clip(steps / (2 * halo), 0, 1)
    down = np.ones_like(steps) if stop == end else np.clip((stop - start - steps) / (2 * halo), 0, 1)
    weights: NDArray[np.float32] = (np.sin(np.pi / 2 * np.minimum(up, down)) ** 2).astype(np.float32)
    return weights


def noise_map(
    seed: int, level: int, channels: int, origin: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Cut a window out of a map of noise, so that a tile, a canvas and a repainted spot agree.

    A map is an endless grid of standard normal values, made of blocks. Each block is a function of the seed, the map's
    number and the block's place alone; whichever window is looked at, the values are the same.

    Parameters
    ----------
    seed : int
        At least 0.
    level : int
        Number of the map; maps of one seed are independent.
    channels : int
        Channels of the map.
    origin : (int, int)
        Row and column of the window's first value; may be negative.
    shape : (int, int)
        Height and width of the window in values.

    Returns
    -------
    ndarray of float32, shape (channels, height, width)
        Independent standard normal values.
    """
    (top, left), (height, width) = origin, shape
    window = np.empty((channels, height, width), dtype=np.float32)
    for row in range(top // BLOCK, -(-(top + height) // BLOCK)):
        rows, inner_rows = _overlap(row, top, height)
        for column in range(left // BLOCK, -(-(left + width) // BLOCK)):
            columns, inner_columns = _overlap(column, left, width)
            block = _block(seed, level, channels, row, column)
            window[:, rows, columns] = block[:, inner_rows, inner_columns]
    return window


def _overlap(block: int, start: int, length: int) -> tuple[slice, slice]:
    """Find what a block and a window share along one axis: in the window, and in the block."""
    first = max(start, block * BLOCK)
    last = min(start + length, (block + 1) * BLOCK)
    return slice(first - start, last - start), slice(first - block * BLOCK, last - block * BLOCK)


def _block(seed: int, level: int, channels: int, row: int, column: int) -> NDArray[np.float32]:
    # Seeds are not negative: places left of and above the origin take the odd numbers.
    place = [2 * index if index >= 0 else -2 * index - 1 for index in (row, column)]
    random = np.random.default_rng([seed, level, *place])
    return random.standard_normal((channels, BLOCK, BLOCK), dtype=np.float32)
