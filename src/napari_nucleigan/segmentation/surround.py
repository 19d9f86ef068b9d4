"""Black around a scan or a cut-out region: it absorbs all light, and yet there is no tissue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLACK = 40
"""Levels up to which a pixel is black in all colours; the darkest nuclei have few such pixels."""

SIDE = 20.0
"""Microns: black that a square of this side fits into is no nucleus."""

_RIM = 3  # pixels beside the black that compression has brightened, and how bright they are at most
_RIM_LEVEL = 2 * BLACK


def black_surround(pixels: NDArray[np.uint8] | NDArray[np.float32], mpp: float) -> NDArray[np.bool_] | None:
    """Find black without texture.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, 3)
        RGB from 0 to 255.
    mpp : float
        Microns per pixel.

    Returns
    -------
    ndarray of bool, shape (H, W), or None
        True where it is; None where there is none.
    """
    # A reduction over the short last axis would take six times as long.
    brightest = np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    black = brightest <= BLACK
    side = max(3, round(SIDE / mpp)) | 1
    if min(black.shape) < side or np.count_nonzero(black) < side**2:
        return None
    inner = ndimage.minimum_filter(black, side, mode="nearest")
    if not inner.any():
        return None
    found: NDArray[np.bool_] = ndimage.maximum_filter(inner, side + 2 * _RIM) & (brightest <= _RIM_LEVEL)
    return found


def as_glass(pixels: NDArray[np.uint8], mpp: float) -> tuple[NDArray[np.uint8], float]:
    """Make black without texture white, as empty glass is.

    Returns
    -------
    pixels : ndarray of uint8, shape (H, W, 3)
        The same array where there is none.
    share : float
        How much of the image it is.
    """
    black = black_surround(pixels, mpp)
    if black is None:
        return pixels, 0.0
    return np.where(black[..., None], np.uint8(255), pixels), float(black.mean())


def note(what: str, share: float) -> str:
    """Say what was done with the black of an image or slide."""
    return (
        f"{100 * share:.0f} % of the {what} is black without texture, as around a scan; it was taken for empty glass. "
        "Bright-field H&E is expected."
    )
