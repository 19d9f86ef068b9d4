"""Discriminators (PatchGAN with spectral normalisation), and the losses that they and the generators minimise."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from napari_nucleigan.networks.blocks import InstanceNorm

if TYPE_CHECKING:
    from napari_nucleigan.networks.encoders import EfficientNetLite


class PatchGAN(nn.Module):
    """A discriminator that judges overlapping patches of an image.

    Parameters
    ----------
    in_channels : int
        Channels of the input; a conditional discriminator sees the condition and the judged image, 3 + 3.
    width : int
        Channels of the first layer (``ndf``).
    layers : int
        Strided layers. The patch that one output sees is 70x70 pixels for 3, 34x34 for 2, 16x16 for 1.
    spectral : bool
        Whether every convolution has its largest singular value normalised to 1.
    instance_norm : bool
        Whether the features between the first and the last convolution are normalised too, each channel over the
        image. The published code does without.

    Notes
    -----
    Isola et al., CVPR 2017 for the patches; Miyato et al., "Spectral Normalization for Generative
    Adversarial Networks", ICLR 2018; both normalisations together as in Park et al., CVPR 2019.
    """

    def __init__(
        self,
        in_channels: int = 6,
        width: int = 64,
        layers: int = 3,
        spectral: bool = True,
        instance_norm: bool = False,
    ) -> None:
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(layers + 1)]
        channels = [in_channels, *widths, 1]
        steps: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise(channels)):
            stride = 2 if index < layers else 1
            convolution: nn.Module = nn.Conv2d(before, after, 4, stride=stride, padding=1)
            norm: list[nn.Module] = [InstanceNorm(after)] if instance_norm and 0 < index <= layers else []
            steps += [convolution, *norm, nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*steps[:-1])
        self.spectral = spectral

    def normalise(self) -> PatchGAN:
        """Attach the spectral normalisation; call it once, after the weights are filled."""
        if self.spectral:
            for index, layer in enumerate(self.layers):
                if isinstance(layer, nn.Conv2d):
                    # Fifteen power iterations to begin with, then one at each training step.
                    self.layers[index] = spectral_norm(layer, n_power_iterations=1)
        return self

    def forward(self, pairs: Tensor) -> Tensor:
        """Judge a batch.

        Parameters
        ----------
        pairs : (N, C, H, W) tensor
            Condition and judged image, stacked along the channels.

        Returns
        -------
        (N, 1, h, w) tensor
            Logits, one for each patch; positive means real.
        """
        logits: Tensor = self.layers(pairs)
        return logits

    def features(self, pairs: Tensor) -> list[Tensor]:
        """Return what each layer makes of a batch, the logits last."""
        found = [pairs]
        for layer in self.layers:
            # A convolution is one layer with the normalisation and the activation that follow.
            if isinstance(layer, nn.Conv2d):
                found.append(layer(found[-1]))
            else:
                found[-1] = layer(found[-1])
        return found[1:]


_MAGNITUDES = (9.5, 7.3, 5.0, 2.5)
"""Root mean squares of what EfficientNet-Lite0 makes of H&E, at 1/4 to 1/32 of the resolution."""


class Projected(nn.Module):
    """A discriminator that judges what a pretrained encoder sees in an image, at 1/4 to 1/32 of its resolution.

    The encoder's levels are mixed by fixed random convolutions, within a level and from the coarse ones to the fine, so
    that none of its channels can be left out of account; only two layers of each level learn.

    Parameters
    ----------
    encoder : EfficientNetLite
        Fixed, on the device where it is used. It is no part of the state.
    width : int
        Channels that each level is mixed to, and of the layer that learns.
    spectral : bool
        As of `PatchGAN`, for what learns.
    seed : int
        Of the mixture.

    Notes
    -----
    Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021.
    """

    def __init__(self, encoder: EfficientNetLite, width: int = 64, spectral: bool = True, seed: int = 0) -> None:
        super().__init__()
        self._spectral = spectral
        self._encoder = (encoder,)  # within a tuple it is no module of this one
        random = torch.Generator().manual_seed(seed)
        self.judges = nn.ModuleList()
        for level, channels in enumerate(encoder.channels[1:]):
            for name, shape in (("within", (width, channels, 1, 1)), ("down", (width, width, 3, 3))):
                scale = (shape[1] * shape[2] * shape[3]) ** -0.5
                self.register_buffer(f"{name}{level}", torch.randn(shape, generator=random) * scale)
            self.judges.append(
                nn.Sequential(
                    nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 3, padding=1)
                )
            )

    def normalise(self) -> Projected:
        """Attach the spectral normalisation; call it once, after the weights are filled."""
        for judge in self.judges if self._spectral else ():
            layers = cast("nn.Sequential", judge)
            for index in (0, 2):
                layers[index] = spectral_norm(cast("nn.Conv2d", layers[index]), n_power_iterations=1)
        return self

    def forward(self, images: Tensor) -> list[list[Tensor]]:
        """Judge a batch, as `MultiScale` does."""
        # Depthwise convolutions are several times slower in bfloat16.
        with torch.autocast(images.device.type, enabled=False):
            levels = self._encoder[0](images.float())[1:]
        mixed: Tensor | None = None
        found: list[list[Tensor]] = []
        for level in reversed(range(len(levels))):
            own = functional.conv2d(levels[level] / _MAGNITUDES[level], self.get_buffer(f"within{level}"))
            if mixed is not None:
                own = own + functional.interpolate(mixed, size=own.shape[2:], mode="bilinear", align_corners=False)
            mixed = functional.conv2d(own, self.get_buffer(f"down{level}"), padding=1)
            first, activation, last = cast("nn.Sequential", self.judges[level])
            inner = activation(first(mixed))
            found.append([inner, last(inner)])
        return found


class MultiScale(nn.Module):
    """PatchGANs that look at the image, at half its resolution, and so on.

    Parameters
    ----------
    scales : int
        How many.
    in_channels, width, layers, spectral, instance_norm
        As of `PatchGAN`.
    projected : Projected, optional
        What judges beside them.

    Notes
    -----
    Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", CVPR 2018.
    """

    def __init__(
        self,
        scales: int,
        in_channels: int,
        width: int,
        layers: int = 3,
        spectral: bool = True,
        instance_norm: bool = False,
        projected: Projected | None = None,
    ) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            [PatchGAN(in_channels, width, layers, spectral, instance_norm) for _ in range(scales)]
        )
        self.projected = projected

    def normalise(self) -> MultiScale:
        """Attach the spectral normalisation; call it once, after the weights are filled."""
        for judge in self.judges:
            cast("PatchGAN", judge).normalise()
        if self.projected is not None:
            self.projected.normalise()
        return self

    def forward(self, images: Tensor) -> list[list[Tensor]]:
        """Judge a batch.

        Parameters
        ----------
        images : (N, C, H, W) tensor
            What is judged.

        Returns
        -------
        list of list of tensor
            At each scale what each layer makes of the batch; the last are the logits.
        """
        found = [] if self.projected is None else self.projected(images)
        for scale, judge in enumerate(self.judges):
            seen = images if scale == 0 else functional.avg_pool2d(images, 2**scale)
            found.append(cast("PatchGAN", judge).features(seen))
        return found


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
