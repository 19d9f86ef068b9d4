"""A GPU: tiles a second by batch and precision, a slide of 60 000 x 60 000, and what happens when its memory runs out.

Needs a device of CUDA, and about thirteen minutes, ten of them for the slide: what is not done by then is told.
``NUCLEIGAN_BENCH_GPU_SIDE`` and ``NUCLEIGAN_BENCH_GPU_SECONDS`` choose another slide and time.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from _mosaics import tissue_tiles, write_mosaic
from _slide_run import segmented
from _table import Row, Skip
from _tiles import MODEL
from napari_nucleigan.base.devices import computes_bfloat16, usable_cores
from napari_nucleigan.models import load_model
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.segmenter import Segmenter

TILE = 1000
BATCHES = (1, 4, 16, 64)
SIDE = int(os.environ.get("NUCLEIGAN_BENCH_GPU_SIDE", "60000"))
SECONDS = float(os.environ.get("NUCLEIGAN_BENCH_GPU_SECONDS", "600"))
TISSUE = 0.4
DEVICE = "cuda"


def measure() -> list[Row]:
    if not torch.cuda.is_available():
        raise Skip("torch sees no GPU of CUDA here")
    card = torch.cuda.get_device_properties(0)
    what = f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
    return [*_tiles(what), *_exhausted(what), *_slide(what)]


def _tiles(what: str) -> list[Row]:
    """Let the network see tiles alone: copied there, computed, and their fields copied back."""
    pool = [tile[:TILE, :TILE] for tile in tissue_tiles()]
    model, rows = load_model(MODEL, "segmenter"), []
    for precision in ("float32", "bfloat16") if computes_bfloat16(DEVICE) else ("float32",):
        for batch in BATCHES:
            predictor = Segmenter(model, SegmentSettings(device=DEVICE, precision=precision, batch=batch)).predictor
            windows = [pool[place % len(pool)] for place in range(max(64, 2 * batch))]
            predictor(windows[:batch])
            begun = time.perf_counter()
            predictor(windows)
            rate = len(windows) / (time.perf_counter() - begun)
            views = f"{predictor.tta} view{'s' * (predictor.tta != 1)}"
            note = "; ".join([what, views, *(said.text for said in predictor.notes())])
            rows.append(Row(f"tiles of {TILE}x{TILE}, {precision}, batches of {batch}", rate, "1/s", "", note))
    return rows


def _exhausted(what: str) -> list[Row]:
    """Fill the card until a batch of sixteen has no room, and see whether smaller ones give the same."""
    settings = SegmentSettings(device=DEVICE, precision="float32", batch=1)
    predictor = Segmenter(load_model(MODEL, "segmenter"), settings).predictor
    windows = [tissue_tiles()[0][:TILE, :TILE]] * 16
    wanted = predictor(windows)
    one = torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    filler = torch.empty(max(0, free - 2 * one), dtype=torch.uint8, device=DEVICE)
    predictor.batch = len(windows)
    found = predictor(windows)
    said = " ".join(note.text for note in predictor.notes()) or "memory did not run out"
    del filler
    torch.cuda.empty_cache()
    differ = max(float(np.abs(a.astype(float) - b).max()) for a, b in zip(found, wanted, strict=True))
    return [
        Row("batch that is left of 16 when memory runs out", predictor.batch, "", "<= 8", f"{what}; {said}"),
        Row("largest difference of its fields", differ, "", "<= 0.01", "to windows one by one"),
    ]


def _slide(what: str) -> list[Row]:
    """Segment a slide for so many seconds, reading and parting nuclei beside the network."""
    with tempfile.TemporaryDirectory() as name:
        slide = Path(name) / "slide.tif"
        area = write_mosaic(slide, SIDE, TISSUE)
        asked = ("--set", f"model={MODEL}", "--set", f"device={DEVICE}")
        found = segmented(slide, Path(name) / "run", *asked, limit=SECONDS)
    ended = bool(found.get("finished"))
    share = 1.0 if ended else found["tiles"] / max(1, found["of"])
    shares = ", ".join(f"{part} {spent / found['seconds']:.0%}" for part, spent in found["inside"].items())
    note = f"{what}; {usable_cores()} cores; {area:.0f} megapixels of tissue; of its time {shares} (several threads)"
    done = f"{found['nuclei']} nuclei, all files written" if ended else f"after {share:.0%} of the tiles"
    title = f"{SIDE} x {SIDE}, {TISSUE:.0%} tissue"
    return [
        Row(f"segment {title}", found["seconds"], "s", f"<= {SECONDS:.0f}", f"{done}; {note}"),
        Row("its megapixels of tissue a second", share * area / found["seconds"], "1/s"),
        Row("its peak memory", max(found["peaks"].values()), "MiB", "", "of the computer, resident"),
    ]
