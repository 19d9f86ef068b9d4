"""Whole slides: pyramids of pixels that are read where they are looked at."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from napari_nucleigan.data.slides.slide import Slide
from napari_nucleigan.errors import ImageError

__all__ = ["Slide", "open_slide"]


def open_slide(path: str | Path) -> Slide:
    """Open a whole slide, without reading its pixels.

    TIFF and what is made of it (SVS, NDPI, SCN, BIF, OME-TIFF) is read by tifffile, OME-Zarr by zarr, MRXS and what
    tifffile does not know by openslide (extra ``slides``). A folder of tiles whose names tell their places is one
    image, too.

    Parameters
    ----------
    path : str or Path
        The file, or the folder.

    Returns
    -------
    Slide
        To be closed when it is no longer looked at; it is a context manager.

    Raises
    ------
    ImageError
        If it is missing, damaged, cut short, no 8-bit colour image, or of a format that needs openslide, which is
        not installed.
    """
    from napari_nucleigan.data.slides import mosaics, tiffs, vendors, zarrs

    path = Path(path)
    if not path.exists():
        raise ImageError(f"Cannot open the slide {path}: there is no such file or folder.")
    if path.is_dir():
        return zarrs.open_zarr(path) if zarrs.image_folder(path) else mosaics.open_mosaic(path)
    if tiffs.is_tiff(path):
        with suppress(tiffs.OpenslideNeeded):
            return tiffs.open_tiff(path)
    return vendors.open_with_openslide(path)
