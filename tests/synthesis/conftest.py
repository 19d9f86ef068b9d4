from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_nucleigan.models import Model

ARCHITECTURES = {
    "painter": {"name": "painter", "widths": [8, 8, 8, 8, 8], "style_size": 4},
    "noisy-resnet": {"name": "noisy-resnet", "width": 4, "blocks": 2},
}


def save_synthesizer(name: str = "painter", styles: bool = True) -> Path:
    """Put a small synthesizer of random weights into the user's folder under its network's name."""
    import torch

    from napari_nucleigan.models import ModelCard, save_model
    from napari_nucleigan.networks import build_synthesizer as build

    torch.manual_seed(0)
    architecture = ARCHITECTURES[name]
    codes = {"liver": [[1.0, 1, -1, -1], [-1, 1, -1, 1]], "breast": [[1.0, -1, 1, -1]]} if styles else {}
    card = ModelCard(name=name, kind="synthesizer", architecture=architecture, mpp=0.25, styles=codes)
    path = Path(os.environ["NUCLEIGAN_MODELS"]) / f"{name}.safetensors"
    save_model(path, build(architecture).state_dict(), card)
    return path


@pytest.fixture
def model() -> Model:
    """A small painter of random weights, which is also installed as ``painter``."""
    from napari_nucleigan.models import load_model

    return load_model(save_synthesizer(), "synthesizer")


@pytest.fixture
def mixing_model() -> Model:
    """A small network whose tiles must be blended."""
    from napari_nucleigan.models import load_model

    return load_model(save_synthesizer("noisy-resnet"), "synthesizer")


@pytest.fixture(scope="session")
def mask(tiny_he: Callable[..., tuple[NDArray[np.uint8], NDArray[np.int32]]]) -> Callable[..., NDArray[np.int32]]:
    """Return a maker of masks with some nuclei."""

    def make(height: int, width: int, nuclei: int = 8, seed: int = 0) -> NDArray[np.int32]:
        return tiny_he(height, width, nuclei, seed)[1]

    return make
