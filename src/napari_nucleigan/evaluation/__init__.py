"""Predicted nuclei against true ones over whole folders: by image, by organ, overall, with intervals.

`evaluate_folders` pairs the files, compares them (in several processes where asked to) and returns a `Report`. How the
figures are averaged, and what the intervals mean, is on the page on metrics of the documentation.
"""

from __future__ import annotations

from napari_nucleigan.evaluation.folders import evaluate_folders, evaluate_pair
from napari_nucleigan.evaluation.groups import AVERAGED, Failure, Group, ImageScores
from napari_nucleigan.evaluation.intervals import Bootstrap, Interval, bootstrap_means
from napari_nucleigan.evaluation.report import Report

__all__ = [
    "AVERAGED",
    "Bootstrap",
    "Failure",
    "Group",
    "ImageScores",
    "Interval",
    "Report",
    "bootstrap_means",
    "evaluate_folders",
    "evaluate_pair",
]
