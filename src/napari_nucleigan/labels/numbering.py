"""Label images whose numbers cannot be those of nuclei: masks that tell two things apart, and numbers that wrapped."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.text import printable
from napari_nucleigan.labels.regions import MASK_ONLY, Regions, numbered

_FAR = 3  # times as long as its longest piece is a label whose pieces lie far apart
_SPARSE = 4  # times the pixels of a label hold its box where it may have pieces; an ellipse askew fills a third
_PIECE = 0.1  # of the largest piece has one that counts
_CLASSES = 8  # numbers at most where all of them have pieces far apart: kinds of nuclei, not nuclei
_FULL = (127, 255, 32767, 65535)  # largest numbers of 8 and 16 bits
_SLIPS = 0.01  # of the labels, and one of few, may have pieces far apart by a slip of the annotator's hand
_ROWS = 64  # are looked at together
_LARGE = 100_000_000  # pixels, of which the regions would take too much memory
_EIGHT = np.ones((3, 3), int)  # neighbours at corners too


def check_nuclei(labels: npt.NDArray[Any], name: str = "The array") -> None:
    """Refuse a label image that only tells nuclei from background, as 0 and 255 do, or kinds of nuclei.

    Also one whose background has a number, as 1 where other programs count the nuclei from 2.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        0 is background.
    name : str
        What to call it in the error.

    Raises
    ------
    LabelsError
        If it has one number in several places, or few numbers and each in many places; or no 0, and a number on all
        four sides beside others.
    """
    if (ground := _ground(labels)) is not None:
        raise LabelsError(
            f"{printable(name)} is no label image: no pixel of it is 0, as background is, and {ground} reaches all "
            f"four sides; set {ground} to 0 first."
        )
    values = _few(labels)
    if not values:
        return
    pieces = [_pieces(labels == value) for value in values]
    if len(values) == 1:
        # A nucleus may have two parts; what is as white as it can be was never meant as its number.
        mask = len(pieces[0]) > (1 if values[0] in _FULL else 2) or _far(pieces[0])
    else:
        mask = all(len(each) > 2 and _far(each) for each in pieces)
    if mask:
        raise LabelsError(f"{printable(name)} is no label image: {MASK_ONLY}.")


def _ground(labels: npt.NDArray[Any]) -> int | None:
    """Find the number that the background has where it has one: there is no 0, and it lies around all else."""
    if not labels.size or not labels.all():
        return None
    sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    around = set.intersection(*(set(np.unique(side).tolist()) for side in sides))
    return around.pop() if len(around) == 1 and (labels != labels.flat[0]).any() else None


def _few(labels: npt.NDArray[Any]) -> list[int]:
    """Numbers of the nuclei, ascending, where they are few; none where there are more or none."""
    found: set[int] = set()
    for row in range(0, len(labels), _ROWS):
        found.update(np.unique(labels[row : row + _ROWS]).tolist())
        if len(found) > _CLASSES + 1:
            return []
    return sorted(found - {0})


def remarks_on(labels: npt.NDArray[Any]) -> tuple[str, ...]:
    """Say where a label image has several pieces far apart under one number, as numbers above 255 leave in 8 bits.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        0 is background.

    Returns
    -------
    tuple of str
        One sentence, or none. Images of more than 100 million pixels are not looked at.
    """
    if labels.size > _LARGE:
        return ()
    values, numbers = numbered(labels)
    regions = Regions.of(numbers, len(values))
    top, bottom, left, right = regions.boxes.T
    sparse = np.flatnonzero((bottom - top) * (right - left) > _SPARSE * regions.areas)
    if not len(sparse):
        return ()
    # All together: the boxes of scattered numbers may each be as large as the image.
    chosen = np.zeros(len(values) + 1, numbers.dtype)
    chosen[sparse + 1] = sparse + 1
    far = _scattered(chosen[numbers])
    wrapped = values[-1] in _FULL
    if len(far) <= (0 if wrapped else max(1, _SLIPS * len(values))):
        return ()
    why = f": numbers above {values[-1]} have wrapped around" if wrapped else ""
    advice = " and save them with 16 bits or more" if wrapped else ""
    return (
        f"{len(far)} of {len(values)} labels, {values[far[0] - 1]} first, have pieces that lie far apart, and count as "
        f"one nucleus each{why}; number the nuclei anew{advice}.",
    )


def _scattered(numbers: npt.NDArray[Any]) -> list[int]:
    """Numbers that have pieces far apart."""
    from skimage.measure import label

    pieces = label(numbers, background=0, connectivity=2)
    boxes = ndimage.find_objects(pieces)
    sizes = np.bincount(pieces.ravel())[1:]
    rows, columns = np.nonzero(pieces)
    owners = np.zeros(len(boxes) + 1, np.int64)
    owners[pieces[rows, columns]] = numbers[rows, columns]
    found: dict[int, list[tuple[int, tuple[slice, slice]]]] = {}
    for owner, size, box in zip(owners[1:].tolist(), sizes.tolist(), boxes, strict=True):
        found.setdefault(owner, []).append((size, box))
    return [owner for owner, parts in sorted(found.items()) if _far(_large(parts))]


def _pieces(mask: npt.NDArray[np.bool_]) -> list[tuple[slice, slice]]:
    """Boxes of the pieces of a mask; specks are left out."""
    pieces, _ = ndimage.label(mask, _EIGHT)
    return _large(list(zip(np.bincount(pieces.ravel())[1:].tolist(), ndimage.find_objects(pieces), strict=True)))


def _large(parts: list[tuple[int, tuple[slice, slice]]]) -> list[tuple[slice, slice]]:
    least = _PIECE * max(size for size, _ in parts)
    return [box for size, box in parts if size >= least]


def _far(boxes: list[tuple[slice, slice]]) -> bool:
    """Whether pieces lie in a box that is much longer than the longest of them."""
    longest = max(each.stop - each.start for box in boxes for each in box)
    spans = (max(box[axis].stop for box in boxes) - min(box[axis].start for box in boxes) for axis in (0, 1))
    return len(boxes) > 1 and max(spans) > _FAR * longest
