"""Two label images that lie somewhere in the world, brought to one grid of pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import LabelsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Matrix = npt.NDArray[np.floating[Any]]
    Labels = npt.NDArray[np.integer[Any]]

MAX_RATIO = 8.0
"""Images whose pixels differ in width by more than this are not compared."""

_SAME = 0.01  # of a pixel, at the corners; what rounding of scales and units leaves
_BLOCK = 1 << 20  # pixels that are looked up at a time


@dataclass(frozen=True, eq=False)
class Grid:
    """Pixels, and where they lie.

    Attributes
    ----------
    shape : (int, int)
        Height and width in pixels.
    matrix : ndarray of float64, shape (3, 3)
        From (row, column, 1) of the centre of a pixel to the world.
    micron : bool
        Whether the world is in microns; else it has no unit of length.
    name : str
        What to call the image in messages.
    """

    shape: tuple[int, int]
    matrix: Matrix
    micron: bool
    name: str


@dataclass(frozen=True, eq=False)
class Sampler:
    """Takes label images from one grid to another: each pixel gets the label of the nearest one.

    Attributes
    ----------
    source, shape : (int, int)
        Shape of what goes in, and of what comes out.
    matrix : ndarray of float64, shape (3, 3)
        From the pixels that come out to those that go in.
    outside : ndarray of bool, shape `shape`, or None
        Pixels that become background, whatever lies there; None for none.
    """

    source: tuple[int, int]
    shape: tuple[int, int]
    matrix: Matrix
    outside: npt.NDArray[np.bool_] | None = None

    def __call__(self, labels: Labels) -> Labels:
        """Take labels to the other grid.

        Parameters
        ----------
        labels : ndarray of int
            Of the shape `source`.

        Returns
        -------
        ndarray of int
            Of the shape `shape`; a view of a part where the pixels are the same.

        Raises
        ------
        LabelsError
            If the shape is another.
        """
        if labels.shape != self.source:
            raise LabelsError(
                f"The labels are of shape {labels.shape}, but were of {self.source} when they were placed."
            )
        height, width = self.shape
        if self.outside is None and np.array_equal(self.matrix[:, :2], np.eye(3)[:, :2]):
            top, left = self.matrix[:2, 2].astype(int)
            return labels[top : top + height, left : left + width]
        found = np.empty(self.shape, labels.dtype)
        for block, *places in self._nearest():
            rows, columns = (np.clip(at, 0, size - 1) for at, size in zip(places, self.source, strict=True))
            found[block] = labels[rows, columns]
        if self.outside is not None:
            found[self.outside] = 0
        return found

    def covered(self) -> npt.NDArray[np.bool_]:
        """Tell which pixels have one of the source beneath them; of the shape `shape`."""
        found = np.empty(self.shape, np.bool_)
        height, width = self.source
        for block, rows, columns in self._nearest():
            found[block] = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        return found

    def _nearest(self) -> Iterator[tuple[slice, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Row and column of the source beneath each pixel, some rows at a time."""
        height, width = self.shape
        step = max(1, _BLOCK // width)
        for top in range(0, height, step):
            block = slice(top, min(top + step, height))
            rows, columns = np.arange(block.start, block.stop)[:, None], np.arange(width)
            # Half-way between two pixels the higher one is taken, whichever way rounding errors push.
            y, x = (np.floor(a * rows + b * columns + (c + 0.5 + 1e-6)).astype(np.int64) for a, b, c in self.matrix[:2])
            yield block, y, x


@dataclass(frozen=True, eq=False)
class Alignment:
    """Two label images on one grid.

    Attributes
    ----------
    grid : Grid
        The grid: of the image with the smaller pixels, as far as both images lie there.
    truth, pred : Sampler
        Bring the labels of each to it.
    notes : tuple of str
        What was done that the user should know.
    same : bool
        Whether both were on the same pixels from the start.
    """

    grid: Grid
    truth: Sampler
    pred: Sampler
    notes: tuple[str, ...]
    same: bool


def align(truth: Grid, pred: Grid) -> Alignment:
    """Find the grid on which two label images can be compared pixel by pixel.

    Parameters
    ----------
    truth, pred : Grid
        Where they lie. If only one of them has a unit of length, they have to be of one shape, and the other must not
        have been moved or scaled; they are then compared as arrays.

    Returns
    -------
    Alignment

    Raises
    ------
    LabelsError
        If they have no area in common, one has a unit of length and the other none, their pixels are too different in
        size, or a grid is degenerate.
    """
    for grid in (truth, pred):
        if min(grid.shape) < 1:
            raise LabelsError(f"“{grid.name}” has no pixels.")
        if not np.isfinite(grid.matrix).all() or abs(np.linalg.det(grid.matrix[:2, :2])) < 1e-12:
            raise LabelsError(f"“{grid.name}” has a scale of zero; set its scale anew.")
    notes: list[str] = []
    if truth.micron != pred.micron:
        truth, pred = _adopted(truth, pred, notes)
    to_truth = _between(truth, pred)
    if truth.shape == pred.shape and _apart(to_truth, pred.shape) < _SAME:
        return Alignment(truth, *(Sampler(truth.shape, truth.shape, np.eye(3)),) * 2, tuple(notes), True)
    ratio = float(np.sqrt(abs(np.linalg.det(to_truth))))  # width of a predicted pixel in true ones
    if max(ratio, 1 / ratio) > MAX_RATIO:
        small, large = (truth, pred) if ratio > 1 else (pred, truth)
        raise LabelsError(
            f"A pixel of “{large.name}” is as wide as {max(ratio, 1 / ratio):.3g} of “{small.name}”; images so unlike"
            " in scale cannot be compared. Check the scale of both."
        )
    fine, coarse = (pred, truth) if ratio < 0.999 else (truth, pred)
    to_coarse = _tidy(_between(coarse, fine), fine.shape)
    if max(ratio, 1 / ratio) > 1.001:
        wide = f"has pixels {max(ratio, 1 / ratio):.3g} times as wide"
        notes.append(f"“{coarse.name}” {wide}; it was brought to those of “{fine.name}”.")
    elif not np.array_equal(to_coarse[:2, :2], np.eye(2)):
        notes.append(f"“{coarse.name}” is turned or stretched; it was brought to the pixels of “{fine.name}”.")
    return _cropped(truth, fine, coarse, to_coarse, notes)


def _between(here: Grid, there: Grid) -> Matrix:
    """From the pixels of one grid to those of another."""
    matrix: Matrix = np.linalg.solve(here.matrix, there.matrix)
    return matrix


def _adopted(truth: Grid, pred: Grid, notes: list[str]) -> tuple[Grid, Grid]:
    """Lay the image without a unit of length on the other one, if it is of the same shape and was never placed."""
    bare, known = (pred, truth) if truth.micron else (truth, pred)
    if bare.shape != known.shape or _apart(bare.matrix, bare.shape) > _SAME:
        raise LabelsError(
            f"“{known.name}” is in microns and “{bare.name}” in pixels, so nothing says how they lie to each other."
            f" Give “{bare.name}” a scale and units."
        )
    notes.append(f"“{bare.name}” has no units; it was compared with “{known.name}” pixel by pixel.")
    placed = replace(bare, matrix=known.matrix, micron=True)
    return (truth, placed) if truth.micron else (placed, pred)


def _cropped(truth: Grid, fine: Grid, coarse: Grid, to_coarse: Matrix, notes: list[str]) -> Alignment:
    """Keep what both images cover."""
    covered = Sampler(coarse.shape, fine.shape, to_coarse).covered()
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    if not len(rows):
        raise LabelsError(f"“{fine.name}” and “{coarse.name}” have no place in common; move one onto the other.")
    top, left = int(rows[0]), int(columns[0])
    shape = int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
    outside = ~covered[top : top + shape[0], left : left + shape[1]]
    beyond = outside if outside.any() else None
    spared = Sampler(fine.shape, coarse.shape, np.linalg.inv(to_coarse)).covered().all()
    if shape != fine.shape or beyond is not None or not spared:
        notes.append(
            f"Compared where both lie: {shape[0]} by {shape[1]} pixels of “{fine.name}”, from row {top} and column"
            f" {left}. Nuclei beyond count for nothing, and those on the edge are cut."
        )
    shift = np.array([[1.0, 0, top], [0, 1, left], [0, 0, 1]])
    samplers = (
        Sampler(fine.shape, shape, shift, beyond),
        Sampler(coarse.shape, shape, to_coarse @ shift, beyond),
    )
    grid = Grid(shape, fine.matrix @ shift, fine.micron, fine.name)
    first, second = samplers if fine is truth else samplers[::-1]
    return Alignment(grid, first, second, tuple(notes), False)


def _apart(matrix: Matrix, shape: tuple[int, int]) -> float:
    """How far, at most, a matrix moves a corner of an image, in pixels."""
    height, width = shape[0] - 1, shape[1] - 1
    corners = np.array([[0, 0, 1], [height, 0, 1], [0, width, 1], [height, width, 1]], dtype=np.float64)
    return float(np.abs(corners @ (matrix - np.eye(3)).T).max())


def _tidy(matrix: Matrix, shape: tuple[int, int]) -> Matrix:
    """Make a shift by whole pixels exact, so that such labels need not be looked up."""
    shift = np.eye(3)
    shift[:2, 2] = np.rint(matrix[:2, 2])
    return shift if _apart(np.eye(3) + matrix - shift, shape) < 0.5 - _SAME else matrix
