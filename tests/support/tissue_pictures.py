"""Pictures of tissue: H&E-like tiles of which the tissue of every place is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COLOURS = {"glass": (244, 242, 245), "fibres": (226, 150, 190), "cells": (178, 128, 190)}
NUCLEUS = (82, 52, 128)


def tissue_picture(
    side: int = 256, seed: int = 0, strength: float = 1.0
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int32]]:
    """Draw a tile: glass in the middle, a ring of crowded cells around it, fibres with few nuclei outside.

    Returns
    -------
    pixels : (side, side, 3) uint8 array
    labels : (side, side) int32 array
        The nuclei.
    truth : (side, side) int32 array
        0 for glass, 1 for cells, 2 for fibres.
    """
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    away = np.hypot(rows - side / 2, columns - side / 2) / side
    truth = np.where(away < 0.17, 0, np.where(away < 0.36, 1, 2)).astype(np.int32)
    density = -np.log(np.array([COLOURS["glass"], COLOURS["cells"], COLOURS["fibres"]]) / 255)[truth]
    labels = np.zeros((side, side), np.int32)
    for number in range(1, 9 * side * side // 4096):
        row, column = random.uniform(6, side - 6, 2)
        kind = truth[int(row), int(column)]
        if kind == 0 or (kind == 2 and number % 5):
            continue
        disc = np.hypot(rows - row, columns - column) < random.uniform(4, 6)
        labels[disc & (labels == 0)] = number
    density[labels > 0] = -np.log(np.array(NUCLEUS) / 255)
    density *= np.exp(random.normal(0, 0.06, (side, side, 1)))
    pixels = np.clip(255 * np.exp(-strength * density) + random.normal(0, 2, density.shape), 0, 255)
    return pixels.round().astype(np.uint8), labels, truth
