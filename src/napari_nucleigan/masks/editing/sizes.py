"""How many nuclei a mask has and how large they are, beside what a tissue has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_nucleigan.masks.sampler.parameters import PolygonMasks

    Floats = npt.NDArray[np.float64]

BINS = 24


@dataclass(frozen=True)
class Sizes:
    """Number and sizes of nuclei.

    Attributes
    ----------
    count : int or None
        Nuclei; None for a tissue.
    density : float
        Nuclei per mm².
    median : float
        Median area in µm²; NaN where there are none.
    areas, cumulative : ndarray of float
        Areas in µm², ascending, and the share of nuclei up to each.
    """

    count: int | None
    density: float
    median: float
    areas: Floats
    cumulative: Floats

    def histogram(self, edges: Floats) -> Floats:
        """Share of the nuclei between edges of area in µm²; the last bin holds all larger ones too."""
        if not self.areas.size:
            return np.zeros(len(edges) - 1)
        below = np.interp(edges, self.areas, self.cumulative, left=0.0, right=1.0)
        below[-1] = 1.0
        shares: Floats = np.diff(below)
        return shares


def mask_sizes(areas: npt.NDArray[np.integer], shape: tuple[int, int], mpp: float) -> Sizes:
    """Figures of a mask.

    Parameters
    ----------
    areas : ndarray of int
        Pixels of each nucleus.
    shape : (int, int)
        Height and width of the canvas in pixels.
    mpp : float
        Microns per pixel.

    Returns
    -------
    Sizes
    """
    microns = np.sort(areas) * mpp**2
    median = float(np.median(microns)) if microns.size else float("nan")
    density = len(microns) / (shape[0] * shape[1] * mpp**2 * 1e-6)
    return Sizes(len(microns), density, median, microns, np.arange(1, len(microns) + 1) / max(len(microns), 1))


def tissue_sizes(statistics: PolygonMasks) -> Sizes | None:
    """Figures of what statistics were fitted to; None where they were not fitted."""
    if not statistics.tissues:
        return None
    areas = np.concatenate([tissue.areas for tissue in statistics.tissues])
    weights = np.concatenate(
        [np.full(len(tissue.areas), tissue.share * tissue.density / len(tissue.areas)) for tissue in statistics.tissues]
    )
    order = np.argsort(areas)
    cumulative = np.cumsum(weights[order])
    cumulative = (cumulative - weights[order] / 2) / cumulative[-1]
    areas = areas[order]
    return Sizes(None, statistics.density, float(np.interp(0.5, cumulative, areas)), areas, cumulative)


def bin_edges(*sizes: Sizes | None) -> Floats:
    """Edges of `BINS` bins of area in µm², from 0 to beyond nearly all nuclei."""
    ends = [np.interp(0.98, each.cumulative, each.areas) for each in sizes if each is not None and each.areas.size]
    return np.linspace(0, max([*ends, 1.0]), BINS + 1)
