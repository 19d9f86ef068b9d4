"""Whole slides: pyramids of pixels that are read where they are looked at."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.reading import FileFault, check_regular, reading
from napari_nucleigan.data.slides.slide import Slide

__all__ = [
    "EAGER_PIXELS",
    "REFUSED",
    "SCANNERS",
    "SUFFIXES",
    "Slide",
    "address_of",
    "is_slide",
    "list_slides",
    "open_slide",
]

EAGER_PIXELS = 8192 * 8192
"""Pixels from which on an image is read where it is looked at: 200 MB."""

SCANNERS = (".svs", ".ndpi", ".scn", ".bif")
"""Suffixes of scanners whose files are TIFF."""

REFUSED = (".vsi",)
"""Suffixes of slides that are not read, so that a sentence can say what to convert them with."""

SUFFIXES = (*SCANNERS, ".mrxs", ".vms", ".vmu", ".svslide", ".czi", ".dcm", *REFUSED)
"""Suffixes of all slides but TIFF and OME-Zarr: the list of the command line, folders, forms and the manifest."""


def is_slide(path: str | Path) -> bool:
    """Tell whether a file or folder is a slide, and no image that is read as a whole.

    Parameters
    ----------
    path : str or Path
        TIFFs are slides if they are pyramids, have pictures of the glass, or more than `EAGER_PIXELS`, and folders if
        they are images in OME-Zarr; other formats are told by their names, and DICOM by its content. A folder of tiles
        is none unless it is said to be. What has an address is taken for a slide, without asking its server.
    """
    from napari_nucleigan.data.slides import dicom, tiff, zarr

    path = Path(path)
    if address_of(path):
        return True
    if path.is_dir():
        return zarr.is_slide(path)
    if path.suffix.lower() in SUFFIXES or dicom.series(path) is not None:
        return True
    # What is damaged or missing is told when it is read.
    with suppress(Exception):
        return tiff.is_tiff(path) and tiff.looks_like_slide(path, EAGER_PIXELS)
    return False


def list_slides(folder: str | Path) -> list[Path]:
    """List what in a folder is a slide: files of scanners, and images in OME-Zarr; hidden ones left out.

    Of the files that make up one slide in DICOM the first is listed. TIFFs are left to
    `napari_nucleigan.data.images.files.list_images`.
    """
    from napari_nucleigan.data.slides import dicom, zarr

    found: list[Path] = []
    known: set[str] = set()
    for path in sorted(Path(folder).iterdir()):
        if path.name.startswith("."):
            continue
        if path.suffix == ".zarr" and path.is_dir():
            found += [path] if zarr.is_slide(path) else []
        elif path.is_file() and (dicom.may_be(path) or path.suffix.lower() in SUFFIXES):
            series = dicom.series(path) if dicom.may_be(path) else str(path)
            if series is not None and series not in known:
                known.add(series)
                found.append(path)
    return found


def open_slide(path: str | Path) -> Slide:
    """Open a whole slide, without reading its pixels.

    TIFF and what is made of it (SVS, NDPI, SCN, BIF, OME-TIFF) is read by tifffile, OME-Zarr by zarr, CZI by pylibCZIrw
    (extra ``czi``), MRXS and what tifffile does not know by openslide (extra ``slides``). A folder of tiles whose names
    tell their places is one image, too, and so is one with the DICOM files of one slide. An address (``https://``,
    ``s3://``) is that of an OME-Zarr on a server, of which only what is looked at is fetched.

    Parameters
    ----------
    path : str or Path
        The file, the folder, or the address.

    Returns
    -------
    Slide
        To be closed when it is no longer looked at; it is a context manager.

    Raises
    ------
    ImageError
        If it is missing, damaged, cut short, no 8-bit colour image, or of a format that needs openslide, which is
        not installed.
    ExtraError
        If it is of a format that needs another package, which is not installed.
    """
    from napari_nucleigan.data.slides import czi, dicom, openslide, tiff, tile_folders, zarr

    if url := address_of(path):
        from napari_nucleigan.data.slides import remote

        return remote.open_remote(url)
    path = Path(path)
    with reading(path, ImageError, "slide"):
        folder = path.is_dir()
        if not folder:
            check_regular(path)
    if folder:
        if zarr.may_be(path) or zarr.image_folder(path):
            return zarr.open_zarr(path)
        file = dicom.slide_of(path)
        return openslide.open_with_openslide(file) if file else tile_folders.open_mosaic(path)
    if czi.is_czi(path):
        return czi.open_czi(path)
    if tiff.is_tiff(path):
        try:
            return tiff.open_tiff(path)
        except tiff.OpenslideNeeded as needed:
            if not openslide.may_open(path):
                with reading(path, ImageError):
                    raise FileFault(f"{needed}, which is not read; save it as an RGB TIFF") from None
    return openslide.open_with_openslide(path)


def address_of(path: str | Path) -> str | None:
    """Return the address on a server that a path stands for, as people write it; None if it is one of this machine."""
    # Asked of every image of a folder, most of which have no colon in their names.
    if ":/" not in str(path).replace("\\", "/"):
        return None
    from napari_nucleigan.data.slides import remote

    return remote.url_of(path)
