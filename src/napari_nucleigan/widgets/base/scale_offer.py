"""Scale offers: the microns per pixel that the nuclei of an image speak for, where the image itself is silent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.data.slides import Slide, is_slide, open_slide
from napari_nucleigan.widgets.base.fields import NO_MARGINS, column, push_button, set_text, small_label
from napari_nucleigan.widgets.base.image_sources import Region, Source
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import LARGE, image_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from napari.layers import Image

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.data.images.files import HEImage
    from napari_nucleigan.segmentation import ScaleEstimate

    Read = Callable[[], HEImage | Slide]

_PART = 4096  # side of what is read of a large image that is no pyramid of bytes
_ESTIMATE = "Estimate it"


class ScaleOffer(QWidget):
    """Estimates the microns per pixel of an image when asked to, and offers what came out; it takes nothing by itself.

    Attributes
    ----------
    runner : Runner
        Of the estimate; the dock that shows the offer cancels it when it ends.
    """

    taken = Signal(float)
    """The user takes these microns per pixel."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: tuple[Hashable, ...] = ()
        self._read: Sequence[Read] = ()
        self._model = self._device = ""
        self._found: ScaleEstimate | None = None
        self.runner = Runner(self, apart=True)
        self.remark = small_label()
        self.button = push_button(
            _ESTIMATE,
            "Estimate the microns per pixel from the sizes and looks of the nuclei, with the chosen model. Nothing is "
            "taken before you say so.",
        )
        column(self.remark, self.button, inside=self, margins=NO_MARGINS, stretch=False)
        self.button.clicked.connect(self.go)
        self.runner.finished.connect(self._show)
        self.runner.failed.connect(self._fail)
        self.runner.stopped.connect(self._rest)
        self.hide()

    def look(self, key: Hashable, read: Sequence[Read], model: str, device: str) -> None:
        """Offer to estimate the scale of other images; what was found or is being looked for of others is dropped.

        Parameters
        ----------
        key : hashable
            What tells these images from others.
        read : sequence of callable
            Return the images, in a thread; none where there is nothing to offer.
        model : str
            Path of the model; empty where there is none.
        device : str
            Where to compute.
        """
        shown = bool(read and model)
        asked = (key, model, device) if shown else ()
        if asked != self._asked:
            self._asked, self._read, self._model, self._device = asked, read, model, device
            self.runner.cancel()
            self._rest()
        self.setVisible(shown)

    def go(self) -> None:
        """Estimate, or take what was found."""
        if self._found is not None:
            self.taken.emit(self._found.mpp)
        elif self.runner.running:
            self.runner.cancel()
        elif self._asked:
            self.button.setText("Cancel")
            set_text(self.remark, "Looking at the nuclei…")
            self.runner.start(_estimate(self._read, self._model, self._device), "estimating the scale")

    def _rest(self) -> None:
        self._found = None
        self.button.setText(_ESTIMATE)
        set_text(self.remark, "")

    def _show(self, found: ScaleEstimate) -> None:
        self._found = found
        self.button.setText(f"Take {found.mpp:g} µm")
        set_text(self.remark, f"The nuclei look like {found}.")

    def _fail(self, error: NucleiganError) -> None:
        self._rest()
        set_text(self.remark, str(error))


def layer_reader(layer: Image) -> Read:
    """Return what reads as much of an image layer as an estimate needs; it holds the layer's data, not the layer."""
    height, width = image_shape(layer)
    name, levels = layer.name, tuple(layer.data) if layer.multiscale else (layer.data,)
    if height * width <= LARGE:
        return Source.of(layer, None).image
    if layer.rgb and levels[0].dtype == np.uint8 and levels[0].shape[-1] == 3:
        return lambda: Slide(name, Path(name), levels)
    top, left = (max(0, length - _PART) // 2 for length in (height, width))
    return Source.of(layer, None, Region((top, min(height, top + _PART), left, min(width, left + _PART)))).image


def file_reader(path: Path) -> Read:
    """Return what reads an image file, or opens a slide."""

    def read() -> HEImage | Slide:
        from napari_nucleigan.data.images.files import read_image

        return open_slide(path) if path.is_dir() or is_slide(path) else read_image(path)

    return read


def _estimate(read: Sequence[Read], model: str, device: str) -> Job[ScaleEstimate]:
    """Estimate the scale that images have in common: that of the middle one."""
    yield Progress(0, 1, "loading the model")
    from napari_nucleigan.models import load_model
    from napari_nucleigan.segmentation import Segmenter, SegmentSettings
    from napari_nucleigan.segmentation.scale import darkest_parts, estimating

    segmenter = Segmenter(load_model(model, "segmenter"), SegmentSettings(model=model, device=device))
    found: list[Any] = []
    for one in read:
        image = one()
        found.append((yield from estimating(darkest_parts(image), segmenter)))
    return sorted(found, key=lambda each: each.mpp)[(len(found) - 1) // 2]
