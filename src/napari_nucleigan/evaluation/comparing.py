"""One pair of label files compared, in this process or in another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_nucleigan import metrics
from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.data.images.files import read_labels
from napari_nucleigan.evaluation.groups import Failure, ImageScores
from napari_nucleigan.metrics import Scores, Tally

if TYPE_CHECKING:
    from napari_nucleigan.evaluation.pairing import FilePair

Found: TypeAlias = ImageScores | Failure


@dataclass(frozen=True, slots=True)
class PairTask:
    """Two files that are to be compared, and how; as `evaluate_folders` has it."""

    pair: FilePair
    hausdorff: bool = True
    iou: float = 0.5

    def __call__(self) -> Found:
        """Compare them; what keeps them from being compared is told, not raised."""
        pair = self.pair
        try:
            truth, pred = read_labels(pair.truth), read_labels(pair.pred)
            table = metrics.overlaps(truth, pred)
            scores = metrics.evaluate(truth, pred, self.hausdorff, table, self.iou)
        except LabelsError as error:
            return Failure(pair.name, str(error))
        except MemoryError:
            return Failure(pair.name, "It is too large for the memory of this machine; cut it into tiles.")
        return ImageScores(pair.name, pair.organ, scores, metrics.tally(table, scores))

    def to_json(self) -> dict[str, Any]:
        """Represent it for another process."""
        pair = self.pair
        files = {"truth": str(pair.truth.absolute()), "pred": str(pair.pred.absolute())}
        return {"name": pair.name, "organ": pair.organ, **files, "hausdorff": self.hausdorff, "iou": self.iou}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> PairTask:
        """Rebuild what `to_json` gave."""
        from napari_nucleigan.evaluation.pairing import FilePair

        files = Path(record["truth"]), Path(record["pred"])
        return cls(FilePair(record["name"], *files, record["organ"]), record["hausdorff"], record["iou"])


def found_to_json(found: Found) -> dict[str, Any]:
    """Represent what was found for another process; every bit of every number comes through."""
    if isinstance(found, Failure):
        return {"name": found.name, "reason": found.reason}
    sums = found.tally.sums.tolist()
    return {"name": found.name, "organ": found.organ, "scores": found.scores.to_json(), "sums": sums}


def found_from_json(record: dict[str, Any]) -> Found:
    """Rebuild what `found_to_json` gave."""
    if "reason" in record:
        return Failure(record["name"], record["reason"])
    return ImageScores(
        record["name"], record["organ"], Scores(**record["scores"]), Tally(np.array(record["sums"], dtype=np.float64))
    )
