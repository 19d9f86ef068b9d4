"""Training: recipes, run folders, and the loops that fill them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_nucleigan.training.recipes import RECIPES, SegmenterRecipe, SynthesizerRecipe, read_recipe
    from napari_nucleigan.training.runs import RunFolder
    from napari_nucleigan.training.segmenter import train_segmenter
    from napari_nucleigan.training.synthesizer import train_synthesizer

__all__ = [
    "RECIPES",
    "RunFolder",
    "SegmenterRecipe",
    "SynthesizerRecipe",
    "read_recipe",
    "train_segmenter",
    "train_synthesizer",
]

_HOMES = {
    "RECIPES": "recipes",
    "SegmenterRecipe": "recipes",
    "SynthesizerRecipe": "recipes",
    "read_recipe": "recipes",
    "RunFolder": "runs",
    "train_segmenter": "segmenter",
    "train_synthesizer": "synthesizer",
}


def __getattr__(name: str) -> Any:
    # Forms and the command line read recipes without waiting for torch.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
