"""Artefacts made up in real tiles: parts out of focus, folds, strokes of a pen, bubbles of air."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Drawn = tuple[Pixels, NDArray[np.bool_]]

INKS = {"blue": (1.4, 0.75, 0.12), "green": (1.3, 0.45, 0.95), "black": (1.5, 1.45, 1.4), "red": (0.15, 1.6, 1.45)}
"""Optical densities (natural logarithm) of strokes in red, green and blue."""

_SOFT = 4.0  # microns over which a stroke or a fold begins


def blurred(pixels: Pixels, mpp: float, sigma: float, seed: int = 0) -> Drawn:
    """Blur a disc of two fifths of a picture by a Gaussian of so many microns; return it, and where it is."""
    height, width = pixels.shape[:2]
    down, across = _place(pixels, 1.0, seed)
    inside = np.hypot(down, across) < 0.36 * min(height, width)
    soft = ndimage.gaussian_filter(pixels.astype(np.float32), (sigma / mpp, sigma / mpp, 0), truncate=3)
    return np.where(inside[..., None], np.rint(soft).astype(np.uint8), pixels), inside


def folded(pixels: Pixels, mpp: float, seed: int = 0) -> Drawn:
    """Lay a band of 30 to 60 microns of the picture's own tissue over it."""
    half = np.random.default_rng(seed).uniform(15, 30)
    away = half - np.abs(_band(pixels, mpp, seed))
    density = _density(pixels)
    second = np.roll(density[::-1, ::-1], (pixels.shape[0] // 3, pixels.shape[1] // 4), (0, 1))
    return _light(density + np.clip(away / _SOFT, 0, 1)[..., None] * second), away > 0


def inked(pixels: Pixels, mpp: float, ink: str, seed: int = 0) -> Drawn:
    """Draw a wavy stroke of 80 to 120 microns across it, through which the tissue is seen."""
    half = np.random.default_rng(seed).uniform(40, 60)
    along = _band(pixels, mpp, seed + 1)
    away = half - np.abs(_band(pixels, mpp, seed) + 8 * np.sin(along / 30))
    rough = 1 + 0.1 * np.sin(along / 7)
    return _light(_density(pixels) + (np.clip(away / _SOFT, 0, 1) * rough)[..., None] * np.array(INKS[ink])), away > 0


def bubbled(pixels: Pixels, mpp: float, seed: int = 0) -> Drawn:
    """Draw a bubble: a grey rim of 20 microns, and inside it a picture a little out of focus and paler."""
    radius = 0.3 * min(pixels.shape[:2]) * mpp
    away = np.hypot(*_place(pixels, mpp, seed)) - radius
    rim = np.exp(-((away / 8) ** 2))
    soft = ndimage.gaussian_filter(pixels.astype(np.float32), (1 / mpp, 1 / mpp, 0), truncate=3)
    density = np.where((away < 0)[..., None], 0.8 * _density(soft), _density(pixels))
    return _light(density + 1.2 * rim[..., None]), away < 0


def _place(pixels: Pixels, mpp: float, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far each pixel lies from a place near the middle, down and across."""
    shift = np.random.default_rng(seed).uniform(-0.1, 0.1, 2)
    down, across = (
        (np.arange(length) - length * (0.5 + move)) * mpp for length, move in zip(pixels.shape[:2], shift, strict=True)
    )
    return np.broadcast_to(down[:, None], pixels.shape[:2]), np.broadcast_to(across, pixels.shape[:2])


def _band(pixels: Pixels, mpp: float, seed: int) -> NDArray[np.float64]:
    """Return how far each pixel lies from a line near the middle, in microns."""
    angle = np.random.default_rng(seed // 2).uniform(0, np.pi) + (seed % 2) * np.pi / 2
    down, across = _place(pixels, mpp, seed // 2)
    found: NDArray[np.float64] = down * np.cos(angle) + across * np.sin(angle)
    return found


def _density(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = -np.log(np.maximum(pixels.astype(np.float32), 1) / np.float32(255))
    return found


def _light(density: NDArray[np.floating]) -> Pixels:
    return np.rint(255 * np.exp(-density)).clip(0, 255).astype(np.uint8)
