"""Pseudo labels: what a model finds in unlabelled images, and where it is sure of it.

::

    FOLDER/images, labels, regions   a data set: the nuclei that the model is sure of, and where it knows
    FOLDER/nuclei                    all nuclei that it finds, whose masks others are drawn like
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.events import Progress, quiet
from napari_nucleigan.base.files import is_whole
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import read_labels, read_mpp, write_image, write_labels
from napari_nucleigan.masks.polygons import fit
from napari_nucleigan.segmentation import Segmentation, SegmentSettings, segment
from napari_nucleigan.segmentation.confidence import CONFIDENCE
from napari_nucleigan.training.images import rescaled_labels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.data.images.files import HEImage
    from napari_nucleigan.masks.polygons import PolygonMasks
    from napari_nucleigan.models import Model

SURE = (0.2, 0.8)
"""Confidence up to which a nucleus is none, and from which on it is one; between, nothing is learnt there."""

_ROUND_ABOUT = 2  # pixels around an unsure nucleus of which nobody knows either


def settings_for(image: HEImage, model: Model, device: str) -> SegmentSettings:
    """Return how an image is segmented; one that does not say its scale is taken to be at the model's."""
    return SegmentSettings(model=model.card.name, device=device, mpp=image.mpp or model.card.mpp)


def find_nuclei(dataset: Dataset, model: Model, folder: Path, device: str) -> Job[Dataset]:
    """Write what a model finds in images; what is written already is kept.

    Parameters
    ----------
    dataset : Dataset
        The images; labels that they may have are not read.
    model : Model
        A segmenter.
    folder : Path
        Where the files go.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...

    Returns
    -------
    Dataset
        The images with the nuclei that the model is sure of; its regions tell where it knows.

    Raises
    ------
    LabelsError
        If it is sure of no nucleus.
    """
    for number, name in enumerate(dataset.names):
        now = Progress(number, len(dataset), f"finding nuclei in {name}")
        yield now
        if all(is_whole(folder / kind / f"{name}.tif") for kind in ("nuclei", "labels", "regions", "images")):
            continue
        image = dataset.image(name)
        result = yield from quiet(segment(image, settings_for(image, model, device), model), now)
        write_found(image, result, folder, name)
    if not any(read_labels(folder / "labels" / f"{name}.tif").any() for name in dataset.names):
        raise LabelsError(
            f"The model {model.card.name!r} is sure of no nucleus in these images, so there is nothing to begin with; "
            "check their microns per pixel, or correct a few regions by hand and fine-tune on them."
        )
    return Dataset.open(folder)


def write_found(image: HEImage, result: Segmentation, folder: Path, name: str) -> None:
    """Write an image, and what was found in it, as a part of the data set of `find_nuclei`."""
    labels, known, nuclei = sure_parts(result)
    write_labels(folder / "nuclei" / f"{name}.tif", nuclei, result.mpp)
    write_labels(folder / "regions" / f"{name}.tif", known.astype(np.uint8), result.mpp)
    write_labels(folder / "labels" / f"{name}.tif", labels, result.mpp)
    # The image comes last: without one, labels are no part of a data set.
    write_image(folder / "images" / f"{name}.tif", image.pixels, result.mpp)


def sure_parts(result: Segmentation) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.int32]]:
    """Tell what a model is sure of, by `SURE`.

    Where the model's card holds no calibration, it is taken at its word everywhere.

    Returns
    -------
    sure : (H, W) int32 array
        Nuclei that it is sure of.
    known : (H, W) bool array
        Where it is sure, of a nucleus or of none.
    nuclei : (H, W) int32 array
        All nuclei but those that it is sure are none. Without the unsure ones, masks that are drawn like the nuclei of
        an image would be emptier than it is.
    """
    labels, confidence = result.labels, result.features.get(CONFIDENCE)
    if confidence is None or not np.isfinite(confidence).all():
        return labels, np.ones(labels.shape, bool), labels
    is_sure = np.concatenate([[False], confidence >= SURE[1]])
    likely = np.concatenate([[False], confidence > SURE[0]])
    doubtful = ndimage.binary_dilation((likely & ~is_sure)[labels], iterations=_ROUND_ABOUT)
    sure, nuclei = (np.where(kept[labels], labels, 0).astype(np.int32) for kept in (is_sure, likely))
    return sure, ~doubtful | (sure > 0), nuclei


def fit_masks(folder: Path, names: tuple[str, ...], mpp: float) -> Job[PolygonMasks]:
    """Learn what the masks are like of all nuclei that were found.

    Parameters
    ----------
    folder : Path
        As `find_nuclei` filled it.
    names : tuple of str
        Names of the images.
    mpp : float
        Microns per pixel of the masks to be drawn.

    Raises
    ------
    LabelsError
        If there are too few to learn from.
    """
    masks = []
    for number, name in enumerate(names):
        yield Progress(number, len(names), "fitting masks")
        file = folder / "nuclei" / f"{name}.tif"
        masks.append(rescaled_labels(read_labels(file), (read_mpp(file) or mpp) / mpp))
    return fit(masks, mpp)
