"""Label images of slides in OME-Zarr (OME-NGFF 0.4 and 0.5), of this package and others."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.errors import ImageError, LabelsError
from napari_nucleigan.data.slides import zarr
from napari_nucleigan.data.slides.levels import ZarrLevel
from napari_nucleigan.data.slides.slide import UNKNOWN_SCALE, completed, falling

if TYPE_CHECKING:
    from collections.abc import Mapping

    import dask.array as da

    from napari_nucleigan.data.slides.levels import Level

OWN = "nucleigan"
"""What this package says of its labels stands under this name, beside ``"ome"``."""


@dataclass(frozen=True, eq=False)
class SlideLabels:
    """Labels of a whole slide.

    Attributes
    ----------
    name : str
        For people.
    path : Path
        The folder.
    planes : tuple of Level
        The levels as they are read: integers, the full resolution first, each smaller than the one before.
    mpp : float or None
        Microns per pixel of the full resolution; None where it is not known.
    offset : (float, float)
        Row and column where the middle of the first pixel lies on the slide, in microns, or in pixels where their size
        is not known.
    features : Path or None
        Table of the nuclei.
    provenance : mapping
        Model, parameters and version that made them, if this package did.
    notes : tuple of str
        What is to be said, one sentence each.
    """

    name: str
    path: Path
    planes: tuple[Level, ...]
    mpp: float | None = None
    offset: tuple[float, float] = (0.0, 0.0)
    features: Path | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def levels(self) -> tuple[da.Array, ...]:
        """The levels as lazy arrays of integers, shape (H, W)."""
        return tuple(plane.lazy() for plane in self.planes)


def is_label_pyramid(path: Path) -> bool:
    """Tell whether a folder says that it is a label image in OME-Zarr."""
    known = zarr.attributes(path).get("ome", {})
    return "image-label" in known and bool(known.get("multiscales"))


def label_folders(path: Path) -> list[Path]:
    """List the label images that an image in OME-Zarr holds, in its order.

    Parameters
    ----------
    path : Path
        Folder of the image.

    Returns
    -------
    list of Path
        Folders that `open_label_pyramid` opens.
    """
    folder = (zarr.image_folder(path) or path) / "labels"
    names = zarr.attributes(folder).get("ome", {}).get("labels", [])
    return [folder / name for name in names if isinstance(name, str) and is_label_pyramid(folder / name)]


def open_label_pyramid(path: str | Path) -> SlideLabels:
    """Open a label image in OME-Zarr, without reading its pixels.

    Parameters
    ----------
    path : str or Path
        Its folder.

    Returns
    -------
    SlideLabels

    Raises
    ------
    LabelsError
        If it is missing, damaged, or holds something other than whole numbers on two axes.
    """
    path = Path(path)
    if not path.is_dir():
        raise LabelsError(f"Cannot open the labels {path}: there is no such folder.")
    if not is_label_pyramid(path):
        raise LabelsError(
            f"{path.name} is no label image in OME-Zarr: its metadata have no multiscales and image-label."
        )
    try:
        image = zarr.read_image(path)
        planes, notes = completed(falling([_plane(image, array, path.name) for array in image.paths]))
        own = zarr.attributes(path).get(OWN) or {}
        provenance = dict(own.get("provenance") or {})
        table = path.parent / str(own["features"]) if own.get("features") else None
    except ImageError as error:
        raise LabelsError(f"{path.name} cannot be opened as labels: {error}.") from error
    except zarr.DAMAGE as error:
        raise LabelsError(f"{path.name} is damaged ({type(error).__name__}: {error}); copy it again.") from error
    if table is not None and not table.is_file():
        notes = (*notes, f"The table of its nuclei, {table.name}, is not beside it.")
        table = None
    said = tuple(note for note in image.notes if note != UNKNOWN_SCALE)
    return SlideLabels(zarr.bare_name(path), path, planes, image.mpp, image.offset, table, provenance, (*notes, *said))


def _plane(image: zarr.Image, path: Path, file: str) -> ZarrLevel:
    array = zarr.open_array(path, image.axes)
    sizes = dict(zip(image.axes, array.shape, strict=True))
    if array.dtype.kind not in "ui" or sizes.get("c", 1) != 1:
        raise ImageError(f"it holds {array.dtype} values on the axes {sizes}, and labels are whole numbers on y and x")
    return ZarrLevel(file, array, image.axes, ("y", "x"))
