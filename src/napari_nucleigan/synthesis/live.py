"""Live canvas: a picture that follows its mask; what a stroke changes is painted again, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.events import run
from napari_nucleigan.labels.regions import bounds, check_labels, numbered
from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.models import load_model
from napari_nucleigan.networks.network_runner import network_errors
from napari_nucleigan.synthesis.picture import SynthesisContext
from napari_nucleigan.synthesis.settings import SynthesisSettings
from napari_nucleigan.tiling import Box, resize_image, resize_labels
from napari_nucleigan.tissue.features import spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.base.events import Note
    from napari_nucleigan.models import Model
    from napari_nucleigan.synthesis.picture import References

_REACH = 2
"""Pixels from which the encoding of a place can be changed, the distance within a nucleus apart."""


class LiveCanvas:
    """A mask, its field and its picture, kept in step.

    `update` gives the picture that painting the whole mask would give, to the rounding of the network's arithmetic.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        The mask. It is copied.
    settings : SynthesisSettings, optional
        How to paint. Stains are changed as the first picture asks for.
    model : Model, optional
        A loaded synthesizer; by default the one that the settings name.
    mpp : float, optional
        Microns per pixel of the mask, where its source says them.
    references : mapping of str to HEImage, optional
        Images to take after, as `synthesize` takes them.
    tissue : ndarray of integers, optional
        A tissue map that covers the mask, as `synthesize` takes it.

    Attributes
    ----------
    labels : ndarray of int32, shape (H, W)
        The mask that `pixels` shows.
    pixels : ndarray of uint8, shape (H, W, 3)
        The picture. `update` changes it in place, or where it is resampled gives a new one.
    mpp : float
        Microns per pixel.
    style : str
        Name of the style; empty where it has none.

    Raises
    ------
    LabelsError, ModelError, DeviceError, RecipeError, ImageError
        As `synthesize`.
    """

    def __init__(
        self,
        labels: NDArray[np.integer[Any]],
        settings: SynthesisSettings | None = None,
        model: Model | None = None,
        mpp: float | None = None,
        references: References | None = None,
        tissue: NDArray[np.integer[Any]] | None = None,
    ) -> None:
        settings = settings or SynthesisSettings()
        self.labels: NDArray[np.int32] = check_labels(labels).astype(np.int32)
        self._context = SynthesisContext(settings, model or load_model(settings.model, "synthesizer"), references)
        self._scale, self._notes = self._context.scale(self.labels.shape, mpp)
        self.mpp = self._scale.mpp
        self.style, self._code = self._context.styles.draw(settings.seed)
        # The mask and the picture at the model's scale; the mask's own where the two are the same.
        self._small = resize_labels(self.labels, self._scale.model_shape).copy()
        self._field = self._context.encode(self.labels, self._scale, tissue)
        self._boxes = _boxes(self._small)
        painted = self._painted(None)
        self._source = self._context.source_stains(painted)
        self._picture = self._context.restain(painted, self._source)
        self.pixels = resize_image(self._picture, self._scale.shape)

    def notes(self) -> list[Note]:
        """Return, once, what the user should know."""
        said, self._notes = [*self._notes, *self._context.notes()], []
        return said

    def provenance(self) -> dict[str, Any]:
        """Say how the picture is made, ready for JSON, as `Synthesis.provenance` does."""
        return self._context.provenance_of(self.mpp, self.style, self._code)

    def update(self, labels: NDArray[np.integer[Any]], box: Box | None = None) -> Box | None:
        """Let the picture follow the mask.

        Parameters
        ----------
        labels : ndarray of integers, shape (H, W)
            The mask as it is now.
        box : Box, optional
            Where it may differ from before; by default everywhere.

        Returns
        -------
        Box or None
            The part of `pixels` that was painted again; None where the mask has not changed.

        Raises
        ------
        LabelsError
            If it is no label image of the canvas's shape.
        DeviceError
            If the network fails.
        """
        mask: NDArray[np.int32] = check_labels(labels).astype(np.int32, copy=False)
        if mask.shape != self.labels.shape:
            raise LabelsError(f"The canvas is {self.labels.shape}, but the mask {mask.shape}; begin a new canvas.")
        changed = _difference(self.labels, mask, box)
        if changed is None:
            return None
        self.labels[changed.slices] = mask[changed.slices]
        small = resize_labels(self.labels, self._scale.model_shape)
        changed = _difference(self._small, small, None if self._scale.resamples else changed)
        if changed is None:  # too little to be seen at the model's scale
            return None
        return self._repaint(self._encode(small, changed))

    def update_tissue(self, tissue: NDArray[np.integer[Any]]) -> Box | None:
        """Let the picture follow the tissue map.

        Parameters
        ----------
        tissue : ndarray of integers, shape (h, w)
            The map as it is now: it covers the mask, as `synthesize` takes it.

        Returns
        -------
        Box or None
            The part of `pixels` that was painted again; None where nothing has changed, or the model knows no tissue.

        Raises
        ------
        LabelsError
            If it holds classes that the model does not know.
        DeviceError
            If the network fails.
        """
        if len(self._field) == 3:
            return None
        shape: tuple[int, int] = self._small.shape
        channel = spread(self._context.tissue_cells(tissue, self._scale), shape)
        changed = _difference(self._field[3], channel, None)
        if changed is None:
            return None
        self._field[3] = channel
        return self._repaint(changed)

    def _repaint(self, changed: Box) -> Box:
        """Paint again what a change of the field can be seen in; return that part of `pixels`."""
        stale = self._reach(changed)
        self._picture[stale.slices] = self._context.restain(self._painted(stale), self._source)
        if not self._scale.resamples:
            return stale
        self.pixels = resize_image(self._picture, self._scale.shape)
        return Box.of(self.labels.shape)

    def _encode(self, small: NDArray[np.int32], changed: Box) -> Box:
        """Bring the field up to date; return where it changed."""
        shape: tuple[int, int] = self._small.shape
        near = changed.grown(_REACH, shape)
        # The distance within a nucleus depends on all of it, and on whether another touches it.
        touched = set(np.unique(self._small[near.slices])) | set(np.unique(small[near.slices]))
        touched.discard(0)
        stale = near
        for name in touched:
            area = changed | self._boxes.pop(name, changed)
            stale |= area
            now = _bounds(small[area.slices] == name, area)
            if now is not None:
                self._boxes[name] = now
        around = stale.grown(_REACH, shape)
        inner = stale.within(around)
        fresh = encode(small[around.slices], self._context.card.encoding)[:, *inner]
        if self._context.card.encoding == "distance":
            # Nuclei that only reach into the box were seen in part; nothing about them has changed.
            here = small[stale.slices]
            whole = np.isin(here, list(touched)) | (here == 0)
            fresh[2] = np.where(whole, fresh[2], self._field[2][stale.slices])
        self._field[:3, *stale.slices] = fresh
        self._small[changed.slices] = small[changed.slices]
        return stale

    def _reach(self, stale: Box) -> Box:
        """Find out how far a change of the field can be seen."""
        generator = self._context.generator
        height, width = self._small.shape
        if not generator.local:
            return Box.of(self._small.shape)
        top, left = (start // generator.stride * generator.stride for start in (stale.top, stale.left))
        bottom, right = (-(-stop // generator.stride) * generator.stride for stop in (stale.bottom, stale.right))
        return Box(top, bottom, left, right).grown(generator.halo, (height, width))

    def _painted(self, region: Box | None) -> NDArray[np.uint8]:
        with network_errors():
            return run(self._context.generator.painting(self._field, self._context.settings.seed, self._code, region))


def _difference(before: NDArray[Any], after: NDArray[Any], box: Box | None) -> Box | None:
    """Bound the pixels that differ, looked for in a box."""
    box = (box or Box.of(before.shape)).grown(0, before.shape)
    return _bounds(before[box.slices] != after[box.slices], box)


def _bounds(mask: NDArray[np.bool_], box: Box) -> Box | None:
    """Bound the true pixels of a mask that covers a box."""
    found = bounds(mask)
    if found is None:
        return None
    top, bottom, left, right = found
    return Box(box.top + top, box.top + bottom, box.left + left, box.left + right)


def _boxes(labels: NDArray[np.int32]) -> dict[int, Box]:
    names, index = numbered(labels)
    return {
        int(name): Box(rows.start, rows.stop, columns.start, columns.stop)
        for name, (rows, columns) in zip(names, ndimage.find_objects(index), strict=True)
    }
