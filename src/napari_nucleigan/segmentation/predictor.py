"""The segmenter at work: batches, views, and windows that need no network."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.networks.network_runner import NetworkRunner

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from napari_nucleigan.networks.generators import Generator
    from napari_nucleigan.networks.network_runner import Precision

BLANK = 235
"""A window whose darkest value is at least this is empty glass: nothing there absorbs light."""

# Quarter turns and whether mirrored; the first 1, 2, 4 and 8 of them are groups.
_VIEWS = [(turns, mirrored) for odd in (0, 1) for mirrored in (False, True) for turns in (odd, odd + 2)]


class Predictor(NetworkRunner["Generator"]):
    """Predict fields with a network on a device; see `NetworkRunner` for what happens when memory runs out.

    Parameters
    ----------
    network : Generator
        Maps (N, 3, H, W) in [-1, 1] to (N, 3, H, W) in [-1, 1].
    device : str
        As `napari_nucleigan.base.devices.choose_device` takes it.
    precision : {"auto", "float32", "bfloat16"}
        Arithmetic.
    batch : int, optional
        Windows at once; by default 4 on a GPU, 1 on a CPU.
    views : {1, 2, 4, 8}
        Views of each window to average over: itself, turned upside down, both mirrored, all turned by
        a quarter.

    Raises
    ------
    DeviceError
        If the device is not to be had.
    """

    def __init__(
        self,
        network: Generator,
        device: str = "auto",
        precision: Precision = "auto",
        batch: int | None = None,
        views: int = 1,
    ) -> None:
        super().__init__(_fused(network), device, precision, batch)
        self.stride = int(network.stride)
        self.views = views

    def __call__(self, windows: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float16]]:
        """Predict the fields of some windows.

        Windows are padded by reflection, at their lower and right ends, to multiples of the
        network's stride. Blank ones (empty glass) never reach the network.

        Parameters
        ----------
        windows : sequence of ndarray of uint8, shape (H, W, 3)
            RGB, each of its own size.

        Returns
        -------
        list of ndarray of float16, shape (3, H, W)
            Fields in [-1, 1].

        Raises
        ------
        DeviceError
            If not even the CPU has the memory for a single window.
        """
        fields: list[NDArray[np.float16]] = [
            np.full((3, *window.shape[:2]), -1, dtype=np.float16) for window in windows
        ]
        waiting = [index for index, window in enumerate(windows) if not is_blank(window)]
        while waiting:
            shape = windows[waiting[0]].shape
            same = [index for index in waiting if windows[index].shape == shape][: self.batch]
            try:
                found = self._predict([windows[index] for index in same])
            except (RuntimeError, MemoryError) as error:
                self.relieve(error)
                continue
            for index, field in zip(same, found, strict=True):
                fields[index] = field
            waiting = [index for index in waiting if index not in same]
        return fields

    def _predict(self, windows: list[NDArray[np.uint8]]) -> NDArray[np.float16]:
        import torch

        height, width = windows[0].shape[:2]
        spare = [(0, -length % self.stride) for length in (height, width)]
        padded = np.stack([np.pad(window, (*spare, (0, 0)), mode="symmetric") for window in windows])
        with torch.inference_mode():
            # (N, H, W, 3) seen as (N, 3, H, W) is channels_last already.
            images = torch.from_numpy(padded).to(self.device).permute(0, 3, 1, 2)
            images = images.float().div_(127.5).sub_(1.0)
            field = torch.zeros_like(images)
            for turns, mirrored in _VIEWS[: self.views]:
                field += _seen(self._forward(_view(images, turns, mirrored)).float(), turns, mirrored)
            field /= self.views
            field = field[..., :height, :width].to(torch.float16)
            result: NDArray[np.float16] = field.contiguous().cpu().numpy()
        return result

    def _forward(self, images: torch.Tensor) -> torch.Tensor:
        with self.autocast():
            field: torch.Tensor = self.network(images)
        return field


def _view(images: torch.Tensor, turns: int, mirrored: bool) -> torch.Tensor:
    turned = images.rot90(turns, (2, 3))
    return turned.flip(3) if mirrored else turned


def _seen(field: torch.Tensor, turns: int, mirrored: bool) -> torch.Tensor:
    return (field.flip(3) if mirrored else field).rot90(-turns, (2, 3))


def _fused(network: Generator) -> Generator:
    """Work batch normalisation into the convolutions before it: the same function, a third faster."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    if not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
        return network
    network = copy.deepcopy(network)
    for block in network.modules():
        if isinstance(block, nn.Sequential):
            for index, (layer, following) in enumerate(itertools.pairwise(block)):
                if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                    block[index] = fuse_conv_bn_eval(layer, following)
                    block[index + 1] = nn.Identity()
    return network


def is_blank(window: NDArray[np.uint8]) -> bool:
    """Tell whether a window shows empty glass only."""
    return bool(window.min(initial=255) >= BLANK)
