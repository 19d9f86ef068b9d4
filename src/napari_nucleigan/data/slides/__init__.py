"""Whole slides: pyramids of pixels that are read where they are looked at."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.slides.slide import Slide

__all__ = ["EAGER_PIXELS", "SCANNERS", "Slide", "is_slide", "list_slides", "open_slide"]

EAGER_PIXELS = 8192 * 8192
"""Pixels from which on an image is read where it is looked at: 200 MB."""

SCANNERS = (".svs", ".ndpi", ".scn", ".bif")
"""Suffixes of scanners whose files are TIFF."""


def is_slide(path: str | Path) -> bool:
    """Tell whether a file or folder is a slide, and no image that is read as a whole.

    Parameters
    ----------
    path : str or Path
        TIFFs are slides if they are pyramids, have pictures of the glass, or more than `EAGER_PIXELS`, and folders if
        they are images in OME-Zarr; other formats are told by their names. A folder of tiles is none unless it is said
        to be.
    """
    from napari_nucleigan.data.slides import openslide, tiff, zarr

    path = Path(path)
    if path.is_dir():
        return zarr.is_slide(path)
    if path.suffix.lower() in (*SCANNERS, *openslide.SUFFIXES):
        return True
    # What is damaged or missing is told when it is read.
    with suppress(Exception):
        return tiff.is_tiff(path) and tiff.looks_like_slide(path, EAGER_PIXELS)
    return False


def list_slides(folder: str | Path) -> list[Path]:
    """List what in a folder is a slide by its name: files of scanners, and images in OME-Zarr; hidden ones left out.

    TIFFs are left to `napari_nucleigan.data.images.files.list_images`.
    """
    from napari_nucleigan.data.slides import openslide, zarr

    return sorted(
        path
        for path in Path(folder).iterdir()
        if not path.name.startswith(".")
        and (
            (path.suffix.lower() in (*SCANNERS, *openslide.SUFFIXES) and path.is_file())
            or (path.suffix == ".zarr" and zarr.is_slide(path))
        )
    )


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
    from napari_nucleigan.data.slides import openslide, tiff, tile_folders, zarr

    path = Path(path)
    if not path.exists():
        raise ImageError(f"Cannot open the slide {path}: there is no such file or folder.")
    if path.is_dir():
        return zarr.open_zarr(path) if zarr.image_folder(path) else tile_folders.open_mosaic(path)
    if tiff.is_tiff(path):
        with suppress(tiff.OpenslideNeeded):
            return tiff.open_tiff(path)
    return openslide.open_with_openslide(path)
