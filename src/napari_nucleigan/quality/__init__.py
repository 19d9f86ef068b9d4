"""How good synthetic H&E is, in figures; names are loaded when they are first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_nucleigan.quality.agreement import consistency

__all__ = ["consistency"]

_HOMES = {
    "agreement": ("consistency",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"napari_nucleigan.quality.{_MODULES[name]}"), name)
