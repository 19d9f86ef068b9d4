"""Pyramids of labels in OME-Zarr (OME-NGFF 0.5), written chunk by chunk."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

CHUNK = 1024
"""Side of the chunks in pixels."""

SMALLEST = 1024
"""Longest side in pixels of the last level."""

VERSION = "0.5"


class LabelPyramid:
    """A pyramid of label images, each level with every second pixel of the one before in both directions.

    Chunks of the first level may be written in any order; `downsample` then makes those of the others. It is an
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

    Attributes
    ----------
    folder : Path
        Where it is.
    levels : list of zarr.Array of uint32, shape (H, W)
        The full resolution first.
    """

    def __init__(
        self, folder: Path, shape: tuple[int, int], scale: tuple[float, float], extra: Mapping[str, Any]
    ) -> None:
        count = 1 + max(0, math.ceil(math.log2(max(shape) / SMALLEST)))
        self.folder = folder
        group = zarr.open_group(folder, mode="w", zarr_format=3)
        self.levels = [
            group.create_array(
                str(level),
                shape=tuple(-(-length // 2**level) for length in shape),
                chunks=(CHUNK, CHUNK),
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
                                        {"type": "scale", "scale": [length * 2**level for length in scale]}
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
        """First row, last row + 1, first and last column + 1 of each chunk of the first level."""
        height, width = self.levels[0].shape
        return [
            (top, min(top + CHUNK, height), left, min(left + CHUNK, width))
            for top in range(0, height, CHUNK)
            for left in range(0, width, CHUNK)
        ]

    def write(self, top: int, left: int, labels: NDArray[np.uint32]) -> None:
        """Write a part of the first level, a whole chunk or several; one without nuclei takes no space.

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
        height, width = array.shape
        for top in range(0, height, CHUNK):
            for left in range(0, width, CHUNK):
                part = finer[2 * top : 2 * (top + CHUNK), 2 * left : 2 * (left + CHUNK)][::2, ::2]
                if part.any():
                    array[top : top + part.shape[0], left : left + part.shape[1]] = part
