from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_nucleigan.models import Model


@pytest.fixture
def model(save_synthesizer: Callable[..., Path]) -> Model:
    """A small painter of random weights, which is also installed as ``painter``."""
    from napari_nucleigan.models import load_model

    return load_model(save_synthesizer(), "synthesizer")


@pytest.fixture
def mixing_model(save_synthesizer: Callable[..., Path]) -> Model:
    """A small network whose tiles must be blended."""
    from napari_nucleigan.models import load_model

    return load_model(save_synthesizer("noisy-resnet"), "synthesizer")


@pytest.fixture(scope="session")
def mask(tiny_he: Callable[..., tuple[NDArray[np.uint8], NDArray[np.int32]]]) -> Callable[..., NDArray[np.int32]]:
    """Return a maker of masks with some nuclei."""

    def make(height: int, width: int, nuclei: int = 8, seed: int = 0) -> NDArray[np.int32]:
        return tiny_he(height, width, nuclei, seed)[1]

    return make
