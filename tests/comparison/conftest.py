"""A data set and a budget so small that methods train in a second each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import tifffile
from skimage.io import imsave

from tiny_recipes import SEGMENTER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nucleigan.comparison import MethodComparison


@pytest.fixture(scope="session")
def tested_set(tmp_path_factory: pytest.TempPathFactory, tiny_he: Callable[..., Any]) -> Path:
    """Four images to train on, three to test on, of two organs."""
    root = tmp_path_factory.mktemp("tested")
    (root / "images").mkdir()
    (root / "labels").mkdir()
    rows = ["name,organ,split"]
    for seed in range(7):
        image, labels = tiny_he(seed=seed)
        imsave(root / "images" / f"tile{seed}.png", image, check_contrast=False)
        tifffile.imwrite(root / "labels" / f"tile{seed}.tif", labels)
        rows.append(f"tile{seed},{'liver' if seed % 2 else 'colon'},{'train' if seed < 4 else 'test'}")
    (root / "split.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="session")
def tiny_changes() -> dict[str, Any]:
    """Fields of the recipe that make a training short."""
    return SEGMENTER


@pytest.fixture(scope="session")
def compared(
    tmp_path_factory: pytest.TempPathFactory, tested_set: Path, tiny_changes: dict[str, Any]
) -> tuple[Path, MethodComparison]:
    """Three methods, compared in a folder of their own."""
    from napari_nucleigan.base.events import run
    from napari_nucleigan.comparison import compare

    folder = tmp_path_factory.mktemp("comparison")
    methods = ("cnn3", "cgan", "cgan-both")
    job = compare(tested_set, folder, methods, epochs=(1, 1), synthetic=tested_set, changes=tiny_changes)
    return folder, run(job)
