"""Session: the nuclei that were measured, what is told of them, and which are selected; no Qt here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base import tables
from napari_nucleigan.labels.classes import CLASS
from napari_nucleigan.labels.statistics import brushed, title

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.labels.features import Table
    from napari_nucleigan.labels.polygons import Points
    from napari_nucleigan.labels.statistics import Classes, MeasuredNuclei, Range, Statistics

SELECTED = "selected"
"""Column of an exported table: 1 for the nuclei that were selected, 0 for the others."""


@dataclass
class Session:
    """What is shown.

    Attributes
    ----------
    nuclei : MeasuredNuclei or None
        The nuclei of the layer; None while they are not measured.
    classes : Classes or None
        Their classes.
    found : Statistics or None
        What is told of those in the region.
    selected : ndarray of int, shape (s,)
        Labels of the nuclei that are selected, wherever they lie.
    """

    nuclei: MeasuredNuclei | None = None
    classes: Classes | None = None
    found: Statistics | None = None
    selected: NDArray[Any] = field(default_factory=lambda: np.zeros(0, np.int64))

    def take(self, nuclei: MeasuredNuclei) -> None:
        """Take nuclei that were measured; those that were selected and are still there stay so."""
        self.nuclei, self.classes, self.found = nuclei, None, None
        self.selected = self.selected[np.isin(self.selected, nuclei.labels)]

    def clear(self) -> None:
        """Forget all."""
        self.nuclei = self.classes = self.found = None
        self.selected = self.selected[:0]

    @property
    def rows(self) -> NDArray[np.intp]:
        """Rows of the nuclei that are selected."""
        return self._rows(np.arange(0 if self.nuclei is None else len(self.nuclei)))

    @property
    def plotted(self) -> NDArray[np.intp]:
        """Rows of the nuclei that are selected and plotted."""
        return self._rows(self.found.rows if self.found is not None else np.zeros(0, np.intp))

    def _rows(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        if self.nuclei is None or not len(self.selected):
            return rows[:0]
        return rows[np.isin(self.nuclei.labels[rows], self.selected)]

    def select(self, rows: NDArray[np.intp], add: bool = False) -> None:
        """Select nuclei by their rows, instead of the others or beside them."""
        assert self.nuclei is not None
        labels = self.nuclei.labels[rows]
        self.selected = np.union1d(self.selected, labels) if add else np.unique(labels)

    def brush(self, x: Range, y: Range | None, add: bool = False) -> None:
        """Select the plotted nuclei whose measurements lie in a range, or in two."""
        if self.nuclei is not None and self.found is not None:
            self.select(brushed(self.nuclei, self.found, x, y), add)

    def select_region(self, region: Sequence[Points], add: bool = False) -> None:
        """Select the nuclei whose centroid lies in a region."""
        if self.nuclei is not None:
            self.select(np.flatnonzero(self.nuclei.within(region)), add)

    def click(self, label: int, add: bool = False) -> None:
        """Select a nucleus by its label, or take it back where it is selected and others stay; 0 selects none."""
        if self.nuclei is None or (add and not label):
            return
        rows = np.flatnonzero(self.nuclei.labels == label) if label else np.zeros(0, np.intp)
        if add and label in self.selected:
            self.selected = self.selected[self.selected != label]
        else:
            self.select(rows, add)

    def table(self) -> Table:
        """Return the table of the plotted nuclei, with their classes, and which of them are selected."""
        nuclei, classes, found = self.nuclei, self.classes, self.found
        assert nuclei is not None
        assert classes is not None
        assert found is not None
        table = {name: column[found.rows] for name, column in nuclei.table.items()}
        if any(classes.names):
            table[CLASS] = np.array(classes.names)[classes.of[found.rows]]
        if len(self.selected):
            table[SELECTED] = np.isin(table["label"], self.selected).astype(np.int64)
        return table

    def figures(self) -> tuple[list[str], list[list[Any]]]:
        """Return the figures of the classes, and of all: the names of the columns, and the rows."""
        assert self.found is not None
        name = title(self.found.question.x)
        header = ["Class", "Nuclei", "Nuclei per mm²", *(f"{what} of {name}" for what in ("Mean", "SD", "Median"))]
        rows = []
        for one in (*self.found.classes, self.found.total):
            numbers = (one.density, one.mean, one.deviation, one.median)
            which = "all" if one is self.found.total else one.name or "no class"
            rows.append([which, one.count, *("" if np.isnan(each) else f"{each:.8g}" for each in numbers)])
        return header, rows if any(one.name for one in self.found.classes) else rows[-1:]

    def line(self) -> str:
        """Say in a line how many nuclei there are in the region, how large it is, and how many are selected."""
        if self.found is None:
            return ""
        count = self.found.total.count
        parts = ["1 nucleus" if count == 1 else f"{thousands(count)} nuclei"]
        if self.found.mm2 is not None:
            parts.append(f"{self.found.mm2:.3g} mm²")
        if len(self.selected):
            parts.append(f"{thousands(len(self.selected))} selected")
        return " · ".join(parts)

    def remark(self, name: str) -> str:
        """Say what is to be known of the plot of a layer's nuclei; empty where that is nothing."""
        nuclei, found = self.nuclei, self.found
        if nuclei is None or found is None:
            return ""
        if not len(nuclei):
            return f"“{name}” has no nuclei."
        said = []
        if not found.total.count:
            said.append("There is no nucleus in the region: move it, or choose another one.")
        elif len(found.rows) and found.unknown == len(found.rows):
            names = " and ".join(title(each) for each in (found.question.x, found.question.y) if each)
            said.append(f"None of these nuclei has a value of {names}.")
        elif found.unknown:
            said.append(f"{thousands(found.unknown)} nuclei have no value and are not plotted.")
        known = len(found.rows) - found.unknown
        if 0 < len(found.drawn) < known:
            said.append(f"{thousands(len(found.drawn))} of {thousands(known)} nuclei are drawn; all can be selected.")
        if not np.isnan(found.correlation):
            said.append(f"Pearson's r {found.correlation:.2f}.")
        if nuclei.mpp is None:
            said.append("The pixel size is not known: type it below for densities and microns.")
        return " ".join(said)

    def save_figures(self, path: Path) -> None:
        """Write the figures of the classes; raises `OutputError` if they cannot be written."""
        tables.write_csv(path, *self.figures())


def thousands(count: float) -> str:
    """Write a whole number with thin spaces between its thousands."""
    return f"{count:,.0f}".replace(",", "\u202f")
