"""Slides in OME-Zarr (OME-NGFF 0.4 and 0.5)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import zarr

from napari_nucleigan.data.resolution import checked, microns
from napari_nucleigan.data.slides.slide import Slide, completed, falling
from napari_nucleigan.data.slides.tiffs import over_white
from napari_nucleigan.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nucleigan.data.resolution import Found


def is_multiscale(path: Path) -> bool:
    """Tell whether a folder is an image in OME-Zarr."""
    try:
        return bool(_multiscales(path))
    except (OSError, ValueError):
        return False


def open_zarr(path: Path) -> Slide:
    """Open an image in OME-Zarr as a slide.

    Parameters
    ----------
    path : Path
        Folder of the image.

    Returns
    -------
    Slide

    Raises
    ------
    ImageError
        As `open_slide`.
    """
    try:
        image = _multiscales(path)[0]
        axes = [axis["name"] if isinstance(axis, dict) else str(axis) for axis in image["axes"]]
        found = [_lazy(path / entry["path"], axes) for entry in image["datasets"]]
        mpp, said = _resolution(image, axes)
    except ImageError as error:
        raise ImageError(f"{path.name} cannot be opened as a slide: {error}.") from error
    except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
        raise ImageError(f"{path.name} is damaged, or no OME-Zarr image ({type(error).__name__}: {error}).") from error
    levels, notes = completed(falling(found))
    return Slide(path.name.removesuffix(".zarr").removesuffix(".ome"), path, levels, mpp, {}, (*notes, *said))


def _multiscales(path: Path) -> list[dict[str, Any]]:
    # Version 0.5 keeps its metadata in Zarr 3's zarr.json, version 0.4 in Zarr 2's .zattrs.
    if (file := path / "zarr.json").is_file():
        attributes = json.loads(file.read_text("utf-8")).get("attributes", {}).get("ome", {})
    elif (file := path / ".zattrs").is_file():
        attributes = json.loads(file.read_text("utf-8"))
    else:
        return []
    found = attributes.get("multiscales", [])
    return list(found) if isinstance(found, list) else []


def _lazy(path: Path, axes: list[str]) -> da.Array:
    array = da.from_zarr(zarr.open_array(path, mode="r"))
    sizes = dict(zip(axes, array.shape, strict=True))
    stacked = [axis for axis, size in sizes.items() if axis not in "cyx" and size > 1]
    if stacked or array.dtype != np.uint8 or sizes.get("c") not in (3, 4):
        raise ImageError(f"it holds {array.dtype} values on the axes {sizes}, and slides are 8-bit RGB on c, y and x")
    array = array[tuple(slice(None) if axis in "cyx" else 0 for axis in axes)]
    kept = [axis for axis in axes if axis in "cyx"]
    array = array.transpose([kept.index(axis) for axis in "yxc"]).rechunk({2: -1})
    return array if array.shape[2] == 3 else array.map_blocks(over_white, dtype=np.uint8, chunks=(*array.chunks[:2], 3))


def _resolution(image: dict[str, Any], axes: list[str]) -> Found:
    scale = [1.0] * len(axes)
    for place in (image, image["datasets"][0]):
        for change in place.get("coordinateTransformations", []):
            if change.get("type") == "scale":
                scale = [before * float(factor) for before, factor in zip(scale, change["scale"], strict=True)]
    lengths = []
    for name in ("x", "y"):
        axis = image["axes"][axes.index(name)]
        unit = microns(str(axis.get("unit", ""))) if isinstance(axis, dict) else None
        if unit is None:
            return None, ("The file does not say its microns per pixel; give them before you segment.",)
        lengths.append(unit * scale[axes.index(name)])
    return checked(lengths[0], lengths[1], "OME-Zarr metadata")
