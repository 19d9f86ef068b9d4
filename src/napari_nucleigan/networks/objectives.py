"""Objectives that the networks minimise: adversarial losses, penalties, and distances to the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def discriminator_loss(real: Tensor, fake: Tensor, kind: str) -> Tensor:
    """Loss of a discriminator.

    Parameters
    ----------
    real, fake : tensor
        Logits for real and for generated pairs.
    kind : {"bce", "least-squares", "hinge"}
        Goodfellow et al. 2014 with logits; Mao et al. 2017 with targets 1 and 0; Lim and Ye 2017.

    Returns
    -------
    scalar tensor
        Mean of the two halves, as in the published code.
    """
    if kind == "bce":
        return 0.5 * (functional.softplus(-real).mean() + functional.softplus(fake).mean())
    if kind == "least-squares":
        return 0.5 * ((real - 1).square().mean() + fake.square().mean())
    if kind == "hinge":
        return 0.5 * (torch.relu(1 - real).mean() + torch.relu(1 + fake).mean())
    raise ValueError(f"no adversarial loss {kind!r}")


def generator_loss(fake: Tensor, kind: str) -> Tensor:
    """Adversarial loss of a generator: what `discriminator_loss` punishes it for, turned round.

    Parameters
    ----------
    fake : tensor
        Logits for generated pairs.
    kind : {"bce", "least-squares", "hinge"}
        The non-saturating form for ``"bce"``.

    Returns
    -------
    scalar tensor
    """
    if kind == "bce":
        return functional.softplus(-fake).mean()
    if kind == "least-squares":
        return (fake - 1).square().mean()
    if kind == "hinge":
        return -fake.mean()
    raise ValueError(f"no adversarial loss {kind!r}")


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    kind: str,
    mix: Tensor | None = None,
) -> Tensor:
    """Penalty on the gradient of a discriminator with respect to its input.

    Parameters
    ----------
    discriminator : callable
        Maps (N, C, H, W) to logits.
    real, fake : (N, C, H, W) tensor
        Pairs.
    kind : {"r1", "wgan-gp"}
        ``"r1"``: half the mean squared norm at the real pairs (Mescheder et al. 2018).
        ``"wgan-gp"``: mean of (norm - 1) squared at random points between real and generated pairs
        (Gulrajani et al. 2017).
    mix : (N, 1, 1, 1) tensor, optional
        Shares of the real pairs in these points, in [0, 1]; by default drawn at random.

    Returns
    -------
    scalar tensor
    """
    if kind == "r1":
        points = real.detach()
    elif kind == "wgan-gp":
        mix = (torch.rand(len(real), 1, 1, 1) if mix is None else mix).to(real)
        points = mix * real.detach() + (1 - mix) * fake.detach()
    else:
        raise ValueError(f"no gradient penalty {kind!r}")
    points = points.requires_grad_(True)
    # One scalar for each pair, the mean over its patches: that is what the penalty's function is.
    logits = discriminator(points)
    total = logits.flatten(1).mean(dim=1).sum()
    (gradient,) = torch.autograd.grad(total, points, create_graph=True)
    squared = gradient.flatten(1).square().sum(dim=1)
    if kind == "r1":
        return 0.5 * squared.mean()
    return (torch.sqrt(squared + 1e-12) - 1).square().mean()


def presence_loss(logits: Tensor, target: Tensor, total_of: Callable[[Tensor], Tensor] = lambda sums: sums) -> Tensor:
    """Cross-entropy and soft Dice of channels that tell what is present.

    Parameters
    ----------
    logits : (N, C, H, W) tensor
        Output of a generator before its hyperbolic tangent.
    target : (N, C, H, W) tensor
        The same channels of the true field in [-1, 1].
    total_of : callable, optional
        Adds sums up over all processes that train together: Dice is one figure for the whole batch.

    Returns
    -------
    scalar tensor
        Mean over the channels.

    Notes
    -----
    ``tanh(x) = 2 sigmoid(2 x) - 1``, so the probability of presence is ``sigmoid(2 x)``.
    Soft Dice: Milletari et al., "V-Net", 3DV 2016.
    """
    truth = (target + 1) / 2
    entropy = functional.binary_cross_entropy_with_logits(2 * logits, truth, reduction="none").mean(dim=(0, 2, 3))
    presence = torch.sigmoid(2 * logits)
    overlap = total_of((presence * truth).sum(dim=(0, 2, 3)))
    total = total_of(presence.square().sum(dim=(0, 2, 3)) + truth.square().sum(dim=(0, 2, 3)))
    loss = entropy + 1 - (2 * overlap + 1) / (total + 1)
    return loss.mean()
