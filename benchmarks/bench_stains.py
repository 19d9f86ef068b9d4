"""Stain normalisation: time on 1000x1000 pixels, stability of the vectors over seeds."""

from __future__ import annotations

import csv

import numpy as np

from _table import Row, Skip, shared, timed
from napari_nucleigan.data.images.files import read_image
from napari_nucleigan.stains import METHODS, REFERENCE, RUIFROK, concentrations, fit, normalize

SEEDS = 6


def section(side: int = 1000) -> np.ndarray:
    """Paint round nuclei in a cloudy stroma, with the noise of a camera."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    nuclei = np.zeros((side, side), dtype=bool)
    for row, column in random.uniform(0, side, (800, 2)):
        near = (slice(max(0, int(row) - 9), int(row) + 9), slice(max(0, int(column) - 9), int(column) + 9))
        nuclei[near] |= (rows[near] - row) ** 2 + (columns[near] - column) ** 2 < 64
    cloud = 1 + 0.4 * np.sin(rows / 37) * np.cos(columns / 53)
    amount = np.where(nuclei[..., None], [1.5, 0.3], [0.1, 0.8]) * cloud[..., None]
    amount *= random.uniform(0.7, 1.3, amount.shape)
    light = 240 * np.exp(-amount @ [[0.55, 0.74, 0.38], [0.2, 0.84, 0.5]])
    return np.clip(light + random.normal(0, 1.5, light.shape), 0, 255).astype(np.uint8)


def worst_angle() -> tuple[float, float]:
    """Degrees between seeds, and farthest from Ruifrok, over the training tiles."""
    data = shared("data/kumar")
    with (data / "split.csv").open() as file:
        names = [row["name"] for row in csv.DictReader(file) if row["split"] == "train"]
    between = away = 0.0
    for name in names:
        pixels = read_image(next((data / "images").glob(f"{name}.*"))).pixels
        fits = [fit(pixels, seed=seed).matrix for seed in range(SEEDS)]
        cosines = [(a * b).sum(axis=1).min() for a in fits for b in fits]
        between = max(between, float(np.degrees(np.arccos(min(cosines)))))
        away = max(away, float(np.degrees(np.arccos((fits[0] * RUIFROK).sum(axis=1).min()))))
    return between, away


def measure() -> list[Row]:
    image = section()
    rows = []
    for method in METHODS:
        found = fit(image, method)
        if found.method != method:
            raise RuntimeError(f"{method} fell back: {found.notes}")
        both = timed(lambda method=method: normalize(image, REFERENCE, fit(image, method)))
        apply = timed(lambda found=found: normalize(image, REFERENCE, found))
        rows.append(both.row(f"{method}: fit and apply", "<= 1", "1000x1000"))
        rows.append(apply.row(f"{method}: apply", "<= 0.3", "1000x1000"))
    found = fit(image)
    rows.append(timed(lambda: concentrations(image, found)).row("concentrations", note="1000x1000"))
    try:
        between, away = worst_angle()
    except Skip as reason:
        return [*rows, Row("vahadane: angle between seeds", None, note=f"skipped: {reason}")]
    note = f"worst of {SEEDS} seeds on the Kumar training tiles"
    rows.append(Row("vahadane: angle between seeds", between, "degrees", "<= 2", note))
    rows.append(Row("vahadane: angle to Ruifrok", away, "degrees", "<= 45", "worst training tile"))
    return rows
