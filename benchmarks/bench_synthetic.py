"""Quality of what the bundled generator paints on drawn masks, against the Kumar training tiles.

The masks are of the preset ``all``, which is fit to the labels of the 16 training tiles. Test tiles are not looked at.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from _table import Row, Skip, shared
from bench_accuracy import nucleigan
from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.evaluation.synthetic import QualityReport, QualitySettings, evaluate_synthetic
from napari_nucleigan.models import DEFAULT_SYNTHESIZER, resolve

PAIRS = 64
VALIDATION = ("TCGA-38-6178", "TCGA-AR-A1AK", "TCGA-G9-6336", "TCGA-HE-7130")
BARS = {"consistency": ">= 0.6", "kid": "<= 3"}


def training_tiles() -> Dataset:
    """Return the 16 training tiles, one of each organ as validation tile."""
    tiles = Dataset.open(shared("data/kumar")).subset("train")
    return replace(tiles, splits={name: "val" if name.startswith(VALIDATION) else "train" for name in tiles.names})


def report() -> QualityReport:
    """Paint the pairs by the command that a user types, and judge them."""
    tiles = training_tiles()
    try:
        resolve(DEFAULT_SYNTHESIZER)
    except ModelError as error:
        raise Skip(f"there is no model {DEFAULT_SYNTHESIZER!r}") from error
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "pairs"
        nucleigan("synthesize", "-n", str(PAIRS), "--size", "256", "--like", "all", "--seed", "0", "-o", out)
        return run(evaluate_synthetic(out, tiles, QualitySettings()))


def measure() -> list[Row]:
    consistency = f"mean consistency (AJI) of {PAIRS} synthetic pairs"
    ratio = "KID of synthetic and real tiles by that of real train and validation tiles"
    started = time.perf_counter()
    try:
        found = report()
    except Skip as reason:
        return [
            Row(consistency, None, bar=BARS["consistency"], note=str(reason)),
            Row(ratio, None, bar=BARS["kid"], note=str(reason)),
        ]
    seconds = time.perf_counter() - started
    made, real, apart, scale = found.synthetic, found.real, found.comparison, found.reference
    if scale is None:
        raise AssertionError("16 tiles are enough for a reference")
    return [
        Row(consistency, made.consistency, bar=BARS["consistency"], note=f"{made.share(0.5):.0%} at least 0.5"),
        Row("the same of real tiles, which the segmenter knows", real.consistency),
        Row(ratio, found.kid_ratio, bar=BARS["kid"], note="deep features of the segmenter's encoder"),
        Row("KID of synthetic and real tiles", apart.kid, note=f"± {apart.kid_std:.3g} over subsets"),
        Row("KID of real train and validation tiles", scale.kid, note=f"± {scale.kid_std:.3g} over subsets"),
        Row("fine KID of synthetic and real tiles", apart.fine_kid, note=f"± {apart.fine_kid_std:.3g} over subsets"),
        Row("fine KID of real train and validation tiles", scale.fine_kid, note=f"± {scale.fine_kid_std:.3g}"),
        Row("accuracy of a classifier, synthetic or real", apart.accuracy, note="0.5: cannot tell them apart"),
        Row(
            "strongest grid in synthetic tiles", max(made.grid.values()), note=f"{max(real.grid.values()):.2g} in real"
        ),
        Row("diversity of colour of synthetic tiles", made.diversity, note=f"{real.diversity:.3g} of real ones"),
        Row("sharpness of synthetic tiles", made.sharpness, note=f"{real.sharpness:.3g} of real ones"),
        Row("time to make and judge them", seconds, "s"),
    ]
