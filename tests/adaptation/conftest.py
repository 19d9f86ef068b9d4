from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nucleigan.adaptation import Adaptation, AdaptationSettings, adapt
from napari_nucleigan.base.events import run
from tiny_recipes import FINE_TUNING, GENERATOR
from unlabelled import write_looks

if TYPE_CHECKING:
    from pathlib import Path

TINY = AdaptationSettings(
    crops=2,
    pairs=2,
    min_consistency=0.0,
    generator_from="",
    changes={**FINE_TUNING, "epochs_constant": 1, "epochs_decay": 0},
    generator_changes=GENERATOR,
)


@pytest.fixture(scope="session")
def looks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of two images without labels, and of two others with, of one look."""
    return write_looks(tmp_path_factory.mktemp("looks"))


@pytest.fixture(scope="session")
def asked(looks: tuple[Path, Path]) -> AdaptationSettings:
    """The smallest adaptation, judged by labelled images."""
    return AdaptationSettings.checked(**{**TINY.model_dump(), "truth": str(looks[1])})


@pytest.fixture(scope="session")
def adapted(
    tmp_path_factory: pytest.TempPathFactory, looks: tuple[Path, Path], asked: AdaptationSettings
) -> tuple[Path, Adaptation]:
    """Both ways, measured on labelled images."""
    out = tmp_path_factory.mktemp("adapted") / "mine"
    return out, run(adapt(looks[0], out, asked, device="cpu"))
