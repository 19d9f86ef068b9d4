"""Instance normalisation whose gradient is right for a single image, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class InstanceNorm(nn.InstanceNorm2d):
    """Normalise each channel of each image.

    On a CPU, torch (2.13 at least) computes a wrong gradient for a batch of one image if the gradient that comes back
    is laid out channels last, as convolutions in that format make it. Laid out otherwise it is right.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Normalise (N, C, H, W) features."""
        normalised = super().forward(features)
        if len(features) == 1 and normalised.requires_grad:
            normalised.register_hook(_laid_out)  # type: ignore[no-untyped-call]
        return normalised


def _laid_out(gradient: Tensor) -> Tensor:
    return gradient.contiguous()
