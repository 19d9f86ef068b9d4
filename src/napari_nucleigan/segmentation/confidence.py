"""Confidence: how likely each nucleus that was found is one, from the field that it was cut out of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.models import ModelCard

EVIDENCE = 8
"""Values that speak for or against a nucleus."""

CONFIDENCE = "confidence"
"""The column of a table of nuclei that tells it; a model whose card holds no calibration gives none."""

_AROUND = 2  # pixels around a nucleus that are looked at


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
        outside; contour on the rim and in the heart; highest distance; logarithm of the area. It does not depend on
        how the nuclei are numbered.
    """
    count = int(labels.max(initial=0))
    width = labels.shape[1] + 2 * _AROUND
    # The image goes on beyond its border as it ends there, so that no nucleus has a rim along it.
    flat = np.pad(labels, _AROUND, mode="edge").ravel()
    within = np.pad(np.ones(labels.shape, bool), _AROUND).ravel()
    near = [dy * width + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    own_rows, own_columns = np.nonzero(labels)
    pixels = (own_rows + _AROUND) * width + own_columns + _AROUND
    own = flat[pixels]

    def seen(channel: int, at: NDArray[np.intp]) -> NDArray[np.float64]:
        rows, columns = np.divmod(at, width)
        values = field[channel].ravel()[(rows - _AROUND) * labels.shape[1] + columns - _AROUND]
        shares: NDArray[np.float64] = (values.astype(np.float64) + 1) / 2
        return shares

    def mean(values: NDArray[np.float64], of: NDArray[np.int32]) -> NDArray[np.float64]:
        number = np.bincount(of, minlength=count + 1)[1:]
        total = np.bincount(of, values, minlength=count + 1)[1:]
        means: NDArray[np.float64] = np.divide(total, number, out=np.zeros(count), where=number > 0)
        return means

    rim = np.zeros(len(pixels), bool)
    for step in near:
        rim |= flat[pixels + step] != own
    inside, contour, distance = (seen(channel, pixels) for channel in range(3))
    heart = distance > 0.5
    least, highest = np.ones(count + 1), np.zeros(count + 1)
    np.minimum.at(least, own, inside)
    np.maximum.at(highest, own, distance)
    outside = _around(flat, within, pixels[rim], near)
    columns = [
        mean(inside, own),
        least[1:],
        mean((np.abs(inside - 0.5) < 0.3).astype(np.float64), own),
        mean(seen(0, outside), flat[outside]),
        mean(contour[rim], own[rim]),
        mean(contour[heart], own[heart]),
        highest[1:],
        np.log(np.maximum(np.bincount(own, minlength=count + 1)[1:], 1)),
    ]
    return np.stack(columns, axis=1)


def _around(
    flat: NDArray[np.int32], within: NDArray[np.bool_], rim: NDArray[np.intp], near: list[int]
) -> NDArray[np.intp]:
    """Give the background around nuclei their numbers, in place, and return which pixels these are."""
    found = []
    for _ in range(_AROUND):
        value, reached = flat[rim], []
        for step in near:
            at = rim + step
            free = (flat[at] == 0) & within[at]
            flat[at[free]] = value[free]  # and so it is found once only, as it is not free any more
            reached.append(at[free])
        rim = np.concatenate(reached)
        found.append(rim)
    return np.concatenate(found)


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
    fit = regression(card)
    if fit is None:
        return None
    logits = evidence(labels, field) @ fit[0] + fit[1]
    found: NDArray[np.float32] = (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)
    return found


def regression(card: ModelCard) -> tuple[NDArray[np.float64], float] | None:
    """Return the weights and the bias that a card holds; None where it holds none that can be used."""
    fit = card.confidence or {}
    try:
        weights, bias = np.asarray(fit.get("weights", ()), dtype=np.float64), float(fit.get("bias", 0.0))
    except (TypeError, ValueError):
        return None
    usable = weights.shape == (EVIDENCE,) and np.isfinite([*weights, bias]).all() and card.encoding == "distance"
    return (weights, bias) if usable else None
