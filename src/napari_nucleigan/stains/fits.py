"""The stains of one image: how they are found, kept and saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.stains.colour import Float64Array, UInt8Array, rgb_to_lab
from napari_nucleigan.stains.separation import (
    RUIFROK,
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
MIN_DEVIATION = 0.5  # CIELAB; tissue that varies less has no stains to compare
# A stain that is all but absent must not be amplified without bounds.
MIN_STRENGTH = np.array([0.4, 0.2])
_SHAPES = {
    "matrix": (2, 3),
    "max_concentrations": (2,),
    "white": (3,),
    "lab_mean": (3,),
    "lab_std": (3,),
}


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

    At most 50 000 tissue pixels (CIELAB lightness below 90, not black) are used. Where there are
    fewer than 500, the fit is ``"identity"``. A Vahadane fit that cannot be H&E falls back to
    Macenko's, and that one to ``"identity"``: a stain vector more than 30 degrees (H) or 45 degrees
    (E) from Ruifrok's, or less than 10 degrees between the two. The notes of the fit say so.

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
    pixels = tissue_pixels(flat, seed)
    white = white_point(flat)
    if len(pixels) < MIN_PIXELS:
        reason = f"{len(pixels)} tissue pixels were found and {MIN_PIXELS} are needed"
        return _fit(pixels, white, RUIFROK, "identity", [f"Stains are left as they are: {reason}."])
    values = density(pixels, white)
    if method == "vahadane":
        matrix = vahadane(values, RUIFROK)
        refused = doubt(matrix)
        if refused is None:
            return _fit(pixels, white, matrix, "vahadane", [])
        notes = [f"The sparse fit (Vahadane) was refused: {refused}."]
    else:
        notes = []
    matrix = macenko(values)
    refused = doubt(matrix)
    if method == "reinhard":
        return _fit(pixels, white, RUIFROK if refused else matrix, "reinhard", notes)
    if refused is None:
        notes += ["Macenko's method is used instead."] if notes else []
        return _fit(pixels, white, matrix, "macenko", notes)
    notes.append(f"Stains are left as they are: the Macenko fit was refused: {refused}.")
    return _fit(pixels, white, RUIFROK, "identity", notes)


def _fit(
    pixels: UInt8Array, white: Float64Array, matrix: Float64Array, method: str, notes: list[str]
) -> StainFit:
    lab = rgb_to_lab(pixels if len(pixels) else np.full((1, 3), 255, dtype=np.uint8))
    deviation = lab.std(axis=0, dtype=np.float64)
    if method == "reinhard" and deviation.min() < MIN_DEVIATION:
        method = "identity"
        notes.append("Stains are left as they are: the tissue has hardly any variation of colour.")
    strength = np.ones(2)
    if method != "identity":
        found = codes(density(pixels, white), matrix)
        strength = np.maximum(np.percentile(found, 99, axis=0), MIN_STRENGTH).astype(np.float64)
    return StainFit(
        matrix=matrix.copy(),
        max_concentrations=strength,
        method=method,
        notes=tuple(notes),
        white=white,
        lab_mean=lab.mean(axis=0, dtype=np.float64),
        lab_std=deviation,
    )
