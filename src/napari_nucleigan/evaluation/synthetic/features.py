"""Features of pictures, from the encoder of a segmenter and from one that has learnt from photographs.

Why not the Inception network of the published KID: its weights come as a program or as a pickle of one, neither of
which is ever loaded here, and other ports of it give values that do not compare with published ones. The encoder of
the extra ``pretrained`` stands for it: tensors alone, which have learnt from the same photographs and nothing of our
segmenters. A segmenter's own encoder is one file without code, and knows what matters in H&E.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_nucleigan.base.devices import choose_device
from napari_nucleigan.base.errors import DeviceError, ImageError, ModelError
from napari_nucleigan.models import Model, load_model
from napari_nucleigan.networks.encoders import ENCODERS, IMAGENET, pretrained_encoder
from napari_nucleigan.networks.generators import CompactUNet, UNet256

Depth = Literal["deep", "fine", "pretrained"]
DEPTHS: tuple[Depth, ...] = ("deep", "fine")
"""What a segmenter's encoder gives."""

PRETRAINED: Depth = "pretrained"
"""What the encoder that has learnt from photographs gives."""

_BATCH = 16
_MULTIPLE = 32  # of the sides of what is encoded
_DEEP = (3, 4)  # of the halvings: at 1/16 and 1/32
_FINE = (0, 1)  # at 1/2 and 1/4
_LARGER = 4.0  # levels of the pretrained encoder, which come out of linear layers, are than those of a segmenter


class _Features:
    """Mean and standard deviation of each channel of some levels of a network, batch by batch.

    Attributes
    ----------
    device : str
        Where it computes.
    """

    def __init__(self, network: nn.Module, device: str, levels: Mapping[Depth, Sequence[int]]) -> None:
        self.device = choose_device(device)
        # Another device gets a copy: the network itself stays on the CPU for whoever shares it.
        self._network: Any = network if self.device == "cpu" else copy.deepcopy(network).to(self.device)
        self._chosen = levels

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> dict[Depth, NDArray[np.float32]]:
        """Compute the features.

        Parameters
        ----------
        images : sequence of ndarray of uint8, shape (H, W, 3)
            RGB, one or more, all of one size, at the model's microns per pixel. Sides that are no multiple of 32
            are padded by reflection.

        Returns
        -------
        dict of str to ndarray of float32, shape (n, d)
            By the name of their group.

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
        return {depth: np.concatenate([part[depth] for part in parts]) for depth in self._chosen}

    def _encode(self, images: Sequence[NDArray[np.uint8]]) -> dict[Depth, NDArray[np.float32]]:
        spare = [(0, -length % _MULTIPLE) for length in images[0].shape[:2]]
        stack = np.stack([np.pad(image, (*spare, (0, 0)), mode="symmetric") for image in images])
        with torch.inference_mode():
            inner = torch.from_numpy(stack).to(self.device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
            outputs = self._levels(inner)
            return {
                depth: torch.cat([_moments(outputs[level]) for level in levels], 1).cpu().numpy()
                for depth, levels in self._chosen.items()
            }

    def _levels(self, images: Tensor) -> list[Tensor]:
        """Return what the network makes of images in [-1, 1], at 1/2, 1/4, ... of the resolution."""
        raise NotImplementedError


class Encoder(_Features):
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
        super().__init__(network, device, {"deep": _DEEP, "fine": _FINE})

    def _levels(self, images: Tensor) -> list[Tensor]:
        found = []
        # Both networks keep their halvings in `down`; the compact one makes the first in a stem of its own.
        if isinstance(self._network, CompactUNet):
            images = self._network.stem(images)
        for block in self._network.down[: max(_DEEP) + 1]:
            images = block(images)
            found.append(images)
        return found


class PretrainedEncoder(_Features):
    """An encoder that has learnt from photographs, ready on a device: another eye than that of a segmenter of ours.

    The features of a picture are those of one group, ``pretrained``: mean and standard deviation of each channel at
    1/16 and 1/32 of the resolution (864 numbers), divided by 4, which brings them to the size of a segmenter's.

    Parameters
    ----------
    device : str
        As `napari_nucleigan.base.devices.choose_device` takes it.

    Attributes
    ----------
    name : str
        What it is, and what it has learnt from.
    device : str
        Where it computes.

    Raises
    ------
    ExtraError
        If its weights are not there: the extra ``pretrained`` brings them.
    ModelError, DeviceError
        If it cannot be used.
    """

    def __init__(self, device: str = "auto") -> None:
        kind = next(iter(ENCODERS))
        self.name = f"{kind}, {IMAGENET}"
        super().__init__(pretrained_encoder(IMAGENET, kind), device, {PRETRAINED: _DEEP})

    def _levels(self, images: Tensor) -> list[Tensor]:
        return [level / _LARGER for level in self._network(images)]


def _moments(level: Tensor) -> Tensor:
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
