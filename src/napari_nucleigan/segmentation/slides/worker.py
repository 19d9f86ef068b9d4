"""Worker: looks at tiles of a slide and returns their nuclei.

Threads of this process share one `TileWorker`. A process on another machine is sent a `SlideRequest`, opens the slide
and the model itself, and keeps both until it gets another request.
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
from napari_nucleigan.base.pixels import sides
from napari_nucleigan.labels.neighbourhood import COLUMNS as NEIGHBOURHOOD
from napari_nucleigan.labels.polygons import inside
from napari_nucleigan.segmentation.confidence import CONFIDENCE
from napari_nucleigan.segmentation.embedding import EMBEDDING, pooled
from napari_nucleigan.segmentation.instances import Instances, owned, renumbered
from napari_nucleigan.segmentation.segmenter import Segmenter, normalized
from napari_nucleigan.segmentation.surround import as_glass
from napari_nucleigan.tiling import Scale

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.data.slides import Slide
    from napari_nucleigan.models import Model
    from napari_nucleigan.segmentation.settings import SegmentSettings
    from napari_nucleigan.stains import StainFit
    from napari_nucleigan.tiling import Box, Tile

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


class ModelView:
    """Windows of a slide at a model's scale.

    A pixel has the same value in every window that shows it, so that tiles agree where they overlap.

    Parameters
    ----------
    slide : Slide
        The slide.
    mpp : float
        Microns per pixel of its full resolution.
    model_mpp : float
        Microns per pixel of the model.

    Attributes
    ----------
    scale : Scale
        Between the slide and the model.
    factors : (float, float)
        Pixels of the slide that a pixel here is high and wide.

    Raises
    ------
    ImageError
        If no nuclei can be seen at this scale.
    """

    def __init__(self, slide: Slide, mpp: float, model_mpp: float) -> None:
        self.slide = slide
        self.scale = Scale.of(slide.shape, mpp, model_mpp)
        self.factors = (
            slide.shape[0] / self.scale.model_shape[0],
            slide.shape[1] / self.scale.model_shape[1],
        )
        # Of a finely scanned slide a level that is fine enough is read; it is smoothed already, and a quarter the work.
        fine = [number for number, factor in enumerate(slide.downsamples) if factor <= min(self.factors) * 1.01]
        self._level = fine[-1] if self.scale.resamples and fine else 0
        height, width = slide.levels[self._level].shape[:2]
        self._inner = int(height), int(width)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels of the model's scale."""
        return self.scale.model_shape

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        box : Box
            In pixels of the model's scale.

        Returns
        -------
        ndarray of uint8, shape (H, W, 3)
            RGB; linear between the pixels of the slide, and an average over them where it shrinks.
        """
        if self._inner == self.shape:
            return self.slide.region((box.top, box.bottom, box.left, box.right), self._level)
        rows, row_weights = taps(box.top, box.bottom, self.shape[0], self._inner[0])
        columns, column_weights = taps(box.left, box.right, self.shape[1], self._inner[1])
        top, left = int(rows.min()), int(columns.min())
        pixels = self.slide.region((top, int(rows.max()) + 1, left, int(columns.max()) + 1), self._level)
        across = _weighted(pixels.swapaxes(0, 1), columns - left, column_weights).swapaxes(0, 1)
        window = _weighted(across, rows - top, row_weights)
        return np.rint(window, out=window).astype(np.uint8)


def taps(start: int, stop: int, length: int, inner: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Weights of linear resampling with a triangle that is as wide as the longer of the two pixels.

    Parameters
    ----------
    start, stop : int
        Pixels wanted, of `length`.
    length, inner : int
        Length of the whole axis in pixels after and before.

    Returns
    -------
    places : ndarray of int, shape (stop - start, k)
        Pixels of the axis before.
    weights : ndarray of float32, shape (stop - start, k)
        Of each; they add up to 1.
    """
    ratio = inner / length
    reach = max(1.0, ratio)
    centres = ((np.arange(start, stop) + 0.5) * ratio - 0.5)[:, None]
    places = (np.floor(centres - reach) + 1).astype(np.intp) + np.arange(int(np.ceil(2 * reach)))
    weights = np.maximum(0, 1 - np.abs(places - centres) / reach)
    return places.clip(0, inner - 1), (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _weighted(
    pixels: NDArray[np.uint8] | NDArray[np.float32], places: NDArray[np.intp], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    total = np.zeros((places.shape[0], *pixels.shape[1:]), np.float32)
    for place, weight in zip(places.T, weights.T, strict=True):
        total += pixels[place] * weight[:, None, None]
    return total


class TileWorker:
    """Finds the nuclei of tiles; its threads take turns at the network.

    Parameters
    ----------
    slide : Slide
        The slide.
    model : Model
        A segmenter.
    request : SlideRequest
        What is wanted.
    segmenter : Segmenter, optional
        Made of the model and the request's settings, where there is one already.

    Raises
    ------
    DeviceError
        If the device is not to be had.
    ImageError
        If no nuclei can be seen at this scale.
    """

    def __init__(self, slide: Slide, model: Model, request: SlideRequest, segmenter: Segmenter | None = None) -> None:
        self.view = ModelView(slide, request.mpp, model.card.mpp)
        self.segmenter = segmenter or Segmenter(model, request.settings)
        self._stains = _stains(request)
        self._polygons = [np.array(polygon) for polygon in request.region or ()]
        self._turn = threading.Lock()
        # Area of a pixel here in square microns, and in pixels of the slide.
        self._area = request.mpp**2 * self.view.factors[0] * self.view.factors[1]
        self._mpp = float(np.sqrt(self._area))
        self._slide_mpp = request.mpp

    def equipment(self) -> Equipment:
        """Tell what it computes with."""
        predictor = self.segmenter.predictor
        return Equipment(predictor.device, predictor.precision, predictor.batch)

    def __call__(self, tiles: Sequence[Tile]) -> list[Instances]:
        """Find the nuclei of some tiles.

        Raises
        ------
        NucleiganError
            If the slide cannot be read there, or the network fails; never a `RuntimeError`.
        """
        try:
            windows = [self._read(tile) for tile in tiles]
            seen = [normalized(window, self._stains) for window in windows]
            predictor, embeds = self.segmenter.predictor, self.segmenter.embeds
            with self._turn:
                fields = predictor.described(seen) if embeds else [(field, None) for field in predictor(seen)]
            return [
                self._record(field, features, window, tile)
                for (field, features), window, tile in zip(fields, windows, tiles, strict=True)
            ]
        except NucleiganError:
            raise
        except (RuntimeError, MemoryError) as error:
            raise DeviceError(f"The network failed ({error}); try a smaller tile, or the device 'cpu'.") from error

    def _read(self, tile: Tile) -> NDArray[np.uint8]:
        try:
            return as_glass(self.view.read(tile.window), self._mpp)[0]
        except NucleiganError:
            raise
        except Exception as error:  # whatever the decoder of a damaged file says
            raise ImageError(f"the slide cannot be read there ({type(error).__name__}: {error})") from error

    def _record(
        self, field: NDArray[np.float16], features: NDArray[np.float16] | None, window: NDArray[np.uint8], tile: Tile
    ) -> Instances:
        from napari_nucleigan.labels.features import measure

        decoding = self.segmenter.decoding
        labels = decoding.labels(field)
        sure = decoding.confidence(labels, field)
        areas = np.bincount(labels.ravel(), minlength=int(labels.max(initial=0)) + 1) * self._area
        real = decoding.wanted(areas, sure)
        keep = self._wanted(labels, tile) & real
        # A ring of cytoplasm ends at the nuclei of other tiles too; all else looks at a nucleus alone.
        around = real if self.segmenter.measurements == "full" else keep
        labels = renumbered(labels, around)
        mine = keep[around]
        table = measure(labels, window, self._mpp, measurements=self.segmenter.measurements)
        if sure is not None:
            table[CONFIDENCE] = sure[around[1:]]
        if features is not None:
            table[EMBEDDING] = pooled(labels, features, (field.shape[1], field.shape[2])).astype(np.float16)
        # Neighbours lie in other tiles too: they are counted when all nuclei are known.
        table = {name: values[mine] for name, values in table.items() if name not in ("label", *NEIGHBOURHOOD)}
        labels = renumbered(labels, np.concatenate([[False], mine]))
        return Instances.of(labels, tile.window, None, on_slide(table, tile, self.view.factors, self._slide_mpp))

    def _wanted(self, labels: NDArray[np.int32], tile: Tile) -> NDArray[np.bool_]:
        """Tell which nuclei belong to the tile, and lie in the region."""
        keep = owned(labels, tile)
        keep[0] = False  # the background has no centre
        if self._polygons and keep.any():
            numbers = np.flatnonzero(keep)
            centres = np.array(ndimage.center_of_mass(labels > 0, labels, numbers))
            centres += (tile.window.top + 0.5, tile.window.left + 0.5)
            keep[numbers] = inside(centres * self.view.factors, self._polygons)
        return keep


def _stains(request: SlideRequest) -> tuple[StainFit, StainFit] | None:
    if request.stains is None:
        return None
    from napari_nucleigan.stains import StainFit

    return StainFit.from_json(request.stains[0]), StainFit.from_json(request.stains[1])


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
        Microns per pixel of the slide.

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
    starts = tile.window.top, tile.window.left
    for axis, start, factor, side in zip("yx", starts, factors, sides(mpp), strict=True):
        # The centre of the first pixel is (0, 0), there and here.
        centre = (table[f"centroid_{axis}_px"] + start + 0.5) * factor - 0.5
        found[f"centroid_{axis}_px"] = centre
        found[f"centroid_{axis}_um"] = centre * side
    return found


# A process of a cluster: one request, hence one slide and one copy of the model, at a time.
_held: list[tuple[SlideRequest, TileWorker, ExitStack]] = []
_opening = threading.Lock()


def segment_elsewhere(request: SlideRequest, tiles: Sequence[Tile]) -> list[Instances]:
    """Find the nuclei of some tiles, in a process that has only been told the request."""
    return _worker(request)(tiles)


def equip_elsewhere(request: SlideRequest) -> Equipment:
    """Open slide and model in a process that has only been told the request, and tell what it computes with."""
    return _worker(request).equipment()


def _worker(request: SlideRequest) -> TileWorker:
    from napari_nucleigan.data.slides import open_slide
    from napari_nucleigan.models import load_model

    with _opening:
        if not _held or _held[0][0] != request:
            let_go()
            model = load_model(request.model, "segmenter")
            if model.card.sha256 != request.sha256:
                raise ImageError(
                    f"The model {request.model} is another one on a worker; all workers need the same files under the "
                    "same path."
                )
            with ExitStack() as stack:
                slide = stack.enter_context(open_slide(request.slide))
                stack.enter_context(kept_memory())
                worker = TileWorker(slide, model, request)
                _held.append((request, worker, stack.pop_all()))
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
