"""Form of the Train widget: fields in, a `TrainRequest` out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from qtpy.QtWidgets import QFileDialog

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.masks.polygons import PRESETS
from napari_nucleigan.models import DEFAULT_SEGMENTER, DEFAULT_SYNTHESIZER, Kind
from napari_nucleigan.training.recipe_files import read_recipe
from napari_nucleigan.training.recipes import (
    FINE_TUNING,
    RECIPES,
    Recipe,
    SegmenterRecipe,
    SynthesizerRecipe,
)
from napari_nucleigan.training.starts import KEPT_WEIGHTS, fixed_by
from napari_nucleigan.widgets.base.fields import Form, combo, fault, menu_button, silent, spin
from napari_nucleigan.widgets.base.preferences import recall
from napari_nucleigan.widgets.base.training_jobs import TrainRequest
from napari_nucleigan.widgets.train.run_form import RunForm
from napari_nucleigan.widgets.train.sections import FIXED_BY_MODEL, DataSection, FolderReader, RecipeFields

if TYPE_CHECKING:
    from napari.viewer import Viewer

SEGMENTER, SYNTHESIZER = "segmenter", "synthesizer"
KINDS: dict[str, type[Recipe]] = {SEGMENTER: SegmenterRecipe, SYNTHESIZER: SynthesizerRecipe}
USUAL = {SEGMENTER: "compact-segmenter", SYNTHESIZER: "compact-synthesizer"}
_DEFAULTS = {SEGMENTER: DEFAULT_SEGMENTER, SYNTHESIZER: DEFAULT_SYNTHESIZER}
_MINUTES = 30.0  # in which a synthesizer learns a new look; from nothing it takes hours
_HELD = "The model that training starts from decides it."
_MASKS = {"Random, like the nuclei of the data": "fit", "The nuclei of the data themselves": "labels"}


class TrainForm(RunForm):
    """All fields of a new training.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers can be learnt from.
    """

    def __init__(self, viewer: Viewer) -> None:
        tip = "Begin with random weights, or go on from a model: it needs fewer images and epochs."
        super().__init__(get_args(Kind), tip, DEFAULT_SEGMENTER, nothing="Random weights")
        self._own: dict[str, Recipe] = {}
        top, start, below = Form(), Form(), Form()
        self._mixing = below
        kind = combo(
            {"Segmenter: H&E to nuclei": SEGMENTER, "Synthesizer: masks to H&E": SYNTHESIZER},
            "What to train: a network that finds nuclei (conditional GAN), or one that paints H&E from masks "
            "(cycleGAN).",
        )
        self.kind = top.add("Train", kind, call=self._kind_chosen)
        self.data = DataSection(viewer)
        share = f"{field_facts(SegmenterRecipe)['synthetic_share'].description} Make pairs with Synthesize H&E."
        self.share = below.add(
            "Synthetic", spin(99.0, 5.0, 0, "none", " % of the crops", share), call=self._share_changed
        )
        synthetic = FolderReader("Synthetic pairs to mix in: a data set, as Synthesize H&E makes it.")
        self.synthetic = below.add("Pairs", synthetic)
        masks = combo(
            _MASKS | {f"Random, like {name}": name for name in PRESETS},
            field_facts(SynthesizerRecipe)["masks"].description,
        )
        self.more_masks = menu_button("Add", "Paint the label images of a folder.", {"Folder…": self._choose_masks})
        self.masks = below.add("Masks", masks, self.more_masks)
        self._masks_row = below.rows.rowCount() - 1
        self.picker.add_model_row(start.rows, "Start from")
        self.picker.chosen.connect(self._start_picked)
        self.picker.kind_asked.connect(lambda kind: self.kind.setCurrentIndex(self.kind.findData(kind)))
        self.more_recipes = menu_button("Add", "Use a recipe file.", {"Recipe file…": self._choose_recipe})
        recipe = combo({}, "How to train. Its other fields are below.")
        self.recipe = below.add("Recipe", recipe, self.more_recipes, self._recipe_picked)
        self.fields = {
            SEGMENTER: RecipeFields(SegmenterRecipe, ("start_from", "synthetic_share")),
            SYNTHESIZER: RecipeFields(SynthesizerRecipe, ("start_from", "masks")),
        }
        self._lay_out(
            (top, self.data, start, *self.fields.values()),
            (below, *(fields.advanced for fields in self.fields.values())),
            "Show everything else that can be chosen: recipe, synthetic pairs, device.",
        )
        self._kind_chosen()

    @property
    def current(self) -> RecipeFields:
        """Fields of the kind that is chosen."""
        return self.fields[self.kind.currentData()]

    def request(self, runs: Path) -> TrainRequest:
        """Return the training as given, to be kept in a folder of runs.

        Raises
        ------
        RecipeError
            If a field of the recipe is not valid.
        """
        kind = self.kind.currentData()
        mixed = kind == SEGMENTER and self.share.value() > 0
        return TrainRequest(
            kind=kind,
            recipe=self._recipe(),
            name=self._name,
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
        if self.recipe.currentText() == FINE_TUNING and not self.picker.path:
            return "This recipe goes on from a model: choose one under Start from, or another recipe."
        return fault(self._recipe)

    def outlook(self) -> str:
        """Tell how long it will take, as far as that is known without a try."""
        minutes = self.current.editor("minutes").get()
        if not minutes:
            return "There is no time limit: Estimate tells how long it will take."
        return f"{minutes:g} min of training at most, and some moments to prepare and to validate."

    def learn_from(self, folder: Path) -> None:
        """Choose a data set in a folder, for a segmenter."""
        self.kind.setCurrentIndex(self.kind.findData(SEGMENTER))
        self.data.choose_folder(folder)

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
        self._recipe_picked()

    def choose_masks(self, masks: str) -> None:
        """Choose the masks that a synthesizer paints, as its recipe names them."""
        if self.masks.findData(masks) < 0:
            self.masks.addItem(Path(masks).name, masks)
        self.masks.setCurrentIndex(self.masks.findData(masks))

    def refresh(self) -> None:
        """List the layers again."""
        self.data.refresh()

    def cancel(self) -> None:
        """Stop looking into folders, and for models."""
        super().cancel()
        for reader in (self.data.folder, self.synthetic):
            reader.cancel()

    def _recipe(self) -> Recipe:
        kind = self.kind.currentData()
        changes: dict[str, Any] = {"start_from": self.picker.path}
        if kind == SEGMENTER:
            changes["synthetic_share"] = round(self.share.value() / 100, 4)
        else:
            changes["masks"] = self.masks.currentData()
        return self.current.recipe(changes)

    def _kind_chosen(self) -> None:
        kind = self.kind.currentData()
        for name, fields in self.fields.items():
            fields.setVisible(name == kind)
            fields.advanced.setVisible(name == kind)
        self._mixing.rows.setRowVisible(self._masks_row, kind == SYNTHESIZER)
        self._list_recipes(None)
        self.picker.set_kind(kind, _DEFAULTS[kind])
        self.data.folder.set_labelled(kind == SEGMENTER)
        self._share_changed()

    def _share_changed(self) -> None:
        of_segmenter = self.kind.currentData() == SEGMENTER
        self._mixing.rows.setRowVisible(self.share, of_segmenter)
        self._mixing.rows.setRowVisible(self.synthetic, of_segmenter and self.share.value() > 0)
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

    def _recipe_picked(self) -> None:
        """Begin as the recipe of the user's choice says, until they choose another start."""
        self._recipe_chosen()
        self.picker.choose(self.recipe.currentData().start_from)

    def _recipe_chosen(self) -> None:
        recipe = self.recipe.currentData()
        self._suggest_name(self.recipe.currentText())
        self.current.set_recipe(recipe)
        if isinstance(recipe, SegmenterRecipe):
            with silent(self.share):
                self.share.setValue(100 * recipe.synthetic_share)
        else:
            self.choose_masks(recipe.masks)
        self._start_chosen()

    def _start_picked(self) -> None:
        """Take what suits the start, unless the user has chosen a recipe of their own."""
        if self.kind.currentData() == SEGMENTER and self.recipe.currentText() in (USUAL[SEGMENTER], FINE_TUNING):
            suited = FINE_TUNING if self.picker.path else USUAL[SEGMENTER]
            with silent(self.recipe):
                self.recipe.setCurrentIndex(self.recipe.findText(suited))
            self._recipe_chosen()
        else:
            self._start_chosen()
            if self.kind.currentData() == SYNTHESIZER and self.recipe.currentText() == USUAL[SYNTHESIZER]:
                self.current.set_values({"minutes": _MINUTES if self.picker.path else 0.0})

    def _fill_advanced(self) -> None:
        for fields in self.fields.values():
            fields.fill_advanced()

    def _start_chosen(self) -> None:
        card = self.picker.card
        fields = self.current
        released = fields.locked and card is None
        fields.lock(FIXED_BY_MODEL if card else (), _HELD)
        recipe = self.recipe.currentData()
        if card is not None:
            fields.set_values(fixed_by(card))
        elif recipe is not None and released:
            plain = recipe.model_dump(mode="json")
            fields.set_values({name: plain[name] for name in (*FIXED_BY_MODEL, *KEPT_WEIGHTS) if name in plain})
        self.changed.emit()

    def _choose_masks(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "A folder of label images", recall("folder", "")):
            self.choose_masks(folder)

    def _choose_recipe(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Use a recipe", recall("folder", ""), "Recipes (*.json)")
        if path:
            self.set_recipe(path)
