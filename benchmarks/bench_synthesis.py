"""Painting: pairs a second on two cores, a canvas of 512x512 that follows a stroke, tiles against one pass."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from _table import Row, Skip, timed
from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.base.events import run
from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.masks.polygons import preset, sample
from napari_nucleigan.models import Model, load_model
from napari_nucleigan.synthesis import (
    LiveCanvas,
    SetSettings,
    SynthesisSettings,
    TiledGenerator,
    synthesize,
    synthesize_set,
)
from napari_nucleigan.tiling import Box

MODEL = os.environ.get("NUCLEIGAN_BENCH_SYNTHESIZER", "nucleigan-paint")
SETTINGS = SynthesisSettings(model=MODEL, device="cpu")


def measure() -> list[Row]:
    try:
        model = load_model(MODEL, "synthesizer")
    except ModelError as error:
        raise Skip(str(error)) from error
    threads = f"{usable_cores()} threads"
    return [*_pairs(model), _scored(model), *_strokes(model), *_large(model, threads)]


def _pairs(model: Model) -> list[Row]:
    labels = sample(preset("all"), (256, 256), seed=1)
    painter = TiledGenerator(model.network, "cpu")
    field = encode(labels)
    drawing = timed(lambda: sample(preset("all"), (256, 256), seed=1))
    encoding = timed(lambda: encode(labels))
    painting = timed(lambda: painter.paint(field))
    return [
        Row("draw a mask of 256x256", drawing.wall, "s"),
        Row("encode it", encoding.wall, "s"),
        painting.row("paint it", note=painter.precision),
        Row("pairs of 256x256", _rate(model, 160), "per s", ">= 10", "drawn, painted and written"),
    ]


def _scored(model: Model) -> Row:
    rate = _rate(model, 40, min_consistency=0.0)
    return Row("pairs of 256x256 with their consistency", rate, "per s", note="segmented by the bundled model, too")


def _rate(model: Model, count: int, **more: float) -> float:
    settings = SetSettings(model=MODEL, device="cpu", count=count, **more)  # type: ignore[arg-type]
    best = 0.0
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            run(synthesize_set(Path(folder) / "set", settings, model=model))
            best = max(best, count / (time.perf_counter() - begun))
    return best


def _strokes(model: Model) -> list[Row]:
    labels = sample(preset("all"), (512, 512), seed=1)
    canvas = LiveCanvas(labels, SETTINGS, model)
    rows = []
    for name, place in (("the middle", 250), ("a corner", 4)):
        states = [labels.copy(), labels.copy()]
        states[1][place : place + 12, place : place + 12] = labels.max() + 1
        box = Box(place, place + 12, place, place + 12)
        turn = 0

        def stroke(states: list[np.ndarray] = states, box: Box = box) -> None:
            nonlocal turn
            turn += 1
            canvas.update(states[turn % 2], box)

        rows.append(timed(stroke).row(f"follow a stroke in {name} of 512x512", "<= 0.3"))
        canvas.update(labels)
    return rows


def _large(model: Model, threads: str) -> list[Row]:
    labels = sample(preset("all"), (2000, 2000), seed=1)
    exact = SETTINGS.model_copy(update={"precision": "float32"})
    one = run(synthesize(labels, exact.model_copy(update={"tile": 4096}), model)).pixels.astype(int)
    rows = [timed(lambda: run(synthesize(labels, SETTINGS, model)), 3).row("paint 2000x2000", note=threads)]
    for tile in (256, 512):
        many = run(synthesize(labels, exact.model_copy(update={"tile": tile}), model)).pixels
        note = "largest difference in grey levels, float32"
        rows.append(Row(f"tiles of {tile} against one pass", float(np.abs(one - many).max()), "", "<= 1", note))
    return rows
