"""Random tissue maps: features of tissue as random fields, classes by the nearest centre, and glands among them.

A map is a function of the seed and the place alone: whatever window is looked at, it is the same, so windows join
without seams.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

from napari_nucleigan.masks.sampler.layout import RandomField
from napari_nucleigan.tissue.classes import nearest_class
from napari_nucleigan.tissue.record import CELL, UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.masks.sampler.parameters import ImageTissue, Quantiles, TissueLayout
    from napari_nucleigan.tissue.record import TissueClasses

BORDER = 0.12
"""Slope, per cell, of a class's share above which a place is beside the class's border."""

_FIELDS, _GLANDS = 1, 2  # keep the draws apart
_STEP = 1e-9  # features are rounded to it: the last bits of a processor's arithmetic then change nothing
_APART = 0.6  # cells of stroma kept on either side of the line between two glands
_WOBBLE = 0.22  # of a gland's radius
_WAVES = (2, 3, 4)  # around a gland
_LEAST_WALL = 1.6  # cells; a ring that is thinner has gaps at its corners
_LEAST_LUMEN = 1.0
_PALE_RIM = 1.0  # cells between epithelium and lumen that show some of both


@dataclass(frozen=True)
class _Gland:
    """A gland in cells: its centre, the mean radii of lumen and of the whole, and the waves of its outline."""

    centre: tuple[float, float]
    lumen: float
    radius: float
    amplitudes: NDArray[np.float64]
    phases: NDArray[np.float64]

    def depth(self, rows: NDArray[np.floating], columns: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return about how many cells a place lies within the outline; below 0 outside."""
        down, right = rows - self.centre[0], columns - self.centre[1]
        turn = np.arctan2(down, right)
        wave = sum(
            amplitude * np.cos(count * turn + phase)
            for amplitude, count, phase in zip(self.amplitudes, _WAVES, self.phases, strict=True)
        )
        return np.asarray(self.radius * (1 + wave) - np.hypot(down, right))


@dataclass(frozen=True)
class GlandCells:
    """Where glands are in a window; (h, w) arrays of bool, each within the one before it but the first.

    Attributes
    ----------
    between : array
        Stroma between two glands that meet.
    wall, rim, lumen : array
        All of the glands; what lies inside the epithelium; the lumen.
    """

    between: NDArray[np.bool_]
    wall: NDArray[np.bool_]
    rim: NDArray[np.bool_]
    lumen: NDArray[np.bool_]


def draw_map(
    layout: TissueLayout, image: ImageTissue, shape: tuple[int, int], seed: int, origin: tuple[int, int] = (0, 0)
) -> NDArray[np.uint8]:
    """Draw a window of a random tissue map.

    The features are Gaussian random fields with the values, reaches and correlations of an image's; a cell belongs to
    the class whose centre is nearest, as in the maps of images, so shares, neighbourhoods and scale are like theirs.
    Glands are closed rings of epithelium around a lumen, put among them.

    Parameters
    ----------
    layout : TissueLayout
        The classes.
    image : ImageTissue
        How the tissue lies.
    shape : (int, int)
        Rows and columns of the window in cells of 16 pixels.
    seed : int
        At least 0.
    origin : (int, int)
        Row and column of the first cell; may be negative.

    Returns
    -------
    ndarray of uint8, of that shape
        Numbers of classes.
    """
    # A cell more on each side: whether a ring is closed shows beyond the window, too.
    corner = origin[0] - 1, origin[1] - 1
    rows, columns = (np.arange(length + 2) + start + 0.5 for length, start in zip(shape, corner, strict=True))
    points = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    features = draw_features(image, points, seed).reshape(len(rows), len(columns), -1)
    return classify(features, layout.classes, image, find_glands(layout.classes, image, features.shape, seed, corner))


def classify(
    features: NDArray[np.float64], classes: TissueClasses, image: ImageTissue, glands: GlandCells | None
) -> NDArray[np.uint8]:
    """Turn drawn features, (h + 2, w + 2, 4), and the glands among them into a map, (h, w)."""
    cells = nearest_class(features, classes, image.biases)
    if glands is not None:
        stroma = classes.number("loose") or classes.number("fibrous")
        wall = classes.number("epithelium") or classes.number("crowded")
        cells[glands.between] = stroma or wall
        cells[glands.wall] = wall
        cells[glands.rim] = classes.number("pale") or classes.number("lumen")
        cells[glands.lumen] = classes.number("lumen")
    return cells[1:-1, 1:-1].copy()


def choose_image(layout: TissueLayout, draw: float) -> ImageTissue:
    """Choose the image whose tissue a mask shows, by their shares; `draw` lies in [0, 1)."""
    shares = np.cumsum([each.share for each in layout.images])
    return layout.images[min(int(np.searchsorted(shares, draw * shares[-1], "right")), len(shares) - 1)]


def draw_features(image: ImageTissue, points: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Draw the features of tissue at places, (n, 2) rows and columns in cells; (n, 4)."""
    scores = []
    for number, field in enumerate(image.fields):
        random = np.random.default_rng([seed, _FIELDS, number])
        short, long = (RandomField(random, reach, smooth=True)(points) for reach in (field.short, field.long))
        scores.append(np.sqrt(field.near) * short + np.sqrt(1 - field.near) * long)
    mixed = _root(np.asarray(image.correlations)) @ np.stack(scores)
    columns = [_at(field.values, ndtr(score)) for field, score in zip(image.fields, mixed, strict=True)]
    return np.asarray(np.round(np.stack(columns, -1) / _STEP) * _STEP)


def _root(correlations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a matrix A with A A' nearest to the correlations; its rows have length 1."""
    values, vectors = np.linalg.eigh((correlations + correlations.T) / 2)
    # The symmetric root: each mixture is mostly the field of its own feature.
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return np.asarray(root / np.maximum(np.linalg.norm(root, axis=1, keepdims=True), 1e-9))


def _at(table: Quantiles, probability: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.interp(probability, (np.arange(len(table)) + 0.5) / len(table), table))


def find_glands(
    classes: TissueClasses, image: ImageTissue, shape: tuple[int, ...], seed: int, origin: tuple[int, int]
) -> GlandCells | None:
    """Find the cells of glands in a window of (rows, columns, ...) cells; None where there can be none."""
    if not (image.glands.density and classes.number("lumen") and {"epithelium", "crowded"} & set(classes.names)):
        return None
    cell_um = CELL * classes.mpp
    shape = shape[0], shape[1]
    first, second = np.full(shape, -np.inf), np.full(shape, -np.inf)
    open_to = np.zeros(shape)
    for gland in _glands(image, cell_um, seed, origin, shape):
        reach = int(np.ceil(gland.radius * (1 + len(_WAVES) * _WOBBLE))) + 1
        top, left = (
            max(int(np.floor(middle)) - start - reach, 0) for middle, start in zip(gland.centre, origin, strict=True)
        )
        bottom, right = (
            min(int(np.floor(middle)) - start + reach + 1, length)
            for middle, start, length in zip(gland.centre, origin, shape, strict=True)
        )
        if top >= bottom or left >= right:
            continue
        part = np.s_[top:bottom, left:right]
        rows = (np.arange(top, bottom) + origin[0] + 0.5)[:, None]
        columns = (np.arange(left, right) + origin[1] + 0.5)[None]
        depth = gland.depth(rows, columns)
        deeper = depth > first[part]
        second[part] = np.where(deeper, first[part], np.maximum(second[part], depth))
        first[part] = np.where(deeper, depth, first[part])
        open_to[part] = np.where(deeper, gland.radius - gland.lumen, open_to[part])
    # Of two glands that meet each keeps its side, and stroma stays between: a ring is closed on all sides.
    inside = np.minimum(first, (first - np.maximum(second, -1e9)) / 2 - _APART)
    within = ndimage.binary_erosion(inside > 0, np.ones((3, 3))) & (inside > open_to)
    rim = _PALE_RIM if classes.number("pale") else 0.0
    return GlandCells((first > 0) & (inside <= 0), inside > 0, within, within & (inside > open_to + rim))


def _glands(
    image: ImageTissue, cell_um: float, seed: int, origin: tuple[int, int], shape: tuple[int, int]
) -> list[_Gland]:
    """Return the glands that can reach into a window: one at most in each square of a grid."""
    glands = image.glands
    lumen, wall = max(glands.lumen / cell_um, _LEAST_LUMEN), max(glands.wall / cell_um, _LEAST_WALL)
    side = max(1e3 / np.sqrt(glands.density) / cell_um, 1.0)
    reach = 2 * (1 + len(_WAVES) * _WOBBLE) * (lumen + wall) + 1
    found = []
    spans = [
        range(int(np.floor((start - reach) / side)), int(np.floor((start + length + reach) / side)) + 1)
        for start, length in zip(origin, shape, strict=True)
    ]
    for row in spans[0]:
        for column in spans[1]:
            # Seeds are not negative: places left of and above the origin take the odd numbers.
            place = [2 * index if index >= 0 else -2 * index - 1 for index in (row, column)]
            random = np.random.default_rng([seed, _GLANDS, *place])
            down, right = (np.array([row, column]) + random.uniform(size=2)) * side
            size = float(np.clip(np.exp(0.4 * random.standard_normal()), 0.5, 2))
            inner = lumen * size
            outer = inner + max(wall * float(np.sqrt(size)), _LEAST_WALL)
            amplitudes = _WOBBLE * random.uniform(-1, 1, len(_WAVES)) / np.array(_WAVES)
            phases = random.uniform(0, 2 * np.pi, len(_WAVES))
            found.append(_Gland((float(down), float(right)), inner, outer, amplitudes, phases))
    return found


def border_directions(
    cells: NDArray[np.uint8], points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find how the border of the tissue runs beside some places.

    Parameters
    ----------
    cells : ndarray of uint8, shape (h, w)
        A tissue map.
    points : (n, 2) array of float
        Rows and columns in cells from the map's corner.

    Returns
    -------
    angle : (n,) array of float
        Direction along the border of the tissue that the place is in, from the column axis towards higher rows.
    slope : (n,) array of float
        How steeply that tissue's share falls, per cell: 0 far from any border.
    """
    angle, slope = np.zeros(len(points)), np.zeros(len(points))
    own = class_at(cells, points)
    for number in np.unique(own[own != UNKNOWN]):
        share = ndimage.gaussian_filter((cells == number).astype(float), 1.0, mode="nearest")
        down, right = np.gradient(share) if min(share.shape) > 1 else (np.zeros_like(share), np.zeros_like(share))
        here = own == number
        place = (points[here] - 0.5).T
        down, right = (ndimage.map_coordinates(each, place, order=1, mode="nearest") for each in (down, right))
        slope[here] = np.hypot(down, right)
        angle[here] = np.arctan2(down, right) + np.pi / 2
    return angle, slope


def class_at(cells: NDArray[np.uint8], points: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the class at places, (n, 2) rows and columns in cells; those beyond the map have that of its edge."""
    rows, columns = (
        np.clip(np.floor(places).astype(np.intp), 0, length - 1)
        for places, length in zip(points.T, cells.shape, strict=True)
    )
    return np.asarray(cells[rows, columns])
