"""Views: what averaging the bundled model over several views of an image brings over one.

The tiles are those of TNBC's patients 1 to 7, which the model has not learnt from. The interval is that of the mean
difference over tiles, by a thousand bootstrap samples of patients, since tiles of one patient are alike.
"""

from __future__ import annotations

import time

import numpy as np

from _table import Row, shared
from _tiles import MODEL
from napari_nucleigan import Dataset, load_model, metrics
from napari_nucleigan.segmentation import Segmenter, SegmentSettings
from napari_nucleigan.segmentation.settings import TTA

PATIENTS = range(1, 8)
SAMPLES = 1000
BAR = 0.003  # that more views may bring where one is the default


def measure() -> list[Row]:
    tiles = Dataset.open(shared("data/tnbc"))
    names = [name for name in tiles.names if int(name.split("_")[1]) in PATIENTS]
    model = load_model(MODEL)
    patients = np.array([name.split("_")[1] for name in names])
    pairs = [tiles.pair(name) for name in names]
    usual = int(model.card.decode.get("views", 1))
    scores, rows = {}, []
    for views in TTA:
        segmenter = Segmenter(model, SegmentSettings(tta=views))
        begun = time.perf_counter()
        found = [segmenter.patches([image.pixels])[0] for image, _ in pairs]
        seconds = (time.perf_counter() - begun) / len(pairs)
        scores[views] = np.array(
            [
                metrics.evaluate(truth, labels, hausdorff=False).aji
                for (_, truth), labels in zip(pairs, found, strict=True)
            ]
        )
        note = f"{len(names)} tiles of 512x512; {seconds:.2f} s each" + (", as the card asks" * (views == usual))
        rows.append(
            Row(f"mean AJI on TNBC patients 1 to 7, {views} view{'s' * (views > 1)}", scores[views].mean(), note=note)
        )
    for views in TTA[1:]:
        gain = scores[views] - scores[1]
        low, high = np.percentile(_means(gain, patients), (2.5, 97.5))
        note = f"95 % interval {low:+.4f} to {high:+.4f} over patients; better on {np.mean(gain > 0):.0%} of tiles"
        bar = f"<= {BAR}" if usual == 1 else ""
        rows.append(Row(f"AJI that {views} views bring over one", gain.mean(), bar=bar, note=note))
    return rows


def _means(gains: np.ndarray, patients: np.ndarray) -> list[float]:
    """Mean over samples of patients, drawn with replacement."""
    random, own = np.random.default_rng(0), [gains[patients == patient] for patient in np.unique(patients)]
    return [
        float(np.concatenate([own[i] for i in random.integers(0, len(own), len(own))]).mean()) for _ in range(SAMPLES)
    ]
