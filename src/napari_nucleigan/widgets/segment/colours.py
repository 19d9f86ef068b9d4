"""Colours of nuclei: each its own, by how sure the model is of it, or by class, with a legend."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QRectF, QSize
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPalette
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_nucleigan.base.text import printable
from napari_nucleigan.labels.classes import CLASS, class_colours
from napari_nucleigan.segmentation.confidence import CONFIDENCE
from napari_nucleigan.widgets.base.layers import layer_info, nuclei_colormap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari.layers import Labels
    from napari.utils.colormaps import DirectLabelColormap
    from numpy.typing import NDArray
    from qtpy.QtGui import QPaintEvent

    from napari_nucleigan.labels.classes import Colour

OWN, SURE, KIND = "own", "sure", "class"

RAMP = ("#ffe600", "#ff9a2e", "#f2f2f2", "#3fd0ff", "#0a6cff")
"""From doubted to sure: yellow to blue, which all eyes tell apart, and neither is a colour of H&E."""

UNNAMED = "#a0a0a0"
"""Of labels that have no class."""

UNKNOWN = "#00ff5a"
"""Of labels that the model has not found: what a user has painted."""

MOST = 50_000
"""Nuclei of a layer that are coloured so; napari keeps a colour for each of them, which takes half a second."""

_STEPS = 21  # colours: more cannot be told apart
_BAR = 12  # pixels that the bar of the legend is high
_GAP = 3


def colour(labels: Labels, look: str) -> str:
    """Colour the nuclei of a layer.

    Parameters
    ----------
    labels : napari.layers.Labels
        The layer; its features tell the confidence, where the model does.
    look : {"own", "sure", "class"}
        How.

    Returns
    -------
    str
        Why they cannot be coloured so; empty where they are.
    """
    from napari.utils.colormaps import DirectLabelColormap

    table, problem = labels.features, ""
    column, what = {SURE: (CONFIDENCE, "confidence"), KIND: (CLASS, "class")}.get(look, ("", ""))
    if column and not {"index", column} <= set(table):
        problem = f"Of the nuclei of “{labels.name}” no {what} is known: they keep their own colours."
    elif column and len(table) > MOST:
        problem = f"“{labels.name}” has more than {MOST} nuclei, too many to be coloured by {what}."
    elif look == SURE:
        labels.colormap = confidence_colormap(table["index"].to_numpy(), table[CONFIDENCE].to_numpy())
        return ""
    elif look == KIND:
        labels.colormap = class_colormap(table["index"].to_numpy(), *classes_of(labels))
        return ""
    if isinstance(labels.colormap, DirectLabelColormap):
        labels.colormap = nuclei_colormap()
    return problem


def confidence_colormap(numbers: NDArray[np.integer], confidence: NDArray[np.floating]) -> DirectLabelColormap:
    """Give labels the colours of their confidence; what has none that is known is `UNKNOWN`."""
    from napari.utils.colormaps import DirectLabelColormap

    ramp = colours(np.linspace(0, 1, _STEPS))
    unknown, nothing = colours(np.zeros(1), (UNKNOWN,) * 2)[0], np.zeros(4)
    steps = np.rint(np.nan_to_num(confidence, nan=-1) * (_STEPS - 1)).astype(int)
    shown: dict[int | None, NDArray[np.floating]] = {None: unknown, 0: nothing}
    shown |= {int(number): ramp[step] for number, step in zip(numbers, steps, strict=True) if step >= 0}
    return DirectLabelColormap(color_dict=shown)


def classes_of(labels: Labels) -> tuple[list[str], dict[str, Colour]]:
    """Tell the class of each row of a layer's table, and the colours of all classes."""
    if CLASS not in labels.features:
        return [], {}
    kinds = labels.features[CLASS].fillna("").astype(str).to_list()
    return kinds, class_colours([{CLASS: np.array(kinds, dtype=str)}], layer_info(labels).get("classes"))


def class_colormap(
    numbers: NDArray[np.integer], kinds: Sequence[str], known: Mapping[str, Colour]
) -> DirectLabelColormap:
    """Give labels the colours of their classes; what has none is `UNNAMED`."""
    from napari.utils.colormaps import DirectLabelColormap

    unnamed = np.array(QColor(UNNAMED).getRgbF())
    colour = {name: np.array([*(part / 255 for part in parts), 1.0]) for name, parts in known.items()}
    shown: dict[int | None, NDArray[np.floating]] = {None: unnamed, 0: np.zeros(4)}
    shown |= {int(number): colour[kind] for number, kind in zip(numbers, kinds, strict=True) if kind in colour}
    return DirectLabelColormap(color_dict=shown)


def class_legend(layers: Iterable[Labels]) -> str:
    """Write the classes that nuclei of layers have, in their colours, and how many there are of each; as HTML."""
    counts: Counter[str] = Counter()
    colour: dict[str, Colour] = {}
    for layer in layers:
        kinds, known = classes_of(layer)
        counts.update(kinds)
        colour |= known
    lines = [
        f'<span style="color: rgb{rgb}">\u25a0</span> {escape(printable(name, 60))}: {counts[name]}'
        for name, rgb in colour.items()
    ]
    return "<br>".join([*lines, *([f"no class: {counts['']}"] if counts[""] else [])])


def colours(confidence: NDArray[np.floating], ramp: tuple[str, ...] = RAMP) -> NDArray[np.floating]:
    """Red, green, blue and alpha of confidences, from 0 to 1, shape (n, 4)."""
    stops = np.array([QColor(stop).getRgbF() for stop in ramp])
    places = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(confidence, places, channel) for channel in stops.T], axis=1)


class Legend(QWidget):
    """A bar of the colours by confidence, with figures below it in the colour of the theme's text."""

    FIGURES = ("0 doubted", "0.5", "sure 1")

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "How likely what was found is a nucleus, as the model has learnt on images that it does not know. Point at "
            "a nucleus to see its confidence in the status bar. Green: labels that you have painted."
        )
        self.setAccessibleName("Colours by confidence: yellow for 0, doubted; blue for 1, sure")

    def sizeHint(self) -> QSize:
        """Height of the bar and of a line of text."""
        return QSize(120, _BAR + _GAP + self.fontMetrics().height())

    minimumSizeHint = sizeHint

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw it."""
        painter = QPainter(self)
        gradient = QLinearGradient(0, 0, self.width(), 0)
        for place, stop in zip(np.linspace(0, 1, len(RAMP)), RAMP, strict=True):
            gradient.setColorAt(float(place), QColor(stop))
        painter.setPen(self.palette().color(QPalette.ColorRole.Mid))
        painter.setBrush(gradient)
        painter.drawRect(QRectF(0.5, 0.5, self.width() - 1, _BAR - 1))
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        metrics = self.fontMetrics()
        base = _BAR + _GAP + metrics.ascent()
        for share, text in zip((0.0, 0.5, 1.0), self.FIGURES, strict=True):
            painter.drawText(round(share * (self.width() - metrics.horizontalAdvance(text))), base, text)
        painter.end()
