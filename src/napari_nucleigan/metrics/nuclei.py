"""The nuclei of two label images in rows, with what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.metrics.outcomes import OUTCOMES

if TYPE_CHECKING:
    from napari_nucleigan.labels.regions import Float64Array, Int64Array


@dataclass(frozen=True, eq=False)
class Nuclei:
    """The nuclei of two label images in rows; each nucleus is in one row.

    Rows go by the first pixel of their first true nucleus; those without a true nucleus follow, by their first
    prediction.

    Attributes
    ----------
    id : ndarray of int32, shape (n,)
        Number of the row, from 1: its value in the picture.
    outcome : ndarray of int8, shape (n,)
        Index into `OUTCOMES`.
    iou : ndarray of float64, shape (n,)
        Of the matched pair; in other rows the largest that a nucleus of the row has with any nucleus, 0 where it meets
        none.
    hausdorff, average_hausdorff : ndarray of float64, shape (n,)
        Distances of the same two nuclei in pixels; NaN where there is no pair, or where they were not asked for.
    row, column : ndarray of float64, shape (n,)
        Mean of the pixels of the row's true nuclei, or of its predictions where it has no true nucleus.
    boxes : ndarray of int64, shape (n, 4)
        First row, last row + 1, first column, last column + 1 of all nuclei of the row.
    area : ndarray of int64, shape (n,)
        Pixels of the true nuclei, or of the predictions where there is no true nucleus.
    density : ndarray of float64, shape (n,)
        True nuclei within 50 µm of the centre, itself among them; where part of this disc is outside the image, as
        many as a whole one would hold.
    host : ndarray of int32, shape (n,)
        Row of the matched nucleus that those of this row are part of; 0 where there is none.
    truth_ids, pred_ids : list of tuple of int, length n
        Labels of the true nuclei and of the predictions.
    """

    id: npt.NDArray[np.int32]
    outcome: npt.NDArray[np.int8]
    iou: Float64Array
    hausdorff: Float64Array
    average_hausdorff: Float64Array
    row: Float64Array
    column: Float64Array
    boxes: Int64Array
    area: Int64Array
    density: Float64Array
    host: npt.NDArray[np.int32]
    truth_ids: list[tuple[int, ...]]
    pred_ids: list[tuple[int, ...]]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.id)

    @property
    def names(self) -> npt.NDArray[np.str_]:
        """Outcome of each row in words, shape (n,)."""
        words: npt.NDArray[np.str_] = np.array(OUTCOMES)[self.outcome]
        return words

    def record(self, place: int) -> dict[str, Any]:
        """Return a row, counted from 0, as plain numbers, words and lists; None where there is no distance."""
        found: dict[str, Any] = {"id": int(self.id[place]), "outcome": OUTCOMES[self.outcome[place]]}
        found |= {"truth_ids": list(self.truth_ids[place]), "pred_ids": list(self.pred_ids[place])}
        for name in ("iou", "hausdorff", "average_hausdorff", "row", "column", "density"):
            value = float(getattr(self, name)[place])
            found[name] = None if np.isnan(value) else value
        found |= {"area": int(self.area[place]), "box": self.boxes[place].tolist(), "host": int(self.host[place])}
        return found

    def records(self) -> list[dict[str, Any]]:
        """Return all rows as `record` does, for tables and files."""
        return [self.record(place) for place in range(len(self))]
