"""Segmenting many small images with one network that is made ready once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nucleigan.base.errors import DeviceError
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.segmentation.image import Decoding, filter_areas, stain_filter
from napari_nucleigan.segmentation.predictor import Predictor, is_blank
from napari_nucleigan.segmentation.settings import SegmentSettings
from napari_nucleigan.tiling.scale import Scale
from napari_nucleigan.tiling.tiles import Box, Mosaic, Tile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_nucleigan.models import Model

BATCH = {"cpu": 8, "cuda": 32}
"""Patches at once, by the kind of device."""


class PatchSegmenter:
    """Segment patches that a network can see whole, several at once and without measuring them.

    Gives the labels that `napari_nucleigan.segmentation.segment` gives for each patch by itself.

    Parameters
    ----------
    model : Model
        A segmenter.
    settings : SegmentSettings, optional
        How to segment; `tile` does not matter.

    Raises
    ------
    DeviceError
        If the device is not to be had.
    """

    def __init__(self, model: Model, settings: SegmentSettings | None = None) -> None:
        self.model = model
        self.settings = settings or SegmentSettings(model=model.card.name)
        self._cutting = Decoding.of(self.settings, model.card)
        views = self.settings.views or int(model.card.decode.get("views", 1))
        self.predictor = Predictor(model.network, self.settings.device, self.settings.precision, None, views)
        self.predictor.batch = self.settings.batch or BATCH.get(self.predictor.device.split(":")[0], 8)

    def __call__(self, patches: Sequence[NDArray[np.uint8]], mpp: float | None = None) -> list[NDArray[np.int32]]:
        """Find the nuclei of some patches.

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
        card = self.model.card
        mpp = mpp or self.settings.mpp or card.mpp
        scales = [Scale.of((patch.shape[0], patch.shape[1]), mpp, card.mpp) for patch in patches]
        windows = [self._window(patch, scale) for patch, scale in zip(patches, scales, strict=True)]
        try:
            fields = self.predictor(windows)
        except RuntimeError as error:  # torch's own; napari would swallow it
            raise DeviceError(f"The network failed: {error}; try the device 'cpu'.") from error
        found = []
        for field, scale in zip(fields, scales, strict=True):
            whole = Box(0, scale.model_shape[0], 0, scale.model_shape[1])
            mosaic = Mosaic(scale.model_shape)
            mosaic.add(self._cutting.cut(field, Tile(whole, whole)))
            found.append(filter_areas(scale.labels_back(mosaic.labels), self._cutting, scale))
        return found

    def _window(self, patch: NDArray[np.uint8], scale: Scale) -> NDArray[np.uint8]:
        window = scale.to_model(patch)
        if is_blank(window):
            return window
        paint = stain_filter(HEImage(patch), self.settings, self.model.card, [])
        return paint(window) if paint else window
