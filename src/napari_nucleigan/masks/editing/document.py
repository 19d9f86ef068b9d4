"""One mask in two forms, labels and polygons, kept alike whichever of them is changed."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.labels.polygons import Points, as_polygon, boxes_of, labels_to_polygons, polygons_to_labels
from napari_nucleigan.labels.regions import Bounds, bounds, check_labels

LARGEST_ID = 10_000_000
"""Largest label of a mask: tables by label must fit into memory."""
_REMEMBERED = 20_000  # polygons of earlier states, for undo


@dataclass(frozen=True)
class PolygonChange:
    """What to do to a list of polygons so that it shows the mask again.

    Attributes
    ----------
    removed : set of int
        Nuclei whose polygons are to be removed.
    polygons, ids : list
        Polygons to add on top after that, and their nuclei.
    """

    removed: set[int]
    polygons: list[Points]
    ids: list[int]


@dataclass(frozen=True)
class LabelChange:
    """What to do to a label image so that it shows the mask again.

    Attributes
    ----------
    rows, columns : ndarray of int
        Pixels to change.
    values : ndarray of int32
        Their new labels.
    ids : list of int
        The nucleus of each polygon that was given; 0 for one that encloses nothing.
    refused : list of str
        Why polygons enclose nothing.
    """

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    values: npt.NDArray[np.int32]
    ids: list[int]
    refused: list[str]


class MaskDocument:
    """The nuclei of a mask: their pixels, and a polygon of each.

    `follow_labels` and `follow_polygons` take the state of either form, find what differs, and tell what the other one
    must change. Given a state that it knows, they change nothing, so that two views which follow one another come to
    rest. Polygons keep the corners that the user has set, and what they have below others, until the pixels of their
    nucleus are changed; then the nucleus is traced along its pixels. A nucleus that comes back to earlier pixels, as by
    undo, gets its earlier polygon.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        The mask at the beginning.

    Raises
    ------
    LabelsError
        If it is no label image, or its labels are above `LARGEST_ID`.
    """

    def __init__(self, labels: npt.NDArray[Any]) -> None:
        values = check_labels(labels)
        if values.max() > LARGEST_ID:
            raise LabelsError(
                f"The largest label is {values.max()}, but a mask may have labels up to {LARGEST_ID}; number them anew."
            )
        self._labels = values.astype(np.int32)
        self._areas = np.bincount(self._labels.ravel())
        self._largest = len(self._areas) - 1
        self._polygons: list[Points] | None = None
        self._ids: list[int] = []
        self._bounds: list[Bounds] = []
        self._memory: OrderedDict[tuple[int, bytes], tuple[int, Points]] = OrderedDict()
        self._age = 0

    @property
    def labels(self) -> npt.NDArray[np.int32]:
        """The mask as labels; not to be written to."""
        return self._labels

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        height, width = self._labels.shape
        return height, width

    @property
    def ids(self) -> list[int]:
        """Labels of all nuclei that are seen, ascending."""
        found: list[int] = (np.flatnonzero(self._areas[1:]) + 1).tolist()
        return found

    @property
    def areas(self) -> npt.NDArray[np.int64]:
        """Pixels of each nucleus that is seen, by ascending label."""
        counts = self._areas[1:]
        return counts[counts > 0]

    @property
    def polygons(self) -> list[Points]:
        """A polygon for each nucleus, the topmost last; traced when first asked for."""
        if self._polygons is None:
            polygons, ids = labels_to_polygons(self._labels)
            self._polygons = []
            self._append(polygons, ids.tolist())
        return list(self._polygons)

    @property
    def polygon_ids(self) -> list[int]:
        """The nucleus of each of `polygons`."""
        return self._ids if self._polygons is not None else self.ids

    @property
    def hidden(self) -> list[int]:
        """Nuclei that have a polygon but no pixel: they lie below others, or outside the canvas."""
        return [number for number in self._ids if number >= len(self._areas) or not self._areas[number]]

    def new_id(self) -> int:
        """Label that no nucleus has or has had."""
        return self._largest + 1

    def forget_polygons(self) -> None:
        """Stop keeping polygons; what they had below others is gone."""
        self._polygons, self._ids, self._bounds = None, [], []
        self._memory.clear()

    def follow_labels(self, labels: npt.NDArray[Any]) -> PolygonChange | None:
        """Take the labels as they are now.

        Parameters
        ----------
        labels : ndarray of integers, shape (H, W)
            The whole label image.

        Returns
        -------
        PolygonChange or None
            None where nothing differs.

        Raises
        ------
        LabelsError
            If it has another shape, or labels that are negative or above `LARGEST_ID`. Nothing is changed then.
        """
        if labels.shape != self._labels.shape:
            raise LabelsError(f"The mask has become {labels.shape}; it was {self._labels.shape}.")
        box = bounds(labels != self._labels)
        if box is None:
            return None
        rows, columns = slice(box[0], box[1]), slice(box[2], box[3])
        new, old = labels[rows, columns], self._labels[rows, columns]
        if new.min() < 0 or new.max() > LARGEST_ID:
            raise LabelsError(f"The mask has got labels that are not from 0 to {LARGEST_ID}; undo that.")
        differs = new != old
        touched = _values(new[differs]) | _values(old[differs])
        self._write(box, new.astype(np.int32))
        if self._polygons is None:
            return PolygonChange(set(), [], [])
        return self._retrace(touched, box)

    def follow_polygons(
        self,
        corners: Sequence[npt.ArrayLike],
        kinds: Sequence[str],
        ids: Sequence[int],
        order: Sequence[int] | None = None,
    ) -> LabelChange | None:
        """Take the polygons as they are now.

        Parameters
        ----------
        corners : sequence of array-like, shape (n, 2)
            All shapes, those of nuclei that have not changed too.
        kinds : sequence of str
            As `as_polygon` takes them.
        ids : sequence of int
            The nucleus of each; one that has 0 or less, or the same as one before it, gets a new number.
        order : sequence of int, optional
            Positions from the lowest to the topmost; by default as they are given.

        Returns
        -------
        LabelChange or None
            None where nothing differs.
        """
        before = dict(zip(self.polygon_ids, self.polygons, strict=True))
        given, refused = _as_polygons(corners, kinds, [before.get(number) for number in ids])
        numbers = self._numbered(ids, given)
        after: dict[int, Points] = {}
        for place in range(len(given)) if order is None else order:
            if (polygon := given[place]) is not None:
                after[numbers[place]] = polygon
        changed = {each for each in before.keys() | after.keys() if not _same(before.get(each), after.get(each))}
        changed |= _reordered([each for each in before if each in after], [each for each in after if each in before])
        if not changed and not refused and numbers == list(ids):
            return None
        known = dict(zip(self._ids, self._bounds, strict=True))
        bounds = {number: _bound(polygon) if number in changed else known[number] for number, polygon in after.items()}
        self._polygons, self._ids, self._bounds = list(after.values()), list(after), list(bounds.values())
        box = self._joined([each[number] for each in (known, bounds) for number in changed & each.keys()])
        if box is None:
            nothing = np.empty(0, np.int64)
            return LabelChange(nothing, nothing, nothing.astype(np.int32), numbers, refused)
        new, old = self._render(box), self._labels[box[0] : box[1], box[2] : box[3]]
        rows, columns = np.nonzero(new != old)
        values = new[rows, columns]
        changed |= _values(values) | _values(old[rows, columns])
        self._write(box, new)
        self._remember(changed)
        return LabelChange(rows + box[0], columns + box[2], values, numbers, refused)

    def _numbered(self, ids: Sequence[int], given: Sequence[Points | None]) -> list[int]:
        self._largest = max([self._largest, *(number for number in ids if number <= LARGEST_ID)])
        numbers: list[int] = []
        used = {0}
        for number, polygon in zip(ids, given, strict=True):
            if polygon is None:
                numbers.append(0)
                continue
            if not 0 < number <= LARGEST_ID or number in used:
                number = self._largest = self._largest + 1
            used.add(number)
            numbers.append(number)
        return numbers

    def _retrace(self, touched: set[int], box: Bounds) -> PolygonChange:
        """Bring the polygons into line with the labels, where nuclei have changed within a box."""
        before = set(self._ids)
        renewed: set[int] = set()
        while touched:
            area = self._joined([*self._bounds_of(touched), box]) or box
            # A nucleus that comes up again does so because its earlier polygon would show too much.
            self._replace(touched, area, touched - renewed)
            renewed |= touched
            area = self._joined([*self._bounds_of(touched), area]) or area
            shown = self._render(area)
            there = self._labels[area[0] : area[1], area[2] : area[3]]
            wrong = shown != there
            touched = _values(shown[wrong]) | _values(there[wrong])
            box = area
        kept = sum(number not in renewed for number in self._ids)
        return PolygonChange(before & renewed, (self._polygons or [])[kept:], self._ids[kept:])

    def _bounds_of(self, numbers: set[int]) -> list[Bounds]:
        return [bound for number, bound in zip(self._ids, self._bounds, strict=True) if number in numbers]

    def _replace(self, numbers: set[int], area: Bounds, recall: set[int]) -> None:
        """Give nuclei, all of whose pixels lie in an area, the polygons that show these, on top."""
        assert self._polygons is not None
        kept = [at for at, number in enumerate(self._ids) if number not in numbers]
        self._polygons = [self._polygons[at] for at in kept]
        self._bounds = [self._bounds[at] for at in kept]
        self._ids = [self._ids[at] for at in kept]
        part = self._labels[area[0] : area[1], area[2] : area[3]]
        part = np.where(np.isin(part, list(numbers)), part, 0)
        recalled = []
        for number, key in _keys(part, recall, area):
            if (number, key) in self._memory:
                recalled.append((*self._memory[number, key], number))
                part[part == number] = 0
        recalled.sort(key=lambda item: item[0])
        self._append([polygon for _, polygon, _ in recalled], [number for _, _, number in recalled])
        traced, ids = labels_to_polygons(part)
        corner = np.array([area[0], area[2]])
        self._append([polygon + corner for polygon in traced], ids.tolist())

    def _remember(self, numbers: set[int]) -> None:
        """Keep the polygons of nuclei for when their pixels are again what they are now."""
        assert self._polygons is not None
        chosen = {number: at for at, number in enumerate(self._ids) if number in numbers}
        area = self._joined([self._bounds[at] for at in chosen.values()])
        if area is None:
            return
        keys = dict(_keys(self._labels[area[0] : area[1], area[2] : area[3]], set(chosen), area))
        for number, at in chosen.items():
            if number in keys:
                self._age += 1
                self._memory[number, keys[number]] = self._age, self._polygons[at]
                self._memory.move_to_end((number, keys[number]))
        while len(self._memory) > _REMEMBERED:
            self._memory.popitem(last=False)

    def _render(self, box: Bounds) -> npt.NDArray[np.int32]:
        assert self._polygons is not None
        shape = box[1] - box[0], box[3] - box[2]
        chosen = [
            at
            for at, (top, bottom, left, right) in enumerate(self._bounds)
            if top < box[1] and bottom > box[0] and left < box[3] and right > box[2]
        ]
        corner = np.array([box[0], box[2]])
        return polygons_to_labels(
            [self._polygons[at] - corner for at in chosen], shape, [self._ids[at] for at in chosen]
        )

    def _append(self, polygons: Sequence[Points], ids: Sequence[int]) -> None:
        assert self._polygons is not None
        self._polygons += polygons
        self._ids += ids
        self._bounds += map(_bound, polygons)

    def _write(self, box: Bounds, new: npt.NDArray[np.int32]) -> None:
        old = self._labels[box[0] : box[1], box[2] : box[3]]
        length = max(len(self._areas), int(new.max(initial=0)) + 1)
        areas = np.bincount(new.ravel(), minlength=length) - np.bincount(old.ravel(), minlength=length)
        areas[: len(self._areas)] += self._areas
        self._areas = areas
        self._largest = max(self._largest, length - 1)
        self._labels[box[0] : box[1], box[2] : box[3]] = new

    def _joined(self, boxes: Sequence[Bounds]) -> Bounds | None:
        """Return the part of the canvas that holds all boxes; None where that is nothing."""
        if not boxes:
            return None
        top, bottom, left, right = zip(*boxes, strict=True)
        height, width = self._labels.shape
        box = max(min(top), 0), min(max(bottom), height), max(min(left), 0), min(max(right), width)
        return box if box[0] < box[1] and box[2] < box[3] else None


def _as_polygons(
    corners: Sequence[npt.ArrayLike], kinds: Sequence[str], known: Sequence[Points | None]
) -> tuple[list[Points | None], list[str]]:
    given: list[Points | None] = []
    refused = []
    for points, kind, before in zip(corners, kinds, known, strict=True):
        if before is not None and kind != "ellipse" and np.array_equal(points, before):
            given.append(before)
            continue
        try:
            given.append(as_polygon(points, kind))
        except LabelsError as error:
            given.append(None)
            refused.append(str(error))
    return given, refused


def _bound(polygon: Points) -> Bounds:
    """Pixels that a polygon can reach."""
    top, left = np.floor(polygon.min(axis=0) + 0.5).astype(int).tolist()
    bottom, right = np.floor(polygon.max(axis=0) + 1.5).astype(int).tolist()
    return top, bottom, left, right


def _same(one: Points | None, other: Points | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _reordered(before: list[int], after: list[int]) -> set[int]:
    return {each for pair in zip(before, after, strict=True) if pair[0] != pair[1] for each in pair}


def _values(labels: npt.NDArray[np.integer]) -> set[int]:
    """Return the nuclei among some pixels."""
    return set(np.unique(labels).tolist()) - {0}


def _keys(part: npt.NDArray[np.integer], ids: set[int], area: Bounds) -> Iterator[tuple[int, bytes]]:
    """Give a digest of the pixels of each nucleus in a part of the mask."""
    for number, box in boxes_of(part, ids):
        place = f"{box[0].start + area[0]},{box[1].start + area[2]},{part[box].shape}"
        mine = part[box] == number
        yield number, hashlib.blake2b(place.encode() + np.packbits(mine).tobytes(), digest_size=16).digest()
