"""Nuclei found in colon at 20x, against points that experts set; the points are not complete."""

from __future__ import annotations

import csv

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from _table import Row, shared
from _tiles import COLON_MPP, about, colon, model, settings
from napari_nucleigan.base.events import run
from napari_nucleigan.segmentation import segment

REACH = 6.0  # microns


def matched(found: np.ndarray, true: np.ndarray, reach: float) -> int:
    """Count the pairs that can be made within reach, each point in one pair at most."""
    if not len(found) or not len(true):
        return 0
    apart = cdist(found, true)
    rows, columns = linear_sum_assignment(np.minimum(apart, 2 * reach) ** 2)
    return int((apart[rows, columns] <= reach).sum())


def measure() -> list[Row]:
    points: dict[str, list[tuple[float, float]]] = {}
    with (shared("data/crchisto") / "points.csv").open() as file:
        for row in csv.DictReader(file):
            points.setdefault(row["name"], []).append((float(row["y"]), float(row["x"])))
    images = colon()
    hits = found = true = 0
    for image in images:
        features = run(segment(image, settings(mpp=COLON_MPP), model())).features
        centres = np.stack([features["centroid_y_um"], features["centroid_x_um"]], axis=1)
        here = COLON_MPP * np.array(points.get(image.name, [])).reshape(-1, 2)
        hits += matched(centres, here, REACH)
        found, true = found + len(centres), true + len(here)
    precision, recall = hits / max(1, found), hits / max(1, true)
    note = f"{about()}; {len(images)} tiles of colon at 20x, {true} points, {found} nuclei, within {REACH:g} microns"
    return [
        Row("detection in colon, F1", 2 * hits / max(1, found + true), "", ">= 0.82", note),
        Row("detection in colon, precision", precision, note="the points are not complete"),
        Row("detection in colon, recall", recall),
    ]
