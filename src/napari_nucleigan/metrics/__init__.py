"""Metrics of how well predicted nuclei agree with true ones.

All overlap metrics come from one table of intersections, `overlaps`; the distances look at each
nucleus in its own window. The exact definitions are in the page on metrics of the documentation.

References
----------
.. [1] Kumar et al., IEEE TMI 36 (2017) 1550-1560: the aggregated Jaccard index (AJI).
.. [2] Graham et al., Med. Image Anal. 58 (2019) 101563: AJI+, panoptic quality of nuclei.
.. [3] Kirillov et al., CVPR 2019, 9404-9413: panoptic quality.
.. [4] Sahasrabudhe et al., MICCAI 2020, 393-402: the distance `sahasrabudhe_hausdorff`.
"""

from __future__ import annotations

from napari_nucleigan.metrics.agreement import (
    PanopticQuality,
    aji,
    aji_plus,
    dice,
    panoptic_quality,
)
from napari_nucleigan.metrics.binning import Bins
from napari_nucleigan.metrics.distances import (
    HausdorffDistances,
    hausdorff,
    sahasrabudhe_hausdorff,
)
from napari_nucleigan.metrics.inspection import Inspection, Nuclei, inspect
from napari_nucleigan.metrics.outcomes import OUTCOMES
from napari_nucleigan.metrics.pooling import Tally, pool, tally
from napari_nucleigan.metrics.scores import Scores, evaluate
from napari_nucleigan.metrics.table import Overlaps, overlaps

__all__ = [
    "OUTCOMES",
    "Bins",
    "HausdorffDistances",
    "Inspection",
    "Nuclei",
    "Overlaps",
    "PanopticQuality",
    "Scores",
    "Tally",
    "aji",
    "aji_plus",
    "dice",
    "evaluate",
    "hausdorff",
    "inspect",
    "overlaps",
    "panoptic_quality",
    "pool",
    "sahasrabudhe_hausdorff",
    "tally",
]
