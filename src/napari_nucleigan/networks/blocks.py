"""Blocks that generators and discriminators are built of."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InstanceNorm(nn.InstanceNorm2d):
    """Normalise each channel of each image.

    On a CPU, torch (2.13 at least) computes a wrong gradient for a batch of one image if the gradient that comes back
    is laid out channels last, as convolutions in that format make it. Laid out otherwise it is right.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Normalise (N, C, H, W) features."""
        normalised = super().forward(features)
        if len(features) == 1 and normalised.requires_grad:
            normalised.register_hook(torch.Tensor.contiguous)  # type: ignore[no-untyped-call]
        return normalised


class Residual(nn.Module):
    """Two convolutions with batch normalisation, and what they take added to what they give."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.first = conv_bn(before, channels, 3)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.skip = nn.Identity() if before == channels else nn.Conv2d(before, channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Take (N, C, H, W) features."""
        # In place: what these layers take is mostly memory that is read and written.
        output: Tensor = self.second(self.first(images)).add_(self.skip(images)).relu_()
        return output


class PlainResidual(nn.Module):
    """The same with instance normalisation, of one width, as in the generators of the paper."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            InstanceNorm(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            InstanceNorm(channels),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Take (N, C, H, W) features."""
        output: Tensor = images + self.layers(images)
        return output


def conv_bn(before: int, channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Make a convolution with batch normalisation and ReLU."""
    padding = (kernel - stride + 1) // 2
    return nn.Sequential(
        nn.Conv2d(before, channels, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


def doubling(before: int, channels: int, upsampling: str) -> list[nn.Module]:
    """Make layers that double height and width: ``"transposed"``, or ``"resize"``, which leaves no checkerboard."""
    if upsampling == "transposed":
        return [nn.ConvTranspose2d(before, channels, 3, stride=2, padding=1, output_padding=1)]
    if upsampling == "resize":
        return [nn.Upsample(scale_factor=2), nn.Conv2d(before, channels, 3, padding=1)]
    raise TypeError(f"upsampling is 'transposed' or 'resize', not {upsampling!r}")
