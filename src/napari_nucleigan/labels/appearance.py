"""Appearance of nuclei in H&E: texture of chromatin, rim, nucleolus, and the ring of cytoplasm around.

All lengths are microns, so that images of different magnification can be compared as far as their resolution allows.
Nothing is smoothed across an outline: each measurement looks at pixels of one nucleus, or of its ring, alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.pixels import sides

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

TEXTURE = (0.5, 1.0, 2.0)
"""Distances, in microns, at which the texture of chromatin is measured: clumps, patches, and halves of a nucleus."""

RIM = 1.0
"""Depth of the rim of a nucleus in microns."""

RING = 2.0
"""Width of the ring of cytoplasm around a nucleus in microns."""

SPOT = 0.5
"""Half the side, in microns, of the square that a nucleolus is looked for with."""

_NEAR = ((-1, 0), (1, 0), (0, -1), (0, 1))
_ALL = (*_NEAR, (-1, -1), (-1, 1), (1, -1), (1, 1))
_WAYS = ((0, 1), (1, 0), (1, 1), (1, -1))


def appearance(
    index: npt.NDArray[np.int32], count: int, amounts: npt.NDArray[np.float32], mpp: float
) -> dict[str, Floats]:
    r"""Measure how nuclei look.

    Parameters
    ----------
    index : ndarray of int32, shape (H, W)
        Nuclei 1 to `count`; each has a pixel. 0 is background.
    count : int
        How many there are.
    amounts : ndarray of float32, shape (H, W, 2)
        Haematoxylin and eosin, as `napari_nucleigan.stains.concentrations` gives them.
    mpp : float
        Microns per pixel.

    Returns
    -------
    dict of str to ndarray of float64, shape (count,)
        In natural-log optical density:

        ``haematoxylin_std_od``, ``eosin_std_od``
            Standard deviation of the stain over the nucleus.
        ``texture_500nm_od``, ``texture_1000nm_od``, ``texture_2000nm_od``
            Square root of the co-occurrence contrast of haematoxylin, :math:`\sqrt{\langle (h_p - h_q)^2 \rangle}`,
            over the pairs of pixels of the nucleus that lie 0.5, 1 and 2 microns apart along rows, columns and both
            diagonals (to the nearest pixel, at least one). 0 where there is no such pair.
        ``rim_contrast_od``
            Mean haematoxylin of the rim, the pixels within 1 micron of the outline, less that of what lies inside of
            it; 0 where nothing does. Chromatin at the membrane makes it positive.
        ``nucleolus_contrast_od``
            Highest mean of haematoxylin in a square of about 1.5 microns (nine pixels 0.5 microns apart, those of the
            nucleus alone), less the mean of the nucleus.
        ``ring_haematoxylin_mean_od``, ``ring_eosin_mean_od``
            Mean of the stains in the background within 2 microns of the nucleus. A pixel between two nuclei belongs to
            the one that reaches it first. That of the nucleus' own rim where there is no background.
    """
    steps = _Steps(mpp)
    # Beyond the image there is neither nucleus nor background.
    framed = np.pad(index, steps.reach, constant_values=-1)
    width, flat = framed.shape[1], framed.ravel()
    stain = [np.pad(amounts[..., channel], steps.reach).ravel() for channel in (0, 1)]
    inside = np.flatnonzero(flat > 0)
    own = flat[inside].astype(np.intp) - 1
    nuclei = _Pixels(inside, own, count)
    found: dict[str, Floats] = {}
    for name, amount in zip(("haematoxylin", "eosin"), stain, strict=True):
        values = amount[inside]
        mean, square = nuclei.mean(values), nuclei.mean(values.astype(np.float64) ** 2)
        found[f"{name}_std_od"] = np.sqrt(np.maximum(square - mean**2, 0))
    for length, hops in zip(TEXTURE, steps.texture, strict=True):
        found[f"texture_{round(1000 * length)}nm_od"] = _contrast(flat, stain[0], nuclei, hops, width)
    edge = _edge(flat, inside, width)
    on_rim = _rim(flat, edge, steps.rim, width)[inside]
    rim, heart = nuclei.part(on_rim), nuclei.part(~on_rim)
    darker = rim.mean(stain[0][rim.place]) - heart.mean(stain[0][heart.place])
    found["rim_contrast_od"] = np.where(heart.pixels > 0, darker, 0.0)
    found["nucleolus_contrast_od"] = _spot(flat, stain[0], nuclei, steps.spot, width)
    ring = _Pixels(*_grown(flat, edge, steps.ring, width), count)
    for name, amount in zip(("haematoxylin", "eosin"), stain, strict=True):
        around = ring.mean(amount[ring.place])
        found[f"ring_{name}_mean_od"] = np.where(ring.pixels > 0, around, rim.mean(amount[rim.place]))
    return found


class _Pixels:
    """Pixels, by their places in the flat image, each of a nucleus (from 0)."""

    def __init__(self, place: Places, own: Places, count: int) -> None:
        self.place, self.own, self.count = place, own, count
        self.pixels = np.bincount(own, minlength=count)

    def mean(self, values: npt.NDArray[np.floating[Any]]) -> Floats:
        """Average over the pixels of each nucleus; 0 where there are none."""
        mean: Floats = np.bincount(self.own, values, self.count) / np.maximum(self.pixels, 1)
        return mean

    def part(self, which: npt.NDArray[np.bool_]) -> _Pixels:
        return _Pixels(self.place[which], self.own[which], self.count)


class _Steps:
    """The lengths above in whole pixels, (rows, columns)."""

    def __init__(self, mpp: float) -> None:
        height, width = sides(mpp)
        self.texture = [[_hop(length, way, height, width) for way in _WAYS] for length in TEXTURE]
        self.spot = max(1, round(SPOT / height)), max(1, round(SPOT / width))
        self.rim, self.ring = (max(1, round(length / float(mpp))) for length in (RIM, RING))
        far = [abs(part) for hops in self.texture for hop in hops for part in hop]
        self.reach = max(1, *self.spot, *far)


def _hop(length: float, way: tuple[int, int], height: float, width: float) -> tuple[int, int]:
    """Go some microns along a row, a column or a diagonal, in whole pixels."""
    norm = math.hypot(way[0] * height, way[1] * width)
    down, right = (round(part * length / norm) or part for part in way)
    return down, right


def _edge(flat: npt.NDArray[np.int32], inside: Places, width: int) -> Places:
    own = flat[inside]
    edge = np.zeros(len(inside), bool)
    for down, right in _NEAR:
        edge |= flat[inside + (down * width + right)] != own
    return inside[edge]


def _grown(flat: npt.NDArray[np.int32], edge: Places, steps: int, width: int) -> tuple[Places, Places]:
    """Grow nuclei into the background step by step, over sides and now and then corners, so that they stay round.

    Which of two nuclei gets a pixel depends on the directions that they come from alone, not on their numbers.
    """
    grown = flat.copy()
    front, parts = edge, []
    for step in range(steps):
        fresh = []
        for down, right in _ALL if step % 2 else _NEAR:
            place = front + (down * width + right)
            free = grown[place] == 0
            place = place[free]
            grown[place] = grown[front[free]]
            fresh.append(place)
        front = np.concatenate(fresh)
        parts.append(front)
    places = np.concatenate(parts)
    return places, grown[places].astype(np.intp) - 1


def _rim(flat: npt.NDArray[np.int32], edge: Places, depth: int, width: int) -> npt.NDArray[np.bool_]:
    rim = np.zeros(flat.size, bool)
    rim[edge] = True
    front = edge
    for step in range(depth - 1):
        fresh = []
        for down, right in _NEAR if step % 2 else _ALL:
            place = front + (down * width + right)
            place = place[(flat[place] > 0) & ~rim[place]]
            rim[place] = True
            fresh.append(place)
        front = np.concatenate(fresh)
    return rim


def _contrast(
    flat: npt.NDArray[np.int32],
    values: npt.NDArray[np.float32],
    nuclei: _Pixels,
    hops: Sequence[tuple[int, int]],
    width: int,
) -> Floats:
    total, pairs = np.zeros(nuclei.count), np.zeros(nuclei.count)
    for down, right in hops:
        there = nuclei.place + (down * width + right)
        both = np.flatnonzero(flat[there] == nuclei.own + 1)
        of = nuclei.own[both]
        total += np.bincount(of, (values[there[both]] - values[nuclei.place[both]]) ** 2, nuclei.count)
        pairs += np.bincount(of, minlength=nuclei.count)
    contrast: Floats = np.sqrt(total / np.maximum(pairs, 1))
    return contrast


def _spot(
    flat: npt.NDArray[np.int32],
    values: npt.NDArray[np.float32],
    nuclei: _Pixels,
    step: tuple[int, int],
    width: int,
) -> Floats:
    here = values[nuclei.place]
    total, pixels = here.copy(), np.ones(len(here), np.float32)
    for down, right in _ALL:
        there = nuclei.place + (down * step[0] * width + right * step[1])
        same = flat[there] == nuclei.own + 1
        total += values[there] * same
        pixels += same
    highest = np.zeros(nuclei.count, np.float32)
    np.maximum.at(highest, nuclei.own, total / pixels)
    contrast: Floats = highest - nuclei.mean(here)
    return contrast
