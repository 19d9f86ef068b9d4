"""Packages of extras, which need not be installed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from napari_nucleigan.base.errors import ExtraError

if TYPE_CHECKING:
    from types import ModuleType


def needed(module: str, extra: str, what: str) -> ModuleType:
    """Import a module of an extra.

    Parameters
    ----------
    module : str
        Its name.
    extra : str
        The extra of this package that brings it.
    what : str
        What needs it; begins the sentence that says so.

    Raises
    ------
    ExtraError
        If it is not installed, or does not load.
    """
    try:
        return import_module(module)
    except ImportError as error:
        distribution = module.partition(".")[0]
        raise ExtraError(
            f'{what} needs {distribution}, which is not installed; run: pip install "napari-nucleigan[{extra}]"'
        ) from error
