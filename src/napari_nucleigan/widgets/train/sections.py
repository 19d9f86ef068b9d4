"""Sections of the Train form: what is learnt from, open layers or a data set in a folder; and the recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.training.recipe_files import read_recipe
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.fields import (
    NO_MARGINS,
    Form,
    add_row,
    column,
    combo,
    form_layout,
    pixel_size,
    silent,
)
from napari_nucleigan.widgets.base.image_sources import Source
from napari_nucleigan.widgets.base.mask_layers import mask_reader, pairs_of
from napari_nucleigan.widgets.base.path_fields import DebouncedCheck, FolderField
from napari_nucleigan.widgets.base.settings_fields import Editor, make_editor
from napari_nucleigan.widgets.base.training_jobs import Contents, TrainingPair, look_into
from napari_nucleigan.widgets.base.transforms import PixelSizes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.training.recipes import Recipe

LAYERS, FOLDER = "layers", "folder"
_PAIR = Qt.ItemDataRole.UserRole


class FolderReader(QWidget):
    """A field for a data set that is to be read, and a line that says what is in it.

    Parameters
    ----------
    tip : str
        What the folder is for.
    hint : str
        What the empty field says.
    describe : callable
        Says what is in the folder.
    """

    changed = Signal()

    def __init__(self, tip: str, hint: str = "", describe: Callable[[Contents], str] = str) -> None:
        super().__init__()
        self.field = FolderField(tip)
        self.setToolTip(tip)
        if hint:
            self.field.line.setPlaceholderText(hint)
        self.labelled = True
        self._check = DebouncedCheck(self, self._look, "looking into the folder", describe)
        self.remark = self._check.remark
        column(self.field, self.remark, inside=self, margins=NO_MARGINS, spacing=2, stretch=False)
        self.field.changed.connect(self._check.look)

    @property
    def path(self) -> Path | None:
        """The folder; None where none is given."""
        return self.field.path

    def problem(self) -> str:
        """Why it cannot be learnt from; empty where it can."""
        if self.path is None:
            return "Choose the folder of a data set: it holds images/NAME.png and labels/NAME.tif."
        if self._check.fault:
            return self._check.fault
        found: Contents | None = self._check.found
        return "" if found is not None and found.path == self.path else "Looking into the folder…"

    def set_labelled(self, labelled: bool) -> None:
        """Say whether the images must have labels."""
        if labelled != self.labelled:
            self.labelled = labelled
            self._check.look()

    def cancel(self) -> None:
        """Stop looking."""
        self._check.cancel()

    def _look(self) -> Job[Contents] | None:
        return None if self.path is None else look_into(self.path, self.labelled)


class DataSection(Form):
    """What is learnt from.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers can be learnt from.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._scales = PixelSizes()
        self._pairs: list[tuple[Image, Labels]] = []
        source = combo(
            {"Open layers": LAYERS, "A data set": FOLDER},
            "Learn from images and labels that are open in napari, or from a data set in a folder.",
        )
        self.list = QListWidget()
        self.list.setToolTip("Images with the labels of their nuclei, of the same size. Tick those to learn from.")
        self.list.setFixedHeight(74)
        self.mpp = pixel_size("not known", "Microns per pixel of the ticked images that do not say it.")
        folder = FolderReader(
            "The data set: images/, labels/ and split.csv. Images of the split “train” are learnt from, those of “val” "
            "validate, those of “test” are left alone."
        )
        self.source = self.add("Data", source, call=self._changed)
        add_row(self.rows, "Pairs", self.list)
        self.list.itemChanged.connect(lambda _: self._changed())
        add_row(self.rows, "Pixel size", self.mpp)
        self.mpp.valueChanged.connect(self._typed)
        self.folder = self.add("Folder", folder)
        self.refresh()

    @property
    def pairs(self) -> list[tuple[Image, Labels]]:
        """The ticked pairs of layers."""
        ticked = [self.list.item(row).checkState() == Qt.CheckState.Checked for row in range(self.list.count())]
        return [pair for pair, tick in zip(self._pairs, ticked, strict=True) if tick]

    def refresh(self) -> None:
        """List the layers again; what was ticked stays ticked."""
        before = {self.list.item(row).data(_PAIR): self.list.item(row).checkState() for row in range(self.list.count())}
        self._pairs = pairs_of(self._viewer)
        best = {image.unique_id: _best(image, [b for a, b in self._pairs if a is image]) for image, _ in self._pairs}
        with silent(self.list):
            self.list.clear()
            for image, labels in self._pairs:
                item = QListWidgetItem(f"{image.name}  +  {labels.name}")
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                key = f"{image.unique_id} {labels.unique_id}"
                item.setData(_PAIR, key)
                first = Qt.CheckState.Checked if best[image.unique_id] is labels else Qt.CheckState.Unchecked
                item.setCheckState(before.get(key, first))
                item.setToolTip(item.text())
                self.list.addItem(item)
        self._changed()

    def choose_folder(self, folder: Path) -> None:
        """Choose a data set in a folder."""
        self.source.setCurrentIndex(self.source.findData(FOLDER))
        self.folder.field.line.setText(str(folder))

    def problem(self) -> str:
        """Why nothing can be learnt; empty where it can."""
        if self.source.currentData() == FOLDER:
            return self.folder.problem()
        if not self._pairs:
            return (
                "There is no image with labels of the same size: segment an image, or paint its nuclei in a Labels "
                "layer; or choose a data set above."
            )
        chosen = self.pairs
        if not chosen:
            return "Tick at least one pair of an image and its labels."
        images = [image for image, _ in chosen]
        twice = next((image for image in images if images.count(image) > 1), None)
        if twice is not None:
            return f"“{twice.name}” is ticked with two labels: tick the right ones only."
        for image in images:
            if self._scales.of(image)[0] is None:
                return f"“{image.name}” does not say its microns per pixel: type them above."
        return ""

    def data(self) -> Path | tuple[TrainingPair, ...]:
        """Return what is to be learnt from."""
        if self.source.currentData() == FOLDER:
            path = self.folder.path
            assert path is not None
            return path
        return tuple(
            TrainingPair(Source.of(image, self._scales.of(image)[0]), mask_reader(labels))
            for image, labels in self.pairs
        )

    def _changed(self) -> None:
        of_layers = self.source.currentData() == LAYERS
        asked = [image for image, _ in self.pairs if layers.layer_mpp(image) is None]
        for field, shown in ((self.list, of_layers), (self.mpp, of_layers and asked), (self.folder, not of_layers)):
            self.rows.setRowVisible(field, bool(shown))
        values = {self._scales.of(image)[0] for image in asked}
        with silent(self.mpp):
            self.mpp.setValue(values.pop() or 0.0 if len(values) == 1 else 0.0)
        self.changed.emit()

    def _typed(self, mpp: float) -> None:
        for image, _ in self.pairs:
            if layers.layer_mpp(image) is None:
                self._scales.give(image, mpp)
        self.changed.emit()


def _best(image: Image, masks: list[Labels]) -> Labels:
    """Labels that are most likely those of an image: named after it, else the topmost."""
    return next((mask for mask in masks if mask.name.startswith(image.name)), masks[0])


MAIN = ("minutes",)
"""Fields in sight; the others are advanced ones."""

_FIRST = ("epochs_constant", "epochs_decay", "batch", "patch", "lr", "validation")  # of the advanced ones

FIXED_BY_MODEL = ("generator", "encoding", "mpp", "normalize")
"""What a model that training starts from decides."""

_WORDS = {
    "lr": "rate",
    "mpp": "pixel size",
    "minutes": "time limit",
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
    """All fields of a kind of recipe: the main ones, and `advanced`, which is laid out elsewhere.

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
        names = (*_FIRST, *(name for name in self._facts if name not in _FIRST))
        self._names = [name for name in names if name not in {"kind", "name", *MAIN, *elsewhere}]
        self._values: dict[str, Any] = {}
        self._held: set[str] = set()
        self._reason = ""
        self.editors: dict[str, Editor] = {}
        self.advanced = QWidget()
        self._fill(self, MAIN)
        self.editors["minutes"].widget.setSpecialValueText("none")

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
            self.fill_advanced()
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

    def fill_advanced(self) -> None:
        """Lay the advanced fields out, when somebody wants to see them: forty fields take napari a second."""
        if self.advanced.layout() is None:
            self._fill(self.advanced, self._names)

    def _put(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if (editor := self.editors.get(name)) is not None:
                editor.show(value)

    def _hold(self) -> None:
        for name, editor in self.editors.items():
            tip = self._facts[name].description
            editor.widget.setEnabled(name not in self._held)
            editor.widget.setToolTip(f"{tip} {self._reason}" if name in self._held else tip)


def _readable(faults: str) -> str:
    """Call fields as the form does."""
    parts = []
    for fault in faults.split("; "):
        name, colon, reason = fault.partition(": ")
        parts.append(f"{label(name.partition('.')[0])}: {reason}" if colon else fault)
    return "; ".join(parts)
