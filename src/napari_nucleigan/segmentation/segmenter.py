"""Segmenter: a model made ready to find nuclei, in images, in patches and in the tiles of slides."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.base.events import Note, run
from napari_nucleigan.base.version import __version__
from napari_nucleigan.masks.splitting import GRID
from napari_nucleigan.networks.network_runner import NetworkRunner, network_errors
from napari_nucleigan.segmentation.decoding import Decoding
from napari_nucleigan.segmentation.settings import AUTO, SegmentSettings
from napari_nucleigan.tiling import Scale, plan_tiles, resize_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from numpy.typing import NDArray

    from napari_nucleigan.classification import Classifier
    from napari_nucleigan.data.images.files import HEImage
    from napari_nucleigan.data.slides import Slide
    from napari_nucleigan.labels.features import Measurements
    from napari_nucleigan.models import Model
    from napari_nucleigan.networks.generators import Generator
    from napari_nucleigan.networks.network_runner import Precision
    from napari_nucleigan.stains import StainFit
    from napari_nucleigan.tiling import Tile

BLANK = 235
"""A window whose darkest value is at least this is empty glass: nothing there absorbs light."""

BATCH = {"cpu": 8, "cuda": 32}
"""Patches at once, by the kind of device."""


class PixelSize(NamedTuple):
    """Microns per pixel of an image, and who says so: the user, the image, an estimate, or the model as nobody does."""

    mpp: float
    source: Literal["given", "image", "estimated", "model"]


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
    classifier : Classifier or None
        What gives nuclei their classes, if the settings name one.

    Raises
    ------
    DeviceError
        If the device is not to be had.
    ModelError
        If the classifier cannot be used, or belongs to another model.
    """

    def __init__(self, model: Model, settings: SegmentSettings | None = None) -> None:
        self.model, self.card = model, model.card
        self.settings = settings or SegmentSettings(model=model.card.name)
        self.decoding = Decoding.of(self.settings, self.card)
        how = self.settings
        self.predictor = Predictor(model.network, how.device, how.precision, how.batch, self.decoding.tta)
        self.classifier: Classifier | None = None
        if how.classifier:
            from napari_nucleigan.classification import load_classifier

            self.classifier = load_classifier(how.classifier)
            self.classifier.check_segmenter(self.card.name, self.card.sha256)

    @property
    def measurements(self) -> Measurements:
        """Which measurements nuclei get: all where there is a classifier, else what the settings say."""
        return "full" if self.classifier is not None else self.settings.measurements

    @property
    def embeds(self) -> bool:
        """Whether nuclei get an embedding: where all is measured, and the network has one."""
        return self.measurements == "full" and self.predictor.embedding > 0

    @classmethod
    def of_patches(cls, model: Model, settings: SegmentSettings | None = None) -> Segmenter:
        """Make one for `patches`, which takes more of them at once than an image has tiles."""
        made = cls(model, settings)
        if made.settings.batch is None:
            made.predictor.batch = BATCH.get(made.predictor.device.split(":")[0], 8)
        return made

    def pixel_size(self, image: HEImage | Slide) -> tuple[PixelSize, list[Note]]:
        """Settle the microns per pixel of an image or slide; a note where neither it nor the settings say them.

        Raises
        ------
        ModelError, ImageError
            If the scale is to be estimated, and cannot be.
        """
        asked = self.settings.mpp
        if isinstance(asked, float):
            return PixelSize(asked, "given"), []
        if image.mpp:
            return PixelSize(image.mpp, "image"), []
        begin = f"{image.name} does not say its microns per pixel; "
        if asked == AUTO:
            from napari_nucleigan.segmentation.scale import darkest_parts, estimating

            found = run(estimating(darkest_parts(image), self))
            text = f"{begin}{found} was estimated from its nuclei and taken. Give the right value where you know it."
            return PixelSize(found.mpp, "estimated"), [Note(text, "warning")]
        text = (
            f"{begin}{self.card.mpp:g} was taken, as the model was trained at. "
            f"Give the right value if nuclei look cut up or merged, or {AUTO!r} for an estimate."
        )
        return PixelSize(self.card.mpp, "model"), [Note(text, "warning")]

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
            Their microns per pixel; by default those of the settings, where these give any, else those of the model.

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
        given = self.settings.mpp
        mpp = mpp or (given if isinstance(given, float) else self.card.mpp)
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

    def provenance(self, size: PixelSize, seconds: float) -> dict[str, Any]:
        """Say what an image of some microns per pixel was segmented with, ready for JSON."""
        return {
            "model": self.card.name,
            "sha256": self.card.sha256,
            "version": __version__,
            "settings": self.decoding.used(self.settings),
            "mpp": size.mpp,
            "mpp_source": size.source,
            "device": self.predictor.device,
            "precision": self.predictor.precision,
            "seconds": round(seconds, 3),
            **self._classes(),
        }

    def _classes(self) -> dict[str, Any]:
        """Say which classes nuclei get, in which colours; nothing where they get none."""
        if self.classifier is None:
            return {}
        return {"classes": self.classifier.colours, "classifier_sha256": self.classifier.card.sha256}


def normalized(window: NDArray[np.uint8], fits: tuple[StainFit, StainFit] | None) -> NDArray[np.uint8]:
    """Bring a window from stains to others, as `Segmenter.fit_stains` gives them; empty glass is left as it is."""
    if fits is None or is_blank(window):
        return window
    from napari_nucleigan import stains

    source, target = fits
    return stains.normalize(window, target, source)


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
        images = torch.from_numpy(padded).to(self.device).permute(0, 3, 1, 2)
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
