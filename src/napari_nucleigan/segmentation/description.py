"""Description of nuclei that are there: everything that a classifier looks at, of any labels and their image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import ImageError, LabelsError
from napari_nucleigan.labels.features import measure
from napari_nucleigan.labels.regions import check_labels, numbered
from napari_nucleigan.models import load_model
from napari_nucleigan.segmentation.embedding import pooled
from napari_nucleigan.segmentation.image import segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.data.images.files import HEImage
    from napari_nucleigan.models import Model
    from napari_nucleigan.segmentation.settings import SegmentSettings


@dataclass(frozen=True, eq=False)
class Description:
    """Nuclei of an image, described.

    Attributes
    ----------
    name : str
        Name of the image.
    labels : ndarray of int32, shape (H, W)
        The nuclei, numbered 1, 2, ... without gaps.
    numbers : ndarray of int64, shape (n,)
        What each was called.
    features : dict of str to ndarray, shape (n,)
        All measurements.
    embeddings : ndarray of float32, shape (n, D), or None
        What the network saw of each; None where the network has no embeddings.
    mpp : float
        Microns per pixel.
    model, sha256 : str
        Name and checksum of the model; empty without embeddings.
    """

    name: str
    labels: NDArray[np.int32]
    numbers: NDArray[np.int64]
    features: dict[str, NDArray[Any]]
    embeddings: NDArray[np.float32] | None
    mpp: float
    model: str = ""
    sha256: str = ""

    @property
    def mm2(self) -> float:
        """Area of the image in square millimetres."""
        return self.labels.size * self.mpp**2 / 1e6


def describe(
    image: HEImage, labels: NDArray[np.integer[Any]], settings: SegmentSettings, model: Model | None = None
) -> Job[Description]:
    """Describe the nuclei of an image, wherever they come from; the network looks at the image once.

    Parameters
    ----------
    image : HEImage
        The image.
    labels : ndarray of int, shape (H, W)
        Its nuclei.
    settings : SegmentSettings
        The model, the device, and the microns per pixel if the image does not say them.
    model : Model, optional
        A loaded model; by default the one that the settings name.

    Yields
    ------
    Progress or Note

    Returns
    -------
    Description

    Raises
    ------
    LabelsError
        If the labels are none, or of another size than the image.
    ImageError
        If the image is too large.
    ModelError, DeviceError
        As `napari_nucleigan.segmentation.segment`.
    """
    values, index = numbered(check_labels(np.asarray(labels)))
    if index.shape != image.pixels.shape[:2]:
        raise LabelsError(
            f"The labels have {index.shape[1]} x {index.shape[0]} pixels and the image {image.pixels.shape[1]} x "
            f"{image.pixels.shape[0]}; they must be of one size."
        )
    if not len(values):
        raise LabelsError("There are no nuclei in these labels; segment the image first.")
    model = model or load_model(settings.model, "segmenter")
    asked = settings.model_copy(update={"measurements": "full", "classifier": ""})
    mpp = image.mpp if settings.mpp in (None, "auto") else float(settings.mpp)
    if not mpp:
        raise ImageError(f"{image.name} has no pixel size; give its microns per pixel.")
    embeddings = None
    if getattr(model.network, "embedding", 0):
        found = yield from segment(replace(image, mpp=mpp), asked, model)
        if found.seen is None or found.field is None:
            raise ImageError(f"{image.name} is too large to classify its nuclei here; crop it.")
        embeddings = pooled(index, found.seen, (found.field.shape[1], found.field.shape[2]))
    features = measure(index, image.pixels, mpp, measurements="full")
    known = (model.card.name, model.card.sha256) if embeddings is not None else ("", "")
    return Description(image.name, index, values.astype(np.int64), features, embeddings, mpp, *known)
