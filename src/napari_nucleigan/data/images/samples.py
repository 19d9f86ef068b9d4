"""Sample images: the bundled synthetic H&E, and real sections that scikit-image hands out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.images.files import HEImage, read_image, read_labels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FOLDER = Path(__file__).resolve().parents[2] / "_sample_data"


def synthetic_he() -> tuple[HEImage, npt.NDArray[np.int32]]:
    """Load the bundled synthetic H&E picture with its true labels.

    The bundled synthesizer painted it from a random mask (``scripts/make_sample.py``); it shows no real section.

    Returns
    -------
    image : HEImage
        1000x1000 pixels at 0.25 microns per pixel.
    labels : ndarray of int32, shape (1000, 1000)
        The true nuclei.
    """
    return read_image(FOLDER / "synthetic_he.png"), read_labels(FOLDER / "synthetic_he_labels.tif")


def skin() -> HEImage:
    """Load a real H&E section of normal skin, photographed at 10x, in the public domain.

    It comes from scikit-image, which downloads it the first time.

    Returns
    -------
    HEImage
        960x1280 pixels. Its microns per pixel are an estimate from the magnification.

    Raises
    ------
    ImageError
        If it cannot be downloaded.
    """
    note = "Microns per pixel were estimated from the magnification, 10x: 1."
    return _from_scikit_image("skin", mpp=1.0, notes=(note,))


def immunohistochemistry() -> HEImage:
    """Load a real section of colon glands: haematoxylin and brown DAB, so it is not H&E.

    It comes with scikit-image, and shows what the model makes of another stain.

    Returns
    -------
    HEImage
        512x512 pixels; microns per pixel are not known.

    Raises
    ------
    ImageError
        If it must be downloaded and cannot.
    """
    note = "This is immunohistochemistry (haematoxylin and DAB), not H&E: results show how a model fares elsewhere."
    return _from_scikit_image("immunohistochemistry", mpp=None, notes=(note,))


def _from_scikit_image(name: str, mpp: float | None, notes: tuple[str, ...]) -> HEImage:
    from skimage import data

    try:
        pixels = getattr(data, name)()
    except (OSError, ImportError) as error:  # requests' errors are OSErrors
        raise ImageError(
            f"The sample {name!r} cannot be downloaded from scikit-image's data: check the network, or take the "
            "bundled synthetic sample."
        ) from error
    return HEImage(pixels, mpp, name, notes=notes)
