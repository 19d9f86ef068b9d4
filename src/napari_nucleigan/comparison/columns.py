"""The metrics that a report shows, and how their figures are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.evaluation import Interval


@dataclass(frozen=True, slots=True)
class Column:
    """A metric of the report.

    Attributes
    ----------
    metric : str
        Our figure.
    title : str
        What it is called.
    digits : int
        Digits after the point.
    published : str or None
        The figure of the published table that stands beside it.
    lower : bool
        Whether less is better.
    """

    metric: str
    title: str
    digits: int = 3
    published: str | None = None
    lower: bool = False


COLUMNS = (
    Column("aji", "AJI", published="aji"),
    Column("average_hausdorff_penalised", "average Hausdorff distance (px)", 2, "average_hausdorff", lower=True),
    Column("f1", "F1", published="f1"),
)
"""The metrics of the paper's table: ours, and what the paper calls the same."""


def number(value: float | None, digits: int) -> str:
    """Write a figure; a dash where there is none."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def best(values: list[float | None], lower: bool) -> float | None:
    """Return the best of some figures."""
    known = [value for value in values if value is not None]
    return (min if lower else max)(known, default=None)


def ends(interval: Interval | None, write: Callable[[float], str]) -> str:
    """Write an interval in brackets; nothing where there is none."""
    return "" if interval is None else f" [{write(interval.low)}, {write(interval.high)}]"
