"""CIELAB colours (D65, 2 degrees) of 8-bit sRGB pixels, in float32 and by look-up tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

_LEVELS = np.arange(256) / 255
LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""Linear intensity (0 to 1) of each of the 256 levels of sRGB."""

_STEPS = 4096
_INTENSITIES = np.arange(_STEPS + 1) / _STEPS
_GAMMA = np.where(_INTENSITIES <= 0.0031308, 12.92 * _INTENSITIES, 1.055 * _INTENSITIES ** (1 / 2.4) - 0.055)
_FROM_LINEAR = np.round(255 * _GAMMA).astype(np.uint8)

_RGB_TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
_D65 = np.array([0.95047, 1.0, 1.08883])


def _right(matrix: Any) -> Float32Array:
    """Return the matrix in float32, for pixels that are rows."""
    return np.ascontiguousarray(np.transpose(matrix), dtype=np.float32)


_ROOTS_TO_LAB = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]])
_TO_XYZ = _right(_RGB_TO_XYZ / _D65[:, None])
_FROM_XYZ = _right(np.linalg.inv(_RGB_TO_XYZ / _D65[:, None]))
_TO_LAB = _right(_ROOTS_TO_LAB)
_FROM_LAB = _right(np.linalg.inv(_ROOTS_TO_LAB))
_LUMINANCE = _right(_RGB_TO_XYZ[1:2])
_OFFSET = np.float32(16 / 116)
_SLOPE = np.float32(7.787)
_KNEE = np.float32(0.008856)


def luminance(pixels: UInt8Array) -> Float32Array:
    """Relative luminance Y.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (n, 3)
        SRGB.

    Returns
    -------
    ndarray of float32, shape (n,)
        0 for black to 1 for white.
    """
    bright: Float32Array = (LINEAR[pixels] @ _LUMINANCE)[:, 0]
    return bright


def luminance_of_lightness(lightness: float) -> float:
    """Relative luminance (0 to 1) of a CIELAB lightness (8 to 100)."""
    return float(((lightness + 16) / 116) ** 3)


def rgb_to_lab(pixels: UInt8Array) -> Float32Array:
    """Convert sRGB to CIELAB.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (n, 3)
        SRGB.

    Returns
    -------
    ndarray of float32, shape (n, 3)
        Lightness 0 to 100, and the two colour axes, about -100 to 100.
    """
    xyz = LINEAR[pixels] @ _TO_XYZ
    # Exponential and logarithm are vectorised where np.cbrt is not: four times faster.
    roots = np.exp(np.log(np.maximum(xyz, _KNEE)) * np.float32(1 / 3))
    roots = np.where(xyz > _KNEE, roots, _SLOPE * xyz + _OFFSET)
    lab: Float32Array = roots @ _TO_LAB
    lab[:, 0] -= 16
    return lab


def lab_to_rgb(lab: Float32Array) -> UInt8Array:
    """Convert CIELAB, float32 of shape (n, 3), to the nearest sRGB, clipped to its gamut."""
    roots = (lab + np.array([16, 0, 0], dtype=np.float32)) @ _FROM_LAB
    xyz = np.where(roots > np.cbrt(_KNEE), roots * roots * roots, (roots - _OFFSET) / _SLOPE)
    linear = np.clip(xyz @ _FROM_XYZ, 0, 1)
    rgb: UInt8Array = _FROM_LINEAR[(linear * _STEPS + 0.5).astype(np.uint16)]
    return rgb
