"""Repetition: how much the background of a picture looks like itself a step further on, as a knitted texture does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

REACH = 48
"""Distance in pixels up to which repetition is looked for."""

_SMOOTH = 12.0  # pixels; what varies more slowly is tissue, and no texture
_BESIDE = 2  # pixels around nuclei that belong to their edges
_FEWEST = 0.15  # share of background from which a crop tells anything
_PAIRS = 0.02  # share of the pixels of a crop that must have a partner at a distance
_FLAT = 1e-3  # variance of the lightness below which there is no texture


def repetition(lightness: NDArray[np.float32], nuclei: NDArray[np.bool_]) -> float:
    """Measure the highest autocorrelation of the background beyond its first zero.

    The lightness between nuclei, without what varies slowly, is correlated with itself at every shift; pixels of nuclei
    count in no pair. Over the distance, in all directions, the correlation of a random texture falls from 1 to about 0
    and stays there. That of a texture that repeats rises again at its period.

    Parameters
    ----------
    lightness : ndarray of float32, shape (H, W)
        CIELAB lightness, 0 to 100.
    nuclei : ndarray of bool, shape (H, W)
        Where nuclei are.

    Returns
    -------
    float
        -1 to 1; about 0 where nothing repeats. nan where there is too little background, or it is flat.
    """
    ground = ~ndimage.binary_dilation(nuclei, iterations=_BESIDE)
    if ground.mean() < _FEWEST:
        return float("nan")
    weight = ground.astype(np.float64)
    slow = ndimage.gaussian_filter(lightness * weight, _SMOOTH) / np.maximum(
        ndimage.gaussian_filter(weight, _SMOOTH), 1e-6
    )
    texture = np.where(ground, lightness - slow, 0)
    texture = np.where(ground, texture - texture[ground].mean(), 0)
    variance = float(np.square(texture[ground]).mean())
    if variance < _FLAT:
        return float("nan")
    profile = _by_distance(_correlate(texture), _correlate(weight), weight.size) / variance
    below = np.flatnonzero(profile < 0)
    return float(np.nanmax(profile[below[0] :])) if len(below) else float("nan")


def _correlate(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the products of pairs at every shift up to `REACH`; (2 REACH + 1, 2 REACH + 1), no shift in the middle."""
    shape = [length + REACH for length in values.shape]
    spectrum = np.fft.rfft2(values, shape)
    sums = np.fft.irfft2(np.abs(spectrum) ** 2, shape)
    return np.asarray(np.roll(sums, (REACH, REACH), (0, 1))[: 2 * REACH + 1, : 2 * REACH + 1])


def _by_distance(products: NDArray[np.float64], pairs: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Mean product of a pair by its distance in whole pixels; nan where there are too few pairs."""
    shifts = np.arange(-REACH, REACH + 1)
    distance = np.rint(np.hypot(shifts[:, None], shifts)).astype(int)
    used = (distance <= REACH) & (pairs > _PAIRS * size)
    total = np.bincount(distance[used], products[used], REACH + 1)
    count = np.bincount(distance[used], pairs[used], REACH + 1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
