"""What each figure of `Scores` is, in a sentence: for tooltips, headings and captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Definition:
    """A figure, for people.

    Attributes
    ----------
    heading : str
        Its short name.
    text : str
        What it is. The exact definition is on the page on metrics of the documentation.
    unit : str
        ``"px"`` for distances, else empty.
    better : {"higher", "lower", ""}
        Which way is better; empty for plain counts.
    """

    heading: str
    text: str
    unit: str = ""
    better: Literal["higher", "lower", ""] = "higher"


DEFINITIONS: dict[str, Definition] = {
    "aji": Definition(
        "AJI",
        "Aggregated Jaccard index of MoNuSeg: each true nucleus takes the prediction of best IoU (several may take the "
        "same); shared pixels over all pixels of these unions, of missed nuclei and of predictions that none took. "
        "0 to 1.",
    ),
    "aji_plus": Definition(
        "AJI+",
        "Aggregated Jaccard index with nuclei and predictions paired one to one, for the largest sum of IoU. 0 to 1.",
    ),
    "dq": Definition("DQ", "Detection quality: pairs / (pairs + half of spurious + half of missed); the object F1."),
    "sq": Definition("SQ", "Segmentation quality: mean IoU of the pairs. 0 to 1."),
    "pq": Definition("PQ", "Panoptic quality: detection quality times segmentation quality. 0 to 1."),
    "f1": Definition("F1", "Object F1: harmonic mean of precision and recall of nuclei. 0 to 1."),
    "precision": Definition("Precision", "Part of the predictions that are paired with a true nucleus. 0 to 1."),
    "recall": Definition("Recall", "Part of the true nuclei that are paired with a prediction. 0 to 1."),
    "dice": Definition(
        "Dice", "Of pixels, whichever nucleus they belong to: twice the shared foreground over the sum of both. 0 to 1."
    ),
    "hausdorff": Definition(
        "HD",
        "Hausdorff distance: the largest distance from a pixel of either nucleus to the other, in pixels; mean over "
        "the true nuclei that a prediction overlaps. Missed and spurious nuclei do not count.",
        "px",
        "lower",
    ),
    "average_hausdorff": Definition(
        "AHD",
        "Average Hausdorff distance: the mean distance from the pixels of either nucleus to the other, in pixels; mean "
        "over the true nuclei that a prediction overlaps. Missed and spurious nuclei do not count.",
        "px",
        "lower",
    ),
    "average_hausdorff_penalised": Definition(
        "AHDp",
        "Average Hausdorff distance in pixels, penalised: a missed or spurious nucleus is charged its diameter, and no "
        "nucleus more than that. Mean over all of them.",
        "px",
        "lower",
    ),
    "n_truth": Definition("True", "Number of true nuclei.", better=""),
    "n_pred": Definition("Found", "Number of predicted nuclei.", better=""),
    "tp": Definition("TP", "Pairs: a true nucleus and a prediction whose IoU is above the threshold."),
    "fp": Definition("FP", "Predictions that are not paired.", better="lower"),
    "fn": Definition("FN", "True nuclei that are not paired.", better="lower"),
    "matched": Definition("Matched", "True nuclei that a prediction overlaps, if only by a pixel."),
    "missed": Definition("Missed", "True nuclei that no prediction overlaps.", better="lower"),
    "spurious": Definition(
        "Spurious", "Predictions that are not the best overlap of any true nucleus.", better="lower"
    ),
}
"""By the name that a figure has in `Scores`."""
