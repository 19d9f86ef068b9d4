"""Synthesizers: networks that paint H&E from a field of the mask domain, noise and a style."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, repeat
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_nucleigan.networks.generators import ResNet
from napari_nucleigan.tissue.record import CELL

Padding = Literal["zeros", "replicate"]


class Synthesizer(nn.Module):
    """Base of the synthesizers.

    A synthesizer maps a field (N, 3, H, W), maps of standard normal noise and a style (N, `style_size`) to an
    RGB image (N, 3, H, W), all images with values in [-1, 1]. One that knows tissue takes a fourth channel with the
    field: the number of the tissue of each pixel, alike in all pixels of a cell; 0 or less where it is unknown.

    Attributes
    ----------
    stride : int
        Pixels to which the height, the width and the offsets of tiles are aligned.
    halo : int
        Pixels around a tile, a multiple of `stride`.
    local : bool
        Whether nothing farther away than `halo` has an influence, so that tiles agree exactly. Where it is
        false, the network mixes all of a tile, and tiles need to be blended.
    noise : tuple of (int, int)
        Channels and stride in pixels of each map of noise.
    style_size : int
        Length of the style code; 0 where there is none.
    tissue_classes : int
        Classes of tissue that the network knows; 0 for none.
    """

    stride: int = 1
    halo: int = 0
    local: bool = False
    noise: tuple[tuple[int, int], ...] = ()
    style_size: int = 0
    tissue_classes: int = 0

    def forward(self, fields: Tensor, noise: Sequence[Tensor], style: Tensor) -> Tensor:
        """Paint a batch.

        Parameters
        ----------
        fields : (N, 3, H, W) tensor
            Fields of the mask domain; (N, 4, H, W) with the tissue.
        noise : sequence of (N, channels, H / stride, W / stride) tensors
            As `noise` lists them.
        style : (N, style_size) tensor
            Style codes.

        Returns
        -------
        (N, 3, H, W) tensor
        """
        raise NotImplementedError

    def encode_style(self, images: Tensor) -> Tensor:
        """Read the style off H&E images.

        Parameters
        ----------
        images : (N, 3, H, W) tensor
            H&E in [-1, 1].

        Returns
        -------
        (N, style_size) tensor
        """
        return images.new_zeros(len(images), 0)

    def draw_noise(self, fields: Tensor, random: torch.Generator | None = None) -> list[Tensor]:
        """Draw the maps of noise that a batch of fields needs."""
        count, _, height, width = fields.shape
        return [
            torch.randn(count, channels, height // stride, width // stride, generator=random).to(fields.device)
            for channels, stride in self.noise
        ]


class NoisyUNet(Synthesizer):
    """A small U-Net with noise at every scale and a style code, made for CPUs.

    It has no layer that looks at a whole tile or at statistics of a batch: the channels of each pixel are
    normalised for themselves (as Karras et al., ICLR 2018, do by their norm), then modulated by the style (Perez et
    al., AAAI 2018). So nothing beyond the halo has an influence, and an empty region looks the same beside few
    nuclei and beside many.
    Doublings are bilinear and followed by a convolution, which leaves no grid (Odena et al., Distill 2016).

    Parameters
    ----------
    widths : sequence of int
        Channels at 1, 1/2, 1/4, ... of the resolution, at least three.
    style_size : int
        Length of the style code, at least 1.
    """

    local = True

    def __init__(self, widths: Sequence[int] = (16, 40, 80, 128, 192), style_size: int = 16) -> None:
        super().__init__()
        depth = len(widths) - 1
        if depth < 2 or style_size < 1:
            raise TypeError(f"there are at least three widths and a style of at least 1, not {widths}, {style_size}")
        self.stride = 2**depth
        # How far the convolutions and resizings reach to either side; a test measures it.
        self.halo = 6 * self.stride
        self.style_size = style_size
        # At the coarsest scale, where fibres, lumens and fat are laid out, there is most to decide.
        self.noise = (*((1, 2**level) for level in range(depth)), (8, 2**depth))
        # The contour channel stays unread: a network that sees it draws it, as a halo round each nucleus.
        # Zeros around the image would tell deep layers how far its border is: crops are nearly all border, large images
        # nearly all interior, and the two would look different. The last layers see a few pixels only, and are costly.
        self.stem = nn.Conv2d(2, widths[0], 3, padding=1, padding_mode="replicate")
        self.down = nn.ModuleList(
            [nn.Conv2d(a, b, 4, stride=2, padding=1, padding_mode="replicate") for a, b in pairwise(widths)]
        )
        self.inner = nn.ModuleList(
            [_Styled(widths[-1] + 8, widths[-1], style_size), _Styled(widths[-1], widths[-1], style_size)]
        )
        self.up = nn.ModuleList()
        self.merge = nn.ModuleList()
        self.refine = nn.ModuleList()
        for outer, before in zip(widths[-2::-1], widths[:0:-1], strict=True):
            self.up.append(nn.Conv2d(before, outer, 1))
            padding: Padding = "replicate" if len(self.up) < depth - 1 else "zeros"
            self.merge.append(_Styled(2 * outer + 1, outer, style_size, padding))
            self.refine.append(_Styled(outer, outer, style_size, padding))
        self.head = nn.Conv2d(widths[0], 3, 3, padding=1)
        self.style = nn.ModuleList(
            [nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise((3, widths[0], widths[1], widths[2]))]
        )
        self.code = nn.Linear(2 * widths[2], style_size)

    def forward(self, fields: Tensor, noise: Sequence[Tensor], style: Tensor) -> Tensor:
        """Paint a batch."""
        # Of the distance only the first quarter is read: it parts nuclei that touch, but the rest would tempt the
        # network to draw rings within them.
        seen = torch.cat([fields[:, :1], (4 * fields[:, 2:3] + 3).clamp(max=1)], dim=1)
        tissue = self._modulations(fields)
        inner = functional.leaky_relu(self.stem(seen), 0.2)
        skips = [inner]
        for down in self.down:
            inner = functional.leaky_relu(_normalise(down(inner)), 0.2)
            skips.append(inner)
        inner = torch.cat([skips.pop(), noise[-1]], dim=1)
        for block in self.inner:
            inner = block(inner, style, next(tissue))
        for up, merge, refine, grain in zip(self.up, self.merge, self.refine, noise[-2::-1], strict=True):
            # The 1x1 convolution first: it commutes with the resizing and is four times cheaper there.
            inner = functional.interpolate(up(inner), scale_factor=2, mode="bilinear", align_corners=False)
            inner = merge(torch.cat([inner, skips.pop(), grain], dim=1), style, next(tissue))
            inner = refine(inner, style)
        return torch.tanh(self.head(inner))

    def _modulations(self, fields: Tensor) -> Iterator[Tensor | None]:
        """Yield, for each block in turn, the scale and the shift that the tissue asks for; None for neither."""
        return repeat(None)

    def encode_style(self, images: Tensor) -> Tensor:
        """Read the style off H&E images: means and deviations of features, as a code of mean 0 and variance 1."""
        features = functional.avg_pool2d(images, 2)
        for layer in self.style:
            features = functional.leaky_relu(layer(features), 0.2)
        features = features.float().flatten(2)
        statistics = torch.cat([features.mean(dim=2), features.std(dim=2)], dim=1)
        return functional.layer_norm(self.code(statistics).float(), (self.style_size,))


class TissueUNet(NoisyUNet):
    """A `NoisyUNet` that knows the tissue around the nuclei.

    The features of all blocks but those of the finest scale are modulated, after they were normalised, by what the
    tissue map says of their place (Park et al., "Semantic Image Synthesis with Spatially-Adaptive Normalization", CVPR
    2019). The map is of 1/16 of the resolution, so that is computed there, and resized to each scale. Where the tissue
    is unknown the network paints what it likes.

    Parameters
    ----------
    classes : int
        Classes of tissue, at least 1.
    widths, style_size
        As for `NoisyUNet`; at most five widths.
    features : int
        Channels that the tissue map is turned into.
    """

    def __init__(
        self,
        classes: int = 6,
        widths: Sequence[int] = (16, 40, 80, 128, 192),
        style_size: int = 16,
        features: int = 48,
    ) -> None:
        super().__init__(widths, style_size)
        if classes < 1 or self.stride > CELL:
            raise TypeError(f"there are at least one class of tissue and at most five widths, not {classes}, {widths}")
        self.tissue_classes = classes
        # A cell at whichever scale: tiles begin at the corners of cells, and see a cell and a half beyond the others.
        self.halo = self.halo if self.stride == CELL else -(-(self.halo + 3 * CELL) // CELL) * CELL
        self.stride = CELL
        self.read = nn.Conv2d(classes, features, 3, padding=1, padding_mode="replicate")
        channels = [widths[-1], widths[-1], *widths[-2:0:-1]]
        self.modulate = nn.ModuleList([nn.Conv2d(features, 2 * each, 1) for each in channels])

    def _modulations(self, fields: Tensor) -> Iterator[Tensor | None]:
        cells = fields[:, 3:, ::CELL, ::CELL].round()
        numbers = torch.arange(1, self.tissue_classes + 1, device=fields.device)[:, None, None]
        # Unknown is no class at all.
        tissue = functional.leaky_relu(self.read((cells == numbers).to(fields.dtype)), 0.2)
        for layer in self.modulate:
            yield layer(tissue)
        yield None


class NoisyResNet(Synthesizer):
    """The residual generator of cycleGAN with a channel of noise beside the mask.

    Parameters
    ----------
    width : int
        Channels of the first level (``ngf``).
    blocks : int
        Residual blocks.
    upsampling : {"resize", "transposed"}
        As in `napari_nucleigan.networks.generators.ResNet`.
    """

    stride = ResNet.stride
    halo = ResNet.halo
    noise = ((1, 1),)

    def __init__(self, width: int = 64, blocks: int = 9, upsampling: str = "resize") -> None:
        super().__init__()
        self.network = ResNet(4, 3, width, blocks, upsampling)

    def forward(self, fields: Tensor, noise: Sequence[Tensor], style: Tensor) -> Tensor:
        """Paint a batch; there is no style."""
        image: Tensor = self.network(torch.cat([fields, noise[0]], dim=1))
        return image


class _Styled(nn.Module):
    """Convolution, normalisation at each pixel, modulation by the style, leaky ReLU."""

    def __init__(self, before: int, channels: int, style_size: int, padding: Padding = "replicate") -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, channels, 3, padding=1, padding_mode=padding)
        self.modulation = nn.Linear(style_size, 2 * channels)

    def forward(self, features: Tensor, style: Tensor, tissue: Tensor | None = None) -> Tensor:
        modulation = self.modulation(style)[:, :, None, None]
        features = _normalise(self.convolution(features))
        if tissue is not None:
            if tissue.shape[2:] != features.shape[2:]:
                size = features.shape[2:]
                tissue = functional.interpolate(tissue, size=size, mode="bilinear", align_corners=False)
            modulation = modulation + tissue
        scale, shift = modulation.chunk(2, dim=1)
        return functional.leaky_relu(features * (1 + scale) + shift, 0.2)


def _normalise(features: Tensor) -> Tensor:
    """Bring the channels of each pixel to mean 0 and variance 1."""
    last = features.permute(0, 2, 3, 1)
    return functional.layer_norm(last, last.shape[-1:]).permute(0, 3, 1, 2)
