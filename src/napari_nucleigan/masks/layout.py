"""Where nuclei lie, how large they are and how they are turned: everything about a mask but the outlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import ndtr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.masks.parameters import PolygonMasks, Tissue

_WAVES = 64
_NEIGHBOURS = 9
_ROUNDS = 30
_STEP = 0.5
# Distance over the sum of the radii: below the first outlines surely meet, beyond the second they surely do not.
CONTACT = 0.96
APART = 1.12


@dataclass(frozen=True)
class Layout:
    """Nuclei as ellipses, in µm from the corner of the mask.

    Attributes
    ----------
    centres : (n, 2) array of float
        Row and column.
    length, width : (n,) array of float
        Axes of the ellipses.
    angle : (n,) array of float
        Direction of the long axis, from the column axis towards higher rows.
    """

    centres: NDArray[np.float64]
    length: NDArray[np.float64]
    width: NDArray[np.float64]
    angle: NDArray[np.float64]


class SmoothField:
    """A random field of mean 0 and variance 1 that is smooth over a length, defined everywhere.

    A sum of plane waves; their wave vectors are normal, so the correlation of two points at the distance d is
    exp(-d² / (2 length²)).
    """

    def __init__(self, random: np.random.Generator, length: float) -> None:
        self._waves = random.standard_normal((2, _WAVES)) / length
        self._phases = random.uniform(0, 2 * np.pi, _WAVES)

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Evaluate the field at (n, 2) points; (n,)."""
        waves: NDArray[np.float64] = np.cos(points @ self._waves + self._phases).sum(1) * np.sqrt(2 / _WAVES)
        return waves


def lay_out(random: np.random.Generator, statistics: PolygonMasks, tissue: Tissue, size: tuple[float, float]) -> Layout:
    """Place nuclei on a mask and on a margin around it.

    Points come from a Poisson process whose intensity is the exponential of a smooth random field; sizes, elongations
    and directions mix a field of their own with chance. Then all move a little, together, until the distances between
    neighbours are distributed as they should be.

    Parameters
    ----------
    random : numpy.random.Generator
        Source of chance.
    statistics : PolygonMasks
        What the mask shall look like.
    tissue : Tissue
        The tissue it shows.
    size : (float, float)
        Height and width of the mask in µm.
    """
    margin = min(2.5 * np.sqrt(np.mean(tissue.areas)), 2 * max(size))
    low, high = np.full(2, -margin), np.asarray(size) + margin
    reach = statistics.reach
    crowd, like, shape, along, across = (SmoothField(random, reach) for _ in range(5))
    centres = _points(random, tissue, crowd, low, high)
    count = len(centres)

    def quantile(field: SmoothField, share: float, table: tuple[float, ...]) -> NDArray[np.float64]:
        mixed = np.sqrt(share) * field(centres) + np.sqrt(1 - share) * random.standard_normal(count)
        return np.interp(ndtr(mixed), (np.arange(len(table)) + 0.5) / len(table), table)

    area = quantile(like, tissue.similarity, tissue.areas)
    ratio = quantile(shape, tissue.similarity / 2, tissue.elongations)
    length, width = np.sqrt(4 / np.pi * area * ratio), np.sqrt(4 / np.pi * area / ratio)
    angle = _directions(random, centres, tissue.coherence, statistics.alignment, along, across)
    layout = Layout(centres, length, width, angle)
    return _settled(random, layout, tissue)


def _points(
    random: np.random.Generator, tissue: Tissue, crowd: SmoothField, low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    strength = tissue.clustering
    expected = tissue.density * 1e-6 * np.prod(high - low)
    tries = max(64, int(expected))
    # The mean intensity over this mask, so that crowds change how many nuclei a mask has, too.
    probe = random.uniform(low, high, (256, 2))
    mean = float(np.exp(strength * crowd(probe) - strength**2 / 2).mean())
    # Nuclei keep apart, hence their number varies less than Poisson's.
    wanted = expected * mean
    count = max(int(np.floor(wanted + 0.6 * np.sqrt(wanted) * random.standard_normal() + random.uniform())), 0)
    kept = np.empty((0, 2))
    while len(kept) < count:
        points = random.uniform(low, high, (4 * tries, 2))
        weight = np.exp(np.minimum(strength * crowd(points), 2 * strength) - 2 * strength)
        kept = np.concatenate([kept, points[random.uniform(size=len(points)) < weight]])
    return kept[:count]


def _directions(
    random: np.random.Generator,
    centres: NDArray[np.float64],
    coherence: float,
    alignment: float,
    along: SmoothField,
    across: SmoothField,
) -> NDArray[np.float64]:
    # Directions are half turns: all is done on the doubled angle. The cosine of the noise sets the coherence, as
    # the mean of cos(2 difference) of two neighbours is that of cos(noise), squared.
    count = len(centres)
    streams = np.arctan2(along(centres), across(centres))
    common = random.uniform(0, 2 * np.pi)
    if alignment:
        pull = alignment / max(1 - alignment, 1e-6)
        streams = np.arctan2(np.sin(streams) + pull * np.sin(common), np.cos(streams) + pull * np.cos(common))
    order = max(coherence, alignment)
    spread = np.sqrt(-np.log(max(order, 1e-9)))
    turned = streams + spread * random.standard_normal(count)
    free = random.uniform(0, 2 * np.pi, count)
    return np.where(order > 0, turned, free) / 2


def spacing(
    centres: NDArray[np.float64], length: NDArray[np.float64], width: NDArray[np.float64], angle: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Find the neighbours of each ellipse and how near they are.

    Returns
    -------
    index : (n, k) array of int
        Neighbours.
    toward : (n, k, 2) array of float
        Unit vectors to them.
    distance : (n, k) array of float
        From centre to centre.
    contact : (n, k) array of float
        The distance at which the two would touch: the sum of the two radii along the line between the centres.
    """
    k = min(_NEIGHBOURS, len(centres))
    distance, index = cKDTree(centres).query(centres, k)
    distance, index = distance.reshape(-1, k)[:, 1:], index.reshape(-1, k)[:, 1:]
    toward = centres[index] - centres[:, None]
    toward /= np.maximum(distance, 1e-9)[..., None]
    direction = np.arctan2(toward[..., 0], toward[..., 1])
    contact = _radius(length[:, None], width[:, None], direction - angle[:, None]) + _radius(
        length[index], width[index], direction - angle[index]
    )
    return index, toward, distance, contact


def _radius(length: NDArray[np.float64], width: NDArray[np.float64], angle: NDArray[np.float64]) -> NDArray[np.float64]:
    radius: NDArray[np.float64] = (
        length * width / 2 / np.sqrt((width * np.cos(angle)) ** 2 + (length * np.sin(angle)) ** 2)
    )
    return radius


def _settled(random: np.random.Generator, layout: Layout, tissue: Tissue) -> Layout:
    count = len(layout.centres)
    if count < 2:
        return layout
    centres = layout.centres
    ranks = (np.arange(count) + random.uniform()) / count
    goal = _goal(tissue, ranks)
    for _ in range(_ROUNDS):
        _, toward, distance, contact = spacing(centres, layout.length, layout.width, layout.angle)
        ratio = distance / contact
        nearest = ratio.min(1)
        # The order is kept: who has the nearest neighbour keeps it. Where nothing is prescribed, nothing is drawn near.
        want = np.empty(count)
        want[np.argsort(nearest, kind="stable")] = goal
        free = np.isnan(want)
        want = np.where(free, APART, want)
        lacking = want[:, None] - ratio
        is_nearest = ratio <= nearest[:, None]
        move = np.where((lacking > 0) | (is_nearest & ~free[:, None]), lacking, 0) * contact
        centres = centres - _STEP * (move[..., None] * toward).sum(1)
    return Layout(centres, layout.length, layout.width, layout.angle)


def _goal(tissue: Tissue, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    table = np.asarray(tissue.spacings)
    touch = ranks < tissue.touching
    within = np.clip((ranks - tissue.touching) / max(1 - tissue.touching, 1e-9), 0, 1)
    if table[-1] <= 1:
        return np.where(touch, CONTACT, np.nan)
    apart = np.interp(within, (np.arange(len(table)) + 0.5) / len(table), table)
    return np.where(touch, CONTACT, np.maximum(apart, APART))
