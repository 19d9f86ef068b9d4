"""Coarse pixels: which level of a slide shows pixels of some length, and averages over squares of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.data.slides import Slide


def level_of(slide: Slide, mpp: float, wanted: float) -> int:
    """Return the coarsest level whose pixels are no longer than wanted, in microns; 0 if all are longer.

    Parameters
    ----------
    slide : Slide
        The slide.
    mpp : float
        Microns per pixel of its full resolution.
    wanted : float
        Microns.
    """
    fine = [index for index, factor in enumerate(slide.downsamples) if factor * mpp <= wanted * 1.01]
    return fine[-1] if fine else 0


def averaged(pixels: NDArray[np.uint8] | NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Average an image, (H, W, ...), over squares of `side` pixels; it goes on beyond its border as it ends there."""
    if side == 1:
        return pixels.astype(np.float32)
    spare = [-length % side for length in pixels.shape[:2]]
    rest = pixels.shape[2:]
    if any(spare):
        around = [*((0, more) for more in spare), *[(0, 0)] * len(rest)]
        padded: NDArray[Any] = np.pad(pixels, around, mode="edge")
        return averaged(padded, side)
    height, width = (length // side for length in pixels.shape[:2])
    kind = np.uint32 if pixels.dtype == np.uint8 else np.float32
    # Whole rows are added first: sums over short axes take several times as long.
    rows = pixels.reshape(height, side, -1).sum(axis=1, dtype=kind)
    total = rows.reshape(height, width, side, *rest).sum(axis=2, dtype=kind)
    found: NDArray[np.float32] = total.astype(np.float32) / np.float32(side**2)
    return found
