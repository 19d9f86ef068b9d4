"""Segmenter: a model made ready to find nuclei, in images, in patches and in the tiles of slides."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.base.version import __version__
from napari_nucleigan.masks.splitting import GRID
from napari_nucleigan.models import DEFAULT_SEGMENTER, load_model
from napari_nucleigan.networks.network_runner import network_errors
from napari_nucleigan.segmentation.decoding import Decoding
from napari_nucleigan.segmentation.predictor import Predictor, is_blank
from napari_nucleigan.segmentation.settings import SegmentSettings
from napari_nucleigan.tiling import Scale, plan_tiles, resize_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_nucleigan.classification import Classifier
    from napari_nucleigan.labels.measurements import Measurements
    from napari_nucleigan.models import Model
    from napari_nucleigan.stains import StainFit
    from napari_nucleigan.tiling import Tile

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

    @cached_property
    def scale_estimator(self) -> Segmenter:
        """What estimates the scale of images: itself, or where its card does not say how, one of the default model."""
        if self.card.scale is not None or self.card.name == DEFAULT_SEGMENTER:
            return self
        how = SegmentSettings(device=self.settings.device, precision=self.settings.precision)
        return Segmenter(load_model(how.model, "segmenter"), how)

    @classmethod
    def of_patches(cls, model: Model, settings: SegmentSettings | None = None) -> Segmenter:
        """Make one for `patches`, which takes more of them at once than an image has tiles."""
        made = cls(model, settings)
        if made.settings.batch is None:
            made.predictor.batch = BATCH.get(made.predictor.device.split(":")[0], 8)
        return made

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
