"""Features of pictures, from the encoder of a segmenter, and how far apart those of two sets are.

KID is a distance of the distributions; a classifier tells how well the sets can be told apart.

Why not the Inception network of the published KID: its weights come as a pickle or as a program, neither of
which is ever loaded here; other ports of it give values that do not compare with published ones; and it was
trained on cats and cars. A segmenter of ours is one file without code, and knows what matters in H&E.

References
----------
.. [1] Binkowski et al., "Demystifying MMD GANs", ICLR 2018: the kernel distance KID.
.. [2] Gretton et al., "A Kernel Two-Sample Test", JMLR 13 (2012) 723-773: the unbiased estimate of MMD.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from napari_nucleigan.base.devices import choose_device
from napari_nucleigan.base.errors import DatasetError, DeviceError, ImageError, ModelError
from napari_nucleigan.models import Model, load_model
from napari_nucleigan.networks.generators import CompactUNet, UNet256

Depth = Literal["deep", "fine"]
DEPTHS: tuple[Depth, ...] = ("deep", "fine")

_BATCH = 16
_MULTIPLE = 32  # of the sides of what is encoded
_LEVELS: dict[Depth, tuple[int, ...]] = {
    "deep": (3, 4),
    "fine": (0, 1),
}  # of the halvings: at 1/2 and 1/4, at 1/16 and 1/32

FEWEST = 16
"""Pictures of each set below which a distance says nothing."""

_RIDGE = 1e-2  # weight of the squared coefficients against the mean loss
_SUBSETS_AT_ONCE = 1000  # largest subset by default, as published


class Encoder:
    """The encoder of a segmenter, ready on a device.

    The features of a picture are the mean and the standard deviation of each channel over all positions, of
    two groups of levels:

    ``deep``, at 1/16 and 1/32 of the resolution (896 numbers for the bundled segmenter)
        what is shown: nuclei, their kind and layout, the tissue between them. Small faults of drawing
        hardly move them, as the segmenter has learnt to look past those.
    ``fine``, at 1/2 and 1/4 of the resolution (192 numbers)
        how it is drawn: colour, sharpness, grain, grids.

    The stains are left as they are, whatever the segmenter itself asks for.

    Parameters
    ----------
    model : Model, str or Path
        A segmenter, or the name or file of one. The network must be a ``compact-unet`` or a ``unet-256``: the
        instance normalisation of a ``resnet`` takes from every channel just what is measured here.
    device : str
        As `napari_nucleigan.base.devices.choose_device` takes it.

    Attributes
    ----------
    model : Model
        The segmenter.
    device : str
        Where it computes.

    Raises
    ------
    ModelError
        If the model cannot be used.
    DeviceError
        If the device is not to be had.
    """

    def __init__(self, model: Model | str | Path, device: str = "auto") -> None:
        self.model = model if isinstance(model, Model) else load_model(model, "segmenter")
        network = self.model.network
        if not isinstance(network, CompactUNet | UNet256):
            raise ModelError(
                f"The network {self.model.card.architecture.get('name')!r} of {self.model.card.name!r} gives no "
                "features to compare pictures by; choose a compact-unet or unet-256, such as nucleigan-kumar."
            )
        self.device = choose_device(device)
        # Another device gets a copy: the model itself stays on the CPU for whoever shares it.
        self._network = network if self.device == "cpu" else copy.deepcopy(network).to(self.device)

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> dict[Depth, NDArray[np.float32]]:
        """Compute both groups of features.

        Parameters
        ----------
        images : sequence of ndarray of uint8, shape (H, W, 3)
            RGB, one or more, all of one size, at the model's microns per pixel. Sides that are no multiple of 32
            are padded by reflection.

        Returns
        -------
        dict of str to ndarray of float32, shape (n, d)
            ``"deep"`` and ``"fine"``.

        Raises
        ------
        ImageError
            If the pictures differ in size.
        DeviceError
            If the network fails, or the memory runs out.
        """
        if len({image.shape for image in images}) != 1:
            raise ImageError("Features are computed for pictures of one size; crop them alike.")
        try:
            parts = [self._encode(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
        except RuntimeError as error:  # torch's own; napari would swallow it
            raise DeviceError(f"The encoder failed: {error}; try the device 'cpu'.") from error
        return {depth: np.concatenate([part[depth] for part in parts]) for depth in DEPTHS}

    def _encode(self, images: Sequence[NDArray[np.uint8]]) -> dict[Depth, NDArray[np.float32]]:
        spare = [(0, -length % _MULTIPLE) for length in images[0].shape[:2]]
        stack = np.stack([np.pad(image, (*spare, (0, 0)), mode="symmetric") for image in images])
        with torch.inference_mode():
            inner = torch.from_numpy(stack).to(self.device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
            outputs: list[torch.Tensor] = []
            # Both networks keep their halvings in `down`; the compact one makes the first in a stem of its own.
            if isinstance(self._network, CompactUNet):
                inner = self._network.stem(inner)
            for block in self._network.down[: max(_LEVELS["deep"]) + 1]:
                inner = block(inner)
                outputs.append(inner)
            return {
                depth: torch.cat([_moments(outputs[level]) for level in levels], 1).cpu().numpy()
                for depth, levels in _LEVELS.items()
            }


def _moments(level: torch.Tensor) -> torch.Tensor:
    deviation, mean = torch.std_mean(level, (2, 3), correction=0)
    return torch.cat([mean, deviation], 1)


def encoder_features(
    images: Sequence[NDArray[np.uint8]],
    model: Encoder | Model | str | Path,
    *,
    depth: Depth = "deep",
    device: str = "auto",
) -> NDArray[np.float32]:
    """Compute the features of pictures of one size; see `Encoder`.

    Parameters
    ----------
    images : sequence of ndarray of uint8, shape (H, W, 3)
        RGB.
    model : Encoder, Model, str or Path
        A segmenter. Who encodes many batches makes an `Encoder` once.
    depth : {"deep", "fine"}
        Which group of features.
    device : str
        Where to compute; an `Encoder` has its own.

    Returns
    -------
    ndarray of float32, shape (n, d)

    Raises
    ------
    ImageError, ModelError, DeviceError
        As `Encoder`.
    """
    encoder = model if isinstance(model, Encoder) else Encoder(model, device)
    return encoder(images)[depth]


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
) -> float:
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
        Seed of the folds.

    Returns
    -------
    float
        Mean of the shares of real and of synthetic pictures that are told right: 1 where they can always be
        told apart, 0.5 where they cannot. With few groups it scatters around 0.5 and may be well below.

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
    return float((right[truth < 0].mean() + right[truth > 0].mean()) / 2)


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
