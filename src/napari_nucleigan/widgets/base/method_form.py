"""Fields that say how nuclei are found: model, stains, device, filters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QPushButton, QSpacerItem, QWidget

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.masks.encoding import PROMINENCE, THRESHOLD
from napari_nucleigan.models import DEFAULT_SEGMENTER
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.widgets.base.fields import (
    add_row,
    combo,
    menu_button,
    set_text,
    silent,
    slider,
    small_label,
    spin,
    tooltip,
)
from napari_nucleigan.widgets.base.pickers import (
    ask_model_file,
    chosen_card,
    model_details,
    model_summary,
    show_devices,
    show_models,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QDoubleSpinBox

    from napari_nucleigan.base.devices import Device
    from napari_nucleigan.models import ModelCard, ModelFile

MAGNIFICATIONS = {"40x": 0.25, "20x": 0.5, "10x": 1.0, "5x": 2.0}
"""Usual microns per pixel of slide scanners, by their objective."""

GAP = 6
"""Pixels between groups of fields."""
_NORMALIZE = {
    "As the model asks": "model",
    "Not normalised": "none",
    "Vahadane": "vahadane",
    "Macenko": "macenko",
    "Reinhard": "reinhard",
}


class MethodForm(QWidget):
    """The fields that every form has which segments; it lays out none of them."""

    filters_changed = Signal()
    """Threshold, splitting or size filters were moved."""
    changed = Signal()
    """Anything was changed."""
    model_file_chosen = Signal(str)
    """A model file to add to the list."""

    def __init__(self) -> None:
        super().__init__()
        self.model = combo({}, tooltip("model"))
        self.more_models = menu_button("Add", "Use a model from a file.", {"Model file…": self._choose_model})
        self.model_info = small_label()
        self.normalize = combo(_NORMALIZE, tooltip("normalize"))
        self.device = combo({"Automatic": "auto", "CPU": "cpu"}, tooltip("device"))
        self.threshold = slider(THRESHOLD, tooltip("threshold"))
        self.prominence = slider(PROMINENCE, tooltip("prominence"))
        self.min_area = spin(10_000.0, 5.0, 1, "no limit", " µm²", tooltip("min_area"))
        self.max_area = spin(100_000.0, 50.0, 1, "no limit", " µm²", tooltip("max_area"))
        self.model.currentIndexChanged.connect(lambda _: self._model_chosen())
        for box in (self.normalize, self.device):
            box.currentIndexChanged.connect(lambda _: self.changed.emit())
        for number in (self.threshold, self.prominence, self.min_area, self.max_area):
            number.valueChanged.connect(lambda _: self.filters_changed.emit())
        self.filters_changed.connect(lambda: self.changed.emit())

    def settings(self) -> SegmentSettings:
        """Return the settings as given.

        Raises
        ------
        RecipeError
            If a value is not valid.
        """
        return SegmentSettings.checked(
            model=self.model.currentData() or "",
            device=self.device.currentData(),
            threshold=round(self.threshold.value(), 3),
            prominence=round(self.prominence.value(), 3),
            min_area=self.min_area.value(),
            max_area=self.max_area.value() or None,
            normalize=self.normalize.currentData(),
        )

    def problem(self) -> str:
        """Why these fields cannot be used; empty where they can."""
        if self.model.count() == 0:
            return "No model is installed: add a model file with the “Add” button beside Model."
        if self.max_area.value() and self.min_area.value() >= self.max_area.value():
            return "The smallest area is not below the largest: lower Smallest or raise Largest."
        try:
            self.settings()
        except RecipeError as error:
            return str(error)
        return ""

    def set_models(self, models: Sequence[ModelFile], chosen: str | None = None) -> None:
        """List the models.

        Parameters
        ----------
        models : sequence of ModelFile
            Those to list.
        chosen : str, optional
            Path of the one to choose; by default the one chosen before, else the default model.
        """
        before = self.model.currentData()
        show_models(self.model, models, chosen or before, DEFAULT_SEGMENTER)
        if self.model.currentData() != before:
            self._model_chosen()

    def set_devices(self, devices: Sequence[Device], chosen: str) -> None:
        """List the devices; those that are not to be had are greyed, with the reason."""
        show_devices(self.device, devices, chosen, tooltip("device"))

    def card(self) -> ModelCard | None:
        """Card of the chosen model."""
        return chosen_card(self.model)

    def _add_method(self, form: QFormLayout) -> None:
        add = partial(add_row, form)
        form.addItem(QSpacerItem(0, GAP))
        add("Model", self.model, self.more_models)
        form.addRow(self.model_info)
        add("Stains", self.normalize)
        add("Device", self.device)
        form.addItem(QSpacerItem(0, GAP))
        add("Threshold", self.threshold)
        add("Prominence", self.prominence)
        add("Smallest", self.min_area)
        add("Largest", self.max_area)

    def _choose_model(self) -> None:
        path = ask_model_file(self)
        if path:
            self.model_file_chosen.emit(path)

    def _model_chosen(self) -> None:
        card = self.card()
        if card is not None:
            with silent(self.threshold, self.prominence, self.min_area, self.max_area):
                self.threshold.setValue(float(card.decode.get("threshold", THRESHOLD)))
                self.prominence.setValue(float(card.decode.get("prominence", PROMINENCE)))
                self.min_area.setValue(float(card.decode.get("min_area_um2", 0.0)))
                self.max_area.setValue(float(card.decode.get("max_area_um2", 0.0)))
            self.model.setToolTip(f"{tooltip('model')}<br><br>{model_details(card)}")
        set_text(self.model_info, model_summary(card) if card else "")
        self.changed.emit()


def objective_button(field: QDoubleSpinBox) -> QPushButton:
    """Make a button that fills in the usual microns per pixel of an objective."""
    return menu_button(
        "Objective",
        "Set the usual microns per pixel of an objective.",
        {f"{name} objective ({mpp:g} µm)": partial(field.setValue, mpp) for name, mpp in MAGNIFICATIONS.items()},
    )
