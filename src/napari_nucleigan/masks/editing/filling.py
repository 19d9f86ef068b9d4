"""Nuclei added to a mask and taken from it: random ones in a region, those of another mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.labels.regions import regions_of
from napari_nucleigan.masks.sampler.sample import sample

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from napari_nucleigan.labels.regions import Bounds
    from napari_nucleigan.masks.sampler.parameters import PolygonMasks

    Labels = npt.NDArray[np.int32]

MARGIN_UM = 20.0
"""Random nuclei are laid out so far beyond a region, so that none is cut at its border."""


@dataclass(frozen=True)
class Edit:
    """What an edit has made.

    Attributes
    ----------
    labels : ndarray of int32, shape (H, W)
        The mask after it.
    ids : tuple of int
        Nuclei that are new or have changed.
    left_out : int
        Nuclei that could not be added or changed, because there is no room.
    """

    labels: Labels
    ids: tuple[int, ...]
    left_out: int = 0


def fill(
    labels: npt.NDArray[Any],
    statistics: PolygonMasks,
    mpp: float,
    seed: int = 0,
    region: Bounds | None = None,
    *,
    replace: bool = False,
    first: int | None = None,
) -> Edit:
    """Add random nuclei where there is room.

    Nuclei that are there stay whole: a new one that would overlap any of them is left out. A new nucleus belongs to
    the region if its centroid does; it may reach beyond, and only the border of the canvas cuts it.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        The mask.
    statistics : PolygonMasks
        What the nuclei look like, and their density where nothing is in their way.
    mpp : float
        Microns per pixel.
    seed : int
        The same seed adds the same nuclei. An empty canvas gets just what `sample` draws.
    region : Bounds, optional
        The part to fill; by default the whole canvas.
    replace : bool
        Delete the nuclei whose centroid lies in the region first.
    first : int, optional
        Label of the first new nucleus; by default one more than the largest.

    Returns
    -------
    Edit

    Raises
    ------
    RecipeError
        If `mpp` or the seed cannot be used.
    """
    height, width = labels.shape
    first = next_id(labels) if first is None else first
    box = (0, height, 0, width) if region is None else region
    if replace:
        labels = delete(labels, inside(labels, box)).labels
    if box == (0, height, 0, width):
        return place(labels, sample(statistics, (height, width), mpp, seed), (0, 0), None, first)
    margin = int(np.ceil(MARGIN_UM / mpp))
    origin = box[0] - margin, box[2] - margin
    shape = box[1] - box[0] + 2 * margin, box[3] - box[2] + 2 * margin
    nuclei = sample(statistics, shape, mpp, seed)
    cut = np.concatenate([nuclei[0], nuclei[-1], nuclei[:, 0], nuclei[:, -1]])
    nuclei[np.isin(nuclei, cut[cut > 0])] = 0
    # Where the region ends with the canvas, nuclei beyond its border belong to it too: they are seen in part.
    reach = 10 * margin + height + width
    reached = (
        box[0] if box[0] > 0 else -reach,
        box[1] if box[1] < height else reach,
        box[2] if box[2] > 0 else -reach,
        box[3] if box[3] < width else reach,
    )
    return place(labels, nuclei, origin, reached, first)


def place(
    labels: npt.NDArray[Any],
    nuclei: npt.NDArray[Any],
    origin: tuple[int, int] = (0, 0),
    region: Bounds | None = None,
    first: int | None = None,
) -> Edit:
    """Add the nuclei of another label image that overlap none of the mask.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        The mask.
    nuclei : ndarray of integers, shape (h, w)
        What to add.
    origin : (int, int)
        Row and column of the mask at which the first pixel of `nuclei` lies; any part may lie outside.
    region : Bounds, optional
        Only nuclei whose centroid lies in it are added; others do not count as left out.
    first : int, optional
        Label of the first new nucleus; by default one more than the largest.

    Returns
    -------
    Edit
    """
    made = labels.astype(np.int32)
    row, column = origin
    (height, width), (h, w) = labels.shape, nuclei.shape
    rows, columns = slice(max(row, 0), min(row + h, height)), slice(max(column, 0), min(column + w, width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return Edit(made, ())
    part = nuclei[rows.start - row : rows.stop - row, columns.start - column : columns.stop - column]
    canvas = made[rows, columns]
    ids = np.unique(part[part > 0])
    if region is not None and ids.size:
        top, bottom, left, right = region
        ids = np.intersect1d(ids, inside(nuclei, (top - row, bottom - row, left - column, right - column)))
    free = ids[np.isin(ids, part[canvas > 0], invert=True)]
    number = next_id(labels) if first is None else first
    numbers = np.arange(number, number + len(free), dtype=np.int32)
    if free.size:
        at = np.searchsorted(free, part).clip(max=len(free) - 1)
        chosen = free[at] == part
        canvas[chosen] = numbers[at[chosen]]
    return Edit(made, tuple(numbers.tolist()), len(ids) - len(free))


def delete(labels: npt.NDArray[Any], ids: Iterable[int]) -> Edit:
    """Delete nuclei."""
    made = labels.astype(np.int32)
    made[np.isin(made, list(ids))] = 0
    return Edit(made, ())


def inside(labels: npt.NDArray[Any], box: Bounds) -> list[int]:
    """Nuclei whose centroid lies in a box, ascending."""
    values, regions = regions_of(labels)
    within = ((regions.centres >= (box[0], box[2])) & (regions.centres < (box[1], box[3]))).all(axis=1)
    found: list[int] = values[within].tolist()
    return found


def next_id(labels: npt.NDArray[Any]) -> int:
    """Label that no nucleus has yet: one more than the largest."""
    return int(labels.max(initial=0)) + 1
