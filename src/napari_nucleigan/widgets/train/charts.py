"""Live chart: many curves over training steps, thinned to what the screen can show; and what is said of a run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal

from napari_nucleigan.adaptation.settings import KIND
from napari_nucleigan.training.runs.status import RunState
from napari_nucleigan.widgets.base.legend import Plot, pretty
from napari_nucleigan.widgets.train.series import Curve, thin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_nucleigan.training.runs.status import RunStatus

    Key = tuple[str, str]  # of a line: its run and its name

STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)
_PALE = 70  # of 255: raw values behind their running mean
_OUTLIERS = 0.02  # share of the raw values at either end that may lie outside of the chart
_DOT = 5  # pixels
_MOST_DOTS = 60
_BEST = ("aji", "train_aji", "own_aji", "f1")
_AXIS = 60  # pixels, so that charts above each other begin at the same place


@dataclass(frozen=True)
class Line:
    """A curve and how it is drawn.

    Attributes
    ----------
    curve : Curve
        Its numbers.
    colour : str
        Of the theme, as ``"#rrggbb"``.
    style : Qt.PenStyle
        Solid, dashed, ...
    raw : bool
        Whether the values show behind their running mean.
    dots : bool
        Whether each value shows as a dot, where they are few.
    """

    curve: Curve
    colour: str
    style: Qt.PenStyle = Qt.PenStyle.SolidLine
    raw: bool = False
    dots: bool = False


class _Axis(pg.AxisItem):
    """A vertical axis whose numbers are short."""

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        if self.logMode:
            return [f"{10**value:.3g}" for value in values]
        return [_short(value * scale) for value in values]


class Chart(Plot):
    """Curves over steps.

    It follows the data until the user zooms or pans.

    Parameters
    ----------
    title : str
        What the vertical axis shows.
    floor : float, optional
        Where the vertical axis begins, if it always begins there.
    """

    touched = Signal()
    """The user has zoomed or panned."""
    ranged = Signal()
    """Another part of the steps is shown: the curves must be thinned again."""

    def __init__(self, title: str, floor: float | None = None) -> None:
        super().__init__(axisItems={"left": _Axis("left")})
        self.title, self._floor = title, floor
        self._log = False
        self._items: dict[tuple[Key, bool], pg.PlotCurveItem] = {}
        self._dots = pg.ScatterPlotItem(size=_DOT, pen=None, pxMode=True)
        self._bounds: list[tuple[float, float]] = []
        plot = self.getPlotItem()
        plot.showGrid(x=True, y=True, alpha=0.15)
        plot.getAxis("left").setWidth(_AXIS)
        for name in ("left", "bottom"):
            plot.getAxis(name).enableAutoSIPrefix(False)
            # Painting a third level of ticks and grid lines takes longer than all curves.
            plot.getAxis(name).setStyle(maxTickLevel=1)
        self._cursor = pg.InfiniteLine(angle=90, movable=False)
        self._cursor.hide()
        plot.addItem(self._cursor, ignoreBounds=True)
        plot.addItem(self._dots, ignoreBounds=True)
        plot.disableAutoRange()
        plot.vb.sigRangeChangedManually.connect(lambda _: self.touched.emit())
        plot.vb.sigXRangeChanged.connect(lambda *_: self.ranged.emit())

    def paint_as(self, background: str, text: str) -> None:
        """Take the colours of a theme."""
        super().paint_as(background, text)
        self._cursor.setPen(pg.mkPen(text, style=Qt.PenStyle.DotLine))
        self.getPlotItem().setLabel("left", self.title, color=text)

    def set_log(self, log: bool) -> None:
        """Show the values on a logarithmic scale; those that are not above 0 are left out."""
        self._log = log
        self.getPlotItem().getAxis("left").setLogMode(y=log)

    def draw(self, lines: dict[Key, Line]) -> None:
        """Draw lines in the present range of steps; those that are no longer among them go."""
        begin, end = self.getPlotItem().vb.viewRange()[0]
        columns = max(50, self.width() - _AXIS)
        wanted: set[tuple[Key, bool]] = set()
        self._bounds = []
        dots: list[dict[str, object]] = []
        for key, line in lines.items():
            for raw in (True, False) if line.raw else (False,):
                wanted.add((key, raw))
                values = line.curve.values if raw else line.curve.smooth
                if self._log:
                    with np.errstate(invalid="ignore", divide="ignore"):
                        values = np.where(values > 0, np.log10(values), np.nan)
                steps, values = thin(line.curve.steps, values, begin, end, columns // (2 if raw else 1))
                item = self._items.get((key, raw)) or self._add((key, raw))
                item.setPen(self._pen(line, raw))
                item.setData(steps, values)
                if line.dots and len(steps) <= _MOST_DOTS:
                    dots += [{"pos": place, "brush": line.colour} for place in zip(steps, values, strict=True)]
                if len(values):
                    ends = (_OUTLIERS, 1 - _OUTLIERS) if raw else (0.0, 1.0)
                    low, high = np.quantile(values, ends)
                    self._bounds.append((float(low), float(high)))
        self._dots.setData(dots)
        for key_ in self._items.keys() - wanted:
            self.getPlotItem().removeItem(self._items.pop(key_))

    def show_steps(self, begin: float, end: float) -> None:
        """Show a range of steps."""
        self.getPlotItem().vb.setXRange(begin, max(end, begin + 1), padding=0.02)

    def fit_values(self) -> None:
        """Fit the vertical range to what was drawn last; single outliers of raw values may stay outside."""
        if not self._bounds:
            return
        low, high = min(low for low, _ in self._bounds), max(high for _, high in self._bounds)
        low = low if self._floor is None else self._floor
        if high - low < 1e-12:
            low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
        self.getPlotItem().vb.setYRange(low, high, padding=0.06)

    def point_at(self, step: float | None) -> None:
        """Show a line at a step, or none."""
        self._cursor.setVisible(step is not None)
        if step is not None:
            self._cursor.setValue(step)

    def _add(self, key: tuple[Key, bool]) -> pg.PlotCurveItem:
        item = pg.PlotCurveItem(antialias=True)
        item.setZValue(0 if key[1] else 1)
        self.getPlotItem().addItem(item)
        self._items[key] = item
        return item

    def _pen(self, line: Line, raw: bool) -> object:
        colour = pg.mkColor(line.colour)
        if raw:
            colour.setAlpha(_PALE)
        # Painting lines of more than one pixel takes three times as long.
        return pg.mkPen(colour, width=1, style=line.style)

    def _point(self, x: float | None) -> None:
        if x is not None:
            self.hovered.emit(x)


def _short(value: float) -> str:
    """Write a number as 0.025 or 2e-4, whichever is the shorter."""
    plain, power = f"{value:.4g}", f"{value:.3e}"
    digits, exponent = power.split("e")
    return min(plain, f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}", key=len)


def span(curves: Iterable[Curve]) -> tuple[float, float]:
    """First and last step of curves; 0 and 1 where there are none."""
    ends = [(curve.steps[0], curve.steps[-1]) for curve in curves if len(curve)]
    return (float(min(a for a, _ in ends)), float(max(b for _, b in ends))) if ends else (0.0, 1.0)


def word(state: RunState) -> str:
    """Write a state for people."""
    return str(state).capitalize()


def allowed(status: RunStatus) -> set[str]:
    """Tell what can be done with a run now, of pause, resume, stop, kill, rename and delete."""
    state = status.state
    if state in (RunState.RUNNING, RunState.QUEUED):
        return {"pause", "stop", "kill"}
    if state is RunState.PAUSED:
        return {"resume", "stop", "kill"}
    if state is RunState.STOPPING:
        return {"kill"}
    # The parts of an adaptation know one another by their paths.
    renamed = [] if status.kind == KIND and state.resumable else ["rename"]
    return {"delete", *renamed, *(["resume"] if state.resumable else [])}


def best_score(status: RunStatus) -> tuple[str, float] | None:
    """Name and value of the score that is shown in lists; None before the first validation."""
    for name in (*_BEST, *status.best):
        if name in status.best:
            return pretty(name), status.best[name]
    return None


def ago(moment: float) -> str:
    """Write how long ago a moment was."""
    seconds = max(0.0, time.time() - moment)
    if not moment:
        return ""
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "now"
