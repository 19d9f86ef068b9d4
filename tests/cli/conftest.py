from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@pytest.fixture
def tiny_model() -> Path:
    """Put a small network of random weights into the user's folder, as ``tiny``."""
    import torch

    from napari_nucleigan.models import ModelCard, save_model
    from napari_nucleigan.networks import build

    architecture = {"name": "compact-unet", "widths": [8, 8, 8, 8, 8]}
    torch.manual_seed(0)
    card = ModelCard(name="tiny", kind="segmenter", architecture=architecture, mpp=0.25, training_data="none")
    path = Path(os.environ["NUCLEIGAN_MODELS"]) / "tiny.safetensors"
    save_model(path, build(architecture).state_dict(), card)
    return path


@pytest.fixture
def save_image(tiny_he: Callable[..., tuple[NDArray[np.uint8], NDArray[np.int32]]]) -> Callable[..., Path]:
    """Write a small H&E image as PNG."""

    def save(path: Path, side: int = 96, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rgb, _ = tiny_he(side, side, 30, seed)
        path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(rgb)))
        return path

    return save
