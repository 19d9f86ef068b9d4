"""How far apart the features of two sets of pictures are.

KID is a distance of the distributions; a classifier tells how well the sets can be told apart.

References
----------
.. [1] Binkowski et al., "Demystifying MMD GANs", ICLR 2018: the kernel distance KID.
.. [2] Gretton et al., "A Kernel Two-Sample Test", JMLR 13 (2012) 723-773: the unbiased estimate of MMD.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from napari_nucleigan.base.errors import DatasetError

FEWEST = 16
"""Pictures of each set below which a distance says nothing."""

_RIDGE = 1e-2  # weight of the squared coefficients against the mean loss
_SUBSETS_AT_ONCE = 1000  # largest subset by default, as published
_DRAWS = 1000  # of the images, for the spread of the classifier


def mmd2(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> float:
    r"""Estimate the squared maximum mean discrepancy of two samples, without bias.

    The kernel is that of KID [1]_, :math:`k(x, y) = (x^T y / d + 1)^3`, and with samples of size
    :math:`m` and :math:`n` the estimate is [2]_

    .. math:: \frac{\sum_{i \ne j} k(x_i, x_j)}{m (m - 1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}{n (n - 1)}
        - \frac{2 \sum_{i, j} k(x_i, y_j)}{m n}.

    Parameters
    ----------
    first, second : ndarray of float, shapes (m, d) and (n, d)
        Features; two rows or more each.

    Returns
    -------
    float
        0 on average where both come from one distribution, so it may be a little below.
    """
    one, other = first.astype(np.float64), second.astype(np.float64)
    within = _off_diagonal_mean(_kernel(one, one)) + _off_diagonal_mean(_kernel(other, other))
    return float(within - 2 * _kernel(one, other).mean())


def kid(
    first: NDArray[np.floating[Any]],
    second: NDArray[np.floating[Any]],
    *,
    subsets: int = 100,
    subset_size: int | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Compute the kernel distance (KID): the mean of `mmd2` over random subsets, and its spread.

    torchmetrics computes the same, but in float32, with the random state of the whole program, and brings 900
    modules with it; a test holds this function against its value.

    Parameters
    ----------
    first, second : ndarray of float, shapes (m, d) and (n, d)
        Features of two sets of pictures.
    subsets : int
        How many pairs of subsets, each drawn without replacement.
    subset_size : int, optional
        Pictures of each set in a subset; by default half of the smaller set, 1000 at most.
    seed : int
        Seed of the subsets.

    Returns
    -------
    mean : float
        The distance, from about 0 (one distribution) up; no upper limit. Values compare only where the features
        are the same.
    std : float
        Standard deviation over the subsets. It tells how much the choice of pictures matters, not how far
        the mean is from the truth: pictures of one slide resemble each other.

    Raises
    ------
    DatasetError
        If a set has too few pictures.
    """
    smaller = min(len(first), len(second))
    size = min(smaller // 2, _SUBSETS_AT_ONCE) if subset_size is None else subset_size
    if smaller < FEWEST or size > smaller:
        raise DatasetError(
            f"KID needs at least {max(FEWEST, size)} pictures of each set, but there are {len(first)} and "
            f"{len(second)}; add images, or take smaller crops or subsets."
        )
    random = np.random.default_rng(seed)
    values = [
        mmd2(first[random.choice(len(first), size, False)], second[random.choice(len(second), size, False)])
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def real_or_synthetic(
    real: NDArray[np.floating[Any]],
    synthetic: NDArray[np.floating[Any]],
    real_groups: NDArray[Any] | None = None,
    synthetic_groups: NDArray[Any] | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
) -> tuple[float, float]:
    """Measure how well a classifier tells real from synthetic pictures that it was not fit to.

    A logistic regression on standardised features, cross-validated. Pictures of one group are in one fold, so
    that it cannot succeed by knowing a tile again.

    Parameters
    ----------
    real, synthetic : ndarray of float, shapes (m, d) and (n, d)
        Features.
    real_groups, synthetic_groups : ndarray, shapes (m,) and (n,), optional
        What picture each was cut from. A group of one name in both sets is one group. By default each
        picture is a group of its own.
    folds : int
        Folds, as far as there are groups.
    seed : int
        Seed of the folds, and of what the spread is made of.

    Returns
    -------
    accuracy : float
        Mean of the shares of real and of synthetic pictures that are told right: 1 where they can always be
        told apart, 0.5 where they cannot. With few groups it scatters around 0.5 and may be well below.
    std : float
        Its standard deviation where the groups of each set are drawn again with replacement, 1000 times.

    Raises
    ------
    DatasetError
        If a set has fewer than two groups.
    """
    first = np.arange(len(real)) if real_groups is None else np.asarray(real_groups)
    second = len(real) + np.arange(len(synthetic)) if synthetic_groups is None else np.asarray(synthetic_groups)
    features = np.concatenate([real, synthetic]).astype(np.float64)
    truth = np.repeat([-1.0, 1.0], [len(real), len(synthetic)])
    names, groups = np.unique(np.concatenate([first, second]), return_inverse=True)
    right = np.zeros(len(features), dtype=bool)
    for held in _folds(groups, truth, len(names), folds, seed):
        scores = _fitted(features[~held], truth[~held], features[held])
        right[held] = (scores > 0) == (truth[held] > 0)
    random = np.random.default_rng(seed)
    shares = [_drawn_shares(right[truth == sign], groups[truth == sign], random) for sign in (-1, 1)]
    return float((right[truth < 0].mean() + right[truth > 0].mean()) / 2), float(np.std((shares[0] + shares[1]) / 2))


def _kernel(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel: NDArray[np.float64] = (first @ second.T / first.shape[1] + 1) ** 3
    return kernel


def _off_diagonal_mean(kernel: NDArray[np.float64]) -> float:
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _folds(
    groups: NDArray[np.intp], truth: NDArray[np.float64], count: int, folds: int, seed: int
) -> Iterator[NDArray[np.bool_]]:
    """Deal the groups out, those of each set evenly."""
    kinds = np.zeros(count, dtype=int)
    for bit, sign in ((1, -1), (2, 1)):
        kinds[np.unique(groups[truth == sign])] |= bit
    fewest = min(int(np.count_nonzero(kinds & bit)) for bit in (1, 2))
    if fewest < 2:
        raise DatasetError("A classifier of real and synthetic pictures needs two images or more of each set.")
    folds = min(folds, fewest)
    random = np.random.default_rng(seed)
    # Those of both sets in the middle, so that the groups of either set are dealt without a gap.
    order = np.concatenate([random.permutation(np.flatnonzero(kinds == kind)) for kind in (1, 3, 2)])
    dealt = np.empty(count, dtype=int)
    dealt[order] = np.arange(count) % folds
    for fold in range(folds):
        yield dealt[groups] == fold


def _drawn_shares(
    right: NDArray[np.bool_], groups: NDArray[np.intp], random: np.random.Generator
) -> NDArray[np.float64]:
    """Share of the pictures that are right where groups are drawn with replacement, (draws,)."""
    _, own = np.unique(groups, return_inverse=True)
    count = own.max() + 1
    times = random.multinomial(count, np.full(count, 1 / count), _DRAWS)
    shares: NDArray[np.float64] = (times @ np.bincount(own, right)) / (times @ np.bincount(own))
    return shares


def _fitted(
    features: NDArray[np.float64], truth: NDArray[np.float64], unseen: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log-odds that pictures are of class 1, by a ridge logistic regression fit to others."""
    centre, spread = features.mean(0), features.std(0)
    spread[spread < 1e-12] = 1.0
    features, unseen = (features - centre) / spread, (unseen - centre) / spread
    weights = np.where(truth > 0, 0.5 / np.mean(truth > 0), 0.5 / np.mean(truth < 0)) / len(truth)

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margins = truth * (features @ values[1:] + values[0])
        pull = -weights * truth / (1 + np.exp(np.clip(margins, -500, 500)))
        slope = np.concatenate([[pull.sum()], pull @ features + _RIDGE * values[1:]])
        return float(weights @ np.logaddexp(0, -margins) + _RIDGE / 2 * values[1:] @ values[1:]), slope

    best = minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B").x
    scores: NDArray[np.float64] = unseen @ best[1:] + best[0]
    return scores
