from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def he(tiny_he):
    """Nuclei in stroma of common stains below a strip of glass, and the labels of the nuclei."""
    _, labels = tiny_he(128, 128, nuclei=24)
    labels = labels.copy()
    labels[:20] = 0
    random = np.random.default_rng(1)
    inside = labels[..., None] > 0
    amount = np.where(inside, [1.5, 0.25], [0.05, 0.9]) * random.uniform(0.6, 1.4, (128, 128, 2))
    light = 240 * np.exp(-amount @ [[0.55, 0.74, 0.38], [0.2, 0.84, 0.5]])
    light[:20] = 240
    return light.astype(np.uint8), labels
