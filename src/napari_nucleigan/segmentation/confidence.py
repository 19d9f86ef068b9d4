"""Confidence: how likely each nucleus that was found is one, from the field that it was cut out of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.models import ModelCard

EVIDENCE = 8
"""Values that speak for or against a nucleus."""

_SQUARE = np.ones((3, 3), dtype=bool)


def evidence(labels: NDArray[np.int32], field: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Measure what speaks for or against each nucleus.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        Nuclei 1, 2, ... at the model's scale.
    field : ndarray of float, shape (3, H, W)
        What the network saw, in [-1, 1], in the encoding ``"distance"``.

    Returns
    -------
    ndarray of float, shape (n, EVIDENCE)
        Of each label up to the largest: mean and least interior; the part of the interior that is unsure; interior just
        outside; contour on the rim and in the heart; highest distance; logarithm of the area.
    """
    count = int(labels.max(initial=0))
    flat = labels.ravel()
    area = np.bincount(flat, minlength=count + 1).astype(np.float64)
    inside, contour, distance = ((np.asarray(channel, np.float64) + 1) / 2 for channel in field)

    def mean(values: NDArray[np.float64], of: NDArray[np.int32]) -> NDArray[np.float64]:
        pixels = np.bincount(of.ravel(), minlength=count + 1)
        total = np.bincount(of.ravel(), values.ravel(), minlength=count + 1)
        means: NDArray[np.float64] = np.divide(total, pixels, out=np.zeros(count + 1), where=pixels > 0)
        return means

    rim = np.where(ndimage.minimum_filter(labels, footprint=_SQUARE, mode="nearest") != labels, labels, 0)
    heart = np.where(distance > 0.5, labels, 0)
    # Two pixels around; where nuclei are near, each gets the pixels of its side.
    around = ndimage.maximum_filter(labels, size=5, mode="nearest")
    around[labels > 0] = 0
    numbers = np.arange(1, count + 1)
    columns = [
        mean(inside, labels)[1:],
        np.atleast_1d(ndimage.minimum(inside, labels, numbers)) if count else np.zeros(0),
        mean((np.abs(inside - 0.5) < 0.3).astype(np.float64), labels)[1:],
        mean(inside, around)[1:],
        mean(contour, rim)[1:],
        mean(contour, heart)[1:],
        np.atleast_1d(ndimage.maximum(distance, labels, numbers)) if count else np.zeros(0),
        np.log(np.maximum(area[1:], 1)),
    ]
    return np.stack(columns, axis=1)


def confidence(
    labels: NDArray[np.int32], field: NDArray[np.floating[Any]], card: ModelCard
) -> NDArray[np.float32] | None:
    """Return the probability of each nucleus to have a true partner at an IoU above 0.5.

    A logistic regression of the `evidence`, fitted on images that the network has not learnt from.

    Parameters
    ----------
    labels, field
        As for `evidence`.
    card : ModelCard
        Whose `confidence` holds the regression.

    Returns
    -------
    ndarray of float32, shape (n,), or None
        In [0, 1]; None where the card holds none.
    """
    fit = card.confidence or {}
    weights = np.asarray(fit.get("weights", ()), dtype=np.float64)
    if weights.shape != (EVIDENCE,) or card.encoding != "distance":
        return None
    logits = evidence(labels, field) @ weights + float(fit.get("bias", 0.0))
    found: NDArray[np.float32] = (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)
    return found
