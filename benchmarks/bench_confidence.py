"""Confidence: what it costs, and how well it is calibrated on patients whom the model has not met.

Each of TNBC's patients 1 to 7 is judged by a regression that was fitted on the others, as
``scripts/calibrate_segmenter.py`` does it before it writes one of all of them on the model's card.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from _table import Row, shared, timed
from _tiles import MODEL
from napari_nucleigan import load_model
from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.masks.polygons import preset, sample
from napari_nucleigan.segmentation import Segmenter
from napari_nucleigan.segmentation.confidence import confidence

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import calibrate_segmenter as script

PATIENTS = list(range(1, 8))


def measure() -> list[Row]:
    model = load_model(MODEL)
    labels = sample(preset("all"), (1000, 1000), seed=0)
    field = encode(labels).astype(np.float16)
    spent = timed(lambda: confidence(labels, field, model.card))
    x, y, patients = script.pooled(script.judged(Segmenter(model), shared("data"), PATIENTS))
    told = script.left_out(x, y, patients, script.logistic, probability=True)
    error = script.calibration_error(told, y)
    order = told.argsort().argsort()
    above = (order[y == 1].sum() - (y == 1).sum() * ((y == 1).sum() - 1) / 2) / ((y == 1).sum() * (y == 0).sum())
    note = f"{len(y)} nuclei of TNBC patients 1 to 7, {y.mean():.1%} true, each patient left out"
    return [
        Row(
            "confidence of the nuclei of 1000x1000", spent.cpu, "s", "<= 0.05", f"{labels.max()} nuclei; processor time"
        ),
        Row("calibration error of the confidence", error, "", "<= 0.05", note),
        Row("chance that a true nucleus is surer than a false one", above, note="the same nuclei"),
    ]
