"""Maps of how densely nuclei lie, as this package writes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.images.resolution import spacing

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class DensityMap:
    """Nuclei per square millimetre over a slide.

    Attributes
    ----------
    name : str
        For people.
    path : Path
        The file.
    values : ndarray of float32, shape (h, w)
        Nuclei per square millimetre. The corner of the first pixel is that of the slide.
    pixel_um : float or None
        Length of a pixel in microns; None where it is not known.
    """

    name: str
    path: Path
    values: npt.NDArray[np.float32]
    pixel_um: float | None


def is_density(path: Path) -> bool:
    """Tell whether a TIFF is a density map of this package: one plane of fractions."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        own = str(page.software).startswith("napari-nucleigan")
        return own and page.dtype is not None and page.dtype.kind == "f" and page.samplesperpixel == 1


def read_density(path: str | Path) -> DensityMap:
    """Read a density map.

    Parameters
    ----------
    path : str or Path
        A TIFF file of this package.

    Returns
    -------
    DensityMap

    Raises
    ------
    ImageError
        If it is missing, damaged, or none.
    """
    path = Path(path)
    try:
        with tifffile.TiffFile(path) as tif:
            page = tif.pages[0]
            values = page.asarray()
            length = spacing(page)
    except Exception as error:  # decoders raise errors of many kinds
        raise ImageError(
            f"Cannot read the density map {path}: it is missing, damaged or cut short ({error})."
        ) from error
    if values.ndim != 2 or values.dtype.kind != "f":
        raise ImageError(f"{path} is no density map: it holds {values.dtype} values of shape {values.shape}.")
    return DensityMap(path.stem, path, values.astype(np.float32, copy=False), length)
