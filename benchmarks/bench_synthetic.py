"""Quality of what the bundled generator paints on drawn masks, against the Kumar training tiles.

The masks are of the preset ``all``, which is fit to the labels of the 16 training tiles. Test tiles are not looked at.
KID is that to one tile of each organ, beside that of the other training tiles to these; a generator that has learnt
from those too, as the bundled one has, is flattered by it. All other figures are of all 16 tiles.
"""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from _table import Row, Skip, shared
from bench_accuracy import nucleigan
from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.evaluation.synthetic import QualityReport, evaluate_synthetic
from napari_nucleigan.models import DEFAULT_SYNTHESIZER, resolve

PAIRS = 64
VALIDATION = ("TCGA-38-6178", "TCGA-AR-A1AK", "TCGA-G9-6336", "TCGA-HE-7130")
BARS = {"consistency": ">= 0.6", "kid": "<= 1.5", "accuracy": "<= 0.7"}


def training_tiles() -> Dataset:
    """Return the 16 training tiles, one of each organ as validation tile."""
    tiles = Dataset.open(shared("data/kumar")).subset("train")
    return replace(tiles, splits={name: "val" if name.startswith(VALIDATION) else "train" for name in tiles.names})


def reports() -> tuple[QualityReport, QualityReport]:
    """Paint the pairs by the command that a user types, and judge them: by all tiles, and by those of validation."""
    tiles = training_tiles()
    try:
        resolve(DEFAULT_SYNTHESIZER)
    except ModelError as error:
        raise Skip(f"there is no model {DEFAULT_SYNTHESIZER!r}") from error
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "pairs"
        nucleigan("synthesize", "-n", str(PAIRS), "--size", "256", "--like", "all", "--seed", "0", "-o", out)
        whole = run(evaluate_synthetic(out, tiles))
        return whole, run(evaluate_synthetic(out, tiles, split="val"))


def measure() -> list[Row]:
    consistency = f"mean consistency (AJI) of {PAIRS} synthetic pairs"
    started = time.perf_counter()
    try:
        whole, held = reports()
    except Skip as reason:
        return [Row(consistency, None, bar=BARS["consistency"], note=str(reason))]
    seconds = time.perf_counter() - started
    made, real, apart, scale = whole.synthetic, whole.real, held.comparison, held.reference
    if scale is None:
        raise AssertionError("16 tiles are enough for a reference")
    rows = [
        Row(consistency, made.consistency, bar=BARS["consistency"], note=f"{made.share(0.5):.0%} at least 0.5"),
        Row("the same of real tiles, which the segmenter knows", real.consistency),
    ]
    eyes = (
        ("KID", "kid", "deep features of the segmenter's encoder"),
        ("fine KID", "fine_kid", "fine features of the same"),
        ("pretrained KID", "pretrained_kid", "an encoder that has learnt from photographs"),
    )
    for title, name, what in eyes:
        values = [(getattr(each, name), getattr(each, f"{name}_std")) for each in (apart, scale)]
        if math.isnan(values[0][0]):
            rows.append(Row(title, None, note="the extra 'pretrained' is not installed"))
            continue
        (far, far_std), (near, near_std) = values
        ratio = far / near if near > 0 else None
        between = f"{title} of synthetic and validation tiles"
        rows += [
            Row(f"{between} by that of real train and validation tiles", ratio, bar=BARS["kid"], note=what),
            Row(between, far, note=f"± {far_std:.3g} over subsets"),
            Row(f"{title} of real train and validation tiles", near, note=f"± {near_std:.3g} over subsets"),
        ]
    told = f"0.5: cannot tell them apart; ± {whole.comparison.accuracy_std:.2g} over tiles"
    stroma = f"± {made.repetition_std:.2g} over tiles; real: {real.repetition:.3g} ± {real.repetition_std:.2g}"
    return [
        *rows,
        Row("accuracy of a classifier, synthetic or real", whole.comparison.accuracy, bar=BARS["accuracy"], note=told),
        Row("repetition of synthetic backgrounds", made.repetition, bar=f"<= {real.repetition:.4f}", note=stroma),
        Row(
            "strongest grid in synthetic tiles", max(made.grid.values()), note=f"{max(real.grid.values()):.2g} in real"
        ),
        Row("diversity of colour of synthetic tiles", made.diversity, note=f"{real.diversity:.3g} of real ones"),
        Row("diversity of what is shown", made.deep_diversity, note=f"{real.deep_diversity:.3g} of real ones"),
        Row("sharpness of synthetic tiles", made.sharpness, note=f"{real.sharpness:.3g} of real ones"),
        Row("time to make and judge them twice", seconds, "s"),
    ]
