"""Synthesis: masks of any size and scale to H&E, and whole data sets of such pairs.

Names are loaded when they are first asked for: forms and the command line read the settings without
waiting for the rest, and nothing imports torch before a network runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_nucleigan.synthesis.core import Studio, Synthesis, synthesize
    from napari_nucleigan.synthesis.live import LiveCanvas
    from napari_nucleigan.synthesis.painter import Painter
    from napari_nucleigan.synthesis.sets import SetReport, synthesize_set
    from napari_nucleigan.synthesis.settings import SetSettings, SynthesisSettings
    from napari_nucleigan.synthesis.styles import Styles

__all__ = [
    "LiveCanvas",
    "Painter",
    "SetReport",
    "SetSettings",
    "Studio",
    "Styles",
    "Synthesis",
    "SynthesisSettings",
    "synthesize",
    "synthesize_set",
]

_HOMES = {
    "core": ("Studio", "Synthesis", "synthesize"),
    "live": ("LiveCanvas",),
    "painter": ("Painter",),
    "sets": ("SetReport", "synthesize_set"),
    "settings": ("SetSettings", "SynthesisSettings"),
    "styles": ("Styles",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"napari_nucleigan.synthesis.{_MODULES[name]}"), name)
