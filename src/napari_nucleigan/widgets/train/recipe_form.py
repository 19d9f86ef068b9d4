"""Recipe form: a field for each value of a recipe, by what its pydantic model says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.training.recipes import Recipe, read_recipe
from napari_nucleigan.widgets.base.fields import add_row, form_layout
from napari_nucleigan.widgets.base.settings_fields import Editor, make_editor

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def label(name: str) -> str:
    """Write the name of a field for people.

    >>> label("discriminator_lr")
    'Discriminator rate'
    """
    if name == "lr":
        return "Learning rate"
    text = " ".join(_WORDS.get(word, word) for word in name.split("_"))
    return text[:1].upper() + text[1:]


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
        self._facts = {name: replace(facts, title=label(name)) for name, facts in field_facts(kind).items()}
        self._base: Recipe | None = None
        self._names = [name for name in self._facts if name not in {"kind", "name", *elsewhere}]
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
        default = str(self._facts["name"].default)
        try:
            return read_recipe(default, {**values, **(changes or {})}, self.kind)
        except RecipeError as error:
            faults = str(error).partition("not valid: ")[2] or str(error)
            raise RecipeError(f"The recipe is not valid: {_readable(faults)}") from error

    def _fill(self, page: QWidget, names: Iterable[str]) -> None:
        form = form_layout(page)
        for name in names:
            editor = self.editors[name] = make_editor(self._facts[name])
            add_row(form, self._facts[name].title, editor.widget)
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
                editor.show(value)

    def _hold(self) -> None:
        for name, editor in self.editors.items():
            tip = self._facts[name].description
            editor.widget.setEnabled(name not in self._held)
            editor.widget.setToolTip(f"{tip} {self._reason}" if name in self._held else tip)

    def _open(self, shown: bool) -> None:
        self._fill_advanced()
        self.advanced.setVisible(shown)
        self.advanced_button.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)


def _readable(faults: str) -> str:
    """Call fields as the form does."""
    parts = []
    for fault in faults.split("; "):
        name, colon, reason = fault.partition(": ")
        parts.append(f"{label(name.partition('.')[0])}: {reason}" if colon else fault)
    return "; ".join(parts)
