"""Charts of a comparison: how well nuclei are found by their size, and by how densely they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_nucleigan.widgets.base.fields import set_text, small_label
from napari_nucleigan.widgets.base.legend import Legend, Plot, chart_colours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.metrics.outcomes import Bins
    from napari_nucleigan.widgets.evaluate.jobs import LayerComparison

FIGURES = {
    "recall": ("Recall", "Part of the true nuclei that are found."),
    "precision": ("Precision", "Part of the predictions that are right."),
    "f1": ("F1", "Both in one: twice the pairs over the sum of true and predicted nuclei."),
    "mean_iou": ("IoU", "How well the pairs fit, in the mean."),
}
_KIND = "bins"
_DOT = 7


class BinChart(Plot):
    """Figures over bins, each bin as wide as the next.

    Parameters
    ----------
    name : str
        What the bins are of, with its unit in brackets.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name, self._text, self._count = name, "#888888", 0
        self._curves = {figure: pg.PlotDataItem(symbol="o", symbolSize=_DOT, symbolPen=None) for figure in FIGURES}
        plot = self.getPlotItem()
        plot.showGrid(y=True, alpha=0.15)
        plot.setMouseEnabled(x=False, y=False)
        plot.vb.setYRange(0, 1, padding=0.04)
        for curve in self._curves.values():
            plot.addItem(curve)
        self.setMinimumHeight(110)

    def sizeHint(self) -> QSize:
        """Ask for little: the chart takes what there is."""
        return QSize(300, 150)

    def draw(self, bins: Bins | None, labels: Sequence[str], name: str) -> None:
        """Draw the figures of bins, or none."""
        self._name, self._count = name, len(labels)
        places = np.arange(len(labels))
        for figure, curve in self._curves.items():
            values = getattr(bins, figure) if bins is not None else np.zeros(0)
            finite = np.isfinite(values)
            curve.setData(places[finite], values[finite])
        plot = self.getPlotItem()
        plot.getAxis("bottom").setTicks([list(zip(places.tolist(), labels, strict=True))])
        plot.setLabel("bottom", self._name, color=self._text)
        plot.vb.setXRange(-0.5, max(1, len(labels)) - 0.5, padding=0)

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        background, self._text, colours = chart_colours(theme)
        self.paint_as(background, self._text)
        self.getPlotItem().setLabel("bottom", self._name, color=self._text)
        for colour, curve in zip(colours, self._curves.values(), strict=False):
            curve.setPen(pg.mkPen(colour, width=1))
            curve.setSymbolBrush(colour)

    def show_figures(self, shown: Sequence[str]) -> None:
        """Show only these figures."""
        for figure, curve in self._curves.items():
            curve.setVisible(figure in shown)

    def _point(self, x: float | None) -> None:
        at = -1 if x is None else round(x)
        self.hovered.emit(at if 0 <= at < self._count else None)


class BinPlots(QWidget):
    """Two charts with one legend: by size and by density."""

    def __init__(self) -> None:
        super().__init__()
        self._bins: dict[str, tuple[Bins, list[str], str]] = {}
        self.legend = Legend()
        self.legend.set_entries({(_KIND, figure): (name, tip, True) for figure, (name, tip) in FIGURES.items()})
        self.charts = {"size": BinChart("area"), "density": BinChart("density")}
        tips = {
            "size": "By the area of the nuclei; each bin holds as many true nuclei as the next.",
            "density": "By how many true nuclei lie within 50 µm, or 200 pixels where the pixel size is not known.",
        }
        self.remark = small_label()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addWidget(self.legend)
        for kind, chart in self.charts.items():
            chart.setToolTip(tips[kind])
            layout.addWidget(chart, 1)
            chart.hovered.connect(lambda at, kind=kind: self._hover(kind, at))
        layout.addWidget(self.remark)
        self.legend.changed.connect(self._tick)
        self.set_theme("dark")

    def show_comparison(self, comparison: LayerComparison | None) -> None:
        """Show how well nuclei are found, or nothing."""
        self._bins = {}
        if comparison is not None and comparison.inspection.scores.n_truth:
            found, mpp = comparison.inspection, comparison.request.mpp
            area, unit, near = (mpp**2, "µm²", "50 µm") if mpp else (1.0, "px", "200 px")
            for kind, bins, factor, name in (
                ("size", found.by_size(), area, f"area ({unit})"),
                ("density", found.by_density(), 1.0, f"true nuclei within {near}"),
            ):
                self._bins[kind] = bins, _ranges(bins, factor), name
        for kind, chart in self.charts.items():
            chart.draw(*self._bins.get(kind, (None, [], kind)))
        self._hover("size", None)

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        for chart in self.charts.values():
            chart.set_theme(theme)
        for figure, colour in zip(FIGURES, chart_colours(theme)[2], strict=False):
            self.legend.set_swatch((_KIND, figure), colour, Qt.PenStyle.SolidLine)

    def _tick(self) -> None:
        for chart in self.charts.values():
            chart.show_figures([figure for _, figure in self.legend.shown])

    def _hover(self, kind: str, at: int | None) -> None:
        if at is None or kind not in self._bins:
            set_text(self.remark, "")
            for figure in FIGURES:
                self.legend.set_value((_KIND, figure), "")
            return
        bins, labels, name = self._bins[kind]
        for figure in FIGURES:
            value = getattr(bins, figure)[at]
            self.legend.set_value((_KIND, figure), f"{value:.2f}" if np.isfinite(value) else "-")
        set_text(self.remark, f"{name} {labels[at]}: {bins.n_truth[at]} true, {bins.n_pred[at]} predicted")


def _ranges(bins: Bins, factor: float) -> list[str]:
    pairs = zip(bins.low * factor, bins.high * factor, strict=True)
    return [f"{low:,.0f}-{high:,.0f}".replace(",", "\u202f") for low, high in pairs]
