"""Edits of the nuclei of a mask: jitter, grow, shrink, copy, split.

Like those of `filling`, every edit gives a new label image and leaves the one that it was given
as it is. None loses a nucleus, none covers or cuts a nucleus with another, and a nucleus keeps its label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage.measure import label as connected

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.labels.polygons import boxes_of, labels_to_polygons, polygons_to_labels
from napari_nucleigan.masks.editing.filling import Edit, delete, next_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    Labels = npt.NDArray[np.int32]

__all__ = ["copy", "delete", "grow", "jitter", "shrink", "split"]

TURN = 15.0
"""Most degrees that `jitter` turns a nucleus."""
_TRIES = 6
_DIRECTIONS = 16
_FARTHEST = 6.0  # how far copies are set, in diameters of the nucleus


def grow(labels: npt.NDArray[Any], ids: Iterable[int], distance: float, mpp: float) -> Edit:
    """Let nuclei grow over background, up to their neighbours.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        The mask.
    ids : iterable of int
        The nuclei.
    distance : float
        How far their outlines move, in microns; at least a pixel.
    mpp : float
        Microns per pixel.

    Returns
    -------
    Edit

    Raises
    ------
    LabelsError
        If the distance is below a pixel.
    """
    pixels = _in_pixels(distance, mpp)
    made = labels.astype(np.int32)
    chosen = np.isin(made, list(ids)) & (made > 0)
    box = _around(chosen, int(np.ceil(pixels)))
    if box is not None:
        canvas, chosen = made[box], chosen[box]
        apart, nearest = ndimage.distance_transform_edt(~chosen, return_indices=True)
        reached = (apart <= pixels) & (canvas == 0)
        canvas[reached] = canvas[nearest[0][reached], nearest[1][reached]]
    return Edit(made, tuple(ids))


def shrink(labels: npt.NDArray[Any], ids: Iterable[int], distance: float, mpp: float) -> Edit:
    """Let the outlines of nuclei move inwards; of one that would vanish, the pixels at its heart stay.

    Parameters and errors are those of `grow`. The border of the canvas, which cuts nuclei, does not make them shrink.
    """
    pixels = _in_pixels(distance, mpp)
    made = labels.astype(np.int32)
    for number, box in boxes_of(labels, ids, margin=1):
        mine = labels[box] == number
        if mine.all():
            continue
        depth = ndimage.distance_transform_edt(mine)
        made[box][mine & (depth <= min(pixels, depth.max() - 1e-6))] = 0
    return Edit(made, tuple(ids))


def jitter(labels: npt.NDArray[Any], ids: Sequence[int], distance: float, mpp: float, seed: int = 0) -> Edit:
    """Move nuclei in random directions and turn them a little.

    A nucleus that would overlap another, or leave the canvas, is moved less; if that does not help it stays, as do
    those that the border of the canvas cuts.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        The mask.
    ids : sequence of int
        The nuclei.
    distance : float
        The farthest that one moves, in microns; at least a pixel. It turns by at most `TURN` degrees.
    mpp : float
        Microns per pixel.
    seed : int
        The same seed moves them the same way.

    Returns
    -------
    Edit

    Raises
    ------
    LabelsError
        If the distance is below a pixel.
    """
    pixels = _in_pixels(distance, mpp)
    random = np.random.default_rng(seed)
    made = labels.astype(np.int32)
    moved = []
    for number, box in boxes_of(labels, ids):
        if _at_border(box, made.shape):
            continue
        mine = labels[box] == number
        (outline,), _ = labels_to_polygons(mine.astype(np.uint8))
        middle = np.argwhere(mine).mean(axis=0)
        start = np.array([box[0].start, box[1].start])
        for attempt in range(_TRIES):
            less = 0.5**attempt
            direction, angle = random.uniform(0, 2 * np.pi), np.radians(random.uniform(-TURN, TURN)) * less
            shift = np.sqrt(random.uniform()) * pixels * less * np.array([np.sin(direction), np.cos(direction)])
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            corners = (outline - middle) @ turn.T + middle + start + shift
            if _redraw(made, number, box, mine, corners):
                moved.append(number)
                break
    return Edit(made, tuple(moved), len(ids) - len(moved))


def copy(labels: npt.NDArray[Any], ids: Sequence[int], seed: int = 0, first: int | None = None) -> Edit:
    """Set a twin of each nucleus where there is room for it nearby, a pixel away from any other nucleus.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        The mask.
    ids : sequence of int
        The nuclei.
    seed : int
        Decides in which direction twins lie.
    first : int, optional
        Label of the first twin; by default one more than the largest.

    Returns
    -------
    Edit
        Its `ids` are the twins.
    """
    random = np.random.default_rng(seed)
    made = labels.astype(np.int32)
    height, width = made.shape
    number = next_id(labels) if first is None else first
    twins = []
    for original, box in boxes_of(labels, ids):
        mine = np.pad(labels[box] == original, 1)
        corner = np.array([box[0].start - 1, box[1].start - 1])
        pixels = np.argwhere(mine) + corner
        around = np.argwhere(ndimage.binary_dilation(mine, np.ones((3, 3)))) + corner
        size = max(mine.shape)
        angles = random.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
        for distance in np.arange(0.5, _FARTHEST, 0.25) * size:
            shifts = np.rint(distance * np.column_stack([np.sin(angles), np.cos(angles)])).astype(int)
            inside_ = ((pixels.min(axis=0) + shifts >= 0) & (pixels.max(axis=0) + shifts < (height, width))).all(axis=1)
            at = (around[None] + shifts[:, None]).clip(0, (height - 1, width - 1))
            free = inside_ & (made[at[..., 0], at[..., 1]] == 0).all(axis=1)
            if free.any():
                rows, columns = (pixels + shifts[np.argmax(free)]).T
                made[rows, columns] = number
                twins.append(number)
                number += 1
                break
    return Edit(made, tuple(twins), len(ids) - len(twins))


def split(labels: npt.NDArray[Any], ids: Iterable[int], first: int | None = None) -> Edit:
    """Make nuclei of their own of all parts (of pixels that share a side) of a nucleus but the largest.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        The mask.
    ids : iterable of int
        The nuclei.
    first : int, optional
        Label of the first new nucleus; by default one more than the largest.

    Returns
    -------
    Edit
        Its `ids` are the new nuclei.
    """
    made = labels.astype(np.int32)
    number = start = next_id(labels) if first is None else first
    for original, box in boxes_of(labels, ids):
        parts, count = connected(labels[box] == original, connectivity=1, return_num=True)
        sizes = np.bincount(parts.ravel())[1:]
        for part in range(1, count + 1):
            if part != np.argmax(sizes) + 1:
                made[box][parts == part] = number
                number += 1
    return Edit(made, tuple(range(start, number)))


def _redraw(
    made: Labels, number: int, box: tuple[slice, slice], mine: npt.NDArray[np.bool_], corners: npt.NDArray[np.float64]
) -> bool:
    """Draw a nucleus elsewhere instead; False, and nothing done, where it would overlap another or leave the canvas."""
    low = np.floor(corners.min(axis=0)).astype(int)
    high = np.ceil(corners.max(axis=0)).astype(int) + 1
    if (low < 0).any() or (high > made.shape).any():
        return False
    window = made[low[0] : high[0], low[1] : high[1]]
    drawn = polygons_to_labels([corners - low], window.shape) > 0
    if not np.isin(window[drawn], (0, number)).all():
        return False
    made[box][mine] = 0
    window[drawn] = number
    return True


def _around(chosen: npt.NDArray[np.bool_], margin: int) -> tuple[slice, slice] | None:
    rows, columns = np.flatnonzero(chosen.any(axis=1)), np.flatnonzero(chosen.any(axis=0))
    if not rows.size:
        return None
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + 1 + margin),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + 1 + margin),
    )


def _at_border(box: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    return any(side.start == 0 or side.stop == length for side, length in zip(box, shape, strict=True))


def _in_pixels(distance: float, mpp: float) -> float:
    if not distance >= mpp > 0:
        raise LabelsError(
            f"{distance:g} µm is less than a pixel of {mpp:g} µm, so nothing would change; give a larger amount."
        )
    return distance / mpp
