"""The form of the Train widget: fields in, a `train_work.TrainOrder` out."""

from __future__ import annotations

import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QLineEdit, QSpacerItem, QVBoxLayout, QWidget

from napari_nucleigan.base.errors import ModelError, NucleiganError, RecipeError
from napari_nucleigan.masks.sampler.sample import PRESETS
from napari_nucleigan.models import ModelFile, read_card
from napari_nucleigan.training.recipes import (
    FINE_TUNING,
    KEPT_WEIGHTS,
    RECIPES,
    Recipe,
    SegmenterRecipe,
    SynthesizerRecipe,
    fixed_by,
    read_recipe,
)
from napari_nucleigan.widgets.base.fields import (
    add_row,
    combo,
    form_layout,
    menu_button,
    set_text,
    silent,
    small_label,
    spin,
)
from napari_nucleigan.widgets.base.method_form import GAP
from napari_nucleigan.widgets.base.pickers import ask_model_file, model_details, model_summary, show_devices
from napari_nucleigan.widgets.base.preferences import recall
from napari_nucleigan.widgets.base.training_jobs import TrainOrder
from napari_nucleigan.widgets.train.data_section import DataSection, FolderReader
from napari_nucleigan.widgets.train.recipe_form import FIXED_BY_MODEL, RecipeFields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.viewer import Viewer

    from napari_nucleigan.base.devices import Device
    from napari_nucleigan.models import ModelCard

SEGMENTER, SYNTHESIZER = "segmenter", "synthesizer"
KINDS: dict[str, type[Recipe]] = {SEGMENTER: SegmenterRecipe, SYNTHESIZER: SynthesizerRecipe}
USUAL = {SEGMENTER: "compact-segmenter", SYNTHESIZER: "compact-synthesizer"}
_HELD = "The model that training starts from decides it."
_MASKS = {"Random, like the nuclei of the data": "fit", "The nuclei of the data themselves": "labels"}


class TrainForm(QWidget):
    """All fields of a new run.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers can be learnt from.
    """

    changed = Signal()
    failed = Signal(object)
    """A file cannot be used: a `NucleiganError`."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._models: dict[str, list[ModelFile]] = {}
        self._added: list[ModelFile] = []
        self._own: dict[str, Recipe] = {}
        self.kind = combo(
            {"Segmenter: H&E to nuclei": SEGMENTER, "Synthesizer: masks to H&E": SYNTHESIZER},
            "What to train: a network that finds nuclei (conditional GAN), or one that paints H&E from masks "
            "(cycleGAN).",
        )
        self.data = DataSection(viewer)
        share = SegmenterRecipe.model_fields["synthetic_share"].description or ""
        self.share = spin(99.0, 5.0, 0, "none", " % of the crops", f"{share} Make pairs with Synthesize H&E.")
        self.synthetic = FolderReader("Synthetic pairs to mix in: a data set, as Synthesize H&E makes it.")
        self.masks = combo(
            _MASKS | {f"Random, like {name}": name for name in PRESETS},
            SynthesizerRecipe.model_fields["masks"].description or "",
        )
        self.more_masks = menu_button("Add", "Paint the label images of a folder.", {"Folder…": self._choose_masks})
        self.start = combo({}, "Begin with random weights, or go on from a model: it needs fewer images and epochs.")
        self.more_models = menu_button("Add", "Start from a model file.", {"Model file…": self._choose_model})
        self.start_info = small_label()
        self.recipe = combo({}, "How to train. Its fields are below.")
        self.more_recipes = menu_button("Add", "Use a recipe file.", {"Recipe file…": self._choose_recipe})
        self.fields = {
            SEGMENTER: RecipeFields(SegmenterRecipe, ("start_from", "synthetic_share")),
            SYNTHESIZER: RecipeFields(SynthesizerRecipe, ("start_from", "masks")),
        }
        self.device = combo({"Automatic": "auto", "CPU": "cpu"}, "Where to compute.")
        self.queue = QCheckBox("Wait for other runs")
        self.queue.setToolTip("Begin when no run that was started earlier computes on this device any more.")
        self.name = QLineEdit()
        self.name.setToolTip("Name of the run, and of its model. A number is added where there is such a run.")
        self._arrange()
        self._connect()
        self._kind_chosen()

    @property
    def current(self) -> RecipeFields:
        """Fields of the kind that is chosen."""
        return self.fields[self.kind.currentData()]

    def order(self, runs: Path) -> TrainOrder:
        """Return the training as given, to be kept in a folder of runs.

        Raises
        ------
        RecipeError
            If a field of the recipe is not valid.
        """
        kind = self.kind.currentData()
        mixed = kind == SEGMENTER and self.share.value() > 0
        return TrainOrder(
            kind=kind,
            recipe=self._recipe(),
            name=self.name.text().strip() or self.name.placeholderText(),
            runs=runs,
            device=self.device.currentData(),
            data=self.data.data(),
            synthetic=self.synthetic.path if mixed else None,
            queue=self.queue.isChecked(),
        )

    def problem(self) -> str:
        """Why it cannot be trained like this; empty where it can."""
        if text := self.data.problem():
            return text
        if self.kind.currentData() == SEGMENTER and self.share.value() > 0 and (text := self.synthetic.problem()):
            return f"Synthetic pairs: {text}"
        if self.recipe.currentText() == FINE_TUNING and not self.start.currentData():
            return "This recipe goes on from a model: choose one under Start from, or another recipe."
        try:
            self._recipe()
        except RecipeError as error:
            return str(error)
        return ""

    def set_models(self, models: Sequence[ModelFile], kind: str) -> None:
        """List the models of a kind that training can start from."""
        self._models[kind] = list(models)
        self._list_models()

    def set_devices(self, devices: Sequence[Device], chosen: str) -> None:
        """List the devices; those that are not to be had are greyed, with the reason."""
        show_devices(self.device, devices, chosen, "Where to compute.")

    def start_from(self, path: str | Path) -> None:
        """Let training start from a model file, of either kind."""
        try:
            card = read_card(path)
        except ModelError as error:
            self.failed.emit(error)
            return
        self._added = [file for file in self._added if file.path != Path(path)]
        self._added.append(ModelFile(card.name, Path(path), False, card))
        self.kind.setCurrentIndex(self.kind.findData(card.kind))
        self._list_models()
        self.start.setCurrentIndex(self.start.findData(str(path)))

    def set_recipe(self, path: str | Path) -> None:
        """Use a recipe file."""
        kind = self.kind.currentData()
        try:
            recipe = read_recipe(path, None, KINDS[kind])
        except NucleiganError as error:
            self.failed.emit(error)
            return
        self._own[Path(path).stem] = recipe
        self._list_recipes(Path(path).stem)

    def choose_masks(self, masks: str) -> None:
        """Choose the masks that a synthesizer paints, as its recipe names them."""
        if self.masks.findData(masks) < 0:
            self.masks.addItem(Path(masks).name, masks)
        self.masks.setCurrentIndex(self.masks.findData(masks))

    def cancel(self) -> None:
        """Stop looking into folders."""
        for reader in (self.data.folder, self.synthetic):
            reader.cancel()

    def _recipe(self) -> Recipe:
        kind = self.kind.currentData()
        changes: dict[str, Any] = {"start_from": self.start.currentData() or ""}
        if kind == SEGMENTER:
            changes["synthetic_share"] = round(self.share.value() / 100, 4)
        else:
            changes["masks"] = self.masks.currentData()
        return self.current.recipe(changes)

    def _arrange(self) -> None:
        top, below, bottom = QWidget(), QWidget(), QWidget()
        add = partial(add_row, form_layout(top))
        add("Train", self.kind)
        self._mixing = form_layout(below)
        add = partial(add_row, self._mixing)
        add("Synthetic", self.share)
        add("Pairs", self.synthetic)
        add("Masks", self.masks, self.more_masks)
        self._masks_row = self._mixing.rowCount() - 1
        self._mixing.addItem(QSpacerItem(0, GAP))
        add("Start from", self.start, self.more_models)
        self._mixing.addRow(self.start_info)
        add("Recipe", self.recipe, self.more_recipes)
        last = form_layout(bottom)
        add_row(last, "Device", self.device)
        add_row(last, "Queue", self.queue)
        add_row(last, "Name", self.name)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        for part in (top, self.data, below, *self.fields.values(), bottom):
            layout.addWidget(part)

    def _connect(self) -> None:
        self.kind.currentIndexChanged.connect(lambda _: self._kind_chosen())
        self.start.currentIndexChanged.connect(lambda _: self._start_picked())
        self.recipe.currentIndexChanged.connect(lambda _: self._recipe_chosen())
        self.share.valueChanged.connect(lambda _: self._share_changed())
        for box in (self.masks, self.device):
            box.currentIndexChanged.connect(lambda _: self.changed.emit())
        for fields in self.fields.values():
            fields.changed.connect(self.changed.emit)
        self.data.changed.connect(self.changed.emit)
        self.synthetic.changed.connect(self.changed.emit)
        for text in (self.name.textChanged, self.queue.toggled):
            text.connect(lambda _: self.changed.emit())

    def _kind_chosen(self) -> None:
        kind = self.kind.currentData()
        for name, fields in self.fields.items():
            fields.setVisible(name == kind)
        self._mixing.setRowVisible(self._masks_row, kind == SYNTHESIZER)
        self._list_recipes(None)
        self._list_models()
        self.data.folder.set_labelled(kind == SEGMENTER)
        self._share_changed()

    def _share_changed(self) -> None:
        of_segmenter = self.kind.currentData() == SEGMENTER
        self._mixing.setRowVisible(self.share, of_segmenter)
        self._mixing.setRowVisible(self.synthetic, of_segmenter and self.share.value() > 0)
        self.changed.emit()

    def _list_recipes(self, chosen: str | None) -> None:
        kind = KINDS[self.kind.currentData()]
        found = {**RECIPES, **self._own}
        with silent(self.recipe):
            self.recipe.clear()
            for name, recipe in found.items():
                if isinstance(recipe, kind):
                    self.recipe.addItem(name, recipe)
            self.recipe.setCurrentIndex(max(0, self.recipe.findText(chosen or "")))
        self._recipe_chosen()

    def _recipe_chosen(self) -> None:
        recipe = self.recipe.currentData()
        day = datetime.datetime.now().astimezone().date().isoformat()
        self.name.setPlaceholderText(f"{self.recipe.currentText()} {day}")
        self.current.set_recipe(recipe)
        if isinstance(recipe, SegmenterRecipe):
            with silent(self.share):
                self.share.setValue(100 * recipe.synthetic_share)
        else:
            self.choose_masks(recipe.masks)
        self._start_chosen()

    def _list_models(self) -> None:
        kind, before = self.kind.currentData(), self.start.currentData()
        added = [file for file in self._added if file.card is not None and file.card.kind == kind]
        with silent(self.start):
            self.start.clear()
            self.start.addItem("Random weights", "")
            for file in [*self._models.get(kind, []), *added]:
                self.start.addItem(file.name, str(file.path))
                self.start.setItemData(self.start.count() - 1, file.card, _CARD)
            self.start.setCurrentIndex(max(0, self.start.findData(before)))
        self._start_chosen()

    def _start_picked(self) -> None:
        """Take the recipe that suits the start, unless the user has chosen one of their own."""
        if self.kind.currentData() == SEGMENTER and self.recipe.currentText() in (USUAL[SEGMENTER], FINE_TUNING):
            suited = FINE_TUNING if self.start.currentData() else USUAL[SEGMENTER]
            with silent(self.recipe):
                self.recipe.setCurrentIndex(self.recipe.findText(suited))
            self._recipe_chosen()
        else:
            self._start_chosen()

    def _start_chosen(self) -> None:
        card: ModelCard | None = self.start.currentData(_CARD)
        fields = self.current
        released = fields.locked and card is None
        fields.lock(FIXED_BY_MODEL if card else (), _HELD)
        recipe = self.recipe.currentData()
        if card is not None:
            fields.set_values(fixed_by(card))
            self.start.setToolTip(model_details(card))
        elif recipe is not None and released:
            plain = recipe.model_dump(mode="json")
            fields.set_values({name: plain[name] for name in (*FIXED_BY_MODEL, *KEPT_WEIGHTS) if name in plain})
        set_text(self.start_info, model_summary(card) if card else "")
        self.changed.emit()

    def _choose_model(self) -> None:
        if path := ask_model_file(self):
            self.start_from(path)

    def _choose_masks(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "A folder of label images", recall("folder", "")):
            self.choose_masks(folder)

    def _choose_recipe(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Use a recipe", recall("folder", ""), "Recipes (*.json)")
        if path:
            self.set_recipe(path)


_CARD = 0x0101  # a role of the user's own in a combo box
