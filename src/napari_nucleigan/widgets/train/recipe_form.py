"""Fields for a recipe, made from the pydantic model: its names, limits, choices and descriptions."""

from __future__ import annotations

import json
import types
import typing
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.training.recipes import Recipe, read_recipe
from napari_nucleigan.widgets.base.fields import add_row, combo, form_layout, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic.fields import FieldInfo

MAIN = ("epochs_constant", "epochs_decay", "minutes", "batch", "patch", "lr", "validation")
"""Fields in sight; the others are under Advanced."""

FIXED_BY_MODEL = ("generator", "encoding", "mpp", "normalize")
"""What a model that training starts from decides."""

_WORDS = {
    "lr": "rate",
    "mpp": "pixel size",
    "ema": "averaging",
    "l1": "L1",
    "epochs": "epochs,",
}
_UNITS = {"minutes": " min", "mpp": " µm", "patch": " pixels", "rotation": "°"}
_MOST = 1_000_000_000
_DECIMALS = 9


def label(name: str) -> str:
    """Write the name of a field for people.

    >>> label("discriminator_lr")
    'Discriminator rate'
    """
    if name == "lr":
        return "Learning rate"
    text = " ".join(_WORDS.get(word, word) for word in name.split("_"))
    return text[:1].upper() + text[1:]


class NumberField(QDoubleSpinBox):
    """A number of any size, written as short as it can be."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(_DECIMALS)
        self.setRange(-_MOST, _MOST)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def textFromValue(self, value: float) -> str:
        """Write 0.0002 and 2e-07 alike in few letters."""
        return f"{value:.6g}"

    def valueFromText(self, text: str) -> float:
        """Read what `validate` has let pass."""
        return _number(text.removesuffix(self.suffix())) or 0.0

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Let any number pass, also ``1e-4``; its limits are the recipe's to check."""
        plain = text.removesuffix(self.suffix()).strip()
        if _number(plain) is not None:
            return QValidator.State.Acceptable, text, position
        begun = plain in ("", "-", ".") or _number(f"{plain}1") is not None
        return (QValidator.State.Intermediate if begun else QValidator.State.Invalid), text, position


class Editor:
    """The field of one value: its widget, and how it is read and set."""

    def __init__(self, widget: QWidget, get: Callable[[], Any], put: Callable[[Any], None], changed: Any) -> None:
        self.widget, self.get, self.put, self.changed = widget, get, put, changed


def make_editor(name: str, info: FieldInfo) -> Editor:
    """Make the field that a value of a recipe asks for.

    Parameters
    ----------
    name : str
        Its name.
    info : FieldInfo
        What the pydantic model says of it.

    Returns
    -------
    Editor
    """
    kind = info.annotation
    tip = info.description or ""
    optional = typing.get_origin(kind) in (types.UnionType, typing.Union)
    if optional:
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    origin = typing.get_origin(kind)
    if origin is Literal:
        box = combo({str(value): value for value in typing.get_args(kind)}, tip)
        return Editor(box, box.currentData, partial(_choose, box), box.currentIndexChanged)
    if kind is bool:
        tick = QCheckBox()
        tick.setToolTip(tip)
        return Editor(tick, tick.isChecked, tick.setChecked, tick.toggled)
    if kind is int:
        return _whole(name, info, optional)
    if kind is float:
        number = _float(name, info)
        return Editor(number, number.value, number.setValue, number.valueChanged)
    if origin is tuple:
        return _pair(name, info)
    line = QLineEdit()
    line.setToolTip(tip)
    if kind is str:
        return Editor(line, line.text, line.setText, line.textChanged)

    def put(value: Any) -> None:
        line.setText(json.dumps(value))
        line.setCursorPosition(0)

    return Editor(line, partial(_from_json, name, line), put, line.textChanged)


class RecipeFields(QWidget):
    """All fields of a kind of recipe: the main ones in sight, the rest under Advanced.

    Parameters
    ----------
    kind : type
        `SegmenterRecipe` or `SynthesizerRecipe`.
    elsewhere : iterable of str
        Fields that are set outside of this widget.
    """

    changed = Signal()

    def __init__(self, kind: type[Recipe], elsewhere: Iterable[str] = ()) -> None:
        super().__init__()
        self.kind = kind
        self._base: Recipe | None = None
        self._names = [name for name in kind.model_fields if name not in {"kind", "name", *elsewhere}]
        self._values: dict[str, Any] = {}
        self._held: set[str] = set()
        self._reason = ""
        self.editors: dict[str, Editor] = {}
        self.advanced_button = QToolButton()
        self.advanced_button.setText("Advanced")
        self.advanced_button.setToolTip("Show all other fields of the recipe.")
        self.advanced_button.setCheckable(True)
        self.advanced_button.setArrowType(Qt.ArrowType.RightArrow)
        self.advanced_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.advanced = QWidget()
        self.advanced.hide()
        main = QWidget()
        self._fill(main, MAIN)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        for part in (main, self.advanced_button, self.advanced):
            layout.addWidget(part)
        self.advanced_button.toggled.connect(self._open)

    def set_recipe(self, recipe: Recipe) -> None:
        """Show the values of a recipe."""
        self._base = recipe
        self.set_values(recipe.model_dump(mode="json"))

    def set_values(self, values: dict[str, Any]) -> None:
        """Show some values."""
        self._values |= values
        self._put(values)
        self.changed.emit()

    def lock(self, names: Iterable[str], reason: str) -> None:
        """Keep the user from changing some fields, and say why; all others can be changed."""
        self._held, self._reason = set(names), reason
        self._hold()

    @property
    def locked(self) -> bool:
        """Whether some fields cannot be changed."""
        return bool(self._held)

    def editor(self, name: str) -> Editor:
        """Return the field of a value, wherever it is."""
        if name not in self.editors:
            self._fill_advanced()
        return self.editors[name]

    def recipe(self, changes: dict[str, Any] | None = None) -> Recipe:
        """Return the recipe as given.

        Parameters
        ----------
        changes : dict, optional
            Values of the fields that are set elsewhere.

        Raises
        ------
        RecipeError
            If a value is not valid.
        """
        assert self._base is not None
        given = {name: editor.get() for name, editor in self.editors.items()}
        values = {**self._base.model_dump(), **self._values, **given}
        default = str(self.kind.model_fields["name"].default)
        try:
            return read_recipe(default, {**values, **(changes or {})}, self.kind)
        except RecipeError as error:
            faults = str(error).partition("not valid: ")[2] or str(error)
            raise RecipeError(f"The recipe is not valid: {_readable(faults)}") from error

    def _fill(self, page: QWidget, names: Iterable[str]) -> None:
        form = form_layout(page)
        for name in names:
            editor = self.editors[name] = make_editor(name, self.kind.model_fields[name])
            add_row(form, label(name), editor.widget)
            if name in self._values:
                self._put({name: self._values[name]})
            editor.changed.connect(lambda *_: self.changed.emit())
        self._hold()

    def _fill_advanced(self) -> None:
        # Forty fields that few will open take napari a second to lay out.
        if self.advanced.layout() is None:
            self._fill(self.advanced, [name for name in self._names if name not in MAIN])

    def _put(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if (editor := self.editors.get(name)) is not None:
                with silent(editor.widget, *editor.widget.findChildren(QWidget)):
                    editor.put(value)

    def _hold(self) -> None:
        for name, editor in self.editors.items():
            tip = self.kind.model_fields[name].description or ""
            editor.widget.setEnabled(name not in self._held)
            editor.widget.setToolTip(f"{tip} {self._reason}" if name in self._held else tip)

    def _open(self, shown: bool) -> None:
        self._fill_advanced()
        self.advanced.setVisible(shown)
        self.advanced_button.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)


def _whole(name: str, info: FieldInfo, optional: bool) -> Editor:
    box = QSpinBox()
    low, high, step = _limits(info)
    first = int(low if low is not None else -_MOST)
    box.setRange(first - optional, int(high if high is not None else _MOST))
    box.setSingleStep(int(step or 1))
    box.setSuffix(_UNITS.get(name, ""))
    box.setToolTip(info.description or "")
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    if not optional:
        return Editor(box, box.value, box.setValue, box.valueChanged)
    box.setSpecialValueText("automatic")
    return Editor(
        box,
        lambda: None if box.value() < first else box.value(),
        lambda value: box.setValue(first - 1 if value is None else value),
        box.valueChanged,
    )


def _float(name: str, info: FieldInfo) -> NumberField:
    number = NumberField()
    low, high, _ = _limits(info)
    number.setRange(-_MOST if low is None else low, _MOST if high is None else high)
    number.setSuffix(_UNITS.get(name, ""))
    number.setToolTip(info.description or "")
    return number


def _pair(name: str, info: FieldInfo) -> Editor:
    both = QWidget()
    both.setToolTip(info.description or "")
    row = QHBoxLayout(both)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    numbers = [_float(name, info) for _ in typing.get_args(info.annotation)]
    for number in numbers:
        number.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        number.setStyleSheet("min-width: 40px;")  # napari asks for room for buttons
        row.addWidget(number)

    def put(values: Iterable[float]) -> None:
        for number, value in zip(numbers, values, strict=True):
            number.setValue(value)

    return Editor(both, lambda: tuple(number.value() for number in numbers), put, _Any(numbers))


class _Any:
    """A signal of several fields."""

    def __init__(self, numbers: Iterable[NumberField]) -> None:
        self._numbers = list(numbers)

    def connect(self, call: Callable[..., object]) -> None:
        for number in self._numbers:
            number.valueChanged.connect(call)


def _limits(info: FieldInfo) -> tuple[float | None, float | None, float | None]:
    low = high = step = None
    for part in info.metadata:
        match part:
            case Ge(ge=value) | Gt(gt=value):
                low = value
            case Le(le=value) | Lt(lt=value):
                high = value
            case MultipleOf(multiple_of=value):
                step = value
    return low, high, step  # type: ignore[return-value]


def _choose(box: QComboBox, value: Any) -> None:
    box.setCurrentIndex(box.findData(value))


def _from_json(name: str, line: QLineEdit) -> Any:
    try:
        return json.loads(line.text())
    except ValueError as error:
        raise RecipeError(f"{label(name)} is no valid JSON ({error}); write it as in the recipe.") from error


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def _readable(faults: str) -> str:
    """Call fields as the form does."""
    parts = []
    for fault in faults.split("; "):
        name, colon, reason = fault.partition(": ")
        parts.append(f"{label(name.partition('.')[0])}: {reason}" if colon else fault)
    return "; ".join(parts)
