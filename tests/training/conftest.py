"""A data set and a recipe so small that a whole training takes a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import tifffile
from skimage.io import imsave

from napari_nucleigan.training.recipes import SegmenterRecipe, SynthesizerRecipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TINY: dict[str, Any] = {
    "generator": {"name": "compact-unet", "widths": (8, 8, 16)},
    "discriminator_width": 4,
    "discriminator_layers": 1,
    "pool": 4,
    "patch": 32,
    "batch": 2,
    "crops_per_epoch": 8,
    "epochs_constant": 3,
    "epochs_decay": 2,
    "warmup_steps": 2,
    "validate_every": 2,
    "checkpoint_every": 1,
    "validation": 0.3,
    "precision": "float32",
}

TINY_SYNTHESIZER: dict[str, Any] = {
    "generator": {"name": "painter", "widths": (4, 6, 8), "style_size": 4},
    "segmenter": {"name": "compact-unet", "widths": (4, 8, 8)},
    "discriminator_width": 4,
    "discriminator_layers": 1,
    "pool": 4,
    "patch": 32,
    "batch": 2,
    "crops_per_epoch": 8,
    "epochs_constant": 3,
    "epochs_decay": 2,
    "validate_every": 2,
    "checkpoint_every": 1,
    "validation": 0.3,
    "precision": "float32",
}


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, tiny_he: Callable[..., Any]) -> Path:
    """Four images of two organs, one of them a test image."""
    root = tmp_path_factory.mktemp("data")
    (root / "images").mkdir()
    (root / "labels").mkdir()
    for seed in range(5):
        image, labels = tiny_he(seed=seed)
        imsave(root / "images" / f"tile{seed}.png", image, check_contrast=False)
        tifffile.imwrite(root / "labels" / f"tile{seed}.tif", labels)
    rows = ["name,organ,split", *(f"tile{n},{'liver' if n % 2 else 'colon'},train" for n in range(4))]
    (root / "split.csv").write_text("\n".join([*rows, "tile4,liver,test"]))
    return root


@pytest.fixture(scope="session")
def tiny_recipe() -> Callable[..., SegmenterRecipe]:
    """Return a maker of tiny recipes; its arguments change fields."""
    return lambda **changes: SegmenterRecipe(**{**TINY, **changes})


@pytest.fixture(scope="session")
def tiny_synthesizer() -> Callable[..., SynthesizerRecipe]:
    """Return a maker of tiny recipes of synthesizers; its arguments change fields."""
    return lambda **changes: SynthesizerRecipe(**{**TINY_SYNTHESIZER, **changes})
