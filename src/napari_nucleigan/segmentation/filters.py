"""Filters of nuclei that are found already: which of them count, by what their table says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.text import printable
from napari_nucleigan.labels.classes import CLASS
from napari_nucleigan.segmentation.confidence import CONFIDENCE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.settings import NucleiFilter

AREA = "area_um2"

COLUMNS = ("label", AREA, CONFIDENCE, CLASS, "centroid_y_um", "centroid_x_um")
"""What is read of a table to tell which nuclei count, and where these are."""


def kept(
    wanted: NucleiFilter, table: Mapping[str, NDArray[Any]], name: str, classes: Collection[str] | None = None
) -> NDArray[np.bool_]:
    """Tell which rows of a table a filter leaves.

    Parameters
    ----------
    wanted : NucleiFilter
        The filter.
    table : mapping of str to ndarray, shape (n,)
        Table of nuclei, with those of the columns `AREA`, `CONFIDENCE` and `CLASS` that the filter asks about.
    name : str
        What it belongs to, for errors.
    classes : collection of str, optional
        Classes that nuclei may have; by default those that they have.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    LabelsError
        If a column is missing, or nuclei can have none of a class's name.
    """
    keep = np.ones(len(next(iter(table.values()), ())), bool)
    if wanted.min_confidence:
        why = "the model that found them tells none; filter by size"
        # What is not known is not below the limit.
        keep &= ~(_column(table, CONFIDENCE, name, why) < wanted.min_confidence)
    if wanted.min_area or wanted.max_area is not None:
        why = "the image had no pixel size; segment it again with its microns per pixel, as by --mpp 0.25"
        area = _column(table, AREA, name, why)
        keep &= (area >= wanted.min_area) & (area <= (np.inf if wanted.max_area is None else wanted.max_area))
    if wanted.classes is not None:
        why = "no classifier was given; segment it again with one, as by --classifier types.safetensors"
        found = _column(table, CLASS, name, why)
        known = set(np.unique(found.astype(str)).tolist()) - {""} | set(classes or ())
        if unknown := [each for each in wanted.classes if each not in known]:
            raise LabelsError(
                f"No nucleus of {printable(name)} can be of the class {printable(unknown[0])!r}; there are "
                f"{', '.join(map(printable, sorted(known))) or 'none'}."
            )
        keep &= np.isin(found, wanted.classes)
    return keep


def _column(table: Mapping[str, NDArray[Any]], column: str, name: str, why: str) -> NDArray[Any]:
    if column not in table:
        raise LabelsError(f"The table of {printable(name)} has no column {column!r}: {why}.")
    return np.asarray(table[column])
