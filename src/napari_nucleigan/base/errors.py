"""The errors that users meet: each says what happened, why, and what to do.

None derives from :class:`RuntimeError`: napari's generator workers swallow those in silence.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from napari_nucleigan.base.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

DEBUG = "NUCLEIGAN_DEBUG"
"""Environment variable: with 1 the details of every error are logged, for whoever develops."""

_log = logging.getLogger("napari_nucleigan")


class NucleiganError(Exception):
    """Base of every error that this package raises on purpose."""


class ImageError(NucleiganError):
    """An image that cannot be read or is not a 2-D H&E image."""


class LabelsError(NucleiganError):
    """A label image that cannot be read, or that does not fit its image."""


class DatasetError(NucleiganError):
    """A data-set folder that is incomplete or inconsistent."""


class ModelError(NucleiganError):
    """A model file that is not ours, is damaged, or serves another task."""


class DeviceError(NucleiganError):
    """A computing device that is not there or has run out of memory."""


class RecipeError(NucleiganError):
    """A recipe or a setting with invalid values."""


class ExtraError(RecipeError):
    """A part that needs a package which is not installed, or does not load."""


class RunError(NucleiganError):
    """A training run that cannot be started, resumed or read."""


class StopRequested(NucleiganError):
    """A training that was asked from outside to stop, and has put its state in safety."""


class OutputError(NucleiganError):
    """A result that cannot be written: read-only folder, full disk."""


def listing(names: Iterable[str], most: int = 10) -> str:
    """Write names in one line, the last of many as their number."""
    names = list(names)
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def explain(error: BaseException, doing: str) -> NucleiganError:
    """Turn any error into one that says what happened, why, and what to do.

    Parameters
    ----------
    error : BaseException
        What was raised.
    doing : str
        What was being done, as in "segmenting tile_1".

    Returns
    -------
    NucleiganError
        `error` itself where it is one of ours.
    """
    if os.environ.get(DEBUG) == "1":
        _log.error("error while %s", doing, exc_info=error)
    if isinstance(error, NucleiganError):
        return error
    if isinstance(error, MemoryError):
        return ImageError(
            f"Out of memory while {doing}: the image is too large for this machine; choose a part of it "
            "(in the viewer, the current view as the region), or close other programs."
        )
    if "out of memory" in str(error).lower():
        return DeviceError(
            f"The device ran out of memory while {doing}; choose the CPU or a smaller tile "
            "size, or close other programs that use the device."
        )
    if isinstance(error, OSError) and error.errno:
        where = f" ({printable(os.fsdecode(error.filename))})" if isinstance(error.filename, str | bytes) else ""
        return NucleiganError(
            f"The system refused while {doing}: {os.strerror(error.errno).lower()}{where}; check the path and your "
            "rights to it."
        )
    if isinstance(error, RecursionError):
        return NucleiganError(f"What was met while {doing} is nested too deeply; choose another file.")
    return NucleiganError(
        f"Unexpected error while {doing}: {type(error).__name__}: {printable(error)}. Please report it; with "
        f"{DEBUG}=1 in the environment the terminal shows the details."
    )
