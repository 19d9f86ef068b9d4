"""Give an image the stains of another; measure how much of each stain it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.stains.colour import Float32Array, UInt8Array, lab_to_rgb, rgb_to_lab
from napari_nucleigan.stains.fits import METHODS, MIN_DEVIATION, fit
from napari_nucleigan.stains.separation import (
    TISSUE_LIGHTNESS,
    chunks,
    codes,
    density,
    flatten,
)

if TYPE_CHECKING:
    from napari_nucleigan.stains.fits import StainFit

_UNTOUCHED_LIGHTNESS = 98.0  # CIELAB; Reinhard's shift has faded out here


def normalize(rgb: UInt8Array, target: StainFit, source: StainFit | None = None) -> UInt8Array:
    """Give an image the stains of another.

    Vahadane and Macenko: the non-negative concentrations of the source's stains are scaled so that
    their 99th percentiles meet the target's, and painted with the target's stain vectors on white.
    Reinhard: mean and standard deviation of each CIELAB channel over the tissue are moved to the
    target's; background stays.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
        Image, or a tile of it.
    target : StainFit
        The stains to give.
    source : StainFit, optional
        The stains of the whole image; its method is the one used. Fitted on `rgb` by the target's
        method where none is given.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        A copy of the image where either fit is ``"identity"``.

    Raises
    ------
    ImageError
        If the image is not uint8 of shape (H, W, 3).
    """
    flat = flatten(rgb)
    if source is None:
        source = fit(rgb, target.method) if target.method in METHODS else target
    if "identity" in (source.method, target.method):
        return rgb.copy()
    change = _reinhard if source.method == "reinhard" else _repaint
    out = np.empty_like(flat)
    for part in chunks(len(flat)):
        out[part] = change(flat[part], source, target)
    return out.reshape(rgb.shape)


def concentrations(rgb: UInt8Array, stains: StainFit) -> Float32Array:
    """Unmix an image into its stains.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
        H&E image.
    stains : StainFit
        Its stain vectors and white point.

    Returns
    -------
    ndarray of float32, shape (H, W, 2)
        Concentrations of haematoxylin and eosin in natural-log optical density, at least 0: the
        non-negative least-squares solution.

    Raises
    ------
    ImageError
        If the image is not uint8 of shape (H, W, 3).
    """
    flat = flatten(rgb)
    out = np.empty((len(flat), 2), dtype=np.float32)
    for part in chunks(len(flat)):
        out[part] = codes(density(flat[part], stains.white), stains.matrix)
    return out.reshape(*rgb.shape[:2], 2)


def _repaint(pixels: UInt8Array, source: StainFit, target: StainFit) -> UInt8Array:
    gain = target.max_concentrations / source.max_concentrations
    paint = -(gain[:, None] * target.matrix).astype(np.float32)
    light = codes(density(pixels, source.white), source.matrix) @ paint
    np.exp(light, out=light)
    light *= 255
    light += 0.5
    return light.astype(np.uint8)


def _reinhard(pixels: UInt8Array, source: StainFit, target: StainFit) -> UInt8Array:
    lab = rgb_to_lab(pixels)
    gain = (target.lab_std / np.maximum(source.lab_std, MIN_DEVIATION)).astype(np.float32)
    moved = (lab - source.lab_mean.astype(np.float32)) * gain
    moved += target.lab_mean.astype(np.float32)
    # The shift fades out between the lightness of tissue and that of glass, so background stays.
    glass = rgb_to_lab(source.white.round().astype(np.uint8)[None])[0, 0]
    lightness = (lab[:, :1] + 16) * (116 / (glass + 16)) - 16
    fade = (_UNTOUCHED_LIGHTNESS - lightness) / (_UNTOUCHED_LIGHTNESS - TISSUE_LIGHTNESS)
    lab += np.clip(fade, 0, 1) * (moved - lab)
    return lab_to_rgb(lab)
