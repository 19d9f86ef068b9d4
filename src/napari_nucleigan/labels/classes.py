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

# Okabe and Ito, Color Universal Design, 2008, without black and in an order whose first ones stand out on H&E, which is
# violet and pink; then Tol's light scheme, for more classes than eight.
_PALETTE: tuple[Colour, ...] = (
    (0, 158, 115),
    (230, 159, 0),
    (86, 180, 233),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (153, 221, 255),
    (170, 170, 0),
    (68, 187, 153),
    (238, 136, 102),
    (187, 204, 51),
)


def colours(names: Iterable[str]) -> dict[str, Colour]:
    """Give classes their colours, in the order in which they are named; it repeats after twelve.

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
