"""The PatchGAN discriminator with spectral normalisation."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, cast

from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from napari_nucleigan.networks.generators import InstanceNorm

if TYPE_CHECKING:
    from torch import Tensor


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


class MultiScale(nn.Module):
    """PatchGANs that look at the image, at half its resolution, and so on.

    Parameters
    ----------
    scales : int
        How many.
    in_channels, width, layers, spectral, instance_norm
        As of `PatchGAN`.

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
    ) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            [PatchGAN(in_channels, width, layers, spectral, instance_norm) for _ in range(scales)]
        )

    def normalise(self) -> MultiScale:
        """Attach the spectral normalisation; call it once, after the weights are filled."""
        for judge in self.judges:
            cast("PatchGAN", judge).normalise()
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
        found = []
        for scale, judge in enumerate(self.judges):
            seen = images if scale == 0 else functional.avg_pool2d(images, 2**scale)
            found.append(cast("PatchGAN", judge).features(seen))
        return found
