"""Generators: networks that translate one image into another of the same size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from napari_nucleigan.networks.blocks import InstanceNorm, PlainResidual, Residual, conv_bn, doubling


class Generator(nn.Module):
    """Base of the generators.

    A generator maps (N, C, H, W) to (N, 3, H, W) with values in [-1, 1]. Height and width must be
    multiples of `stride`. The base class adds the output's hyperbolic tangent, so that losses may use the
    logits: for the tanh-scaled mask domain, ``sigmoid(2 * logit)`` is the probability of presence.

    Attributes
    ----------
    stride : int
        Pixels to which the height, the width and the offsets of tiles are aligned.
    halo : int
        Pixels around a tile on the stride after which the field inside no longer depends on what lies
        beyond. `UNet256` and `ResNet` mix all of a tile; theirs only keeps the influence small.
    embedding : int
        Channels of what `described` tells of each place; 0 where it tells nothing.
    """

    stride: ClassVar[int] = 1
    halo: ClassVar[int] = 0
    embedding: int = 0

    def logits(self, images: Tensor) -> Tensor:
        """Return the output before the hyperbolic tangent."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Translate a batch of images."""
        return torch.tanh(self.logits(images))

    def described(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Translate a batch of images, and tell what the network saw at each place, in the same pass.

        Returns
        -------
        translated : Tensor, shape (N, 3, H, W)
            As `forward` gives it.
        seen : Tensor, shape (N, `embedding`, H / 4, W / 4)
            Features of the decoder.

        Raises
        ------
        NotImplementedError
            If `embedding` is 0.
        """
        raise NotImplementedError


class UNet256(Generator):
    """The U-Net of the paper: eight halvings, skip connections, 54.4 M parameters at `width` 64.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the images.
    width : int
        Channels of the first level (``ngf``).
    dropout : float
        Dropout of the three innermost decoder levels; the paper's stand-in for a noise input.

    Notes
    -----
    Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
    The innermost level sees one value for 256 pixels, so sides of 256, 512, ... are natural.
    """

    stride = 256
    halo = 128

    def __init__(self, in_channels: int = 3, out_channels: int = 3, width: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        widths = [width * factor for factor in (1, 2, 4, 8, 8, 8, 8, 8)]
        self.down = nn.ModuleList()
        for level, channels in enumerate(widths):
            before = in_channels if level == 0 else widths[level - 1]
            normed = 0 < level < len(widths) - 1
            steps: list[nn.Module] = [] if level == 0 else [nn.LeakyReLU(0.2)]
            steps.append(nn.Conv2d(before, channels, 4, stride=2, padding=1, bias=not normed))
            if normed:
                steps.append(nn.BatchNorm2d(channels))
            self.down.append(nn.Sequential(*steps))
        self.up = nn.ModuleList()
        for level in reversed(range(len(widths))):
            inner = widths[level] * (1 if level == len(widths) - 1 else 2)
            outer = out_channels if level == 0 else widths[level - 1]
            steps = [
                nn.ReLU(),
                nn.ConvTranspose2d(inner, outer, 4, stride=2, padding=1, bias=level == 0),
            ]
            if level > 0:
                steps.append(nn.BatchNorm2d(outer))
            if 4 <= level < len(widths) - 1:
                steps.append(nn.Dropout(dropout))
            self.up.append(nn.Sequential(*steps))

    def logits(self, images: Tensor) -> Tensor:
        """Return the output before the hyperbolic tangent."""
        skips = [images]
        for block in self.down:
            skips.append(block(skips[-1]))
        inner = skips.pop()
        for block in self.up:
            inner = block(inner)
            skip = skips.pop()
            if skips:
                inner = torch.cat([inner, skip], dim=1)
        return inner


class ResNet(Generator):
    """The residual generator of cycleGAN: two halvings, `blocks` residual blocks, two doublings.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the images.
    width : int
        Channels of the first level (``ngf``).
    blocks : int
        Residual blocks; 9 (11.4 M parameters at `width` 64) or 6 (7.8 M).
    upsampling : {"transposed", "resize"}
        Transposed convolutions as published, or nearest-neighbour resizing before a convolution, which
        leaves no checkerboard.

    Notes
    -----
    Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", ICCV 2017.
    """

    stride = 4
    halo = 128

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        blocks: int = 9,
        upsampling: str = "transposed",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, width, 7, padding=3, padding_mode="reflect"),
            InstanceNorm(width),
            nn.ReLU(),
        ]
        for channels in (width, 2 * width):
            layers += [
                nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
                InstanceNorm(2 * channels),
                nn.ReLU(),
            ]
        layers += [PlainResidual(4 * width) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers += [
                *doubling(channels, channels // 2, upsampling),
                InstanceNorm(channels // 2),
                nn.ReLU(),
            ]
        layers.append(nn.Conv2d(width, out_channels, 7, padding=3, padding_mode="reflect"))
        self.layers = nn.Sequential(*layers)

    def logits(self, images: Tensor) -> Tensor:
        """Return the output before the hyperbolic tangent."""
        output: Tensor = self.layers(images)
        return output


class DecodingUNet(Generator):
    """Base of the U-Nets with a light decoder: an encoder's levels at 1/2, 1/4, ... of the resolution come in."""

    up: nn.ModuleList
    merge: nn.ModuleList
    head: nn.Module

    def levels(self, images: Tensor) -> list[Tensor]:
        """Return what the encoder makes of the images, at 1/2, 1/4, ... of the resolution."""
        raise NotImplementedError

    def logits(self, images: Tensor) -> Tensor:
        """Return the output before the hyperbolic tangent."""
        return self._decoded(self.levels(images))[0]

    def levelled(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Translate a batch of images, and return the levels too that came into the decoder."""
        levels = self.levels(images)
        return torch.tanh(self._decoded(levels)[0]), levels

    def described(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Translate a batch of images, and tell what the decoder saw at each place."""
        logits, maps = self._decoded(self.levels(images))
        half, quarter, eighth = maps[-1], maps[-2], maps[-3]
        fine = nn.functional.avg_pool2d(half, 2)
        coarse = nn.functional.interpolate(eighth, scale_factor=2, mode="nearest")
        return torch.tanh(logits), torch.cat([fine, quarter, coarse], dim=1)

    def _decoded(self, levels: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the output, and what the decoder makes of each level, the finest last."""
        *skips, inner = levels
        maps = []
        for widen, join, skip in zip(self.up, self.merge, reversed(skips), strict=True):
            # The 1x1 convolution first: it commutes with the resizing and is four times cheaper there.
            inner = nn.functional.interpolate(widen(inner), scale_factor=2, mode="nearest")
            inner = join(torch.cat([inner, skip], dim=1))
            maps.append(inner)
        return nn.functional.pixel_shuffle(self.head(inner), 2), maps


class CompactUNet(DecodingUNet):
    """A residual U-Net that works at half resolution: 4 M parameters, made for CPUs.

    A strided stem brings the image to half resolution, four more halvings follow, and a pixel-shuffle head
    paints at full resolution. Batch normalisation uses its running statistics at inference, so that what a
    pixel becomes does not depend on the rest of the batch or the tile.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the images.
    widths : sequence of int
        Channels at 1/2, 1/4, ... of the resolution.
    """

    stride = 32
    halo = 192

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        widths: Sequence[int] = (32, 64, 128, 192, 256),
    ) -> None:
        super().__init__()
        self.stem, self.down = _encoder(in_channels, widths)
        self.up, self.merge, self.head = decoder(widths, out_channels)
        self.embedding = sum(widths[:3]) if len(widths) > 3 else 0

    def levels(self, images: Tensor) -> list[Tensor]:
        """Return what the encoder makes of the images, at 1/2, 1/4, ... of the resolution."""
        return _levels(self.stem, self.down, images)


class FCN(Generator):
    """A fully convolutional network without a learned decoder: scores of three levels, summed.

    The encoder is that of `CompactUNet`. A 1x1 convolution scores the levels at 1/8, 1/16 and 1/32 of the
    resolution; from the coarsest on the scores are resized bilinearly to the next finer level and added, and the
    sum is resized to the image. What is finer than 8 pixels can only be guessed from there.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the images.
    widths : sequence of int
        Channels at 1/2, 1/4, ... of the resolution; five.

    Notes
    -----
    The skips of FCN-8s of Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation",
    CVPR 2015.
    """

    stride = 32
    halo = 192

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        widths: Sequence[int] = (32, 64, 128, 192, 256),
    ) -> None:
        super().__init__()
        if len(widths) != 5:
            raise TypeError(f"widths are five numbers, not {len(widths)}")
        self.stem, self.down = _encoder(in_channels, widths)
        self.scores = nn.ModuleList([nn.Conv2d(channels, out_channels, 1) for channels in widths[:1:-1]])

    def logits(self, images: Tensor) -> Tensor:
        """Return the output before the hyperbolic tangent."""
        levels = _levels(self.stem, self.down, images)
        total = self.scores[0](levels.pop())
        for score in self.scores[1:]:
            total = _resized(total, 2) + score(levels.pop())
        return _resized(total, 8)


def decoder(widths: Sequence[int], out_channels: int) -> tuple[nn.ModuleList, nn.ModuleList, nn.Module]:
    """Make the layers that lead from the coarsest level up: to the next width, merged with its level, and the head.

    Parameters
    ----------
    widths : sequence of int
        Channels of the levels at 1/2, 1/4, ... of the resolution.
    out_channels : int
        Channels of the field.

    Returns
    -------
    up, merge, head
        Of a `DecodingUNet`.
    """
    up, merge = nn.ModuleList(), nn.ModuleList()
    for channels, outer in zip(widths[:0:-1], widths[-2::-1], strict=True):
        up.append(nn.Conv2d(channels, outer, 1))
        merge.append(Residual(2 * outer, outer))
    return up, merge, nn.Conv2d(widths[0], 4 * out_channels, 3, padding=1)


def _encoder(in_channels: int, widths: Sequence[int]) -> tuple[nn.Module, nn.ModuleList]:
    """Make the strided stem and the residual levels below it."""
    down = nn.ModuleList([Residual(widths[0], widths[0])])
    for before, channels in pairwise(widths):
        down.append(nn.Sequential(conv_bn(before, channels, 2, stride=2), Residual(channels, channels)))
    return conv_bn(in_channels, widths[0], 4, stride=2), down


def _levels(stem: nn.Module, down: nn.ModuleList, images: Tensor) -> list[Tensor]:
    """Return what the encoder makes of the images, at 1/2, 1/4, ... of the resolution."""
    inner = stem(images)
    levels = []
    for block in down:
        inner = block(inner)
        levels.append(inner)
    return levels


def _resized(images: Tensor, factor: int) -> Tensor:
    return nn.functional.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)


def initialise(module: nn.Module, scheme: str = "normal", seed: int = 0) -> None:
    """Fill the weights of a network, in place.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    scheme : {"normal", "he"}
        ``"normal"``: N(0, 0.02) as in the paper; ``"he"``: He et al. 2015, for networks of many ReLUs.
    seed : int
        Seed of the random numbers.
    """
    random = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            weight = layer.weight.data
            fan_in = weight[0].numel()
            deviation = 0.02 if scheme == "normal" else (2.0 / fan_in) ** 0.5
            weight.copy_(torch.randn(weight.shape, generator=random) * deviation)
            if layer.bias is not None:
                layer.bias.data.zero_()
        elif isinstance(layer, nn.BatchNorm2d):
            if scheme == "normal":
                noise = torch.randn(layer.weight.shape, generator=random)
                layer.weight.data.copy_(1.0 + 0.02 * noise)
            layer.bias.data.zero_()
