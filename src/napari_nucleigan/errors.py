"""The errors that users meet: each says what happened, why, and what to do.

None derives from :class:`RuntimeError`: napari's generator workers swallow those in silence.
"""

from __future__ import annotations


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
