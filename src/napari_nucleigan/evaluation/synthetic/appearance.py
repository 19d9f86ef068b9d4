"""Colour and texture of a set of pictures, summed crop by crop.

All is measured in CIELAB, where a distance of about 2 can just be seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucleigan.stains.colour import rgb_to_lab

REGIONS = ("nuclei", "stroma")
"""Within the labels, and outside them."""

CHANNELS = ("L", "a", "b")
"""CIELAB: lightness (0 to 100), green to red, blue to yellow."""

PERIODS = (2, 4, 8)
"""Periods in pixels of the grids that networks leave: of one, two and three doublings."""

_BIN = 0.5  # width in CIELAB units
_LOWEST = -120.0  # of the first bin; sRGB spans 0 to 100, -86 to 98, -108 to 94
_BINS = 480
_RING = 4  # bins around a frequency that its energy is held against; those beside it carry a Hann window's share
_BAND = (1 / 32, 1 / 3)  # cycles per pixel between which the slope is fitted: below, few bins; above, JPEG


@dataclass(eq=False)
class Colours:
    """Histograms of the CIELAB channels within and outside nuclei; they add up.

    Attributes
    ----------
    counts : ndarray of int64, shape (2, 3, 480)
        Pixels by region, channel and value; bins are 0.5 wide.
    """

    counts: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((len(REGIONS), len(CHANNELS), _BINS), dtype=np.int64)
    )

    def add(self, lab: NDArray[np.float32], nuclei: NDArray[np.bool_]) -> None:
        """Count the pixels of a picture: CIELAB of shape (H, W, 3), and where its nuclei are, (H, W)."""
        bins = np.clip((lab - _LOWEST) / _BIN, 0, _BINS - 1).astype(np.intp)
        for region, inside in enumerate((nuclei, ~nuclei)):
            for channel, values in enumerate(bins[inside].T):
                self.counts[region, channel] += np.bincount(values, minlength=_BINS)

    def moments(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Mean and standard deviation over pixels, by region and channel; nan for a region without pixels."""
        centres = _LOWEST + _BIN * (np.arange(_BINS) + 0.5)
        found: dict[str, dict[str, tuple[float, float]]] = {}
        for region, counts in zip(REGIONS, self.counts, strict=True):
            shares = _shares(counts)
            means = shares @ centres
            spreads = np.sqrt(np.maximum(shares @ centres**2 - means**2, 0))
            pairs = zip(means.tolist(), spreads.tolist(), strict=True)
            found[region] = dict(zip(CHANNELS, pairs, strict=True))
        return found


def colour_statistics(
    images: Iterable[NDArray[np.uint8]], labels: Iterable[NDArray[np.integer[Any]]]
) -> dict[str, dict[str, tuple[float, float]]]:
    """Summarise the colours within and outside the nuclei of some pictures.

    Parameters
    ----------
    images : iterable of ndarray of uint8, shape (H, W, 3)
        RGB.
    labels : iterable of ndarray of int, shape (H, W)
        Nuclei of each; 0 is background.

    Returns
    -------
    dict
        ``[region][channel]``: mean and standard deviation over all pixels, CIELAB; region is ``"nuclei"`` or
        ``"stroma"``, channel ``"L"``, ``"a"`` or ``"b"``. nan for a region without pixels.
    """
    colours = Colours()
    for image, mask in zip(images, labels, strict=True):
        colours.add(lab_of(image), mask > 0)
    return colours.moments()


def sum_colours(parts: Iterable[Colours]) -> Colours:
    """Add the histograms of several pictures up."""
    return Colours(np.sum([part.counts for part in parts], axis=0))


def colour_distance(first: Colours, second: Colours) -> dict[str, float]:
    """Measure how far apart the colours of two sets are, in nuclei and in stroma.

    Parameters
    ----------
    first, second : Colours
        Of the two sets.

    Returns
    -------
    dict of str to float
        By region: the Wasserstein-1 distance of each CIELAB channel, the three taken together as a length; in
        units of CIELAB, 0 for the same colours. nan for a region without pixels in either set.
    """
    gaps = np.cumsum(_shares(first.counts) - _shares(second.counts), axis=-1)
    lengths = np.sqrt(np.sum((np.abs(gaps).sum(-1) * _BIN) ** 2, axis=-1))
    return dict(zip(REGIONS, lengths.tolist(), strict=True))


def mean_colours(lab: NDArray[np.float32], nuclei: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean CIELAB colour within and outside the nuclei of a picture.

    Parameters
    ----------
    lab : ndarray of float32, shape (H, W, 3)
        CIELAB.
    nuclei : ndarray of bool, shape (H, W)
        Where nuclei are.

    Returns
    -------
    ndarray of float64, shape (2, 3)
        Nan for a region without pixels.
    """
    return np.array(
        [lab[inside].mean(0, dtype=np.float64) if inside.any() else np.full(3, np.nan) for inside in (nuclei, ~nuclei)]
    )


def diversity(colours: NDArray[np.float64], groups: NDArray[Any]) -> float:
    """Measure how much the stain varies from picture to picture.

    Parameters
    ----------
    colours : ndarray of float64, shape (n, 2, 3)
        `mean_colours` of each crop.
    groups : ndarray, shape (n,)
        What picture each crop was cut from; crops of one picture are not compared.

    Returns
    -------
    float
        Mean distance in CIELAB units between two crops, over nuclei and stroma; 0 where all pictures have one
        colour. nan where no two pictures have both nuclei and stroma.
    """
    known = np.isfinite(colours).all((1, 2))
    colours, groups = colours[known], groups[known]
    total, pairs = 0.0, 0
    for index in range(len(colours)):  # row by row: all pairs of thousands of crops would fill the memory
        others = groups[index + 1 :] != groups[index]
        gaps = colours[index + 1 :][others] - colours[index]
        total += float(np.linalg.norm(gaps, axis=-1).mean(-1).sum())
        pairs += len(gaps)
    return total / pairs if pairs else float("nan")


@dataclass(eq=False)
class Texture:
    """Power spectrum and steps of the lightness, summed over crops of one size.

    Attributes
    ----------
    power : ndarray of float64, shape (side, side), or None
        Sum of the power spectra, each of a crop without its mean under a Hann window.
    steps : ndarray of float64, shape (2, side - 1), or None
        Sum of the mean absolute differences between neighbouring rows, and between neighbouring columns.
    count : int
        Crops.
    """

    power: NDArray[np.float64] | None = None
    steps: NDArray[np.float64] | None = None
    count: int = 0

    def add(self, lightness: NDArray[np.float32]) -> None:
        """Add the lightness (0 to 100) of a crop, (side, side), that begins at a multiple of 8 pixels."""
        window = np.hanning(len(lightness) + 1)[:-1]
        spectrum = np.fft.fft2((lightness - lightness.mean()) * window[:, None] * window)
        power = np.abs(spectrum) ** 2
        steps = np.stack([np.abs(np.diff(lightness, axis=axis)).mean(1 - axis) for axis in (0, 1)]).astype(np.float64)
        self.power = power if self.power is None else self.power + power
        self.steps = steps if self.steps is None else self.steps + steps
        self.count += 1

    @property
    def sharpness(self) -> float:
        """Mean difference in lightness between neighbouring pixels; a blur lowers it, noise raises it."""
        return float(self.steps.mean()) / self.count if self.steps is not None else float("nan")

    @property
    def slope(self) -> float:
        """Slope of the power spectrum over the frequency, both logarithmic.

        Fitted from 1/32 to 1/3 cycles per pixel. Natural pictures have about -2 to -4; a blur makes it steeper,
        white noise flattens it towards 0. nan for flat pictures.
        """
        if self.power is None or not self.power.any():
            return float("nan")
        frequencies = np.fft.fftfreq(len(self.power), 1 / len(self.power))
        rings = np.rint(np.hypot(frequencies[:, None], frequencies)).astype(int).ravel()
        mean = np.bincount(rings, self.power.ravel()) / np.bincount(rings)
        radii = np.arange(len(mean)) / len(self.power)
        used = (radii >= _BAND[0]) & (radii <= _BAND[1]) & (mean > 0)
        return float(np.polyfit(np.log(radii[used]), np.log(mean[used]), 1)[0])

    @property
    def grid(self) -> dict[int, float]:
        """Strength of a grid laid over the pictures, by its period of 2, 4 or 8 pixels.

        A pattern that repeats every p pixels has all its energy at multiples of 1/p cycles per pixel. What is there
        beyond the median of the frequencies around, without the multiples that half the period has too, is given
        as the root mean square of the pattern, in units of lightness. From about 0.3 it can be seen.
        """
        return {period: self._amplitude(period) for period in PERIODS}

    @property
    def blocks(self) -> float:
        """How much the steps between neighbouring pixels depend on their place in a grid of 8 pixels.

        Standard deviation over the 8 places of the mean step, relative to their mean; along rows or columns,
        whichever is more. Shows pixels that were made large or smeared by enlarging: 1 for doubled pixels, 0.12
        for linear enlargement; 0.01 to 0.2 for the blocks of JPEG. nan for flat pictures.
        """
        if self.steps is None or not self.steps.any():
            return float("nan")
        period = PERIODS[-1]
        folded = self.steps[:, period - 1 :].reshape(2, -1, period).mean(1)
        return float(np.max(folded.std(1) / np.maximum(folded.mean(1), np.finfo(float).tiny)))

    def _amplitude(self, period: int) -> float:
        if self.power is None:
            return float("nan")
        side = len(self.power)
        offsets = np.arange(-_RING, _RING + 1)
        beside = (np.abs(offsets)[:, None] > 1) | (np.abs(offsets) > 1)
        excess = 0.0
        for row in range(period):
            for column in range(period):
                if row % 2 == column % 2 == 0:  # of half the period, or no frequency at all
                    continue
                around = np.ix_((row * side // period + offsets) % side, (column * side // period + offsets) % side)
                patch = self.power[around]
                excess += float(patch[_RING, _RING] - np.median(patch[beside]))
        # A Hann window leaves a quarter of the amplitude of a wave in two dimensions.
        return float(np.sqrt(max(0.0, excess) / self.count) / (side**2 / 4))


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    totals = counts.sum(-1, keepdims=True)
    return np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)


def lab_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Convert RGB of shape (H, W, 3) to CIELAB of the same shape."""
    return rgb_to_lab(pixels.reshape(-1, 3)).reshape(pixels.shape)
