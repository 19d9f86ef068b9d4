"""Pictures as vectors: what the encoder of a segmenter makes of them.

Why not the Inception network of the published KID: its weights come as a pickle or as a program, neither of
which is ever loaded here; other ports of it give values that do not compare with published ones; and it was
trained on cats and cars. A segmenter of ours is one file without code, and knows what matters in H&E.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from napari_nucleigan.base.devices import choose_device
from napari_nucleigan.base.errors import DeviceError, ImageError, ModelError
from napari_nucleigan.models import Model, load_model
from napari_nucleigan.networks.generators import CompactUNet, UNet256

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Depth = Literal["deep", "fine"]
DEPTHS: tuple[Depth, ...] = ("deep", "fine")

_BATCH = 16
_MULTIPLE = 32  # of the sides of what is encoded
_LEVELS: dict[Depth, tuple[int, ...]] = {
    "deep": (3, 4),
    "fine": (0, 1),
}  # of the halvings: at 1/2 and 1/4, at 1/16 and 1/32


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
                "features to compare pictures by; choose a compact-unet or unet-256, such as the bundled model."
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
