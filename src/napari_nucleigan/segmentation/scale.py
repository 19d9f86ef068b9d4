"""Scale: how long the pixels of an image are, estimated from the nuclei in it where the file does not say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_nucleigan.base.errors import ImageError, ModelError
from napari_nucleigan.masks.encoding import decode
from napari_nucleigan.networks.network_runner import network_errors
from napari_nucleigan.tiling import resize_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.models import ModelCard
    from napari_nucleigan.segmentation.segmenter import Segmenter

ZOOMS = (0.8, 1.2, 1.8, 2.7, 4.0)
"""Magnifications at which an image is looked at: with a model of 0.25 microns per pixel right for 0.2 to 1.0."""

WINDOWS = 4
"""Places of the image that are looked at."""

SIDE = 256
"""Side of what the network sees of each, in pixels."""

SMALLEST = 64
"""Least side in pixels of an image whose scale can be estimated."""


@dataclass(frozen=True)
class ScaleEstimate:
    """A guess of how long an image's pixels are.

    Attributes
    ----------
    mpp : float
        Microns per pixel, to two digits.
    """

    mpp: float

    @property
    def magnification(self) -> float:
        """Magnification of an objective that usually gives such pixels: 40 for 0.25 microns."""
        return min((60, 40, 20, 10, 5, 2.5), key=lambda each: abs(np.log(each * self.mpp / 10)))

    def __str__(self) -> str:
        """Say it as people do, as in "about 0.5 microns per pixel (20x)"."""
        return f"about {self.mpp:g} microns per pixel ({self.magnification:g}x)"


def estimate_mpp(pixels: NDArray[np.uint8], segmenter: Segmenter) -> ScaleEstimate:
    """Estimate the microns per pixel of an H&E image.

    The darkest places are shown to the network at several magnifications. What it finds at each (how much, how large,
    how sure) goes into the regression that the model's card holds.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        RGB, of `SMALLEST` pixels a side at least.
    segmenter : Segmenter
        With a model whose card has such a regression.

    Returns
    -------
    ScaleEstimate
        Between half of the smallest and twice the largest scale that is looked at.

    Raises
    ------
    ModelError
        If the card has none.
    ImageError
        If the image is too small, or no nuclei can be seen in it.
    DeviceError
        If the network fails, or the memory runs out.
    """
    card = segmenter.card
    fit = _regression(card)
    if min(pixels.shape[:2]) < SMALLEST:
        raise ImageError(
            f"The image is too small for its scale to be estimated: a side has less than {SMALLEST} pixels."
        )
    seen = look(pixels, segmenter)
    if not seen[:, _COUNT].any():
        raise ImageError("No nuclei can be seen at any magnification, so the scale cannot be estimated.")
    exponent = float(fit["bias"] + terms(seen) @ np.asarray(fit["weights"]))
    low, high = card.mpp * ZOOMS[0] / 2, card.mpp * ZOOMS[-1] * 2
    return ScaleEstimate(float(f"{np.clip(card.mpp * 2.0**exponent, low, high):.2g}"))


_FEATURES = 6
_COUNT = 4


def look(pixels: NDArray[np.uint8], segmenter: Segmenter) -> NDArray[np.float64]:
    """Show an image to the network at each of the `ZOOMS`, and measure what it finds.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        RGB.
    segmenter : Segmenter
        The model.

    Returns
    -------
    ndarray of float, shape (len(ZOOMS), 6)
        Share of the interior; sureness of the interior, everywhere and inside; share of the contour inside; logarithms
        to base 2 of the number of nuclei, plus 1, and of their median diameter in pixels, 0 where there are none.
    """
    places = dark_places(pixels)
    views = [[_view(pixels, place, zoom) for place in places] for zoom in ZOOMS]
    with network_errors():
        fields = iter(segmenter.predictor([view for row in views for view in row]))
    return np.array([_measured([next(fields) for _ in row], segmenter.decoding.arguments) for row in views])


def terms(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the terms of the regression: what was seen, and each of it squared."""
    flat = seen.ravel()
    return np.concatenate([flat, flat**2])


def dark_places(pixels: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Choose the places of an image, (row, column), around which most light is absorbed, far apart from one another."""
    step = max(1, min(pixels.shape[:2]) // 64)
    dark = 255.0 - pixels[::step, ::step].mean(axis=-1)
    # Black is no tissue, and neither is what is a single spot.
    dark = ndimage.uniform_filter(np.where(dark > 230, 0, dark), 9, mode="nearest")
    places = []
    apart = max(dark.shape) / 4
    rows, columns = np.indices(dark.shape)
    for _ in range(WINDOWS):
        row, column = np.unravel_index(int(dark.argmax()), dark.shape)
        places.append((int(row) * step, int(column) * step))
        dark = np.where(np.hypot(rows - row, columns - column) < apart, dark - 256, dark)
    return places


def _view(pixels: NDArray[np.uint8], place: tuple[int, int], zoom: float) -> NDArray[np.uint8]:
    window = []
    sides = []
    for centre, length in zip(place, pixels.shape[:2], strict=True):
        side = min(length, round(SIDE / zoom))
        start = min(max(0, centre - side // 2), length - side)
        window.append(slice(start, start + side))
        sides.append(max(32, round(side * zoom)))
    return resize_image(pixels[window[0], window[1]], (sides[0], sides[1]))


def _measured(fields: list[NDArray[np.float16]], arguments: dict[str, Any]) -> list[float]:
    inside = [(field[0].astype(np.float64) + 1) / 2 for field in fields]
    contour = [(field[1].astype(np.float64) + 1) / 2 for field in fields]
    every = np.concatenate([part.ravel() for part in inside])
    found = every > 0.5
    sure = np.abs(2 * every - 1)
    ring = np.concatenate([part.ravel() for part in contour])
    areas = np.concatenate([np.bincount(decode(field.astype(np.float32), **arguments).ravel())[1:] for field in fields])
    return [
        float(found.mean()),
        float(sure.mean()),
        float(sure[found].mean()) if found.any() else 0.0,
        float(ring[found].mean()) if found.any() else 0.0,
        float(np.log2(1 + len(areas))),
        float(np.log2(2 * np.sqrt(np.median(areas) / np.pi))) if len(areas) else 0.0,
    ]


def _regression(card: ModelCard) -> dict[str, Any]:
    fit = card.scale or {}
    weights = np.asarray(fit.get("weights", ()), dtype=float)
    if card.encoding != "distance" or weights.shape != (2 * _FEATURES * len(ZOOMS),) or not np.isfinite(weights).all():
        raise ModelError(
            f"The model {card.name!r} cannot estimate the scale of an image; give the microns per pixel, or choose a "
            "bundled model."
        )
    return fit
