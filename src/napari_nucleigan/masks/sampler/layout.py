"""Layout of nuclei by the tissue of a mask: places, sizes and directions; all of a mask but the outlines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive, ndtr

from napari_nucleigan.masks.sampler.statistics import spacing

if TYPE_CHECKING:
    from napari_nucleigan.masks.sampler.parameters import TissueStatistics

_WAVES = 64
_ROUNDS = 30
_STEP = 0.5
# How much less alike neighbours become on the way than the field of their places is; measured.
_LOST = 1.25
_JITTER = 0.5
# Distance over that of contact: nuclei that shall touch come within the first two, others keep off by the last.
CONTACT = 0.8, 0.96
APART = 1.08
# Positions are rounded to this, in µm: the last bits of a processor's arithmetic then change nothing.
GRID = 2.0**-20
# Roots of x**4 = x + 1 and their powers: multiples of these fill a cube evenly.
_EVEN = np.array([0.8191725133961645, 0.6710436067037893, 0.5497004779019703])


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
    meets : (n,) array of bool
        Whether the nucleus may touch others of which the same is said.
    """

    centres: NDArray[np.float64]
    length: NDArray[np.float64]
    width: NDArray[np.float64]
    angle: NDArray[np.float64]
    meets: NDArray[np.bool_]


class RandomField:
    """A random field of mean 0 and variance 1, defined everywhere: a sum of plane waves.

    With normal wave vectors two points at the distance d correlate by exp(-d² / (2 reach²)); with vectors of the
    two-dimensional Cauchy distribution, by exp(-d / reach).
    """

    def __init__(self, random: np.random.Generator, reach: float, smooth: bool = False) -> None:
        self._waves = random.standard_normal((2, _WAVES)) / reach
        stretch = np.abs(random.standard_normal(_WAVES))
        if not smooth:
            self._waves /= np.maximum(stretch, 1e-3)
        self._phases = random.uniform(0, 2 * np.pi, _WAVES)

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Evaluate the field at (n, 2) points; (n,)."""
        turns = points[:, :1] * self._waves[0] + points[:, 1:] * self._waves[1] + self._phases
        values: NDArray[np.float64] = np.cos(turns).sum(1) * np.sqrt(2 / _WAVES)
        return values


@dataclass(frozen=True)
class Scattered:
    """Nuclei that have not found their places to one another yet.

    Attributes
    ----------
    layout : Layout
        The nuclei; none is said to touch another.
    goal : (n,) array of float
        Distances to the nearest neighbour over that of contact, one for whichever nucleus has it by its rank; 0 where
        nothing is prescribed.
    touch : (n,) array of bool
        Whether the nucleus of that goal touches another.
    small : float
        How much small nuclei come near others before large ones do.
    """

    layout: Layout
    goal: NDArray[np.float64]
    touch: NDArray[np.bool_]
    small: float


def lay_out(random: np.random.Generator, tissue: TissueStatistics, size: tuple[float, float], gap: float) -> Layout:
    """Place nuclei of one kind of tissue on a mask and on a margin around it.

    Points come from an even sequence, thinned by the exponential of a random field; sizes, elongations and directions
    mix a field of their own with chance. Then all move a little, together, until the distances between neighbours are
    distributed as they should be.

    Parameters
    ----------
    random : numpy.random.Generator
        Source of chance.
    tissue : TissueStatistics
        What the mask shall look like.
    size : (float, float)
        Height and width of the mask in µm.
    gap : float
        Least distance in µm at which two nuclei can be told apart.

    Returns
    -------
    Layout
    """
    return settle(scatter(random, tissue, size, margin_of(tissue, size)), gap)


def margin_of(tissue: TissueStatistics, size: tuple[float, float]) -> float:
    """Return how far beyond a mask, in µm, nuclei are placed too."""
    return min(2.5 * float(np.sqrt(np.mean(tissue.areas))), 2 * max(size))


def scatter(
    random: np.random.Generator, tissue: TissueStatistics, size: tuple[float, float], margin: float
) -> Scattered:
    """Place nuclei on a mask and on a margin around it, each for itself.

    Parameters
    ----------
    random : numpy.random.Generator
        Source of chance.
    tissue : TissueStatistics
        What the mask shall look like.
    size : (float, float)
        Height and width of the mask in µm.
    margin : float
        Width of the margin in µm.

    Returns
    -------
    Scattered
    """
    low, high = np.full(2, -margin), np.asarray(size) + margin
    apart = 0.5e3 / np.sqrt(max(tissue.density, 1.0))
    kept = _LOST * np.exp(apart / tissue.reach)
    alike, same_shape = tissue.similarity * kept, tissue.shape_similarity * kept
    crowd = RandomField(random, tissue.reach)
    # More likeness than the reach allows at the distance of neighbours takes a longer one, up to three times.
    like, shape = (RandomField(random, tissue.reach * np.clip(share, 1, 1.7) ** 2) for share in (alike, same_shape))
    along, across = (RandomField(random, tissue.reach, smooth=True) for _ in range(2))
    centres = _points(random, tissue, crowd, low, high)
    crowded = tissue.crowding * (crowd(centres) - _drawn_mean(tissue.clustering))
    large = crowded + _mixed(random, like(centres), max(alike - tissue.crowding**2, 0), 1 - tissue.crowding**2)
    long = _mixed(random, shape(centres), same_shape)
    long = tissue.association * large + np.sqrt(1 - tissue.association**2) * long
    area, ratio = _at(tissue.areas, ndtr(large)), _at(tissue.elongations, ndtr(long))
    layout = Layout(
        centres,
        length=np.sqrt(4 / np.pi * area * ratio),
        width=np.sqrt(4 / np.pi * area / ratio),
        angle=_directions(random, tissue, np.arctan2(along(centres), across(centres)), apart),
        meets=np.zeros(len(centres), bool),
    )
    ranks = (np.arange(len(centres)) + random.uniform()) / max(len(centres), 1)
    # Large nuclei come near others first; the more this counts, the more small ones do. Measured.
    small = float(np.clip(0.35 * (0.27 - tissue.touching_sizes), 0, 0.3))
    return Scattered(layout, _goal(tissue, ranks), ranks < tissue.touching, small)


def _mixed(
    random: np.random.Generator, field: NDArray[np.float64], share: float, whole: float = 1.0
) -> NDArray[np.float64]:
    share = min(share, whole)
    mixed: NDArray[np.float64] = np.sqrt(share) * field + np.sqrt(whole - share) * random.standard_normal(len(field))
    return mixed


def _at(table: tuple[float, ...], probability: NDArray[np.float64]) -> NDArray[np.float64]:
    if not table:
        return np.zeros(len(probability))
    values: NDArray[np.float64] = np.interp(probability, (np.arange(len(table)) + 0.5) / len(table), table)
    return values


def _points(
    random: np.random.Generator,
    tissue: TissueStatistics,
    crowd: RandomField,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float64]:
    strength = tissue.clustering
    expected = tissue.density * 1e-6 * float(np.prod(high - low))
    # The mean intensity over this mask, so that crowds change how many nuclei a mask has, too.
    probe = low + (np.arange(256)[:, None] * _EVEN[:2]) % 1 * (high - low)
    wanted = expected * float(np.exp(strength * crowd(probe) - strength**2 / 2).mean())
    count = int(wanted + random.uniform())
    start = random.uniform(size=3)
    found: list[NDArray[np.float64]] = []
    done = have = 0
    while have < count:
        block = np.arange(done, done + max(64, 2 * (count - have)))
        done = int(block[-1]) + 1
        even = (start + block[:, None] * _EVEN) % 1
        points = low + even[:, :2] * (high - low)
        kept = points[even[:, 2] < np.exp(strength * np.minimum(crowd(points) - 2, 0))]
        found.append(kept)
        have += len(kept)
    if not count:
        return np.empty((0, 2))
    centres = np.concatenate(found)[:count]
    # An even sequence is a lattice to the eye; half the distance of neighbours hides that.
    centres = centres + _JITTER * 1e3 / np.sqrt(tissue.density) * random.standard_normal((count, 2))
    # What leaves on one side comes back on the other.
    return np.asarray(low + (centres - low) % (high - low))


def _drawn_mean(strength: float) -> float:
    # The mean of the field where points are put: dense places are seen more often than others.
    values = np.linspace(-5, 5, 201)
    weight = np.exp(-(values**2) / 2 + strength * np.minimum(values, 2))
    return float((values * weight).sum() / weight.sum())


def _directions(
    random: np.random.Generator, tissue: TissueStatistics, streams: NDArray[np.float64], apart: float
) -> NDArray[np.float64]:
    # Directions are half turns, so all is done on the doubled angle. Each nucleus sums a common vector, one of its
    # place, and chance.
    common = random.uniform(0, 2 * np.pi)
    chance = random.standard_normal((2, len(streams)))
    alike = np.exp(-((apart / tissue.reach) ** 2) / 2) * 0.9 + 1e-6
    whole = pull(tissue.alignment)
    local = pull(float(np.sqrt(min(max(tissue.coherence - tissue.alignment**2, 0) / alike, 1))))
    east = whole * np.cos(common) + local * np.cos(streams) + chance[0]
    north = whole * np.sin(common) + local * np.sin(streams) + chance[1]
    return np.asarray(np.arctan2(north, east) / 2)


def pull(order: float) -> float:
    """Return the length of the vector to which chance, normal of variance 1 each way, is to be added for some order.

    Parameters
    ----------
    order : float
        Mean resultant length, in [0, 1], of the directions of such sums.
    """
    pulls = np.concatenate([np.linspace(0, 4, 41), [6, 10, 20, 50, 100]])
    quarter = pulls**2 / 4
    reached = np.sqrt(np.pi / 8) * pulls * (ive(0, quarter) + ive(1, quarter))
    return float(np.interp(order, reached, pulls))


def _goal(tissue: TissueStatistics, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    # Distance to the nearest neighbour over that of contact, by rank; 0 where nothing is prescribed.
    touch = np.clip(_at(tissue.contacts, np.clip(ranks / max(tissue.touching, 1e-9), 0, 1)), *CONTACT)
    apart = _at(tissue.spacings, np.clip((ranks - tissue.touching) / max(1 - tissue.touching, 1e-9), 0, 1))
    return np.where(ranks < tissue.touching, touch, apart)


def settle(scattered: Scattered, gap: float) -> Layout:
    """Move nuclei, all together, until the distances between neighbours are those of their goals.

    Parameters
    ----------
    scattered : Scattered
        The nuclei and the goals.
    gap : float
        Least distance in µm at which two nuclei can be told apart.
    """
    layout, goal, touch, small = scattered.layout, scattered.goal, scattered.touch, scattered.small
    count = len(layout.centres)
    if count < 2:
        return layout
    centres = layout.centres
    everyone = np.arange(count)
    touches = touch
    for _ in range(_ROUNDS):
        index, toward, distance, contact = spacing(centres, layout.length, layout.width, layout.angle)
        ratio = distance / contact
        first = ratio.argmin(1)
        order = np.argsort(ratio.min(1) * contact[everyone, first] ** small, kind="stable")
        # Who has the nearest neighbour keeps it: the goals go round by rank.
        mine, touches = np.empty(count), np.empty(count, bool)
        mine[order], touches[order] = goal, touch
        least = APART * contact + gap
        wanted = np.maximum(np.where(touches, 0, mine)[:, None] * contact, least)
        # A pair touches for the sake of one of them, by its goal.
        partner = np.where(touches, index[everyone, first], -1)
        own = partner[:, None] == index
        paired = own | (partner[index] == everyone[:, None])
        wanted = np.where(paired, np.where(own, mine[:, None], mine[index]) * contact, wanted)
        lacking = wanted - distance
        drawn = paired | ((index == index[everyone, first][:, None]) & (mine > 0)[:, None])
        move = np.where((lacking > 0) | drawn, lacking, 0)
        centres = centres - _STEP * (move[..., None] * toward).sum(1)
        centres = np.round(centres / GRID) * GRID
    return replace(layout, centres=centres, meets=touches)
