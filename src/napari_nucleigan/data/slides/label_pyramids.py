"""Label pyramids of slides in OME-Zarr (OME-NGFF 0.4 and 0.5): read, of this package and others, and written."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.reading import FileFault, reading
from napari_nucleigan.data.slides.slide import UNKNOWN_SCALE, by_size, with_overview
from napari_nucleigan.data.slides.zarr import (
    attributes,
    bare_name,
    image_folder,
    inside,
    open_levels,
    read_image,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import dask.array as da
    from numpy.typing import NDArray

    from napari_nucleigan.data.slides.slide import Level

OWN = "nucleigan"
"""What this package says of its labels stands under this name, beside ``"ome"``."""

CHUNK = 1024
"""Side in pixels of the chunks, which are read by themselves."""

SHARD = 4096
"""Side in pixels of the files that hold several chunks: hundreds for a slide, not a hundred thousand."""

SMALLEST = 1024
"""Longest side in pixels of the last level."""

VERSION = "0.5"


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
    known = attributes(path).get("ome", {})
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
    folder = (image_folder(path) or path) / "labels"
    names = attributes(folder).get("ome", {}).get("labels", [])
    found = []
    for name in names if isinstance(names, list) else ():
        with suppress(FileFault):  # one that leads elsewhere is none of this image
            found.append(inside(folder, name))
    return [path for path in found if is_label_pyramid(path)]


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
    with reading(path, LabelsError, "labels in OME-Zarr"):
        image = read_image(path)
        planes, notes = with_overview(by_size(list(open_levels(image, path.name, labels=True))))
        own = attributes(path).get(OWN) or {}
        provenance = dict(own.get("provenance") or {})
        table = inside(path.parent, own["features"]) if own.get("features") else None
    if table is not None and not table.is_file():
        notes = (*notes, f"The table of its nuclei, {table.name}, is not beside it.")
        table = None
    said = tuple(note for note in image.notes if note != UNKNOWN_SCALE)
    return SlideLabels(bare_name(path), path, planes, image.mpp, image.offset, table, provenance, (*notes, *said))


class LabelPyramid:
    """A pyramid of label images, each level with every second pixel of the one before in both directions.

    Parts of the first level may be written in any order; `downsample` then makes those of the others. It is an
    OME-NGFF label image, which viewers place by its microns.

    Parameters
    ----------
    folder : Path
        An empty folder.
    shape : (int, int)
        Height and width in pixels.
    scale : (float, float)
        Microns that a pixel is high and wide.
    extra : mapping
        Kept beside the metadata of OME, under ``"nucleigan"``; ready for JSON.
    place : (float, float)
        Microns from the middle of the slide's first pixel to that of its own.
    sharded : bool
        Whether each file holds several chunks, which makes few files but is slow to change with `update`.

    Attributes
    ----------
    folder : Path
        Where it is.
    levels : list of zarr.Array of uint32, shape (H, W)
        The full resolution first.
    """

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, int],
        scale: tuple[float, float],
        extra: Mapping[str, Any],
        place: tuple[float, float] = (0.0, 0.0),
        *,
        sharded: bool = True,
    ) -> None:
        count = 1 + max(0, math.ceil(math.log2(max(shape) / SMALLEST)))
        self.folder = folder
        group = zarr.open_group(folder, mode="w", zarr_format=3)
        shapes = [tuple(-(-length // 2**level) for length in shape) for level in range(count)]
        # A small level has a file of its own size.
        self._sides = [min(SHARD, -(-max(one) // CHUNK) * CHUNK) if sharded else CHUNK for one in shapes]
        self.levels = [
            group.create_array(
                str(level),
                shape=shapes[level],
                chunks=(CHUNK, CHUNK),
                shards=(self._sides[level],) * 2 if sharded else None,
                dtype=np.uint32,
                compressors=BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),
                dimension_names=("y", "x"),
            )
            for level in range(count)
        ]
        group.attrs.update(
            {
                "ome": {
                    "version": VERSION,
                    "multiscales": [
                        {
                            "name": "nuclei",
                            "axes": [{"name": name, "type": "space", "unit": "micrometer"} for name in ("y", "x")],
                            "datasets": [
                                {
                                    "path": str(level),
                                    "coordinateTransformations": [
                                        {"type": "scale", "scale": [length * 2**level for length in scale]},
                                        # The first pixel of every level is that of the full resolution.
                                        {"type": "translation", "translation": list(place)},
                                    ],
                                }
                                for level in range(count)
                            ],
                        }
                    ],
                    "image-label": {"version": VERSION},
                },
                "nucleigan": dict(extra),
            }
        )

    @property
    def chunks(self) -> list[tuple[int, int, int, int]]:
        """First row, last row + 1, first and last column + 1 of what a file of the first level holds."""
        return list(self._parts(0))

    def _parts(self, level: int) -> Iterator[tuple[int, int, int, int]]:
        height, width = self.levels[level].shape
        side = self._sides[level]
        for top in range(0, height, side):
            for left in range(0, width, side):
                yield top, min(top + side, height), left, min(left + side, width)

    def describe(self, colours: Sequence[Mapping[str, Any]], properties: Sequence[Mapping[str, Any]]) -> None:
        """Say what the labels are.

        Parameters
        ----------
        colours, properties : sequence of mapping
            As OME-NGFF has them in ``image-label``; an entry for each label.
        """
        group = zarr.open_group(self.folder, mode="r+")
        ome = dict(group.attrs["ome"])
        known = {"colors": list(colours), "properties": list(properties)}
        ome["image-label"] = {**ome["image-label"], **{name: entries for name, entries in known.items() if entries}}
        group.attrs["ome"] = ome

    def fill(self, paint: Callable[[int, int, int, int], NDArray[np.uint32]]) -> Iterator[float]:
        """Write all levels; yields which share is written.

        Parameters
        ----------
        paint : callable
            Draws a part of the labels: first row, last row + 1, first and last column + 1.
        """
        for count, (top, bottom, left, right) in enumerate(self.chunks):
            self.write(top, left, paint(top, bottom, left, right))
            if count % 16 == 0:
                yield count / len(self.chunks)
        for level in range(1, len(self.levels)):
            self.downsample(level)
            yield 1.0

    def write(self, top: int, left: int, labels: NDArray[np.uint32]) -> None:
        """Write a part of the first level, all that a file holds or several; one without nuclei takes no space.

        Parameters
        ----------
        top, left : int
            Its first row and column.
        labels : ndarray of uint32, shape (h, w)
            The part.
        """
        if labels.any():
            self.levels[0][top : top + labels.shape[0], left : left + labels.shape[1]] = labels

    def update(self, top: int, left: int, labels: NDArray[np.uint32]) -> None:
        """Write any part of the first level, and what changes by it in the others at once."""
        for level, array in enumerate(self.levels):
            step = 2**level
            part = labels[-top % step :: step, -left % step :: step]
            if not part.size:
                break
            row, column = -(-top // step), -(-left // step)
            array[row : row + part.shape[0], column : column + part.shape[1]] = part

    def downsample(self, level: int) -> None:
        """Fill a level from the one before."""
        finer, array = self.levels[level - 1], self.levels[level]
        for top, bottom, left, right in self._parts(level):
            part = np.zeros((bottom - top, right - left), np.uint32)
            # A chunk at a time: four times as much is read as is written.
            for row, column in np.ndindex(*(-(-length // CHUNK) for length in part.shape)):
                inner = part[row * CHUNK :, column * CHUNK :][:CHUNK, :CHUNK]
                first, start = 2 * (top + row * CHUNK), 2 * (left + column * CHUNK)
                inner[:] = finer[first : first + 2 * CHUNK, start : start + 2 * CHUNK][::2, ::2]
            if part.any():
                array[top:bottom, left:right] = part
