"""Optical density and its separation into two stains."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.stains.colour import (
    Float32Array,
    Float64Array,
    UInt8Array,
    luminance,
    luminance_of_lightness,
)

MAX_PIXELS = 50_000  # tissue pixels used by a fit; more do not move the vectors
TISSUE_LIGHTNESS = 90.0  # CIELAB lightness against the white point; what is brighter is background
MAX_ANGLE = (30.0, 45.0)  # degrees from Ruifrok's H and E beyond which a fit is refused
MIN_SEPARATION = 10.0  # degrees between H and E below which they are one stain
MIN_USE = 0.05  # 99th percentile of a stain's concentration below which it is not there
SPARSITY = 0.02  # weight of the L1 norm of the codes, in natural-log optical density
# Pixels per pass: what is computed stays in the cache, and the matrix products stay below the size
# at which BLAS calls in threads, which spin for ten times as long where other programs run.
CHUNK = 1 << 14

# Level 0 would have infinite density; it is taken for level 1.
_DENSITY = -np.log(np.maximum(np.arange(256), 1) / 255).astype(np.float32)
_TISSUE_LUMINANCE = luminance_of_lightness(TISSUE_LIGHTNESS)
_BLACK_LUMINANCE = 0.001


def unit(rows: Any) -> Float64Array:
    """Scale each row to unit length."""
    matrix = np.asarray(rows, dtype=np.float64)
    scaled: Float64Array = matrix / np.linalg.norm(matrix, axis=-1, keepdims=True)
    return scaled


RUIFROK = unit([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
"""Stain vectors of haematoxylin and eosin in RGB optical density, after Ruifrok and Johnston."""


def flatten(rgb: UInt8Array) -> UInt8Array:
    """View an RGB image as rows of pixels.

    Raises
    ------
    ImageError
        If the image is not uint8 of shape (H, W, 3).
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ImageError(
            f"Stains need an RGB image of 8 bits, shape (H, W, 3), but this one is {rgb.dtype} of"
            f" shape {rgb.shape}; convert it first."
        )
    return np.ascontiguousarray(rgb).reshape(-1, 3)


def chunks(count: int) -> list[slice]:
    """Cut `count` pixels into passes of `CHUNK`."""
    return [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]


def density(pixels: UInt8Array, white: Float64Array) -> Float32Array:
    """Optical density against the white point, ``ln(white / level)`` and at least 0.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (n, 3)
        RGB.
    white : ndarray of float64, shape (3,)
        Level of the empty background, 1 to 255.

    Returns
    -------
    ndarray of float32, shape (n, 3)
    """
    values = _DENSITY[pixels]
    if (white < 255).any():
        values += np.log(white / 255).astype(np.float32)
        np.maximum(values, 0, out=values)
    return values


def white_point(flat: UInt8Array) -> Float64Array:
    """Median of the bright, colourless pixels (n, 3); 255 where there are too few of them."""
    some = flat[:: max(1, len(flat) // 200_000)]
    low, high = some.min(axis=1), some.max(axis=1)
    empty = some[(low >= 200) & (high - low <= 15)]
    if len(empty) < max(100, 0.002 * len(some)):
        return np.full(3, 255.0)
    white: Float64Array = np.median(empty, axis=0).astype(np.float64)
    return white


def tissue_pixels(flat: UInt8Array, white: Float64Array, seed: int) -> UInt8Array:
    """Take at most `MAX_PIXELS` of the pixels (n, 3) that are neither background nor black."""
    limit = _TISSUE_LUMINANCE * float(luminance(white.round().astype(np.uint8)[None])[0])
    found = np.zeros(len(flat), dtype=bool)
    for part in chunks(len(flat)):
        bright = luminance(flat[part])
        found[part] = (bright < limit) & (bright > _BLACK_LUMINANCE)
    indices = np.flatnonzero(found)
    if len(indices) > MAX_PIXELS:
        random = np.random.default_rng(seed)
        indices = random.choice(indices, MAX_PIXELS, replace=False, shuffle=False)
    return flat[indices]


def codes(values: Float32Array, matrix: Float64Array, penalty: float = 0.0) -> Float32Array:
    r"""Solve the non-negative lasso on two unit atoms in closed form.

    Minimises :math:`\frac12 \|d - c W\|^2 + \lambda (c_1 + c_2)` over :math:`c \ge 0`. With
    :math:`a_i = w_i \cdot d - \lambda` and :math:`g = w_1 \cdot w_2 \in [0, 1)` the optimum
    without bounds is :math:`u_1 = (a_1 - g a_2) / (1 - g^2)`, and likewise :math:`u_2`. Where
    :math:`u_2 < 0`, the bounded optimum lies on the first axis at :math:`a_1 < u_1`; elsewhere
    :math:`u_1 \le a_1`. Both cases are :math:`c_1 = \min(\max(u_1, 0), \max(a_1, 0))`.

    Parameters
    ----------
    values : ndarray of float32, shape (n, 3)
        Optical densities :math:`d`.
    matrix : ndarray of float64, shape (2, 3)
        Unit, non-negative atoms :math:`W`.
    penalty : float
        :math:`\lambda`, in units of density.

    Returns
    -------
    ndarray of float32, shape (n, 2)
        Concentrations, at least 0.
    """
    overlap = float(np.clip(matrix[0] @ matrix[1], 0, 0.9999))
    inverse = np.linalg.inv([[1, overlap], [overlap, 1]]).astype(np.float32)
    along = values @ matrix.T.astype(np.float32)
    if penalty:
        along -= np.float32(penalty)
    free: Float32Array = along @ inverse
    np.maximum(free, 0, out=free)
    np.maximum(along, 0, out=along)
    return np.minimum(free, along, out=free)


def vahadane(values: Float32Array, start: Float64Array, steps: int = 200) -> Float64Array:
    """Learn a sparse, non-negative dictionary of two unit atoms by block coordinate descent.

    Parameters
    ----------
    values : ndarray of float32, shape (n, 3)
        Optical densities of tissue.
    start : ndarray of float64, shape (2, 3)
        First atoms.
    steps : int
        Most rounds of codes and atoms; it stops sooner once the atoms stand still.

    Returns
    -------
    ndarray of float64, shape (2, 3)
        Haematoxylin, eosin.
    """
    matrix = np.array(start, dtype=np.float64)
    for _ in range(steps):
        found = codes(values, matrix, SPARSITY)
        gram = (found.T @ found).astype(np.float64)
        cross = (found.T @ values).astype(np.float64)
        before = matrix.copy()
        for j in range(2):
            atom = np.maximum(matrix[j] * gram[j, j] + cross[j] - gram[j] @ matrix, 0)
            if atom.any():
                matrix[j] = unit(atom)
        if np.abs(matrix - before).max() < 1e-6:
            break
    return _haematoxylin_first(matrix)


def macenko(values: Float32Array, percentile: float = 1.0) -> Float64Array:
    """Extreme directions in the plane of the two main directions of the densities.

    Parameters
    ----------
    values : ndarray of float32, shape (n, 3)
        Optical densities of two pixels of tissue or more.
    percentile : float
        The angles at this percentile from either end are the stains'.

    Returns
    -------
    ndarray of float64, shape (2, 3)
        Haematoxylin, eosin, unit and non-negative; Ruifrok's where the densities span no plane.
    """
    # The hue of a pale pixel is mostly noise.
    strong = values[(values > 0.15).all(axis=1)]
    if len(strong) < 100:
        strong = values
    _, vectors = np.linalg.eigh(np.cov(strong, rowvar=False, dtype=np.float64))
    plane = vectors[:, :0:-1]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1, 1)
    seen = strong @ plane.astype(np.float32)
    angles = np.percentile(np.arctan2(seen[:, 1], seen[:, 0]), [percentile, 100 - percentile])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane.T
    rows = np.maximum(rows * np.sign(rows.sum(axis=1, keepdims=True)), 0)
    if not rows.any(axis=1).all():
        return RUIFROK.copy()
    return _haematoxylin_first(unit(rows))


def angles_between(a: Float64Array, b: Float64Array) -> Float64Array:
    """Angles in degrees between unit vectors, along the last axis."""
    angles: Float64Array = np.degrees(np.arccos(np.clip((a * b).sum(axis=-1), -1, 1)))
    return angles


def doubt(matrix: Float64Array, strength: Float64Array) -> str | None:
    """Say why two vectors cannot be the stains of H&E.

    Parameters
    ----------
    matrix : ndarray of float64, shape (2, 3)
        Unit stain vectors.
    strength : ndarray of float64, shape (2,)
        99th percentile of the concentration of each.

    Returns
    -------
    str or None
        None where there is nothing against them.
    """
    away = angles_between(matrix, RUIFROK)
    for i, name in enumerate(("haematoxylin", "eosin")):
        if away[i] > MAX_ANGLE[i]:
            return f"{name} lies {away[i]:.0f} degrees from its known colour"
        if strength[i] < MIN_USE:
            return f"there is hardly any {name}"
    apart = float(angles_between(matrix[0], matrix[1]))
    if apart < MIN_SEPARATION:
        return f"the two stains are only {apart:.0f} degrees apart"
    return None


def _haematoxylin_first(matrix: Float64Array) -> Float64Array:
    # Haematoxylin absorbs more red than eosin does.
    return matrix if matrix[0, 0] >= matrix[1, 0] else matrix[::-1].copy()
