"""Segmenter: a model made ready to find nuclei, in images, in patches and in the tiles of slides."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.base.events import Note
from napari_nucleigan.base.version import __version__
from napari_nucleigan.masks.splitting import GRID
from napari_nucleigan.networks.network_runner import NetworkRunner, network_errors
from napari_nucleigan.segmentation.decoding import Decoding
from napari_nucleigan.segmentation.settings import SegmentSettings
from napari_nucleigan.tiling import Scale, plan_tiles, resize_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from napari_nucleigan.models import Model
    from napari_nucleigan.networks.generators import Generator
    from napari_nucleigan.networks.network_runner import Precision
    from napari_nucleigan.stains import StainFit
    from napari_nucleigan.tiling import Tile

BLANK = 235
"""A window whose darkest value is at least this is empty glass: nothing there absorbs light."""

BATCH = {"cpu": 8, "cuda": 32}
"""Patches at once, by the kind of device."""


class Segmenter:
    """A model and settings: the network on its device, and all that is done before and after it.

    Parameters
    ----------
    model : Model
        A segmenter.
    settings : SegmentSettings, optional
        How to segment.

    Attributes
    ----------
    card : ModelCard
        Card of the model.
    decoding : Decoding
        How fields are cut into nuclei.
    predictor : Predictor
        The network.

    Raises
    ------
    DeviceError
        If the device is not to be had.
    """

    def __init__(self, model: Model, settings: SegmentSettings | None = None) -> None:
        self.model, self.card = model, model.card
        self.settings = settings or SegmentSettings(model=model.card.name)
        self.decoding = Decoding.of(self.settings, self.card)
        how = self.settings
        self.predictor = Predictor(model.network, how.device, how.precision, how.batch, self.decoding.tta)

    @classmethod
    def of_patches(cls, model: Model, settings: SegmentSettings | None = None) -> Segmenter:
        """Make one for `patches`, which takes more of them at once than an image has tiles."""
        made = cls(model, settings)
        if made.settings.batch is None:
            made.predictor.batch = BATCH.get(made.predictor.device.split(":")[0], 8)
        return made

    def mpp(self, name: str, mpp: float | None) -> tuple[float, list[Note]]:
        """Settle the microns per pixel of an image or slide that says `mpp` of itself; a note where nobody knows."""
        if found := self.settings.mpp or mpp:
            return found, []
        text = (
            f"{name} does not say its microns per pixel; {self.card.mpp:g} was taken, as the model was trained at. "
            "Give the right value if nuclei look cut up or merged."
        )
        return self.card.mpp, [Note(text, "warning")]

    def tiles(self, shape: tuple[int, int], core: int) -> list[Tile]:
        """Divide an image of some shape at the model's scale into tiles that are as good as the whole."""
        return plan_tiles(shape, core, int(self.model.network.halo), math.lcm(self.predictor.stride, GRID))

    def stain_target(self) -> StainFit | None:
        """Return the stains that an image is brought to, or None where it is left as it is.

        Raises
        ------
        ModelError
            If the model's card holds something else.
        """
        wanted, card = self.settings.normalize, self.card
        if wanted == "none" or (wanted == "model" and card.stain is None):
            return None
        from napari_nucleigan import stains

        if card.stain is None:
            return replace(stains.REFERENCE, method=wanted)
        try:
            target = stains.StainFit.from_json(card.stain)
        except (ValueError, TypeError) as error:
            raise ModelError(
                f"The stain reference of the model {card.name!r} is not valid; segment without normalisation."
            ) from error
        return target if wanted == "model" else replace(target, method=wanted)

    def fit_stains(self, pixels: NDArray[np.uint8]) -> tuple[StainFit, StainFit] | None:
        """Fit the stains of a whole image; return them and those that it is brought to, or None."""
        target = self.stain_target()
        if target is None:
            return None
        from napari_nucleigan import stains

        return stains.fit(pixels, target.method), target

    def patches(self, patches: Sequence[NDArray[np.uint8]], mpp: float | None = None) -> list[NDArray[np.int32]]:
        """Find the nuclei of patches that the network can see whole, several at once and without measuring them.

        Gives the labels that `napari_nucleigan.segmentation.segment` gives for each patch by itself.

        Parameters
        ----------
        patches : sequence of ndarray of uint8, shape (H, W, 3)
            RGB, each of its own size.
        mpp : float, optional
            Their microns per pixel; by default that of the settings, else that of the model.

        Returns
        -------
        list of ndarray of int32, shape (H, W)
            Labels, numbered 1, 2, ... without gaps.

        Raises
        ------
        ImageError
            If no nuclei can be seen at this scale.
        DeviceError
            If the network fails, or the memory runs out.
        """
        mpp = mpp or self.settings.mpp or self.card.mpp
        scales = [Scale.of((patch.shape[0], patch.shape[1]), mpp, self.card.mpp) for patch in patches]
        windows = [resize_image(patch, scale.model_shape) for patch, scale in zip(patches, scales, strict=True)]
        seen = [
            window if is_blank(window) else normalized(window, self.fit_stains(patch))
            for patch, window in zip(patches, windows, strict=True)
        ]
        with network_errors():
            fields = self.predictor(seen)
        return [
            self.decoding.nuclei(field, scale.shape, scale.mpp) for field, scale in zip(fields, scales, strict=True)
        ]

    def provenance(self, mpp: float, seconds: float) -> dict[str, Any]:
        """Say what an image of some microns per pixel was segmented with, ready for JSON."""
        return {
            "model": self.card.name,
            "sha256": self.card.sha256,
            "version": __version__,
            "settings": self.decoding.used(self.settings),
            "mpp": mpp,
            "device": self.predictor.device,
            "precision": self.predictor.precision,
            "seconds": round(seconds, 3),
        }


def normalized(window: NDArray[np.uint8], fits: tuple[StainFit, StainFit] | None) -> NDArray[np.uint8]:
    """Bring a window from stains to others, as `Segmenter.fit_stains` gives them; empty glass is left as it is."""
    if fits is None or is_blank(window):
        return window
    from napari_nucleigan import stains

    source, target = fits
    return stains.normalize(window, target, source)


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
        blank = [is_blank(window) for window in windows]
        seen = [window for window, empty in zip(windows, blank, strict=True) if not empty]
        fields = iter(self.in_batches(seen, [window.shape for window in seen], self._predict))
        return [
            np.full((3, *window.shape[:2]), -1, dtype=np.float16) if empty else next(fields)
            for window, empty in zip(windows, blank, strict=True)
        ]

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
            for turns, mirrored in _TTA[: self.tta]:
                field += _seen(self._forward(_view(images, turns, mirrored)).float(), turns, mirrored)
            field /= self.tta
            if not bool(field.sum().isfinite()):  # its values lie in [-1, 1]
                raise ModelError(
                    "The network of this model gives values that are no numbers; choose another model, or the "
                    "precision 'float32'."
                )
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
