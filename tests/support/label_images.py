from __future__ import annotations

import numpy as np
import pytest


def label_pair(seed):
    """Two small label images: discs, blocks or noise, some of them empty, gapped or all foreground."""
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(4, 20, 2))
    return _labels(random, shape), _labels(random, shape)


def _labels(random, shape):
    kind = random.choice(["discs", "blocks", "noise", "full", "empty"], p=[0.5, 0.2, 0.15, 0.1, 0.05])
    labels = np.zeros(shape, dtype=np.int32)
    if kind == "noise":
        return random.integers(0, 4, shape, dtype=np.int32)
    if kind == "full":
        labels[:] = 5
        labels[:, : shape[1] // 2] = 2
    if kind == "empty":
        return labels
    rows, columns = np.indices(shape)
    for label in random.permutation(40)[: random.integers(1, 6)] + 1:
        row, column = random.uniform(0, shape)
        size = random.uniform(1, 5)
        if kind == "discs":
            labels[(rows - row) ** 2 + (columns - column) ** 2 <= size**2] = label
        else:
            labels[(abs(rows - row) <= size) & (abs(columns - column) <= size / 2)] = label
    return labels


@pytest.fixture(scope="session")
def label_pairs():
    """Two hundred pairs of label images."""
    return [label_pair(seed) for seed in range(200)]


@pytest.fixture(scope="session")
def make_pair():
    """Return `label_pair`."""
    return label_pair
