"""The methods of the paper's table, trained with one budget and tested on the same images.

Names are loaded when they are first asked for: the command line reads the list of methods without waiting for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_nucleigan.comparison.experiment import compare
    from napari_nucleigan.comparison.methods import METHODS, Method, recipe_of
    from napari_nucleigan.comparison.paper import published
    from napari_nucleigan.comparison.report import markdown, write_report
    from napari_nucleigan.comparison.results import Budget, Comparison, Outcome, Trial

__all__ = [
    "METHODS",
    "Budget",
    "Comparison",
    "Method",
    "Outcome",
    "Trial",
    "compare",
    "markdown",
    "published",
    "recipe_of",
    "write_report",
]

_HOMES = {
    "experiment": ("compare",),
    "methods": ("METHODS", "Method", "recipe_of"),
    "paper": ("published",),
    "report": ("markdown", "write_report"),
    "results": ("Budget", "Comparison", "Outcome", "Trial"),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"napari_nucleigan.comparison.{_MODULES[name]}"), name)
