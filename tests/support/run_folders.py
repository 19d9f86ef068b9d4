"""Run folders as a training leaves them, made without training."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import imagecodecs

from napari_nucleigan.base.events import Finished, Losses, Preview, ValidationScores
from napari_nucleigan.training.recipes import SegmenterRecipe
from napari_nucleigan.training.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path


def make_run(
    folder: Path, name: str, count: int = 5, finished: bool = True, model: Path | None = None, aji: float = 0.5
) -> Path:
    """Make a run folder as a training leaves it."""
    run = RunFolder(folder / name)
    run.start(SegmenterRecipe(), {"folder": "data", "train": [], "val": [], "card": {}})
    for step in range(10, 10 * count + 1, 10):
        run.record(Losses(step, {"l1": 1 / step, "discriminator": 0.5}, 1e-3, 8.0))
    run.record(ValidationScores(10 * count, {"aji": aji, "f1": 0.7}, True))
    if model is not None:
        shutil.copy(model, run.best)
    if finished:
        run.record(Finished(10 * count, str(run.best)))
    return run.path


def tell_preview(path: Path, step: int, pixels: Any) -> None:
    """Let a run write a preview."""
    file = path / "previews" / f"{step:08d}.png"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(imagecodecs.png_encode(pixels))
    RunFolder(path).record(Preview(step, str(file)))
