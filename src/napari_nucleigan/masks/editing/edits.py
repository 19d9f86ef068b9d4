"""Edits of the nuclei of a mask: random ones added, those of another mask; jitter, grow, shrink, copy, split, delete.

Every edit gives a new label image and leaves the one that it was given as it is. No edit of nuclei loses one, covers or
cuts it with another, or changes its label.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as changed
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage.measure import label as connected

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.labels.polygons import boxes_of, labels_to_polygons, polygons_to_labels
from napari_nucleigan.labels.regions import bounds, regions_of
from napari_nucleigan.masks.editing.known_tissue import KnownTissue
from napari_nucleigan.masks.polygons import sample_tissue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from napari_nucleigan.labels.regions import Bounds
    from napari_nucleigan.masks.sampler.parameters import PolygonMasks

    Labels = npt.NDArray[np.int32]

MARGIN_UM = 20.0
"""Random nuclei are laid out so far beyond a region, so that none is cut at its border."""

TURN = 15.0
"""Most degrees that `jitter` turns a nucleus."""

_TRIES = 6
_DIRECTIONS = 16
_FARTHEST = 6.0  # how far copies are set, in diameters of the nucleus


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
    tissue : ndarray of uint8, shape (h, w), or None
        The tissue map after it, where nuclei were laid out on one.
    """

    labels: Labels
    ids: tuple[int, ...]
    left_out: int = 0
    tissue: npt.NDArray[np.uint8] | None = None


def fill(
    labels: npt.NDArray[Any],
    statistics: PolygonMasks,
    mpp: float,
    seed: int = 0,
    region: Bounds | None = None,
    *,
    replace: bool = False,
    first: int | None = None,
    tissue: npt.NDArray[np.uint8] | None = None,
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
    tissue : ndarray of uint8, shape (h, w), optional
        The tissue map of the mask, for statistics with a layout: nuclei are those of the tissue that is known, and
        what is unknown in the region is drawn.

    Returns
    -------
    Edit

    Raises
    ------
    RecipeError
        If `mpp`, the seed or the tissue map cannot be used.
    """
    height, width = labels.shape
    first = next_id(labels) if first is None else first
    box = (0, height, 0, width) if region is None else region
    if replace:
        labels = delete(labels, inside(labels, box)).labels
    known = KnownTissue(statistics, labels.shape, mpp, box, tissue)
    if box == (0, height, 0, width):
        nuclei, cells = sample_tissue(statistics, (height, width), mpp, seed, known.cells)
        return changed(place(labels, nuclei, (0, 0), None, first), tissue=cells)
    margin = int(np.ceil(MARGIN_UM / mpp))
    origin = known.begin(box[0] - margin), known.begin(box[2] - margin)
    shape = box[1] + margin - origin[0], box[3] + margin - origin[1]
    nuclei, cells = sample_tissue(statistics, shape, mpp, seed, known.window(origin, shape))
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
    return changed(place(labels, nuclei, origin, reached, first), tissue=known.joined(cells, origin))


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

    Parameters and errors are those of `grow`, where `distance` is the farthest that one moves; it turns by at most
    `TURN` degrees. The same seed moves them the same way.
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
    box = bounds(chosen)
    if box is None:
        return None
    top, bottom, left, right = box
    return slice(max(top - margin, 0), bottom + margin), slice(max(left - margin, 0), right + margin)


def _at_border(box: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    return any(side.start == 0 or side.stop == length for side, length in zip(box, shape, strict=True))


def _in_pixels(distance: float, mpp: float) -> float:
    if not distance >= mpp > 0:
        raise LabelsError(
            f"{distance:g} µm is less than a pixel of {mpp:g} µm, so nothing would change; give a larger amount."
        )
    return distance / mpp
