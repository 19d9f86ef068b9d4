"""Fields: the small parts that forms are made of."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSpacerItem,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.widgets.base.inputs import Choices, Number, WholeNumber, expanding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from napari.layers import Layer
    from qtpy.QtWidgets import QSpinBox

Widget = TypeVar("Widget", bound=QWidget)

MAGNIFICATIONS = {"40x": 0.25, "20x": 0.5, "10x": 1.0, "5x": 2.0}
"""Usual microns per pixel of slide scanners, by their objective."""

NO_MARGINS = (0, 0, 0, 0)

GAP = 6
"""Pixels between groups of fields."""

MARGIN = 6
"""Pixels around the parts of a page."""

LARGEST_SEED = 2**31 - 1
"""Of whatever is drawn at random."""

_CHANGES = ("changed", "currentIndexChanged", "valueChanged", "textChanged", "toggled")


def combo(choices: dict[str, Any], tip: str) -> QComboBox:
    """Make a combo box of labels and values with room for short labels."""
    box = Choices(tip, max(map(len, choices), default=0))
    for label, value in choices.items():
        box.addItem(label, value)
    return box


def list_choices(box: QComboBox, choices: Iterable[tuple[str, Any]], chosen: Any) -> None:
    """List other labels and values in a combo box, and choose a value, or none where it is not there; no signal."""
    with silent(box):
        box.clear()
        for label, value in choices:
            box.addItem(label, value)
        box.setCurrentIndex(box.findData(chosen) if chosen is not None else -1)


def list_layers(box: QComboBox, layers: Sequence[Layer]) -> None:
    """List layers in a combo box by their ids; what was chosen stays chosen, else the first one is; no signal."""
    ids = [layer.unique_id for layer in layers]
    before = box.currentData()
    chosen = before if before in ids else next(iter(ids), None)
    list_choices(box, ((layer.name, layer.unique_id) for layer in layers), chosen)


def spin(top: float, step: float, decimals: int, zero: str, unit: str, tip: str) -> QDoubleSpinBox:
    """Make a number field from 0 to `top`, where 0 reads as `zero`."""
    box = expanding(Number(), tip)
    box.setRange(0.0, top)
    box.setDecimals(decimals)
    box.setSingleStep(step)
    box.setSpecialValueText(zero)
    box.setSuffix(unit)
    return box


def pixel_size(zero: str, tip: str) -> QDoubleSpinBox:
    """Make a field for microns per pixel, where 0 reads as `zero`."""
    return spin(20.0, 0.01, 4, zero, " µm", tip)


def on_typed(field: QDoubleSpinBox, call: Callable[[float], object]) -> None:
    """Call with the microns per pixel that a user types; with 0 where what was typed before is taken back."""
    # "0" is how "0.5" begins: only a field that is left at 0 takes something back.
    field.valueChanged.connect(lambda mpp: call(mpp) if mpp else None)
    field.editingFinished.connect(lambda: None if field.value() else call(0.0))


def objective_button(field: QDoubleSpinBox) -> QPushButton:
    """Make a button that fills in the usual microns per pixel of an objective."""
    return menu_button(
        "Objective",
        "Set the usual microns per pixel of an objective.",
        {f"{name} objective ({mpp:g} µm)": partial(field.setValue, mpp) for name, mpp in MAGNIFICATIONS.items()},
    )


def whole(low: int, high: int, value: int, unit: str, tip: str) -> QSpinBox:
    """Make a field for a whole number."""
    box = expanding(WholeNumber(), tip)
    box.setRange(low, high)
    box.setValue(value)
    box.setSuffix(unit)
    return box


def check(text: str, tip: str, checked: bool = False) -> QCheckBox:
    """Make a tick box."""
    box = QCheckBox(text)
    box.setToolTip(tip)
    box.setChecked(checked)
    return box


def push_button(text: str, tip: str = "") -> QPushButton:
    """Make a button."""
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def enable(button: QPushButton, problem: str, tip: str) -> None:
    """Let a button be pressed, or say why it cannot be."""
    button.setEnabled(not problem)
    button.setToolTip(problem or tip)


def slider(value: float, tip: str, least: float = 0.01) -> QLabeledDoubleSlider:
    """Make a slider for a probability."""
    made = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    made.setRange(least, 0.99)
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


def menu_button(text: str, tip: str, actions: Mapping[str, Callable[[], object]]) -> QPushButton:
    """Make a button that opens a menu."""
    button = push_button(text, tip)
    button.setMenu(QMenu(button))
    set_menu(button, actions)
    return button


def set_menu(button: QPushButton, actions: Mapping[str, Callable[[], object]]) -> None:
    """Change what the menu of a button offers."""
    menu = button.menu()
    menu.clear()
    for label, action in actions.items():
        menu.addAction(label).triggered.connect(lambda _=False, call=action: call())


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


def column(
    *parts: QWidget | QLayout,
    inside: QWidget | None = None,
    margins: tuple[int, int, int, int] = (MARGIN,) * 4,
    spacing: int = GAP,
    tall: QWidget | None = None,
    stretch: bool = True,
) -> QWidget:
    """Put widgets and rows below one another.

    Parameters
    ----------
    *parts : QWidget or QLayout
        What is laid out.
    inside : QWidget, optional
        What is laid out so; by default a new widget.
    margins : tuple of int
        Pixels around them.
    spacing : int
        Pixels between them.
    tall : QWidget, optional
        The one that gets the height that is left.
    stretch : bool
        Whether height that nobody gets is left below.

    Returns
    -------
    QWidget
        What was laid out.
    """
    inside = inside or QWidget()
    layout = QVBoxLayout(inside)
    layout.setContentsMargins(*margins)
    layout.setSpacing(spacing)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part, int(part is tall))
        else:
            layout.addLayout(part)
    if tall is None and stretch:
        layout.addStretch()
    return inside


def form_layout(widget: QWidget) -> QFormLayout:
    """Lay a widget out as rows of a name and a field, without margins."""
    form = QFormLayout(widget)
    form.setContentsMargins(0, 0, 0, 0)
    form.setVerticalSpacing(5)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    # A large font on a small screen: a field goes below its name before it is cut off.
    form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return form


class Form(QWidget):
    """Rows of names and fields, and one signal that tells when a user changes any of them.

    Parameters
    ----------
    margin : int
        Pixels around them.
    """

    changed = Signal()
    """Anything was changed."""

    def __init__(self, margin: int = 0) -> None:
        super().__init__()
        self.rows = form_layout(self)
        self.rows.setContentsMargins(margin, margin, margin, margin)

    def add(
        self,
        name: str,
        field: Widget,
        button: QWidget | None = None,
        call: Callable[[], object] | None = None,
    ) -> Widget:
        """Add a field with its name, which shows the field's tooltip too, and perhaps a button.

        Parameters
        ----------
        name : str
            Its name.
        field : QWidget
            The field.
        button : QWidget, optional
            What stands behind it.
        call : callable, optional
            What a change calls; by default it is told by `changed`.

        Returns
        -------
        QWidget
            The field.
        """
        add_row(self.rows, name, field, button)
        if (signal := next((getattr(field, name) for name in _CHANGES if hasattr(field, name)), None)) is not None:
            signal.connect(lambda *_: (call or self.changed.emit)())
        return field

    def add_remark(self) -> QLabel:
        """Add a label for a remark on the field above, and return it."""
        label = small_label()
        self.rows.addRow(label)
        return label

    def add_gap(self) -> None:
        """Set a group of fields apart from the one above."""
        self.rows.addItem(QSpacerItem(0, GAP))


def add_row(form: QFormLayout, text: str, field: QWidget, button: QWidget | None = None) -> None:
    """Add a field with its name, which shows the field's tooltip too, and perhaps a button."""
    label = QLabel(text)
    label.setToolTip(field.toolTip())
    form.addRow(label, row(field, button) if button else field)


def forward(to: Any, *signals: Any) -> None:
    """Let a signal without arguments follow others, whatever these carry."""
    for signal in signals:
        signal.connect(lambda *_: to.emit())


def fault(call: Callable[[], object]) -> str:
    """Return why what a form stands for is not possible; empty where it is."""
    try:
        call()
    except NucleiganError as error:
        return str(error)
    return ""


def show_pixel_size(field: QDoubleSpinBox, remark: QLabel, mpp: float | None, source: str) -> None:
    """Show microns per pixel, and where they come from, without a signal."""
    # Setting the same value again would move the cursor of a user who is typing.
    if abs(field.value() - (mpp or 0.0)) > 1e-9:
        with silent(field):
            field.setValue(mpp or 0.0)
    set_text(remark, source)


@contextmanager
def silent(*widgets: QWidget) -> Iterator[None]:
    """Keep widgets from sending signals."""
    blockers = [QSignalBlocker(widget) for widget in widgets]
    try:
        yield
    finally:
        for blocker in blockers:
            blocker.unblock()


def is_dark(theme: str) -> bool:
    """Whether a napari theme, given by its name, is a dark one."""
    from napari.utils.theme import get_theme

    return bool(get_theme(theme).type == "dark")


def warning_style(theme: str) -> str:
    """Style of a remark that asks for attention.

    A theme's own warning colour is made for backgrounds; it cannot be read on the light theme.
    """
    return f"color: {'#f2b441' if is_dark(theme) else '#8a4b00'};"
