"""Microns per pixel, of pixels that need not be square."""

from __future__ import annotations

import math

_SQUARE = 0.01  # relative difference up to which pixels are square: what rounding in headers leaves


class Mpp(float):
    """Microns per pixel of an image whose pixels are not square.

    As a number it is their geometric mean, which is right for areas; for lengths ask `sides`.

    Parameters
    ----------
    height, width : float
        Of a pixel, in microns.

    Attributes
    ----------
    sides : (float, float)
        Height and width.
    """

    sides: tuple[float, float]

    def __new__(cls, height: float, width: float) -> Mpp:
        """Join the two sides."""
        self = super().__new__(cls, _rounded(math.sqrt(height * width)))
        self.sides = height, width
        return self

    def __getnewargs__(self) -> tuple[float, float]:  # type: ignore[override]
        """Return what a copy is made of, in another process too."""
        return self.sides


def mpp_of(height: float, width: float) -> float:
    """Join the height and width of a pixel, in microns: a plain number where they are the same to 1 %."""
    mean = _rounded(math.sqrt(height * width))
    return Mpp(_rounded(height), _rounded(width)) if abs(height - width) > _SQUARE * mean else mean


def sides(mpp: float) -> tuple[float, float]:
    """Height and width of a pixel in microns."""
    return mpp.sides if isinstance(mpp, Mpp) else (mpp, mpp)


def _rounded(length: float) -> float:
    # 7 digits: rational tags and unit conversions leave dust such as 0.25000000012.
    return float(f"{length:.7g}")
