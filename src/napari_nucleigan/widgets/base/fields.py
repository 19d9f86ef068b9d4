"""Small parts that forms are made of."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_nucleigan.segmentation import SegmentSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def tooltip(field: str) -> str:
    """Describe a field of `SegmentSettings`, for a tooltip."""
    return SegmentSettings.model_fields[field].description or ""


def combo(choices: dict[str, Any], tip: str) -> QComboBox:
    """Make a combo box of labels and values that never forces its column wider."""
    box = QComboBox()
    for label, value in choices.items():
        box.addItem(label, value)
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box


def spin(top: float, step: float, decimals: int, zero: str, unit: str, tip: str) -> QDoubleSpinBox:
    """Make a number field from 0 to `top`, where 0 reads as `zero`."""
    box = QDoubleSpinBox()
    box.setRange(0.0, top)
    box.setDecimals(decimals)
    box.setSingleStep(step)
    box.setSpecialValueText(zero)
    box.setSuffix(unit)
    box.setToolTip(tip)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box


def slider(value: float, tip: str) -> QLabeledDoubleSlider:
    """Make a slider for a probability."""
    made = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    made.setRange(0.01, 0.99)
    made.setSingleStep(0.01)
    made.setDecimals(2)
    made.setValue(value)
    made.setToolTip(tip)
    return made


def small_label() -> QLabel:
    """Make a label for a remark below a field."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    label.hide()
    return label


def menu_button(text: str, tip: str, actions: dict[str, Callable[[], object]]) -> QPushButton:
    """Make a button that opens a menu."""
    button = QPushButton(text)
    button.setToolTip(tip)
    menu = QMenu(button)
    for label, action in actions.items():
        menu.addAction(label).triggered.connect(lambda _=False, call=action: call())
    button.setMenu(menu)
    return button


def set_text(label: QLabel, text: str) -> None:
    """Show a text, or nothing at all where it is empty."""
    label.setText(text)
    label.setVisible(bool(text))


def row(wide: QWidget, narrow: QWidget) -> QHBoxLayout:
    """Put a field and a button into one row."""
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    row.addWidget(wide, 1)
    row.addWidget(narrow)
    return row


def form_layout(widget: QWidget) -> QFormLayout:
    """Lay a widget out as rows of a name and a field, without margins."""
    form = QFormLayout(widget)
    form.setContentsMargins(0, 0, 0, 0)
    form.setVerticalSpacing(5)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return form


def scrolled(inner: QWidget) -> QScrollArea:
    """Let a part scroll up and down where it does not fit."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(inner)
    return area


def add_row(form: QFormLayout, text: str, field: QWidget, button: QWidget | None = None) -> None:
    """Add a field with its name, which shows the field's tooltip too, and perhaps a button."""
    label = QLabel(text)
    label.setToolTip(field.toolTip())
    form.addRow(label, row(field, button) if button else field)


@contextmanager
def silent(*widgets: QWidget) -> Iterator[None]:
    """Keep widgets from sending signals."""
    blockers = [QSignalBlocker(widget) for widget in widgets]
    try:
        yield
    finally:
        for blocker in blockers:
            blocker.unblock()


def warning_style(theme: str) -> str:
    """Style of a remark that asks for attention.

    A theme's own warning colour is made for backgrounds; it cannot be read on the light theme.
    """
    from napari.utils.theme import get_theme

    return f"color: {'#f2b441' if get_theme(theme).type == 'dark' else '#8a4b00'};"
