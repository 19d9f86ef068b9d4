"""Scrolling: parts of a dock that scroll up and down, and are never narrower than what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QPoint, QSize, Qt, QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QSizePolicy, QStyle

from napari_nucleigan.widgets.base.fields import MARGIN, NO_MARGINS, column

if TYPE_CHECKING:
    from qtpy.QtCore import QObject
    from qtpy.QtGui import QResizeEvent
    from qtpy.QtWidgets import QLabel, QWidget

_LEAST_LINES = 4  # of text, that are to be seen of what scrolls


def scrolled(inner: QWidget) -> QScrollArea:
    """Let a part scroll up and down where it does not fit."""
    return _Column(inner)


def pinned(content: QWidget, *below: QWidget, inside: QWidget | None = None) -> QWidget:
    """Put widgets below a part that scrolls: they are in sight however far it is scrolled.

    Parameters
    ----------
    content : QWidget
        What scrolls.
    *below : QWidget
        What does not.
    inside : QWidget, optional
        What is laid out so; by default a new widget.

    Returns
    -------
    QWidget
        What was laid out.
    """
    area = scrolled(content)
    foot = column(*below, margins=(MARGIN, 0, MARGIN, MARGIN), stretch=False)
    return column(area, foot, inside=inside, margins=NO_MARGINS, tall=area)


def reveal(widget: QWidget) -> None:
    """Scroll what a widget lies in as far as it goes towards having it at the top, once all is laid out."""
    area = widget.parentWidget()
    while area is not None and not isinstance(area, _Column):
        area = area.parentWidget()
    if area is None:
        return
    found = area

    def scroll() -> None:
        found.verticalScrollBar().setValue(widget.mapTo(found.widget(), QPoint(0, 0)).y())

    timer = QTimer(widget)
    timer.setSingleShot(True)
    timer.timeout.connect(scroll)
    timer.timeout.connect(timer.deleteLater)
    timer.start(0)


class _Column(QScrollArea):
    """A scroll area that asks for the width of what is in it: Qt's own asks for next to nothing, and cuts it off.

    Parameters
    ----------
    inner : QWidget
        What scrolls.
    """

    def __init__(self, inner: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        # Width is asked for; where a window has none left, what is on the right can still be reached.
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setWidget(inner)

    def minimumSizeHint(self) -> QSize:
        """Ask for the width of the contents, and the height of a few lines."""
        return QSize(self._width(self.widget().minimumSizeHint()), _LEAST_LINES * self.fontMetrics().lineSpacing())

    def sizeHint(self) -> QSize:
        """Ask for all of the contents."""
        wanted = self.widget().sizeHint()
        return QSize(self._width(wanted), wanted.height())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the contents: they ask for more when the font, or a text, gets larger."""
        done = bool(super().eventFilter(watched, event))
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return done

    def _width(self, wanted: QSize) -> int:
        bar = self.verticalScrollBar()
        apart = self.style().pixelMetric(QStyle.PixelMetric.PM_ScrollView_ScrollBarSpacing, None, self)
        # A style sheet may draw a border, although there is no frame.
        border = self.contentsMargins().left() + self.contentsMargins().right()
        return wanted.width() + bar.sizeHint().width() + max(0, apart) + border


class Remarks(QScrollArea):
    """A label that takes the height of its text, but of a few lines at most; what was said last is in sight.

    Parameters
    ----------
    label : QLabel
        What is shown.
    most_lines : int
        Lines above which it scrolls.
    """

    def __init__(self, label: QLabel, most_lines: int = 7) -> None:
        super().__init__()
        self._label, self._most = label, most_lines
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setWidget(label)
        label.show()
        bar = self.verticalScrollBar()
        bar.rangeChanged.connect(lambda _, last: bar.setValue(last))
        self.hide()

    def set_text(self, text: str) -> None:
        """Show a text, or nothing at all where it is empty."""
        self._label.setText(text)
        self.setVisible(bool(text))
        self._fit()
        self.updateGeometry()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Let the label be as high as its text, so that the end of the text is the end of what scrolls."""
        super().resizeEvent(event)
        self._fit()

    def heightForWidth(self, width: int) -> int:
        """Ask for the height of the text."""
        return min(self._label.heightForWidth(max(1, width - self._border)), self._most * self._line) + self._border

    def minimumSizeHint(self) -> QSize:
        """Ask for a line; the layout asks for the rest by the width that it has."""
        return QSize(0, self._line)

    def sizeHint(self) -> QSize:
        """Ask for the text as it is now."""
        return QSize(0, self.heightForWidth(max(1, self.width())))

    @property
    def _line(self) -> int:
        return self._label.fontMetrics().lineSpacing()

    @property
    def _border(self) -> int:
        """Pixels of both borders: napari's style draws one."""
        return self.width() - self.maximumViewportSize().width()

    def _fit(self) -> None:
        # Left to itself, a scroll bar that is there makes the text so narrow that it stays.
        room = self.maximumViewportSize()
        height = self._label.heightForWidth(max(1, room.width()))
        if height <= room.height():
            self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        else:
            self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
            height = self._label.heightForWidth(max(1, room.width() - self.verticalScrollBar().sizeHint().width()))
        self._label.setFixedHeight(max(0, height))
