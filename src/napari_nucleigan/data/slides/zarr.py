"""Slides in OME-Zarr (OME-NGFF 0.4 and 0.5), and what is common to all that is kept so."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.pixels import sides
from napari_nucleigan.base.reading import FileFault, read_json, reading
from napari_nucleigan.data.images.convert import DARK_CHANNELS, is_dark
from napari_nucleigan.data.images.headers import PixelSize, check_pixel_size, microns
from napari_nucleigan.data.images.layout import fluorescence, not_bright_field
from napari_nucleigan.data.slides.levels import ZarrLevel
from napari_nucleigan.data.slides.slide import OVERVIEW, UNKNOWN_SCALE, Slide, by_size, with_overview
from napari_nucleigan.data.slides.zarr_arrays import METADATA, Stores, in_folder, open_array

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_nucleigan.data.slides.slide import Level

    Vector = npt.NDArray[np.float64]

MOST_LEVELS = 64
"""Levels of a pyramid; were each half of the one before, no slide would have as many."""


class PyramidMetadata(NamedTuple):
    """A pyramid as its metadata tell it.

    Attributes
    ----------
    axes : tuple of str
        Their names.
    paths : tuple of Path
        Of the arrays, the full resolution first.
    mpp : float or None
        Microns per pixel.
    offset : tuple of float
        Row and column of the first pixel: in microns, or in pixels where their size is not known.
    notes : tuple of str
        What was made of them.
    """

    axes: tuple[str, ...]
    paths: tuple[Path, ...]
    mpp: float | None
    offset: tuple[float, float]
    notes: tuple[str, ...]


def attributes(folder: Path) -> dict[str, Any]:
    """Read the attributes of a group as version 0.5 has them, those of OME under ``"ome"``; empty if it is no group."""
    # Version 0.5 keeps its metadata in Zarr 3's zarr.json, version 0.4 in Zarr 2's .zattrs.
    try:
        if (file := folder / "zarr.json").is_file():
            found = read_json(file, METADATA).get("attributes", {})
        elif (file := folder / ".zattrs").is_file():
            found = read_json(file, METADATA)
            found = {"ome": found, **found}
        else:
            return {}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("ome"), dict) else {}


def image_folder(path: Path) -> Path | None:
    """Find the image in a folder: itself, or the largest of those that bioformats2raw writes; None without one."""
    known = attributes(path).get("ome", {})
    if known.get("multiscales"):
        return path
    if "bioformats2raw.layout" not in known:
        return None
    listed = attributes(path / "OME").get("ome", {}).get("series")
    names = listed if isinstance(listed, list) else [part.name for part in path.iterdir() if part.name.isdecimal()]
    found = []
    for name in names:
        with suppress(FileFault):  # one that leads elsewhere is none of these images
            folder = inside(path, name)
            found += [folder] if attributes(folder).get("ome", {}).get("multiscales") else []
    return max(found, key=_pixels, default=None)


def may_be(path: Path) -> bool:
    """Tell whether a folder is meant to be an image in OME-Zarr by its name, however damaged it is."""
    return path.suffix.lower() == ".zarr" and path.is_dir()


def is_slide(path: Path) -> bool:
    """Tell whether a folder is a colour image in OME-Zarr."""
    folder = image_folder(path)
    if folder is None or "image-label" in attributes(folder)["ome"]:
        return False
    try:
        with reading(path, ImageError):
            _levels(folder, path.name)
    except ImageError:
        return False
    return True


def open_zarr(
    path: Path, store: Stores = in_folder, address: str = "", close: Callable[[], None] = lambda: None
) -> Slide:
    """Open an image in OME-Zarr as a slide; takes, returns and raises what `open_slide` does.

    Of one whose pixels lie on a server, `store` gives the place of each array, `address` is where that is, and `close`
    ends what was begun for it.
    """
    with reading(address or path, ImageError, "image in OME-Zarr"):
        folder = image_folder(path) or path
        if "plate" in attributes(folder).get("ome", {}):
            raise FileFault(
                "it is a plate of wells, which hold images each; give one of these, as PLATE.ome.zarr/A/1/0"
            )
        image, (levels, notes) = _levels(folder, path.name, store)
        if folder != path:
            notes = (*notes, f"The folder may hold several pictures; the largest, {folder.name}, was taken.")
        notes = (*notes, *image.notes)
        return Slide(bare_name(path), Path(address) if address else path, levels, image.mpp, {}, notes, close)


def _levels(
    folder: Path, name: str, store: Stores = in_folder
) -> tuple[PyramidMetadata, tuple[tuple[Level, ...], tuple[str, ...]]]:
    """Open the levels of a colour image, which is none of fluorescence."""
    image = read_image(folder)
    found = with_overview(by_size(list(open_levels(image, name, store=store))))
    channels = attributes(folder)["ome"].get("omero", {}).get("channels", ())
    if names := fluorescence(str(one.get("label", "")) for one in channels):
        raise FileFault(not_bright_field(names))
    smallest = found[0][-1]
    if math.prod(smallest.shape[:2]) <= OVERVIEW**2 and is_dark(smallest[:]):
        raise FileFault(DARK_CHANNELS)
    return image, found


def bare_name(path: Path) -> str:
    """Name of an image or labels without what says that they are OME-Zarr."""
    return path.name.removesuffix(".zarr").removesuffix(".ome")


def read_image(folder: Path) -> PyramidMetadata:
    """Read what the metadata of a pyramid say.

    Parameters
    ----------
    folder : Path
        A group with ``multiscales``; the first is taken.

    Returns
    -------
    PyramidMetadata

    Raises
    ------
    FileFault, Exception
        If they are not as they should be.
    """
    image = attributes(folder)["ome"]["multiscales"][0]
    # Version 0.3 has names for axes, later ones descriptions, and earlier ones always the same.
    described = list("tczyx") if image.get("version") in ("0.1", "0.2") else image["axes"]
    axes = tuple(str(axis["name"] if isinstance(axis, dict) else axis) for axis in described)
    if not {"y", "x"} <= set(axes):
        raise FileFault(f"it has no axes called y and x, but {', '.join(axes) or 'none'}")
    sets = image["datasets"]
    if len(sets) > MOST_LEVELS:
        raise FileFault(f"it says that it has {len(sets)} levels, as no pyramid has")
    places = [_place(each, image, len(axes)) for each in sets]
    rows, columns = axes.index("y"), axes.index("x")
    # The full resolution has the smallest pixels; it need not come first.
    known = all(scaled for _, _, scaled in places)
    order = sorted(range(len(sets)), key=lambda level: places[level][0][rows] if known else 0)
    scale, offset, _ = places[order[0]]
    units = [_microns(described[place]) for place in (rows, columns)]
    found: PixelSize = None, (UNKNOWN_SCALE,)
    if known and units[0] and units[1]:
        found = check_pixel_size(units[1] * scale[columns], units[0] * scale[rows], "OME-Zarr metadata")
    mpp, notes = found
    height, width = sides(mpp or 1.0)
    place = height * float(offset[rows] / scale[rows]), width * float(offset[columns] / scale[columns])
    return PyramidMetadata(axes, tuple(inside(folder, sets[level]["path"]) for level in order), mpp, place, notes)


def _place(level: dict[str, Any], image: dict[str, Any], count: int) -> tuple[Vector, Vector, bool]:
    """Return the scale and the offset of a level on its axes, and whether the metadata give a scale."""
    scale, offset, known = np.ones(count), np.zeros(count), False
    for change in (*level.get("coordinateTransformations", ()), *image.get("coordinateTransformations", ())):
        kind = change["type"]
        if kind not in ("scale", "translation"):
            continue
        values = np.array(change[kind], np.float64)
        if values.shape != (count,):
            raise FileFault(f"its {kind} {change[kind]} is not one number for each of its {count} axes")
        if kind == "scale":
            scale, offset, known = scale * values, offset * values, True
        else:
            offset = offset + values
    return scale, offset, known


def inside(folder: Path, name: Any) -> Path:
    """Return the path of a part of a folder, of which another one may be the author.

    Raises
    ------
    FileFault
        If it leads out of it.
    """
    path = Path(str(name))
    if path.is_absolute() or path.drive or ".." in path.parts:
        raise FileFault(f"it names a part, {name}, that lies outside of it")
    return folder / path


def open_levels(
    image: PyramidMetadata, file: str, *, labels: bool = False, store: Stores = in_folder
) -> Iterator[ZarrLevel]:
    """Open the arrays of a pyramid of colours, or of labels; an error if one holds something else, or a stack."""
    for path in image.paths:
        array = open_array(path, store)
        sizes = dict(zip(image.axes, array.shape, strict=True))
        if any(size > 1 for axis, size in sizes.items() if axis not in ("c", "y", "x")):
            raise FileFault(f"it holds planes on the axes {sizes}, and a slide has one")
        said = f"it holds {array.dtype} values on the axes {sizes}, and"
        if labels and (array.dtype.kind not in "ui" or sizes.get("c", 1) != 1):
            raise FileFault(f"{said} labels are whole numbers on y and x")
        if not labels and (array.dtype != np.uint8 or sizes.get("c") != 3):
            raise FileFault(f"{said} slides are 8-bit RGB on c, y and x")
        yield ZarrLevel(file, array, image.axes, ("y", "x") if labels else ("y", "x", "c"))


def _pixels(folder: Path) -> int:
    try:
        return int(open_array(read_image(folder).paths[0]).size)
    except Exception:  # one that is damaged is none
        return 0


def _microns(axis: Any) -> float | None:
    return microns(str(axis.get("unit", ""))) if isinstance(axis, dict) else None
