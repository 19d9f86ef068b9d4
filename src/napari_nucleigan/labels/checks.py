"""Checks of label images: arrays that are none are refused, with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.errors import LabelsError

_MAX_LABEL = np.iinfo(np.int32).max


def check_labels(labels: npt.NDArray[Any], name: str = "The array") -> npt.NDArray[Any]:
    """Make sure that an array is a label image.

    Parameters
    ----------
    labels : array-like
        Anything.
    name : str
        What to call it in the error.

    Returns
    -------
    ndarray of integers, shape (H, W)
        The same values.

    Raises
    ------
    LabelsError
        Unless it has two dimensions, at least one pixel, and integers from 0 to 2**31 - 1.
    """
    values = np.asarray(labels)
    reason = _labels_problem(values)
    if reason:
        raise LabelsError(f"{name} is no label image: {reason}.")
    return values


def _labels_problem(values: npt.NDArray[Any]) -> str | None:
    if values.ndim == 3 and values.shape[-1] in (3, 4):
        return "it holds colours; labels are one integer for each pixel"
    if values.ndim != 2 or 0 in values.shape:
        return f"its shape is {values.shape}, not (height, width)"
    if values.dtype.kind == "b":
        return "it only tells nuclei from background; number the nuclei first"
    if values.dtype.kind not in "ui":
        return f"its values are {values.dtype}; labels are integers"
    if values.min() < 0:
        return "it holds negative numbers"
    if values.max() > _MAX_LABEL:
        return f"its largest label is {values.max()}, more than {_MAX_LABEL}; number the nuclei anew"
    return None
