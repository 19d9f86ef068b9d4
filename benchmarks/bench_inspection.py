"""Inspection of single nuclei on the reference pair: in full, and after a few strokes of a brush."""

from __future__ import annotations

import numpy as np

from _table import Row, shared, timed
from napari_nucleigan.labels.alignment import Grid, align
from napari_nucleigan.metrics import inspect


def measure() -> list[Row]:
    with np.load(shared("reference/metrics_pair.npz")) as arrays:
        truth, pred = arrays["gt"].astype(np.int32), arrays["pred"].astype(np.int32)
    found = inspect(truth, pred)
    values = np.unique(found.picture[found.picture > 0])
    shown = np.bincount(found.nuclei.outcome[values - 1], minlength=len(found.counts))
    differing = int(np.abs(shown - list(found.counts.values())).sum())
    painted = pred.copy()
    painted[480:500, 470:520] = painted.max() + 1
    full = timed(lambda: inspect(truth, pred))
    live = timed(lambda: inspect(truth, painted, previous=found))
    bare = timed(lambda: inspect(truth, pred, hausdorff=False))
    mask = timed(lambda: inspect(truth, (pred > 0).astype(np.int32)), repeats=3)
    turned = np.array([[np.cos(0.1), -np.sin(0.1), 50], [np.sin(0.1), np.cos(0.1), -50], [0, 0, 1]])
    placed = align(Grid(truth.shape, np.eye(3), True, "truth"), Grid(pred.shape, turned, True, "pred"))
    moved = timed(lambda: (placed.truth(truth), placed.pred(pred)))
    return [
        Row("inspection: counts in the table and in the picture", differing, "differ", "<= 0", "reference pair"),
        full.row("inspect: scores, outcomes, distances, picture", "<= 0.2", "reference pair"),
        live.row("inspect after a stroke, from what is known", "<= 0.1", "reference pair"),
        bare.row("inspect without distances", "<= 0.1", "reference pair"),
        mask.row("inspect a mask that was taken for one nucleus", "<= 2", "all predictions of the pair with one label"),
        moved.row("bring two label images to one grid", "<= 0.1", "1000x1000, one of them turned by 6 degrees"),
    ]
