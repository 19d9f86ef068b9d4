"""What a worker does: it looks at tiles of a slide and returns the records of their nuclei.

Threads of this process share one `TileWorker`. A process on another machine is sent a `SlideRequest`, opens the slide
and the model itself, and keeps both until it gets another order.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_nucleigan.base.devices import kept_memory
from napari_nucleigan.base.errors import DeviceError, ImageError, NucleiganError
from napari_nucleigan.masks.encoding import decode
from napari_nucleigan.segmentation.image import Decoding
from napari_nucleigan.segmentation.predictor import Predictor, is_blank
from napari_nucleigan.segmentation.slides.model_view import ModelView
from napari_nucleigan.segmentation.slides.tile_store import TileRecord
from napari_nucleigan.tiling.tiles import owned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.data.slides import Slide
    from napari_nucleigan.models import Model
    from napari_nucleigan.segmentation.settings import SegmentSettings
    from napari_nucleigan.tiling.tiles import Tile

Polygons = tuple[tuple[tuple[float, float], ...], ...]
"""Polygons whose nuclei are wanted: corners (row, column) in pixels of the slide."""


@dataclass(frozen=True)
class SlideRequest:
    """All that a worker must know; it can be sent to another machine.

    Attributes
    ----------
    slide, model : Path
        Files that every worker finds under the same path.
    sha256 : str
        Checksum of the model's tensors.
    settings : SegmentSettings
        How to segment.
    mpp : float
        Microns per pixel of the slide.
    stains : tuple of dict or None
        Stains of the slide and of the reference, as JSON.
    region : Polygons or None
        Where nuclei are wanted; None for everywhere.
    """

    slide: Path
    model: Path
    sha256: str
    settings: SegmentSettings
    mpp: float
    stains: tuple[dict[str, Any], dict[str, Any]] | None = None
    region: Polygons | None = None


@dataclass(frozen=True)
class Equipment:
    """What a worker computes with.

    Attributes
    ----------
    device, precision : str
        As torch names them.
    batch : int
        Tiles that it takes at once.
    """

    device: str
    precision: str
    batch: int


class TileWorker:
    """Finds the nuclei of tiles; its threads take turns at the network.

    Parameters
    ----------
    slide : Slide
        The slide.
    model : Model
        A segmenter.
    order : SlideRequest
        What is wanted.

    Raises
    ------
    DeviceError
        If the device is not to be had.
    ImageError
        If no nuclei can be seen at this scale.
    """

    def __init__(self, slide: Slide, model: Model, order: SlideRequest) -> None:
        settings, card = order.settings, model.card
        views = settings.views or int(card.decode.get("views", 1))
        self.view = ModelView(slide, order.mpp, card.mpp)
        self.cutting = Decoding.of(settings, card)
        self.predictor = Predictor(model.network, settings.device, settings.precision, settings.batch, views)
        self._stains = order.stains
        self._polygons = [np.array(polygon) for polygon in order.region or ()]
        self._turn = threading.Lock()
        # Area of a pixel here in square microns, and in pixels of the slide.
        self._area = order.mpp**2 * self.view.factors[0] * self.view.factors[1]
        self._mpp = float(np.sqrt(self._area))

    def equipment(self) -> Equipment:
        """Tell what it computes with."""
        return Equipment(self.predictor.device, self.predictor.precision, self.predictor.batch)

    def __call__(self, tiles: Sequence[Tile]) -> list[TileRecord]:
        """Find the nuclei of some tiles.

        Raises
        ------
        NucleiganError
            If the slide cannot be read there, or the network fails; never a `RuntimeError`.
        """
        try:
            windows = [self._read(tile) for tile in tiles]
            stained = [self._normalised(window) for window in windows]
            with self._turn:
                fields = self.predictor(stained)
            return [
                self._record(field, window, tile) for field, window, tile in zip(fields, windows, tiles, strict=True)
            ]
        except NucleiganError:
            raise
        except (RuntimeError, MemoryError) as error:
            raise DeviceError(f"The network failed ({error}); try a smaller tile, or the device 'cpu'.") from error

    def _read(self, tile: Tile) -> NDArray[np.uint8]:
        try:
            return self.view.read(tile.window)
        except NucleiganError:
            raise
        except Exception as error:  # whatever the decoder of a damaged file says
            raise ImageError(f"the slide cannot be read there ({type(error).__name__}: {error})") from error

    def _normalised(self, window: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._stains is None or is_blank(window):
            return window
        from napari_nucleigan import stains

        source, target = map(stains.StainFit.from_json, self._stains)
        return stains.normalize(window, target, source)

    def _record(self, field: NDArray[np.float16], window: NDArray[np.uint8], tile: Tile) -> TileRecord:
        from napari_nucleigan.labels.features import measure

        labels = decode(field.astype(np.float32), **self.cutting.decoding)
        labels = self._wanted(labels, tile)
        corners, masks = [], []
        for number, box in enumerate(ndimage.find_objects(labels), start=1):
            corners.append((tile.window.top + box[0].start, tile.window.left + box[1].start))
            masks.append(labels[box] == number)
        table = measure(labels, window, self._mpp)
        del table["label"]
        return TileRecord.of(corners, masks, on_slide(table, tile, self.view.factors, self._mpp))

    def _wanted(self, labels: NDArray[np.int32], tile: Tile) -> NDArray[np.int32]:
        """Keep the nuclei that belong to the tile, are neither too small nor too large, and lie in the region."""
        keep = owned(labels, tile)
        areas = np.bincount(labels.ravel(), minlength=keep.size) * self._area
        keep &= (areas > 0) & (areas >= self.cutting.min_area) & (areas <= self.cutting.max_area)
        keep[0] = False
        if self._polygons and keep.any():
            numbers = np.flatnonzero(keep)
            centres = np.array(ndimage.center_of_mass(labels > 0, labels, numbers))
            centres += (tile.window.top + 0.5, tile.window.left + 0.5)
            keep[numbers] = inside(centres * self.view.factors, self._polygons)
        names = np.zeros(keep.size, np.int32)
        names[keep] = np.arange(1, np.count_nonzero(keep) + 1)
        return names[labels]


def inside(points: NDArray[np.float64], polygons: Sequence[NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Tell which points (n, 2) lie in at least one of some polygons (m, 2)."""
    from skimage.measure import points_in_poly

    found = np.zeros(len(points), bool)
    for polygon in polygons:
        found |= points_in_poly(points, polygon)
    return found


def on_slide(
    table: dict[str, NDArray[Any]], tile: Tile, factors: tuple[float, float], mpp: float
) -> dict[str, NDArray[Any]]:
    """Bring measurements in a window at the model's scale to pixels and microns of the slide.

    Parameters
    ----------
    table : dict of str to ndarray
        As `napari_nucleigan.labels.features.measure` gives it.
    tile : Tile
        Whose window was measured.
    factors : (float, float)
        Pixels of the slide that a pixel of the window is high and wide.
    mpp : float
        Microns per pixel of the window.

    Returns
    -------
    dict of str to ndarray
    """
    found = dict(table)
    length = float(np.sqrt(factors[0] * factors[1]))
    for name, values in table.items():
        if name == "area_px":
            found[name] = np.rint(values * factors[0] * factors[1]).astype(np.int64)
        elif name.startswith("centroid"):
            continue
        elif name.endswith("_px"):
            found[name] = values * length
    for axis, start, factor in (("y", tile.window.top, factors[0]), ("x", tile.window.left, factors[1])):
        # The centre of the first pixel is (0, 0), there and here.
        centre = (table[f"centroid_{axis}_px"] + start + 0.5) * factor - 0.5
        found[f"centroid_{axis}_px"] = centre
        found[f"centroid_{axis}_um"] = centre * (mpp / length)
    return found


# A process of a cluster: one order, hence one slide and one copy of the model, at a time.
_held: list[tuple[SlideRequest, TileWorker, ExitStack]] = []
_opening = threading.Lock()


def segment_elsewhere(order: SlideRequest, tiles: Sequence[Tile]) -> list[TileRecord]:
    """Find the nuclei of some tiles, in a process that has only been told the order."""
    return _worker(order)(tiles)


def equip_elsewhere(order: SlideRequest) -> Equipment:
    """Open slide and model in a process that has only been told the order, and tell what it computes with."""
    return _worker(order).equipment()


def _worker(order: SlideRequest) -> TileWorker:
    from napari_nucleigan.data.slides import open_slide
    from napari_nucleigan.models import load_model

    with _opening:
        if not _held or _held[0][0] != order:
            let_go()
            model = load_model(order.model, "segmenter")
            if model.card.sha256 != order.sha256:
                raise ImageError(
                    f"The model {order.model} is another one on a worker; all workers need the same files under the "
                    "same path."
                )
            with ExitStack() as stack:
                slide = stack.enter_context(open_slide(order.slide))
                stack.enter_context(kept_memory())
                worker = TileWorker(slide, model, order)
                _held.append((order, worker, stack.pop_all()))
            _share_cores()
        return _held[0][1]


def _share_cores() -> None:
    """Compute with as many cores as whoever started this process gave it: others have the rest."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given):
        import torch

        torch.set_num_threads(int(given))


def let_go() -> None:
    """Close what this process holds for others."""
    while _held:
        _held.pop()[2].close()
