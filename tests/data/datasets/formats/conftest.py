from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.data.images.files import write_image, write_labels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def save_pair() -> Callable[..., Path]:
    """Write a pair of a data set."""

    def save(root: Path, name: str, labels: np.ndarray, mpp: float | None = 0.25, seed: int = 0) -> Path:
        pixels = np.random.default_rng(seed).integers(150, 256, (*labels.shape, 3), np.uint8)
        write_image(root / "images" / f"{name}.png", pixels, mpp)
        write_labels(root / "labels" / f"{name}.tif", labels, mpp)
        return root

    return save


@pytest.fixture
def dataset(tmp_path: Path, save_pair: Callable[..., Path]) -> Path:
    """Three pairs: nuclei that touch, one with a hole, one in two parts, an empty image."""
    labels = np.zeros((20, 30), np.int32)
    labels[2:8, 2:8], labels[2:8, 8:12] = 3, 4
    labels[10:18, 5:14] = 9
    labels[13:15, 8:11] = 0
    labels[10, 20], labels[15, 25] = 11, 11
    root = tmp_path / "data"
    save_pair(root, "one", labels, seed=1)
    save_pair(root, "two", labels[::-1, :17].copy(), seed=2)
    save_pair(root, "none", np.zeros((8, 9), np.int32), seed=3)
    (root / "split.csv").write_text("name,organ,split,extra\none,liver,train,1\ntwo,lung,test,2\nnone,liver,val,3\n")
    return root
