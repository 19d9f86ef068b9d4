"""Sizes of the nuclei of a mask beside those of a tissue."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_nucleigan.masks.sizes import bin_edges
from napari_nucleigan.widgets.fields import small_label

if TYPE_CHECKING:
    from napari_nucleigan.masks.sizes import Sizes

_HEIGHT = 130
_MASK, _TISSUE = "#2f9e8f", "#e8871e"
"""Colours that can be told apart on dark and on light, also by the colour-blind."""


class SizeHistogram(QWidget):
    """A histogram of areas in µm²: bars for the mask, a line for the tissue."""

    def __init__(self) -> None:
        super().__init__()
        self.plot = pg.PlotWidget()
        self.plot.setFixedHeight(_HEIGHT)
        # Its own wish is as wide as a figure.
        self.plot.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.plot.setLimits(yMin=0)
        self.plot.setMouseEnabled(False, False)
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setToolTip("Areas of the nuclei in square microns, and their share in percent.")
        self.plot.setLabel("bottom", "area (µm²)")
        self.plot.setLabel("left", "%")
        self.plot.getAxis("left").setWidth(42)
        nothing = {"x": [0.0, 1.0], "y": [0.0], "stepMode": "center"}
        self._bars = pg.PlotCurveItem(**nothing, fillLevel=0, brush=_MASK, pen=pg.mkPen(_MASK))
        self._line = pg.PlotCurveItem(**nothing, pen=pg.mkPen(_TISSUE, width=2))
        self.plot.addItem(self._bars)
        self.plot.addItem(self._line)
        self.legend = small_label()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.legend)
        layout.addWidget(self.plot)
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
        edges = bin_edges(mask, tissue)
        for curve, sizes in ((self._bars, mask), (self._line, tissue)):
            shares = 100 * sizes.histogram(edges) if sizes is not None else 0 * edges[1:]
            curve.setData(edges, shares)
            curve.setVisible(sizes is not None)
        self.plot.setXRange(0, edges[-1], padding=0)
        lines = []
        if mask is not None:
            lines.append(_line(_MASK, "Mask", mask))
        if tissue is not None:
            lines.append(_line(_TISSUE, name, tissue))
        self.legend.setText("<br>".join(lines))
        self.legend.setVisible(bool(lines))

    def set_theme(self, text: str, background: str) -> None:
        """Use the colours of a theme."""
        self.plot.setBackground(background)
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.setPen(text)
            axis.setTextPen(text)


def _line(colour: str, name: str, sizes: Sizes) -> str:
    parts = [f"{sizes.density:,.0f}/mm²".replace(",", "\u202f")]
    if sizes.count is not None:
        parts.insert(0, f"{sizes.count} nucle{'us' if sizes.count == 1 else 'i'}")
    if sizes.areas.size:
        parts.append(f"median {sizes.median:.0f} µm²")
    return f"<span style='color:{colour}'>&#9632;</span> <b>{escape(name)}</b>: {', '.join(parts)}"
