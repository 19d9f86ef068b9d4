"""Panel: the view of the Masks widget: its forms in tabs, a histogram of sizes below, and nothing that acts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QProgressBar, QSizePolicy, QTabWidget, QWidget

from napari_nucleigan.masks.sampler.statistics import bin_edges
from napari_nucleigan.widgets.base.dock import Dock
from napari_nucleigan.widgets.base.fields import (
    NO_MARGINS,
    add_row,
    column,
    combo,
    form_layout,
    pixel_size,
    push_button,
    row,
    small_label,
    warning_style,
)
from napari_nucleigan.widgets.base.legend import Plot, chart_colours
from napari_nucleigan.widgets.base.scrolling import pinned, scrolled
from napari_nucleigan.widgets.base.steps import NextStep
from napari_nucleigan.widgets.masks.forms import CanvasForm, EditForm, FillForm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.viewer import Viewer

    from napari_nucleigan.masks.sampler.statistics import Sizes

CANVAS, FILL, EDIT, TISSUE_TAB = range(4)
"""Positions of the tabs."""
MASK, TISSUE = "#2f9e8f", "#e8871e"
"""Colours that can be told apart on dark and on light, also by the colour-blind."""
_HEIGHT = 125


class MaskPanel(Dock):
    """All fields of the Masks widget."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.choice = combo({}, "The mask to work on: a Labels layer with a number for each nucleus.")
        self.mpp = pixel_size("not known", "Side of a pixel of the mask in microns.")
        self.mpp_source = small_label()
        self.tabs = QTabWidget()
        self.canvas_form, self.fill_form, self.edit_form = CanvasForm(), FillForm(), EditForm()
        self.undo_button = push_button(
            "Undo", "Take back the last stroke, fill, edit or polygon of the mask (Ctrl-Z in its layers)."
        )
        self.redo_button = push_button("Redo", "Do again what was taken back; Ctrl-Shift-Z in its layers.")
        self.progress = QProgressBar()
        self.cancel_button = push_button("Cancel", "Stop at once. The mask stays as it is.")
        self.next = NextStep("Paint H&E from it", "Open Synthesize H&E with this mask.", self.go_on)
        self.histogram = SizeHistogram()
        self.remark, self.notes = small_label(), small_label()
        self._build()
        self.show_running(False)

    def set_theme(self, name: str) -> None:
        """Use the colours of a napari theme."""
        self.histogram.set_theme(*chart_colours(name)[:2])
        style = warning_style(name)
        labels = (self.mpp_source, self.canvas_form.problem_label, self.fill_form.problem_label, self.remark)
        for label in labels:
            label.setStyleSheet(style)

    def go_on(self) -> None:
        """Take the mask to the next dock."""
        raise NotImplementedError

    def show_running(self, running: bool) -> None:
        """Show the progress bar and Cancel, or not."""
        self.progress.setVisible(running)
        self.cancel_button.setVisible(running)

    def _build(self) -> None:
        top = QWidget()
        form = form_layout(top)
        add_row(form, "Mask", self.choice)
        add_row(form, "Pixel size", self.mpp)
        form.addRow(self.mpp_source)
        canvas, fill = self.canvas_form, self.fill_form
        self.tabs.addTab(pinned(canvas, canvas.create_button, canvas.problem_label), "Canvas")
        self.tabs.addTab(pinned(fill, fill.fill_button, fill.problem_label), "Fill")
        self.tabs.addTab(scrolled(self.edit_form), "Draw and edit")
        buttons = row(self.undo_button, self.redo_button)
        buttons.setStretch(1, 1)
        below = (buttons, row(self.progress, self.cancel_button), self.next, self.notes, self.remark, self.histogram)
        column(top, self.tabs, *below, inside=self, tall=self.tabs)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)


class _Percent(pg.AxisItem):
    """An axis of percent."""

    def tickStrings(self, values: Iterable[float], scale: float, spacing: float) -> list[str]:
        """Write numbers with their sign."""
        return [f"{value:g}%" for value in values]


class SizeChart(Plot):
    """Bars for the sizes of a mask, and a line for those of a tissue."""

    def __init__(self) -> None:
        super().__init__(axisItems={"left": _Percent("left")})
        self.setFixedHeight(_HEIGHT)
        # It takes the width that there is, and asks for none of the canvas.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip("How large nuclei are: percent of them by area in square microns; the last bar has no end.")
        self._plot = self.getPlotItem()
        self._plot.setMouseEnabled(x=False, y=False)
        self._mask = pg.PlotCurveItem(fillLevel=0, brush=MASK, pen=None)
        self._tissue = pg.PlotCurveItem(pen=pg.mkPen(TISSUE, width=2))
        for curve in (self._mask, self._tissue):
            self._plot.addItem(curve)

    def draw(self, mask: Sizes | None, tissue: Sizes | None) -> None:
        """Draw sizes, or none."""
        edges, top = bin_edges(mask, tissue), 1e-3
        for curve, sizes in ((self._mask, mask), (self._tissue, tissue)):
            curve.setVisible(sizes is not None)
            if sizes is not None:
                shares = 100 * sizes.histogram(edges)
                curve.setData(edges, shares, stepMode="center")
                top = max(top, float(shares.max()))
        self._plot.setRange(xRange=(0, edges[-1]), yRange=(0, 1.05 * top), padding=0)

    def set_theme(self, background: str, text: str) -> None:
        """Use the colours of a theme."""
        self.paint_as(background, text)
        self._plot.setLabel("bottom", "area (µm²)", color=text)


class SizeHistogram(QWidget):
    """A histogram of areas in µm², bars for the mask and a line for the tissue, and the figures in words."""

    def __init__(self) -> None:
        super().__init__()
        self.legend = small_label()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self._chart: SizeChart | None = None  # made when it is first shown: to open the dock does not wait for it
        self._colours: tuple[str, str] | None = None
        column(self.legend, inside=self, margins=NO_MARGINS, spacing=2, stretch=False)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)

    def show_sizes(self, mask: Sizes | None, tissue: Sizes | None, name: str) -> None:
        """Show a mask beside a tissue.

        Parameters
        ----------
        mask, tissue : Sizes or None
            None where there is none.
        name : str
            Name of the tissue.
        """
        self._made().draw(mask, tissue)
        lines = [_line(MASK, "Mask", mask)] if mask is not None else []
        if tissue is not None:
            lines.append(_line(TISSUE, name, tissue))
        self.legend.setText("<br>".join(lines))
        self.legend.setVisible(bool(lines))

    def set_theme(self, background: str, text: str) -> None:
        """Use the colours of a theme."""
        self._colours = background, text
        if self._chart is not None:
            self._chart.set_theme(background, text)

    def _made(self) -> SizeChart:
        if self._chart is None:
            self._chart = SizeChart()
            if self._colours is not None:
                self._chart.set_theme(*self._colours)
            self.layout().addWidget(self._chart)
        return self._chart


def _line(colour: str, name: str, sizes: Sizes) -> str:
    parts = [f"{sizes.density:,.0f}/mm²".replace(",", "\u202f")]
    if sizes.count is not None:
        parts.insert(0, f"{sizes.count} nucle{'us' if sizes.count == 1 else 'i'}")
    if sizes.areas.size:
        parts.append(f"median {sizes.median:.0f} µm²")
    return f"<span style='color:{colour}'>&#9632;</span> <b>{escape(name)}</b>: {', '.join(parts)}"
