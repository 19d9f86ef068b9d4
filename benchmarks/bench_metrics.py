"""Metrics: time and exactness on the reference pair (1000x1000, 800 and 791 nuclei)."""

from __future__ import annotations

import numpy as np

from _table import Row, shared, timed
from napari_nucleigan.metrics import evaluate, hausdorff, overlaps, sahasrabudhe_hausdorff

KNOWN = {
    "aji": 0.6376327430724197,
    "aji_plus": 0.646867908959637,
    "dq": 0.84098051539912,
    "sq": 0.771183691073563,
    "pq": 0.6485504579864407,
    "dice": 0.8301322733649542,
}


def repeated(labels: np.ndarray, times: int) -> np.ndarray:
    """Lay copies of a label image side by side, each with labels of its own."""
    step = int(labels.max())
    offsets = step * np.arange(times * times).reshape(times, times)
    tiled = np.tile(labels, (times, times)).astype(np.int32)
    return np.where(tiled > 0, tiled + np.kron(offsets, np.ones_like(labels, np.int32)), 0)


def measure() -> list[Row]:
    with np.load(shared("reference/metrics_pair.npz")) as arrays:
        truth, pred = arrays["gt"].astype(np.int32), arrays["pred"].astype(np.int32)
    found = evaluate(truth, pred)
    error = max(abs(getattr(found, name) - value) for name, value in KNOWN.items())
    table = overlaps(truth, pred)
    fast = timed(lambda: evaluate(truth, pred, hausdorff=False))
    distances = timed(lambda: hausdorff(truth, pred, table))
    published = timed(lambda: sahasrabudhe_hausdorff(truth, pred, table))
    large = repeated(truth, 4), repeated(pred, 4)
    slide = timed(lambda: evaluate(*large, hausdorff=False), repeats=3)
    return [
        Row("metrics: largest error", error, "", "<= 1e-9", "AJI, AJI+, DQ, SQ, PQ, Dice"),
        fast.row("AJI, AJI+, PQ, F1 and Dice", "<= 0.05", "reference pair"),
        distances.row("Hausdorff and average Hausdorff", "<= 0.15", "reference pair"),
        published.row("Sahasrabudhe's distance", note="reference pair"),
        slide.row("AJI, AJI+, PQ, F1 and Dice", note="4000x4000, 12 800 nuclei"),
    ]
