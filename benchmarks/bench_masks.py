"""Random polygon masks: time on one core, and how far they are from the Kumar training labels."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from scipy.stats import ks_2samp

from _table import Row, Skip, shared
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.masks.polygons import PRESETS, LayoutStatistics, describe, fit, preset, sample

PAPER = 4650
TIMED = 128
DRAWN = {256: 256, 1000: 64}
COMPARED = {"area": "area", "eccentricity": "eccentricity", "neighbour_distance": "nearest-neighbour distance"}


def measure() -> list[Row]:
    """Time the sampler, and compare its masks with the labels that the presets were fitted to."""
    rows = [_timed()]
    try:
        data = Dataset.open(shared("data/kumar"))
    except Skip as reason:
        return [*rows, Row("masks like the Kumar training labels", None, note=f"skipped: {reason}")]
    train = [name for name in data.names if data.splits[name] == "train"]
    tiles = {name: [data.labels(each) for each in train if name in ("all", data.organs[each])] for name in PRESETS}
    began = time.process_time()
    fit(tiles["all"])
    rows.append(Row("fit to 16 tiles of 1000x1000", time.process_time() - began, "s", note="of processor time"))
    for name in PRESETS:
        for side in DRAWN if name == "all" else (256,):
            rows += _compared(name, side, [window for tile in tiles[name] for window in _windows(tile, side)])
    return rows


def _timed() -> Row:
    # The best of three for each mask: other work on the machine does not count.
    statistics = preset("all")
    spent = np.full(TIMED, np.inf)
    for _ in range(3):
        for seed in range(TIMED):
            began = time.process_time()
            sample(statistics, (256, 256), seed=seed)
            spent[seed] = min(spent[seed], time.process_time() - began)
    note = f"{spent.mean() * 1e3:.1f} ms of processor time each, one thread"
    return Row(f"{PAPER} masks of 256x256", float(spent.mean()) * PAPER, "s", "<= 90", note)


def _windows(tile: np.ndarray, side: int) -> list[np.ndarray]:
    places = [round(each) for each in np.linspace(0, tile.shape[0] - side, tile.shape[0] // side + (side < 1000))]
    return [tile[row : row + side, column : column + side] for row in places for column in places]


def _compared(name: str, side: int, windows: list[np.ndarray]) -> list[Row]:
    drawn = [describe(sample(preset(name), (side, side), seed=seed)) for seed in range(DRAWN[side])]
    real, made = LayoutStatistics.pooled([describe(window) for window in windows]), LayoutStatistics.pooled(drawn)
    where = f"masks {side}x{side} like {name}"
    rows = [
        Row(f"{where}, {what}", ks_2samp(getattr(real, field), getattr(made, field)).statistic, "KS", "<= 0.1")
        for field, what in COMPARED.items()
    ]
    touching = f"{made.touching_share:.3f} drawn, {real.touching_share:.3f} in the labels"
    density = f"{made.density:.0f} drawn, {real.density:.0f} in the labels, per mm²"
    return [replace(rows[0], note=f"touching: {touching}; density: {density}"), *rows[1:]]
