"""Classes of nuclei in tables of them: their names, and the colours that every writer and view gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

CLASS = "class"
"""Column of a table that names the class of each nucleus; an empty text where it has none."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

_PALETTE: tuple[Colour, ...] = (
    (230, 60, 60),
    (40, 110, 220),
    (40, 160, 70),
    (240, 170, 30),
    (150, 70, 190),
    (30, 180, 190),
    (230, 120, 180),
)


def colours(names: Iterable[str]) -> dict[str, Colour]:
    """Give classes their colours, in the order in which they are named.

    Parameters
    ----------
    names : iterable of str
        The classes.

    Returns
    -------
    dict of str to (int, int, int)
    """
    return {name: _PALETTE[place % len(_PALETTE)] for place, name in enumerate(dict.fromkeys(names))}


def class_colours(
    tables: Iterable[Mapping[str, npt.NDArray[Any]]], known: Mapping[str, Iterable[int]] | None = None
) -> dict[str, Colour]:
    """Give the classes that tables name their colours.

    Parameters
    ----------
    tables : iterable of mapping of str to ndarray, shape (n,)
        Tables of nuclei, perhaps with a column `CLASS`.
    known : mapping of str to (int, int, int), optional
        Classes and colours that are settled, as by a classifier: then there are no others.

    Returns
    -------
    dict of str to (int, int, int)
        In the classifier's order, or by name; empty where the tables name none.
    """
    if known:
        return {name: _colour(colour) for name, colour in known.items()}
    found: set[str] = set()
    for table in tables:
        if CLASS not in table:
            break  # all have the same columns
        found.update(np.unique(np.asarray(table[CLASS], dtype=str)).tolist())
    return colours(sorted(found - {""}))


def _colour(channels: Iterable[int]) -> Colour:
    red, green, blue = (int(channel) for channel in channels)
    return red, green, blue
