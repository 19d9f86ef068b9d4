"""Density: nuclei per square millimetre as a map, of all of them and of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.pixels import sides
from napari_nucleigan.labels.classes import CLASS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.stores.nuclei import Nuclei

DENSITY_PIXEL = 64.0
"""Microns that a pixel of the map of density is long."""


def density_map(nuclei: Nuclei, classes: Sequence[str] = ()) -> NDArray[np.float32]:
    """Count nuclei per square millimetre in squares of `DENSITY_PIXEL` microns.

    Parameters
    ----------
    nuclei : Nuclei
        The nuclei.
    classes : sequence of str
        Classes to count beside all.

    Returns
    -------
    ndarray of float32, shape (1 + k, H, W)
        All nuclei, then those of each class.
    """
    lengths = [length * side for length, side in zip(nuclei.extent, sides(nuclei.mpp), strict=True)]
    return count_per_mm2(nuclei.tables(), (lengths[0], lengths[1]), classes)


def count_per_mm2(
    tables: Iterable[Mapping[str, NDArray[Any]]], extent: tuple[float, float], classes: Sequence[str] = ()
) -> NDArray[np.float32]:
    """Count the nuclei of tables, as `density_map`, in an image that is so many microns high and wide."""
    shape = int(np.ceil(extent[0] / DENSITY_PIXEL)), int(np.ceil(extent[1] / DENSITY_PIXEL))
    count = np.zeros((1 + len(classes), *shape), np.float32)
    for table in tables:
        rows, columns = (
            (np.asarray(table[f"centroid_{axis}_um"]) / DENSITY_PIXEL).astype(np.intp).clip(0, length - 1)
            for axis, length in zip("yx", shape, strict=True)
        )
        np.add.at(count[0], (rows, columns), 1)
        for name, plane in zip(classes, count[1:], strict=True):
            mine = np.asarray(table[CLASS]) == name
            np.add.at(plane, (rows[mine], columns[mine]), 1)
    # Squares at the lower and right border are smaller.
    edges = [
        np.minimum(DENSITY_PIXEL, length - DENSITY_PIXEL * np.arange(inner))
        for length, inner in zip(extent, shape, strict=True)
    ]
    found: NDArray[np.float32] = (count / (np.outer(*edges) / 1e6)).astype(np.float32)
    return found
