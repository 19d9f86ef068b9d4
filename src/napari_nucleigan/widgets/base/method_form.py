"""Method form: fields that say how nuclei are found, for every form that segments."""

from __future__ import annotations

from qtpy.QtCore import Signal

from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.masks.encoding import PROMINENCE, THRESHOLD
from napari_nucleigan.models import DEFAULT_SEGMENTER
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.widgets.base.fields import Form, combo, fault, forward, silent, slider, spin
from napari_nucleigan.widgets.base.model_picker import ModelPicker

_NORMALIZE = {
    "As the model asks": "model",
    "Not normalised": "none",
    "Vahadane": "vahadane",
    "Macenko": "macenko",
    "Reinhard": "reinhard",
}

TIPS = {name: facts.description for name, facts in field_facts(SegmentSettings).items()}
"""Descriptions of the fields of `SegmentSettings`, for tooltips."""


class MethodForm(Form):
    """The fields that every form has which segments; `add_method` puts them below what there is."""

    filters_changed = Signal()
    """Threshold, splitting or size filters were moved."""

    def __init__(self) -> None:
        super().__init__()
        forward(self.changed, self.filters_changed)
        self.picker = ModelPicker(self, ("segmenter",), (TIPS["model"], TIPS["device"]), DEFAULT_SEGMENTER)
        self.model, self.device = self.picker.box, self.picker.device
        self.picker.chosen.connect(self._model_chosen)
        self.picker.ready.connect(self.changed.emit)

    def add_method(self) -> None:
        """Add the fields."""
        moved = self.filters_changed.emit
        self.add_gap()
        self.picker.add_model_row(self.rows, "Model")
        self.normalize = self.add("Stains", combo(_NORMALIZE, TIPS["normalize"]))
        self.add("Device", self.device)
        self.add_gap()
        self.threshold = self.add("Threshold", slider(THRESHOLD, TIPS["threshold"]), call=moved)
        self.prominence = self.add("Prominence", slider(PROMINENCE, TIPS["prominence"]), call=moved)
        smallest = spin(10_000.0, 5.0, 1, "no limit", " µm²", TIPS["min_area"])
        largest = spin(100_000.0, 50.0, 1, "no limit", " µm²", TIPS["max_area"])
        self.min_area = self.add("Smallest", smallest, call=moved)
        self.max_area = self.add("Largest", largest, call=moved)

    def settings(self) -> SegmentSettings:
        """Return the settings as given.

        Raises
        ------
        RecipeError
            If a value is not valid.
        """
        return SegmentSettings.checked(
            model=self.picker.path,
            device=self.device.currentData(),
            threshold=round(self.threshold.value(), 3),
            prominence=round(self.prominence.value(), 3),
            min_area=self.min_area.value(),
            max_area=self.max_area.value() or None,
            normalize=self.normalize.currentData(),
        )

    def problem(self) -> str:
        """Why these fields cannot be used; empty where they can."""
        if self.picker.empty:
            return "No model is installed: add a model file with the “Add” button beside Model."
        if self.max_area.value() and self.min_area.value() >= self.max_area.value():
            return "The smallest area is not below the largest: lower Smallest or raise Largest."
        return fault(self.settings)

    def _model_chosen(self) -> None:
        card = self.picker.card
        if card is not None:
            with silent(self.threshold, self.prominence, self.min_area, self.max_area):
                self.threshold.setValue(float(card.decode.get("threshold", THRESHOLD)))
                self.prominence.setValue(float(card.decode.get("prominence", PROMINENCE)))
                self.min_area.setValue(float(card.decode.get("min_area_um2", 0.0)))
                self.max_area.setValue(float(card.decode.get("max_area_um2", 0.0)))
        self.changed.emit()
