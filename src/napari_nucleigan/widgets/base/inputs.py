"""Inputs: combo boxes and numbers that are as wide as what they show, whatever the font."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QSizePolicy,
    QSpinBox,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent, QShowEvent

Widget = TypeVar("Widget", bound=QWidget)

_LEAST, _MOST = 8, 14  # letters of a label that a combo box has room for at least


def expanding(field: Widget, tip: str) -> Widget:
    """Let a field take the width that is left, and explain it."""
    field.setToolTip(tip)
    field.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return field


def narrow(box: QComboBox, tip: str, letters: int = _LEAST) -> QComboBox:
    """Keep a combo box from forcing its column wider than some letters, and explain it."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(min(max(letters, _LEAST), _MOST))
    return expanding(box, tip)


class Choices(QComboBox):
    """A combo box that shortens a long label in the middle, and then has the whole in its tooltip.

    Parameters
    ----------
    tip : str
        What is chosen.
    letters : int
        Letters of the longest label that is known.
    """

    def __init__(self, tip: str, letters: int = 0) -> None:
        super().__init__()
        self._tip = ""
        narrow(self, tip, letters)

    def setToolTip(self, tip: str) -> None:
        """Explain the box."""
        self._tip = tip
        super().setToolTip(tip)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the box, its label as far as there is room."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        part = QStyle.SubControl.SC_ComboBoxEditField
        room = self.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, option, part, self).width()
        whole = option.currentText
        option.currentText = self.fontMetrics().elidedText(whole, Qt.TextElideMode.ElideMiddle, room)
        # Only here it is known, whatever has changed: label, width or font.
        tip = self._tip
        if option.currentText != whole:
            tip = f"<b>{escape(whole)}</b><br>" + tip.replace("\n", "<br>")
        super().setToolTip(tip)
        painter = QStylePainter(self)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


class _Fitting:
    """A number that is never narrower than its longest text: napari's style asks for so many pixels in any font."""

    def showEvent(self: Any, event: QShowEvent | None) -> None:
        """Fit the width: only now the style has been taken."""
        super().showEvent(event)  # type: ignore[misc]
        self._fit()

    def changeEvent(self: Any, event: QEvent | None) -> None:
        """Follow another style or font."""
        super().changeEvent(event)  # type: ignore[misc]
        if event is not None and event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange):
            self._fit()

    def _fit(self: Any) -> None:
        self.setMinimumWidth(self.minimumSizeHint().width())


class Number(_Fitting, QDoubleSpinBox):
    """A number with decimals."""


class WholeNumber(_Fitting, QSpinBox):
    """A number without decimals."""
