"""Stains of one image: how they are found, kept and saved, given to another image, and measured in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.stains.colour import Float32Array, Float64Array, UInt8Array, lab_to_rgb, rgb_to_lab
from napari_nucleigan.stains.separation import (
    RUIFROK,
    TISSUE_LIGHTNESS,
    chunks,
    codes,
    density,
    doubt,
    flatten,
    macenko,
    tissue_pixels,
    unit,
    vahadane,
    white_point,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS = ("vahadane", "macenko", "reinhard")
"""Names of the methods that `fit` knows."""

MIN_PIXELS = 500  # fewer tissue pixels than this cannot describe two stains
MIN_DEVIATION = 1.0  # CIELAB a and b; tissue that varies less in both is of one colour
# A stain that is all but absent must not be amplified without bounds.
MIN_STRENGTH = np.array([0.4, 0.2])
_SHAPES = {
    "matrix": (2, 3),
    "max_concentrations": (2,),
    "white": (3,),
    "lab_mean": (3,),
    "lab_std": (3,),
}

_UNTOUCHED_LIGHTNESS = 98.0  # CIELAB; Reinhard's shift has faded out here


@dataclass(frozen=True, eq=False)
class StainFit:
    """The stains of one image.

    Attributes
    ----------
    matrix : ndarray of float64, shape (2, 3)
        Stain vectors in RGB optical density, haematoxylin first: unit and non-negative rows.
    max_concentrations : ndarray of float64, shape (2,)
        99th percentile of each stain's concentration over the tissue, in natural-log density.
    method : str
        How images are normalised with this fit: ``"vahadane"``, ``"macenko"`` or ``"reinhard"``;
        ``"identity"`` where the image tells too little and is left as it is.
    notes : tuple of str
        What the user should know: fallbacks, and why.
    white : ndarray of float64, shape (3,)
        RGB level of the empty background, 200 to 255.
    lab_mean, lab_std : ndarray of float64, shape (3,)
        Mean and standard deviation of CIELAB (D65) over the tissue.
    """

    matrix: Float64Array
    max_concentrations: Float64Array
    method: str
    notes: tuple[str, ...]
    white: Float64Array
    lab_mean: Float64Array
    lab_std: Float64Array

    def to_json(self) -> dict[str, Any]:
        """Represent the fit by lists and strings, to be saved with a model."""
        arrays = {name: getattr(self, name).tolist() for name in _SHAPES}
        return {"method": self.method, **arrays, "notes": list(self.notes)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> StainFit:
        """Rebuild a fit that `to_json` wrote.

        Raises
        ------
        ValueError
            If something is missing, of wrong shape or not finite, or if the stain vectors are not
            unit and non-negative.
        """
        arrays: dict[str, Float64Array] = {}
        for name, shape in _SHAPES.items():
            try:
                array = np.asarray(record[name], dtype=np.float64)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"not a stain fit: {name} is missing or no numbers") from error
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"not a stain fit: {name} must be {shape} finite numbers")
            arrays[name] = array
        method = record.get("method")
        if method not in (*METHODS, "identity"):
            raise ValueError(f"not a stain fit: unknown method {method!r}")
        matrix = arrays["matrix"]
        if (matrix < 0).any() or not np.allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-6):
            raise ValueError("not a stain fit: the stain vectors are not unit and non-negative")
        if (arrays["max_concentrations"] <= 0).any() or (arrays["white"] < 1).any():
            raise ValueError("not a stain fit: max_concentrations and white must be positive")
        return cls(method=method, notes=tuple(map(str, record.get("notes", ()))), **arrays)


REFERENCE = StainFit(
    matrix=unit([[0.52, 0.76, 0.39], [0.16, 0.84, 0.51]]),
    max_concentrations=np.array([2.3, 1.1]),
    method="vahadane",
    notes=("A typical section: the project's own reference.",),
    white=np.full(3, 255.0),
    lab_mean=np.array([56.0, 31.0, -11.0]),
    lab_std=np.array([15.0, 7.5, 6.5]),
)
"""A typical, well stained section: the target of normalisation where no other is named."""


def fit(rgb: UInt8Array, method: str = "vahadane", seed: int = 0) -> StainFit:
    """Find the stains of an image.

    At most 50 000 tissue pixels (CIELAB lightness below 90 against the white point, not black) are
    used. Where there are fewer than 500, or they are of one colour, the fit is ``"identity"``. A
    Vahadane fit that cannot be H&E falls back to Macenko's, and that one to ``"identity"``: a stain
    vector more than 30 degrees (H) or 45 degrees (E) from Ruifrok's, less than 10 degrees between
    the two, or hardly any of one. The notes of the fit say so.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
        Bright-field H&E image: the whole of it, not a tile.
    method : {"vahadane", "macenko", "reinhard"}
        How to find the stains, and how `normalize` will use them. ``"reinhard"`` itself needs no
        stain vectors; its fit carries Macenko's, or Ruifrok's where those cannot be H&E.
    seed : int
        Chooses the pixels where there are more than 50 000 of tissue.

    Returns
    -------
    StainFit

    Raises
    ------
    ImageError
        If the image is not uint8 of shape (H, W, 3).
    ValueError
        If the method is unknown.
    """
    if method not in METHODS:
        raise ValueError(f"unknown stain method {method!r}; choose one of {', '.join(METHODS)}")
    flat = flatten(rgb)
    white = white_point(flat)
    pixels = tissue_pixels(flat, white, seed)
    lab = rgb_to_lab(pixels) if len(pixels) else np.full((1, 3), (100, 0, 0), dtype=np.float32)
    mean, deviation = lab.mean(axis=0, dtype=np.float64), lab.std(axis=0, dtype=np.float64)
    notes: list[str] = []

    def result(used: str, matrix: Float64Array, strength: Float64Array) -> StainFit:
        strength = np.maximum(strength, MIN_STRENGTH)
        return StainFit(matrix.copy(), strength, used, tuple(notes), white, mean, deviation)

    def identity(reason: str) -> StainFit:
        notes.append(f"Stains are left as they are: {reason}.")
        return result("identity", RUIFROK, np.ones(2))

    if len(pixels) < MIN_PIXELS:
        return identity(f"{len(pixels)} pixels of tissue were found and {MIN_PIXELS} are needed")
    if deviation[1:].max() < MIN_DEVIATION:
        return identity("the tissue is of one colour")
    values = density(pixels, white)
    if method == "vahadane":
        matrix = vahadane(values, RUIFROK)
        strength = _strength(values, matrix)
        refused = doubt(matrix, strength)
        if refused is None:
            return result("vahadane", matrix, strength)
        notes.append(f"The sparse fit (Vahadane) was refused, {refused}; Macenko's was tried.")
    matrix = macenko(values)
    strength = _strength(values, matrix)
    refused = doubt(matrix, strength)
    if method == "reinhard":
        if refused is None:
            return result("reinhard", matrix, strength)
        return result("reinhard", RUIFROK, _strength(values, RUIFROK))
    if refused is None:
        return result("macenko", matrix, strength)
    return identity(f"the Macenko fit was refused, {refused}")


def _strength(values: Float32Array, matrix: Float64Array) -> Float64Array:
    strength: Float64Array = np.percentile(codes(values, matrix), 99, axis=0).astype(np.float64)
    return strength


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
