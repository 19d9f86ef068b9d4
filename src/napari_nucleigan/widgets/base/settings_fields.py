"""Settings fields: inputs made of what a settings model says of its fields."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, get_args, get_origin

from magicgui.widgets import create_widget
from qtpy.QtCore import Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QDoubleSpinBox, QHBoxLayout, QLineEdit, QWidget

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.widgets.base.fields import silent, whole
from napari_nucleigan.widgets.base.inputs import Number, expanding, narrow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_nucleigan.base.settings import FieldFacts

_MOST = 1_000_000_000
_DECIMALS = 9


class NumberField(Number):
    """A number of any size, written as short as it can be."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(_DECIMALS)
        self.setRange(-_MOST, _MOST)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        """Write 0.0002 and 2e-07 alike in few letters."""
        return f"{value:.6g}"

    def valueFromText(self, text: str) -> float:
        """Read what `validate` has let pass."""
        return _number(text.removesuffix(self.suffix())) or 0.0

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Let any number pass, also ``1e-4``; its limits are the settings' to check."""
        plain = text.removesuffix(self.suffix()).strip()
        if _number(plain) is not None:
            return QValidator.State.Acceptable, text, position
        begun = plain in ("", "-", ".") or _number(f"{plain}1") is not None
        return (QValidator.State.Intermediate if begun else QValidator.State.Invalid), text, position


@dataclass(frozen=True)
class Editor:
    """The field of one value: its widget, how it is read and set, and what tells of a change."""

    widget: QWidget
    get: Callable[[], Any]
    put: Callable[[Any], None]
    changed: Any

    def show(self, value: Any) -> None:
        """Show a value, without a signal."""
        with silent(self.widget, *self.widget.findChildren(QWidget)):
            self.put(value)


def make_editor(facts: FieldFacts, decimals: int | None = None, step: float | None = None) -> Editor:
    """Make the field that a value of a settings model asks for.

    Ticks, choices and texts are magicgui's. Its numbers have no unit, no word for None and do not take ``1e-4``, its
    pairs are as wide as two columns, and it has nothing for a dictionary: these are made here.

    Parameters
    ----------
    facts : FieldFacts
        What the model says of it.
    decimals : int, optional
        Decimals of a number; by default it is written as short as it can be.
    step : float, optional
        Step of the buttons of a number with fixed decimals.

    Returns
    -------
    Editor
    """
    if facts.kind in (bool, str) or facts.choices:
        return _plain(facts)
    if facts.kind is int:
        return _whole(facts)
    if facts.kind is float:
        number = _float(facts, decimals, step)
        return Editor(number, number.value, number.setValue, number.valueChanged)
    if get_origin(facts.kind) is tuple:
        return _pair(facts)
    return _json(facts)


def _plain(facts: FieldFacts) -> Editor:
    made = create_widget(annotation=facts.kind, options={"tooltip": facts.description})
    field = made.native
    if isinstance(field, QCheckBox):
        field.setText("")  # the name is beside it
    elif isinstance(field, QComboBox):
        narrow(field, facts.description)
    return Editor(field, partial(getattr, made, "value"), partial(setattr, made, "value"), made.changed)


def _whole(facts: FieldFacts) -> Editor:
    first = int(-_MOST if facts.low is None else facts.low)
    # One below the least stands for None.
    least, most = first - facts.optional, int(_MOST if facts.high is None else facts.high)
    box = whole(least, most, least, _suffix(facts), facts.description)
    box.setSingleStep(int(facts.limits.get("multiple_of", 1)))
    if not facts.optional:
        return Editor(box, box.value, box.setValue, box.valueChanged)
    box.setSpecialValueText("automatic")
    return Editor(
        box,
        lambda: None if box.value() < first else box.value(),
        lambda value: box.setValue(least if value is None else value),
        box.valueChanged,
    )


def _float(facts: FieldFacts, decimals: int | None = None, step: float | None = None) -> QDoubleSpinBox:
    number = expanding(NumberField() if decimals is None else Number(), facts.description)
    if decimals is not None:
        number.setDecimals(decimals)
    if step is not None:
        number.setSingleStep(step)
    number.setRange(-_MOST if facts.low is None else facts.low, _MOST if facts.high is None else facts.high)
    number.setSuffix(_suffix(facts))
    return number


def _pair(facts: FieldFacts) -> Editor:
    both = _Pair([_float(facts) for _ in get_args(facts.kind)])
    both.setToolTip(facts.description)
    return Editor(both, both.values, both.set_values, both.changed)


class _Pair(QWidget):
    """Numbers side by side."""

    changed = Signal()

    def __init__(self, numbers: list[QDoubleSpinBox]) -> None:
        super().__init__()
        self._numbers = numbers
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for number in numbers:
            number.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
            number.setStyleSheet("min-width: 40px;")  # napari asks for room for buttons
            number.valueChanged.connect(self.changed)
            row.addWidget(number)

    def values(self) -> tuple[float, ...]:
        """Return the numbers."""
        return tuple(number.value() for number in self._numbers)

    def set_values(self, values: Iterable[float]) -> None:
        """Show other numbers."""
        for number, value in zip(self._numbers, values, strict=True):
            number.setValue(value)


def _json(facts: FieldFacts) -> Editor:
    line = QLineEdit()
    line.setToolTip(facts.description)

    def get() -> Any:
        try:
            return json.loads(line.text())
        except ValueError as error:
            raise RecipeError(f"{facts.title} is no valid JSON ({error}); write it as in the recipe.") from error

    def put(value: Any) -> None:
        line.setText(json.dumps(value))
        line.setCursorPosition(0)

    return Editor(line, get, put, line.textChanged)


def _suffix(facts: FieldFacts) -> str:
    return f" {facts.unit}" if facts.unit not in ("", "°") else facts.unit


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None
