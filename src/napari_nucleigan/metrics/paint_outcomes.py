"""A picture in which every row of nuclei has pixels of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_nucleigan.labels.regions import Int64Array, Runs


def mark(
    cut: Runs, first: Int64Array, second: Int64Array, ranks: Int64Array
) -> tuple[npt.NDArray[np.int32], list[int]]:
    """Paint rows of nuclei so that each can be seen.

    Where a true nucleus of one row meets a prediction of another, the row of higher rank takes what they share. A row
    that this leaves without a pixel takes some back.

    Parameters
    ----------
    cut : Runs
        Of both label images.
    first, second : ndarray of int64, shape (r,)
        Row of the true nucleus and of the prediction of each run, from 1; 0 for background.
    ranks : ndarray of int64, shape (n + 1,)
        Of each row, the background before all; all differ.

    Returns
    -------
    picture : ndarray of int32, shape (H, W)
        Row of each pixel, from 1; 0 for background.
    hidden : list of int
        Rows that are not to be seen. There are such only where chains of nuclei cover fewer pixels than they are many.
    """
    owners = np.where(ranks[first] >= ranks[second], first, second).astype(np.int32)
    counts = np.bincount(owners, cut.lengths, len(ranks)).astype(np.int64)
    picture = np.repeat(owners, cut.lengths)
    empty = (np.flatnonzero(counts[1:] == 0) + 1).tolist()
    hidden = []
    if empty:
        pixels = _Pixels(cut, first, second, len(ranks))
        hidden = [row for row in empty if not _claim(row, picture, counts, pixels)]
    return picture.reshape(cut.shape), hidden


class _Pixels:
    """Which pixels the nuclei of a row cover."""

    def __init__(self, cut: Runs, first: Int64Array, second: Int64Array, rows: int) -> None:
        other = np.flatnonzero(first != second)
        index = np.concatenate([first, second[other]])
        self._runs = np.concatenate([np.arange(len(first)), other])[np.argsort(index, kind="stable")]
        self._ends = np.cumsum(np.bincount(index, minlength=rows))
        self._cut = cut

    def of(self, row: int) -> Int64Array:
        """Pixels of a row, counted row by row of the image."""
        runs = self._runs[self._ends[row - 1] : self._ends[row]]
        starts, lengths = self._cut.starts[runs], self._cut.lengths[runs]
        skipped = starts - np.cumsum(lengths) + lengths
        found: Int64Array = np.arange(lengths.sum()) + np.repeat(skipped, lengths)
        return found


def _claim(row: int, picture: npt.NDArray[np.int32], counts: Int64Array, pixels: _Pixels) -> bool:
    """Find pixels for a row that has none, at the cost of rows that keep some; False where nothing can be found.

    A row with one pixel gives it up if it finds another itself: the search goes along such rows.
    """
    came: dict[int, tuple[int, int]] = {row: (0, 0)}
    queue = [row]
    for current in queue:
        mine = pixels.of(current)
        others, shares = np.unique(picture[mine], return_counts=True)
        for other in others[np.argsort(-shares, kind="stable")].tolist():
            if other == current:
                continue
            shared = mine[picture[mine] == other]
            if counts[other] > 1:
                # All that they share, or half of it where the other has nothing else.
                taken = shared if counts[other] > len(shared) else shared[: len(shared) // 2]
                picture[taken] = current
                counts[other] -= len(taken)
                counts[current] += len(taken)
                while current != row:
                    before, pixel = came[current]
                    picture[pixel] = before
                    counts[current] -= 1
                    counts[before] += 1
                    current = before
                return True
            if other not in came:
                came[other] = current, int(shared[0])
                queue.append(other)
    return False
