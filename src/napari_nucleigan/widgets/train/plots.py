"""Live plots of training runs: losses, validation scores and the learning rate, of one run or of several.

A view and nothing more: it is given the `series.Series` of runs, and told when they have grown.
"""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import QRect, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QCursor, QImage, QPainter
from qtpy.QtWidgets import (
    QGridLayout,
    QLabel,
    QSizePolicy,
    QSplitter,
    QToolTip,
    QWidget,
)

from napari_nucleigan.base.errors import NucleiganError, OutputError
from napari_nucleigan.base.files import atomic_write
from napari_nucleigan.widgets.base.fields import NO_MARGINS, check, column, menu_button, push_button, slider
from napari_nucleigan.widgets.base.legend import DARK, Legend, chart_colours, pretty
from napari_nucleigan.widgets.base.path_fields import ask_file
from napari_nucleigan.widgets.train.charts import STYLES, Chart, Line, span
from napari_nucleigan.widgets.train.series import LR, Curve, Series, save_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from napari_nucleigan.widgets.base.legend import Key

MOST_RUNS = 10
"""Runs that can be shown at once."""

SMOOTHING = 0.9
"""Share of the past in the running means at first."""

_REDRAW_MS = 30  # after the last move of the mouse wheel
_PICTURE = 3  # pixels of an exported picture for one on the screen
_SHOWN = ("aji", "f1")


class LivePlots(QWidget):
    """Charts of the losses, scores and learning rates of up to `MOST_RUNS` runs."""

    failed = Signal(object)
    """A picture or table could not be written: a `NucleiganError`."""

    def __init__(self) -> None:
        super().__init__()
        self._runs: dict[str, Series] = {}
        self._following = True
        self._drawn: dict[Chart, dict[tuple[str, str], Line]] = {}
        self._step: float | None = None  # under the pointer
        self._colours = DARK
        self._background = "#000000"
        self.losses, self.scores, self.rates = Chart("loss"), Chart("score"), Chart("rate", floor=0.0)
        self.rates.getPlotItem().getAxis("left").setTickDensity(0.5)  # it is low
        self.charts = (self.losses, self.scores, self.rates)
        self.names, self.run_names = Legend(), Legend(long_names=True)
        self.step = QLabel()
        self.log = check("Log", "Show the losses on a logarithmic scale; values that are not above 0 are left out.")
        self.smoothing = slider(SMOOTHING, "Share of the past in the running mean; 0 shows the values as they are.")
        self.smoothing.setRange(0.0, 0.99)
        self.fit_button = push_button("Fit", "Show everything again, and follow the run.")
        self.export_button = menu_button(
            "Export",
            "Save what is shown as a picture, or all values as a table.",
            {
                "Picture (PNG)…": lambda: self._ask("Save the plots", "plots.png", self.save_picture),
                "Table (CSV)…": lambda: self._ask(
                    "Save the values", "values.csv", lambda path: save_table(path, self._runs)
                ),
            },
        )
        self._rest = QTimer(self, singleShot=True, interval=_REDRAW_MS)
        self._build()
        self._connect()
        self.set_theme("dark")

    @property
    def following(self) -> bool:
        """Whether the charts show everything, and go on to; not after the user has zoomed."""
        return self._following

    def show_runs(self, runs: Mapping[str, Series]) -> None:
        """Show runs, by name; the first `MOST_RUNS` of them."""
        self._runs = dict(list(runs.items())[:MOST_RUNS])
        for series in self._runs.values():
            series.set_smoothing(self.smoothing.value())
        self._following = True
        self.refresh()

    def refresh(self) -> None:
        """Draw what has come since."""
        self._list()
        if self._following:
            groups = [group for chart in self.charts for group in self._groups(chart)]
            self.losses.show_steps(*span(curve for group in groups for curve in group.values()))
        self._draw()

    def fit(self) -> None:
        """Show everything, and follow the runs."""
        self._following = True
        self.refresh()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        self._background, text, self._colours = chart_colours(theme)
        for chart in self.charts:
            chart.paint_as(self._background, text)
        self._draw()

    def save_picture(self, path: str | Path) -> None:
        """Write the charts and their legend as PNG.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        area = QRect(self.run_names.pos(), self.splitter.geometry().bottomRight())
        image = QImage(QSize(self.width(), area.height()) * _PICTURE, QImage.Format.Format_RGB32)
        image.fill(QColor(self._background))
        painter = QPainter(image)
        painter.scale(_PICTURE, _PICTURE)
        for part in (self.run_names, self.names, self.splitter):
            if part.isVisible():
                part.render(painter, part.pos() - area.topLeft())
        painter.end()
        with atomic_write(path) as temporary:
            if not image.save(str(temporary), "PNG"):
                raise OutputError(f"Cannot write {path}; choose another folder, or free some space.")

    def _build(self) -> None:
        buttons = QGridLayout()
        buttons.setHorizontalSpacing(6)
        buttons.addWidget(self.log, 0, 0)
        buttons.addWidget(QLabel("Smooth"), 0, 1)
        buttons.addWidget(self.smoothing, 0, 2)
        buttons.addWidget(self.fit_button, 0, 3)
        buttons.addWidget(self.export_button, 0, 4)
        buttons.setColumnStretch(2, 1)
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.setChildrenCollapsible(False)
        for chart, least, share in zip(self.charts, (110, 90, 70), (5, 3, 2), strict=True):
            chart.setMinimumHeight(least)
            self.splitter.addWidget(chart)
            self.splitter.setStretchFactor(self.splitter.count() - 1, share)
        self.splitter.setMinimumHeight(280)
        for chart in self.charts[1:]:
            chart.getPlotItem().setXLink(self.losses.getPlotItem())
        self.step.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        parts = (buttons, self.run_names, self.names, self.splitter, self.step)
        column(*parts, inside=self, margins=NO_MARGINS, spacing=4, tall=self.splitter)
        self.run_names.hide()

    def _connect(self) -> None:
        self.log.toggled.connect(self._log_toggled)
        self.smoothing.valueChanged.connect(self._smooth)
        self.fit_button.clicked.connect(self.fit)
        self.names.changed.connect(self.refresh)
        self._rest.timeout.connect(self._draw)
        for chart in self.charts:
            chart.hovered.connect(partial(self._pointed, chart))
            chart.touched.connect(self._touched)
        self.losses.ranged.connect(self._ranged)

    def _groups(self, chart: Chart) -> list[dict[str, Curve]]:
        if chart is self.rates:
            return [{LR: series.rates[LR]} if LR in series.rates else {} for series in self._runs.values()]
        return [series.losses if chart is self.losses else series.scores for series in self._runs.values()]

    def _names(self, chart: Chart) -> list[str]:
        return list(dict.fromkeys(name for group in self._groups(chart) for name in group))

    def _list(self) -> None:
        """Bring the legends up to date with the runs."""
        several = len(self._runs) > 1
        entries: dict[Key, tuple[str, str, bool]] = {}
        for chart in (self.losses, self.scores):
            for index, name in enumerate(self._names(chart)):
                # Ten runs of eight losses each are for nobody to read: it begins with the first loss.
                shown = not (several and index) if chart is self.losses else any(part in name for part in _SHOWN)
                kind = "Loss" if chart is self.losses else "Validation score"
                entries[chart.title, name] = pretty(name), f"{kind} “{name}”: show or hide it.", shown
        if several != self.run_names.isVisibleTo(self):
            self.names.set_entries({})  # what is ticked for one run is too much for several
        self.names.set_entries(entries)
        runs = {("run", name): (name, f"The run {name}.", True) for name in self._runs} if several else {}
        self.run_names.set_entries(runs, checkable=False)
        self.run_names.setVisible(several)

    def _lines(self, chart: Chart) -> dict[tuple[str, str], Line]:
        several = len(self._runs) > 1
        ticked = [name for name in self._names(chart) if (chart.title, name) in self.names.shown]
        if chart is self.rates:
            ticked = [LR]
        lines: dict[tuple[str, str], Line] = {}
        for position, (run, group) in enumerate(zip(self._runs, self._groups(chart), strict=True)):
            for index, name in enumerate(ticked):
                if name not in group:
                    continue
                place = position if several else self._names(chart).index(name)
                colour = self._colours[place % len(self._colours)]
                style = STYLES[index % len(STYLES)] if several else STYLES[0]
                raw = chart is self.losses and not several and self.smoothing.value() > 0
                lines[run, name] = Line(group[name], colour, style, raw, dots=chart is self.scores)
                self.names.set_swatch((chart.title, name), "#888888" if several else colour, style)
            if several:
                self.run_names.set_swatch(("run", run), self._colours[position % len(self._colours)])
        return lines

    def _draw(self) -> None:
        for chart in self.charts:
            self._drawn[chart] = self._lines(chart)
            chart.draw(self._drawn[chart])
            if self._following:
                chart.fit_values()
        self._show_values()

    def _log_toggled(self, log: bool) -> None:
        self.losses.set_log(log)
        self._following = True
        self.refresh()

    def _smooth(self, smoothing: float) -> None:
        for series in self._runs.values():
            series.set_smoothing(smoothing)
        self._draw()

    def _touched(self) -> None:
        self._following = False

    def _ranged(self) -> None:
        if not self._following:
            self._rest.start()

    def _pointed(self, chart: Chart, step: float | None) -> None:
        """Show the values at a step, or the newest ones; those of the chart that is pointed at beside the pointer."""
        self._step = step
        self._show_values()
        if step is None:
            QToolTip.hideText()
        else:
            QToolTip.showText(QCursor.pos(), self._readout(chart, step), chart)

    def _show_values(self) -> None:
        for chart in self.charts:
            chart.point_at(self._step)
        newest = max((series.last_step for series in self._runs.values()), default=0)
        at = newest if self._step is None else self._step
        parts = [f"step {max(0, round(at))}"] if self._runs else []
        # The legend has room for the values of one run.
        for series in self._runs.values() if len(self._runs) == 1 else ():
            if LR in series.rates and (rate := series.rates[LR].at(at)) is not None:
                parts.append(f"rate {rate:.3g}")
            for kind, group in (("loss", series.losses), ("score", series.scores)):
                for name, curve in group.items():
                    value = curve.at(at, smooth=True)
                    self.names.set_value((kind, name), "" if value is None else f"{value:.3g}")
        self.step.setText(" · ".join(parts))

    def _readout(self, chart: Chart, step: float) -> str:
        """Write the values of a chart at a step: a row for each curve, or for each run where there are several."""
        lines = self._drawn.get(chart, {})
        names = list(dict.fromkeys(name for _, name in lines))
        if len(self._runs) > 1:
            rows = [(run, [lines.get((run, name)) for name in names]) for run in self._runs]
            head = f"step {round(step)}", *map(pretty, names)
        else:
            rows = [(pretty(name), [line]) for (_, name), line in lines.items()]
            head = (f"step {round(step)}",)
        known = [(title, row) for title, row in rows if any(row)]
        table = [head, *((_title(title, row), *(_value(line, step) for line in row)) for title, row in known)]
        html = ("</td><td>&nbsp;".join(cells) for cells in table)
        return f"<table>{''.join(f'<tr><td>{cells}</td></tr>' for cells in html)}</table>"

    def _ask(self, title: str, name: str, save: Callable[[Path], None]) -> None:
        run = next(iter(self._runs), "")
        path = ask_file(self, "plots", f"{run} {name}".strip(), title)
        if path is None:
            return
        try:
            save(path)
        except NucleiganError as error:
            self.failed.emit(error)


def _title(text: str, lines: Sequence[Line | None]) -> str:
    colour = next(line.colour for line in lines if line is not None)
    return f"<span style='color:{colour}'>■</span> {escape(text)}"


def _value(line: Line | None, step: float) -> str:
    """Write the running mean at a step and, in brackets, the value."""
    value, mean = (line.curve.at(step), line.curve.at(step, smooth=True)) if line is not None else (None, None)
    if value is None or mean is None:
        return ""
    return f"{mean:.3g}" if value == mean else f"{mean:.3g} ({value:.3g})"
