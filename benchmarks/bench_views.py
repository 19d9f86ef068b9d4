"""Views: what averaging the model over several views of an image brings over one.

`NUCLEIGAN_BENCH_FINAL=1` measures on the test tiles; else it is the patients that may be chosen by. The model must not
have learnt from them. The interval is that of the mean difference over tiles, by a thousand bootstrap samples of
patients, since tiles of one patient are alike.
"""

from __future__ import annotations

import time

import numpy as np

from _table import Row
from _tiles import FINAL, model, settings, tiles
from napari_nucleigan.metrics import aji, overlaps
from napari_nucleigan.segmentation import Segmenter
from napari_nucleigan.segmentation.settings import TTA

SAMPLES = 1000
BAR = 0.003  # that more views may bring where one is the default


def measure() -> list[Row]:
    every = tiles()
    patients = np.array([truth.patient for truth in every])
    usual = int(model().card.decode.get("views", 1))
    where = "test tiles of Kumar and TNBC" if FINAL else "TNBC patients 1 to 7"
    scores, rows = {}, []
    for views in TTA:
        segmenter = Segmenter(model(), settings(tta=views))
        begun = time.perf_counter()
        found = [segmenter.patches([truth.pixels])[0] for truth in every]
        seconds = (time.perf_counter() - begun) / len(every)
        pairs = zip(every, found, strict=True)
        scores[views] = np.array([aji(overlaps(truth.labels, labels)) for truth, labels in pairs])
        note = f"{model().card.name}; {len(every)} tiles; {seconds:.2f} s each" + (
            ", as the card asks" * (views == usual)
        )
        rows.append(Row(f"mean AJI on {where}, {views} view{'s' * (views > 1)}", scores[views].mean(), note=note))
    for views in TTA[1:]:
        gain = scores[views] - scores[1]
        low, high = np.percentile(_means(gain, patients), (2.5, 97.5))
        note = f"95 % interval {low:+.4f} to {high:+.4f} over patients; better on {np.mean(gain > 0):.0%} of tiles"
        rows.append(Row(f"AJI that {views} views bring over one", gain.mean(), bar=f"<= {BAR}", note=note))
    return rows


def _means(gains: np.ndarray, patients: np.ndarray) -> list[float]:
    """Mean over samples of patients, drawn with replacement."""
    random, own = np.random.default_rng(0), [gains[patients == patient] for patient in np.unique(patients)]
    return [
        float(np.concatenate([own[i] for i in random.integers(0, len(own), len(own))]).mean()) for _ in range(SAMPLES)
    ]
