"""Panel: the view of the Masks widget: its forms in tabs, a histogram of sizes below, and nothing that acts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
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
    scrolled,
    small_label,
    warning_style,
)
from napari_nucleigan.widgets.masks.forms import CanvasForm, EditForm, FillForm

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtGui import QPaintEvent

    from napari_nucleigan.masks.sampler.statistics import Floats, Sizes

CANVAS, FILL, EDIT = range(3)
"""Positions of the tabs."""
MASK, TISSUE = "#2f9e8f", "#e8871e"
"""Colours that can be told apart on dark and on light, also by the colour-blind."""


_HEIGHT = 125


_STEPS = (1.0, 2.0, 5.0, 10.0)


_TICK = 3


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
        self.histogram = SizeHistogram()
        self.remark, self.notes = small_label(), small_label()
        self._build()
        self.show_running(False)

    def set_theme(self, name: str) -> None:
        """Use the colours of a napari theme."""
        from napari.utils.theme import get_theme

        theme = get_theme(name)
        self.histogram.set_theme(theme.text.as_hex())
        style = warning_style(name)
        labels = (self.mpp_source, self.canvas_form.problem_label, self.fill_form.problem_label, self.remark)
        for label in labels:
            label.setStyleSheet(style)

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
        for name, part in (("Canvas", self.canvas_form), ("Fill", self.fill_form), ("Draw and edit", self.edit_form)):
            self.tabs.addTab(scrolled(part), name)
        buttons = row(self.undo_button, self.redo_button)
        buttons.setStretch(1, 1)
        below = (buttons, row(self.progress, self.cancel_button), self.notes, self.remark, self.histogram)
        column(top, self.tabs, *below, inside=self, tall=self.tabs)
        self.setMinimumWidth(360)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)


class Bars(QWidget):
    """Bars for the mask and a line for the tissue.

    Painted here rather than by pyqtgraph, whose plots leave menus behind when they are closed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.edges: Floats = np.array([0.0, 1.0])
        self.mask: Floats | None = None
        self.tissue: Floats | None = None
        self.text = QColor("#888888")
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("How large nuclei are: percent of them by area in square microns; the last bar has no end.")

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the axes, the bars and the line."""
        painter = QPainter(self)
        metrics = painter.fontMetrics()
        shares = [each for each in (self.mask, self.tissue) if each is not None]
        top = max([1e-3, *(float(each.max()) for each in shares)]) * 1.05
        left, line = metrics.horizontalAdvance("100%") + 2 * _TICK, metrics.height()
        area = QRectF(left, line / 2, self.width() - left - _TICK, self.height() - 2.9 * line)
        painter.setPen(self.text)
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        painter.drawLine(area.topLeft(), area.bottomLeft())
        for value in _ticks(100 * top, 3):
            y = area.bottom() - area.height() * value / (100 * top)
            painter.drawLine(QPointF(left - _TICK, y), QPointF(left, y))
            box = QRectF(0, y - line / 2, left - 2 * _TICK, line)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{value:g}%")
        for value in _ticks(self.edges[-1], max(2, int(area.width() / 60))):
            x = area.left() + area.width() * value / self.edges[-1]
            painter.drawLine(QPointF(x, area.bottom()), QPointF(x, area.bottom() + _TICK))
            box = QRectF(x - 40, area.bottom() + _TICK, 80, line)
            painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, f"{value:g}")
        box = QRectF(area.left(), area.bottom() + _TICK + line, area.width(), 1.2 * line)
        painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, "area (µm²)")
        for heights, colour, filled in ((self.mask, MASK, True), (self.tissue, TISSUE, False)):
            if heights is None:
                continue
            points = [QPointF(area.left(), area.bottom())]
            for at, height in enumerate(heights):
                y = area.bottom() - area.height() * height / top
                for edge in (self.edges[at], self.edges[at + 1]):
                    points.append(QPointF(area.left() + area.width() * edge / self.edges[-1], y))
            points.append(QPointF(area.right(), area.bottom()))
            if filled:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(colour))
                painter.drawPolygon(QPolygonF(points))
            else:
                painter.setPen(QPen(QColor(colour), 2))
                painter.drawPolyline(QPolygonF(points))
        painter.end()


class SizeHistogram(QWidget):
    """A histogram of areas in µm², and the figures in words."""

    def __init__(self) -> None:
        super().__init__()
        self.bars = Bars()
        self.legend = small_label()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        column(self.legend, self.bars, inside=self, margins=NO_MARGINS, stretch=False).layout().setSpacing(2)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_sizes(self, mask: Sizes | None, tissue: Sizes | None, name: str) -> None:
        """Show a mask beside a tissue.

        Parameters
        ----------
        mask, tissue : Sizes or None
            None where there is none.
        name : str
            Name of the tissue.
        """
        bars = self.bars
        bars.edges = bin_edges(mask, tissue)
        bars.mask, bars.tissue = (each.histogram(bars.edges) if each is not None else None for each in (mask, tissue))
        bars.update()
        lines = [_line(MASK, "Mask", mask)] if mask is not None else []
        if tissue is not None:
            lines.append(_line(TISSUE, name, tissue))
        self.legend.setText("<br>".join(lines))
        self.legend.setVisible(bool(lines))

    def set_theme(self, text: str) -> None:
        """Use the colour of a theme's text."""
        self.bars.text = QColor(text)
        self.bars.update()


def _ticks(end: float, most: int) -> list[float]:
    """Round numbers from 0 to `end`, about `most` of them."""
    raw = end / max(most, 1)
    scale = 10 ** np.floor(np.log10(raw))
    step = next(scale * each for each in _STEPS if scale * each >= raw * 0.999)
    return [float(f"{value:.6g}") for value in np.arange(0, end + step * 1e-6, step)]


def _line(colour: str, name: str, sizes: Sizes) -> str:
    parts = [f"{sizes.density:,.0f}/mm²".replace(",", "\u202f")]
    if sizes.count is not None:
        parts.insert(0, f"{sizes.count} nucle{'us' if sizes.count == 1 else 'i'}")
    if sizes.areas.size:
        parts.append(f"median {sizes.median:.0f} µm²")
    return f"<span style='color:{colour}'>&#9632;</span> <b>{escape(name)}</b>: {', '.join(parts)}"
