"""Measurements that are known of labels already: whether they still hold, and what they have beside new ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_nucleigan.labels.features import Table

KEYS = ("label", "index")
"""Names of the column of labels: in our tables, and in the features of a napari layer."""

Column = npt.NDArray[Any]


def key_of(known: Mapping[str, Any] | None) -> str | None:
    """Name the column that holds the labels; None where there is none."""
    return next((name for name in KEYS if known is not None and name in known), None)


def with_known(table: Table, known: Mapping[str, Any] | None) -> Table:
    """Give a table the columns that only an earlier one has.

    Parameters
    ----------
    table : dict of str to ndarray, shape (n,)
        As from `napari_nucleigan.labels.features.measure`.
    known : mapping of str to array-like, shape (m,), optional
        The earlier one, such as the features of a layer, whose column of labels is one of `KEYS`.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        With its numbers, NaN where a label is new, and its texts, then empty.
    """
    key = key_of(known)
    if known is None or key is None or not len(known[key]):
        return dict(table)
    rows = rows_of(table["label"], np.asarray(known[key]))
    full = dict(table)
    for name in known:
        if name not in KEYS and name not in table and (column := as_column(known[name])) is not None:
            full[str(name)] = taken(column, rows)
    return full


def is_current(known: Mapping[str, Any], labels: Column, areas: Column, needed: Mapping[str, bool]) -> bool:
    """Tell whether an earlier table is of the same nuclei, as far as their labels and areas tell.

    Parameters
    ----------
    known : mapping of str to array-like, shape (m,)
        The earlier table.
    labels, areas : ndarray of int, shape (n,)
        The labels as they are now, ascending, and their pixels.
    needed : mapping of str to bool
        Columns, and whether each must be there.
    """
    key = key_of(known)
    if key is None or "area_px" not in known or any(name not in known for name, must in needed.items() if must):
        return False
    own = np.asarray(known[key])
    order = np.argsort(own, kind="stable")
    return np.array_equal(own[order], labels) and np.array_equal(np.asarray(known["area_px"])[order], areas)


def rows_of(labels: Column, known: Column) -> npt.NDArray[np.int64]:
    """Find labels among others.

    Parameters
    ----------
    labels, known : ndarray of int, shapes (n,) and (m,)
        In any order.

    Returns
    -------
    ndarray of int64, shape (n,)
        Place of each among the known ones; -1 where it is none of them.
    """
    if not len(known):
        return np.full(len(labels), -1, np.int64)
    order = np.argsort(known, kind="stable")
    place = order[np.searchsorted(known[order], labels).clip(0, len(known) - 1)]
    return np.where(known[place] == labels, place, -1).astype(np.int64)


def as_column(values: Any) -> Column | None:
    """Make an array of numbers or texts of a column, such as one of pandas; None where it holds something else."""
    column = np.asarray(values)
    if column.dtype.kind in "fiu":
        return column
    if column.dtype.kind in "OUT":
        # A table read from a file has NaN where a text is missing.
        texts = ["" if value is None or value != value else value for value in column.tolist()]
        return np.array(texts, dtype=str) if all(isinstance(text, str) for text in texts) else None
    return None


def taken(column: Column, rows: npt.NDArray[np.int64]) -> Column:
    """Take rows of a column; -1 is a number that is not known, or no text."""
    if column.dtype.kind == "U":
        return np.where(rows >= 0, column[rows], "")
    return np.where(rows >= 0, column[rows].astype(np.float64), np.nan)
