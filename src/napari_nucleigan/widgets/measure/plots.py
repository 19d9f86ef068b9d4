"""Plot of measurements: a histogram of one, or a scatter plot of two, in which nuclei are selected by the mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QBuffer, QIODevice, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QGraphicsRectItem

from napari_nucleigan.base.files import write_bytes
from napari_nucleigan.labels.statistics import sample, title
from napari_nucleigan.widgets.base.legend import Plot, chart_colours
from napari_nucleigan.widgets.measure.marks import SELECTION

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.labels.statistics import Classes, MeasuredNuclei, Range, Statistics

_DOT = 5  # pixels
_NEAR = 8  # pixels that a click may lie beside a dot
_PALE = 170  # of 255: dots lie over one another
_EXPORT_WIDTH = 1600  # pixels of a picture
_ADDING = Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.ControlModifier


class BrushBox(pg.ViewBox):
    """The part of a plot within its axes: the left button brushes, the middle one pans, the wheel zooms."""

    brushed = Signal(object, object, bool)
    """Ranges of x and y between which was dragged so far, and whether more is to be selected."""
    picked = Signal(float, float, bool)
    """Where was clicked, and whether more is to be selected."""
    reset = Signal()
    """All is to be seen."""

    def __init__(self) -> None:
        super().__init__(enableMenu=False)

    def mouseDragEvent(self, ev: Any, axis: int | None = None) -> None:
        """Brush by the left button."""
        if ev.button() != Qt.MouseButton.LeftButton or axis is not None:
            super().mouseDragEvent(ev, axis)
            return
        ev.accept()
        first, last = self.mapToView(ev.buttonDownPos()), self.mapToView(ev.pos())
        self.brushed.emit((first.x(), last.x()), (first.y(), last.y()), bool(ev.modifiers() & _ADDING))

    def mouseClickEvent(self, ev: Any) -> None:
        """Pick by the left button; twice to see all."""
        if ev.button() != Qt.MouseButton.LeftButton:
            return
        ev.accept()
        if ev.double():
            self.reset.emit()
        else:
            place = self.mapToView(ev.pos())
            self.picked.emit(place.x(), place.y(), bool(ev.modifiers() & _ADDING))


class NucleiPlot(Plot):
    """Shows statistics of nuclei, and which of them are selected."""

    brushed = Signal(object, object, bool)
    """Ranges of `x`, and of `y` or None, whose nuclei are to be selected; and whether beside those that are."""
    picked = Signal(object, bool)
    """Row of a nucleus that was clicked, or None; and the same."""

    def __init__(self) -> None:
        self.box = BrushBox()
        super().__init__(viewBox=self.box)
        self._nuclei: MeasuredNuclei | None = None
        self._found: Statistics | None = None
        self.axes: tuple[str, str | None] | None = None
        """Measurements that are plotted."""
        self._follows = True
        self._text, self._curve = "#888888", "#888888"
        self._items: list[Any] = []
        self._selected_dots = pg.ScatterPlotItem(size=_DOT + 2, pen=None, brush=SELECTION)
        self._selected_bars = _bars(_translucent(SELECTION, 210))
        self._frame = QGraphicsRectItem()
        plot = self.getPlotItem()
        plot.showGrid(x=True, y=True, alpha=0.15)
        for name in ("left", "bottom"):
            plot.getAxis(name).enableAutoSIPrefix(False)
            plot.getAxis(name).setStyle(maxTickLevel=1)
        for item, height in ((self._selected_bars, 10), (self._selected_dots, 11), (self._frame, 12)):
            item.setZValue(height)
            plot.addItem(item, ignoreBounds=True)
        plot.disableAutoRange()
        self.setMinimumHeight(150)
        self.setToolTip(
            "Drag to select nuclei by their values, with Shift to add to them; a click selects one, or a bar, or none. "
            "The wheel zooms, the middle button pans, a double click shows all."
        )
        self.box.brushed.connect(self.brush)
        self.box.picked.connect(self._pick)
        self.box.reset.connect(self.fit)
        self.box.sigRangeChangedManually.connect(lambda _: setattr(self, "_follows", False))
        self.unframe()

    def sizeHint(self) -> QSize:
        """Ask for little: the plot takes what there is."""
        return QSize(300, 220)

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        background, self._text, colours = chart_colours(theme)
        self._curve = colours[0]
        self.paint_as(background, self._text)
        self._frame.setPen(pg.mkPen(self._text, style=Qt.PenStyle.DashLine))
        self._frame.setBrush(pg.mkBrush(_translucent(self._text, 30)))
        self._label()

    def draw(self, nuclei: MeasuredNuclei | None, classes: Classes | None, found: Statistics | None) -> None:
        """Draw what is told of nuclei, or nothing."""
        self._nuclei, self._found = nuclei, found
        for item in self._items:
            self.removeItem(item)
        self._items.clear()
        axes = (found.question.x, found.question.y) if found is not None else None
        if axes != self.axes:
            self.axes, self._follows = axes, True
            self.unframe()
        if nuclei is not None and classes is not None and found is not None:
            colours = [self._colour(classes, place) for place in range(len(classes.names))]
            if found.question.y is None:
                self._draw_bars(found, colours)
            else:
                self._draw_dots(nuclei, classes, found, colours)
        self._label()
        if self._follows:
            self.fit()

    def select(self, rows: NDArray) -> None:
        """Show which of the plotted nuclei are selected, by their rows."""
        nuclei, found = self._nuclei, self._found
        bars, dots = found is not None and found.histogram is not None, bool(found is not None and found.question.y)
        self._selected_bars.setVisible(bars and len(rows) > 0)
        self._selected_dots.setVisible(dots and len(rows) > 0)
        if nuclei is None or found is None or not len(rows):
            return
        if found.histogram is not None:
            counts = found.histogram.count(nuclei.values(found.question.x)[rows])
            self._selected_bars.setOpts(x0=found.histogram.edges[:-1], x1=found.histogram.edges[1:], height=counts)
        elif found.question.y is not None:
            self._selected_dots.setData(*self._places(sample(rows, len(nuclei))))

    def unframe(self) -> None:
        """Take the frame of what was dragged over away: something else was selected."""
        self._frame.hide()

    def fit(self) -> None:
        """Show all that is plotted, and follow it."""
        self._follows = True
        found = self._found
        if found is None or self._nuclei is None:
            return
        if found.histogram is not None:
            edges, counts = found.histogram.edges, found.histogram.counts
            self.box.setRange(
                xRange=(edges[0], edges[-1]), yRange=(0, max(1, int(counts.sum(axis=0).max()))), padding=0.03
            )
        elif len(found.drawn):
            x, y = self._places(found.drawn)
            self.box.setRange(xRange=_spread(x), yRange=_spread(y), padding=0.05)

    def save_png(self, path: Path) -> None:
        """Write the plot as a picture; raises `OutputError` if it cannot be written."""
        from pyqtgraph.exporters import ImageExporter

        exporter = ImageExporter(self.getPlotItem())
        exporter.parameters()["width"] = _EXPORT_WIDTH
        image, buffer = exporter.export(toBytes=True), QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        image.save(buffer, "PNG")
        write_bytes(path, bytes(buffer.data()))

    def save_svg(self, path: Path) -> None:
        """Write the plot as a drawing; raises as `save_png`."""
        from qtpy.QtSvg import QSvgGenerator

        # Not pyqtgraph's own exporter: it does not read the paths that newer versions of Qt write.
        generator, buffer = QSvgGenerator(), QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        generator.setOutputDevice(buffer)
        generator.setSize(self.size())
        generator.setViewBox(self.rect())
        dots = [item for item in (*self._items, self._selected_dots) if isinstance(item, pg.ScatterPlotItem)]
        painter = QPainter(generator)
        for item in dots:
            item.setExportMode(True, {"painter": painter})  # as circles, not as pictures of them
        try:
            self.render(painter)
        finally:
            painter.end()
            for item in dots:
                item.setExportMode(False)
        write_bytes(path, bytes(buffer.data()))

    def _draw_bars(self, found: Statistics, colours: list[QColor]) -> None:
        if found.histogram is None:
            return
        edges, base = found.histogram.edges, np.zeros(len(found.histogram.edges) - 1)
        for counts, colour in zip(found.histogram.counts, colours, strict=True):
            item = _bars(colour, edges, base, counts)
            base = base + counts
            self._add(item)

    def _draw_dots(self, nuclei: MeasuredNuclei, classes: Classes, found: Statistics, colours: list[QColor]) -> None:
        for place, colour in enumerate(colours):
            x, y = self._places(found.drawn[classes.of[found.drawn] == place])
            self._add(pg.ScatterPlotItem(x, y, size=_DOT, pen=None, brush=_translucent(colour, _PALE)))

    def _add(self, item: Any) -> None:
        self.getPlotItem().addItem(item)
        self._items.append(item)

    def _places(self, rows: NDArray) -> tuple[NDArray, NDArray]:
        assert self._nuclei is not None
        assert self._found is not None
        question = self._found.question
        assert question.y is not None
        return self._nuclei.values(question.x)[rows], self._nuclei.values(question.y)[rows]

    def _colour(self, classes: Classes, place: int) -> QColor:
        return QColor(*classes.colours[place]) if any(classes.names) else QColor(self._curve)

    def _label(self) -> None:
        question = self._found.question if self._found is not None else None
        plot = self.getPlotItem()
        plot.setLabel("bottom", title(question.x) if question else "", color=self._text)
        plot.setLabel("left", (title(question.y) if question.y else "Nuclei") if question else "", color=self._text)

    def brush(self, x: Range, y: Range, add: bool = False) -> None:
        """Frame ranges of x and y, and have the nuclei in them selected."""
        if self._found is None:
            return
        flat = self._found.question.y is None
        bottom, top = self.box.viewRange()[1] if flat else y
        self._frame.setRect(QRectF(QPointF(x[0], bottom), QPointF(x[1], top)).normalized())
        self._frame.show()
        self.brushed.emit(x, None if flat else y, add)

    def _pick(self, x: float, y: float, add: bool) -> None:
        if self._found is None or self._nuclei is None:
            return
        self.unframe()
        if (histogram := self._found.histogram) is not None:
            place = int(np.searchsorted(histogram.edges, x, side="right")) - 1
            if 0 <= place < len(histogram.edges) - 1 and 0 <= y <= histogram.counts[:, place].sum():
                low, high = histogram.edges[place : place + 2]
                last = place == len(histogram.edges) - 2
                self.brushed.emit((low, high if last else np.nextafter(high, low)), None, add)
                return
        elif len(drawn := self._found.drawn):
            across, down = self.box.viewPixelSize()
            dots = self._places(drawn)
            apart = np.hypot((dots[0] - x) / across, (dots[1] - y) / down)
            if apart.min() <= _NEAR:
                self.picked.emit(int(drawn[apart.argmin()]), add)
                return
        self.picked.emit(None, add)


def _bars(colour: QColor, edges: NDArray | None = None, base: Any = 0.0, counts: Any = ()) -> pg.BarGraphItem:
    ends = np.zeros(1) if edges is None else edges
    return pg.BarGraphItem(x0=ends[:-1], x1=ends[1:], y0=base, height=np.asarray(counts), pen=None, brush=colour)


def _translucent(colour: str | QColor, alpha: int) -> QColor:
    made = QColor(colour)
    made.setAlpha(alpha)
    return made


def _spread(values: NDArray) -> Range:
    """Range of some values, which is more than a point."""
    low, high = float(values.min()), float(values.max())
    half = 0.0 if high > low else 0.5 * abs(low) or 0.5
    return low - half, high + half
