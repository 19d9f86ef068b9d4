"""Predictor: a segmenter's network on a device, from windows of an image to fields and what it saw."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.networks.network_runner import NetworkRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from numpy.typing import NDArray

    from napari_nucleigan.networks.generators import Generator
    from napari_nucleigan.networks.network_runner import Precision

BLANK = 235
"""A window whose darkest value is at least this is empty glass: nothing there absorbs light."""

Described = tuple["NDArray[np.float16]", "NDArray[np.float16]"]
"""The field of a window, and what the network's decoder saw."""

EMBEDDED = 4
"""Pixels at the model's scale that a pixel of the decoder's features is long."""

_NO_FEATURES = np.zeros((0, 0, 0), dtype=np.float16)

# Quarter turns and whether mirrored; the first 1, 2, 4 and 8 of them are groups.
_TTA = [(turns, mirrored) for odd in (0, 1) for mirrored in (False, True) for turns in (odd, odd + 2)]


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
    tta : {1, 2, 4, 8}
        Test-time augmentation: views of each window to average over: itself, turned upside down, both mirrored, all
        turned by a quarter.

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
        tta: int = 1,
    ) -> None:
        super().__init__(_fused(network), device, precision, batch)
        self.stride = int(network.stride)
        self.embedding = int(network.embedding)
        self.tta = tta

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
        return [field for field, _ in self._each(windows, self._fields)]

    def described(self, windows: Sequence[NDArray[np.uint8]]) -> list[Described]:
        """Predict the fields of some windows and, in the same pass, what the network's decoder saw.

        Parameters
        ----------
        windows : sequence of ndarray of uint8, shape (H, W, 3)
            As for a call.

        Returns
        -------
        list of (ndarray of float16, shape (3, H, W), ndarray of float16, shape (D, ceil(H / 4), ceil(W / 4)))
            Fields as of a call, and features; D is `embedding`. Features of blank windows are 0.

        Raises
        ------
        DeviceError
            As a call.
        """
        return self._each(windows, self._described)

    def _each(
        self, windows: Sequence[NDArray[np.uint8]], work: Callable[[list[NDArray[np.uint8]]], list[Described]]
    ) -> list[Described]:
        blank = [is_blank(window) for window in windows]
        seen = [window for window, empty in zip(windows, blank, strict=True) if not empty]
        found = iter(self.in_batches(seen, [window.shape for window in seen], work))
        return [
            _nothing(window.shape, self.embedding) if empty else next(found)
            for window, empty in zip(windows, blank, strict=True)
        ]

    def inside(self, windows: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Tell what the network sees inside of nuclei, in a single view of each window.

        Parameters
        ----------
        windows : sequence of ndarray of uint8, shape (H, W, 3)
            RGB, each of its own size.

        Returns
        -------
        ndarray of float32, shape (n, 1 + d)
            Means over each window: of the interior, in [0, 1], and of each channel of each level, weighted by it.

        Raises
        ------
        ModelError
            If the network has no levels.
        DeviceError
            If not even the CPU has the memory for a single window.
        """
        return np.stack(self.in_batches(windows, [window.shape for window in windows], self._inside))

    def _inside(self, windows: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        import torch

        from napari_nucleigan.networks.generators import DecodingUNet

        network = self.network
        if not isinstance(network, DecodingUNet):
            raise ModelError("The network of this model has no levels that could be looked at; choose a bundled model.")
        with torch.inference_mode():
            with self.autocast():
                field, levels = network.levelled(self._images(windows))
            interior = (field[:, :1].float() + 1) / 2
            means = [interior.mean((2, 3))]
            for level in levels:
                weights = torch.nn.functional.adaptive_avg_pool2d(interior, (level.shape[2], level.shape[3]))
                means.append((level.float() * weights).mean((2, 3)))
            result: NDArray[np.float32] = torch.cat(means, 1).cpu().numpy()
        return result

    def _images(self, windows: list[NDArray[np.uint8]]) -> torch.Tensor:
        import torch

        height, width = windows[0].shape[:2]
        spare = [(0, -length % self.stride) for length in (height, width)]
        padded = np.stack([np.pad(window, (*spare, (0, 0)), mode="symmetric") for window in windows])
        # (N, H, W, 3) seen as (N, 3, H, W) is channels_last already.
        images = torch.from_numpy(padded)
        if pinned := torch.device(self.device).type == "cuda":
            images = images.pin_memory()  # from there the card fetches it without the driver's own buffer
        images = images.to(self.device, non_blocking=pinned).permute(0, 3, 1, 2)
        return images.float().div_(127.5).sub_(1.0)

    def _fields(self, windows: list[NDArray[np.uint8]]) -> list[Described]:
        (field,) = self._predict(windows, lambda images: (self.network(images),))
        return [(one, _NO_FEATURES) for one in field]

    def _described(self, windows: list[NDArray[np.uint8]]) -> list[Described]:
        fields, features = self._predict(windows, self.network.described)
        return list(zip(fields, features, strict=True))

    def _predict(
        self, windows: list[NDArray[np.uint8]], network: Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
    ) -> list[NDArray[np.float16]]:
        import torch

        height, width = windows[0].shape[:2]
        with torch.inference_mode():
            images = self._images(windows)
            totals: list[torch.Tensor] = []
            for turns, mirrored in _TTA[: self.tta]:
                with self.autocast():
                    outputs = network(_view(images, turns, mirrored))
                views = [_seen(output.float(), turns, mirrored) for output in outputs]
                totals = [total.add_(view) for total, view in zip(totals, views, strict=True)] if totals else views
            results = []
            for total in totals:
                mean = total / self.tta
                if not bool(mean.sum().isfinite()):  # the values of a field lie in [-1, 1]
                    raise ModelError(
                        "The network of this model gives values that are no numbers; choose another model, or the "
                        "precision 'float32'."
                    )
                factor = images.shape[-1] // mean.shape[-1]
                mean = mean[..., : -(-height // factor), : -(-width // factor)].to(torch.float16)
                results.append(mean.contiguous().cpu().numpy())
        return results


def _nothing(shape: tuple[int, ...], embedding: int) -> Described:
    height, width = shape[:2]
    return (
        np.full((3, height, width), -1, dtype=np.float16),
        np.zeros((embedding, -(-height // EMBEDDED), -(-width // EMBEDDED)), dtype=np.float16),
    )


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
        if isinstance(block, nn.ReLU | nn.ReLU6):
            block.inplace = True
        if isinstance(block, nn.Sequential):
            for index, (layer, following) in enumerate(itertools.pairwise(block)):
                if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                    block[index] = fuse_conv_bn_eval(layer, following)
                    block[index + 1] = nn.Identity()
    return network


def is_blank(window: NDArray[np.uint8]) -> bool:
    """Tell whether a window shows empty glass only."""
    return bool(window.min(initial=255) >= BLANK)
