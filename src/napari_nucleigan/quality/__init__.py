"""How good synthetic H&E is, in figures.

Names are loaded when they are first asked for: the command line reads the settings without waiting for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_nucleigan.quality.agreement import consistency
    from napari_nucleigan.quality.distances import kid, mmd2, real_or_synthetic
    from napari_nucleigan.quality.features import Encoder, encoder_features
    from napari_nucleigan.quality.judging import evaluate_synthetic
    from napari_nucleigan.quality.pictures import Colours, Texture, colour_distance, colour_statistics, diversity
    from napari_nucleigan.quality.report import Comparison, QualityReport, SetFigures
    from napari_nucleigan.quality.settings import QualitySettings

__all__ = [
    "Colours",
    "Comparison",
    "Encoder",
    "QualityReport",
    "QualitySettings",
    "SetFigures",
    "Texture",
    "colour_distance",
    "colour_statistics",
    "consistency",
    "diversity",
    "encoder_features",
    "evaluate_synthetic",
    "kid",
    "mmd2",
    "real_or_synthetic",
]

_HOMES = {
    "agreement": ("consistency",),
    "distances": ("kid", "mmd2", "real_or_synthetic"),
    "features": ("Encoder", "encoder_features"),
    "judging": ("evaluate_synthetic",),
    "pictures": ("Colours", "Texture", "colour_distance", "colour_statistics", "diversity"),
    "report": ("Comparison", "QualityReport", "SetFigures"),
    "settings": ("QualitySettings",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"napari_nucleigan.quality.{_MODULES[name]}"), name)
