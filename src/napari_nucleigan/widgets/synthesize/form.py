"""The form of the Synthesize widget: fields in, `SynthesisSettings` out."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QPushButton, QSizePolicy, QSpacerItem, QSpinBox, QWidget

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.models import DEFAULT_SYNTHESIZER
from napari_nucleigan.synthesis.settings import SynthesisSettings
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
from napari_nucleigan.widgets.base.layers import ADD, REPLACE
from napari_nucleigan.widgets.base.method_form import GAP
from napari_nucleigan.widgets.base.pickers import (
    ask_model_file,
    chosen_card,
    model_details,
    model_summary,
    show_devices,
    show_models,
)
from napari_nucleigan.widgets.synthesize.reference_box import ReferenceBox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.base.devices import Device
    from napari_nucleigan.models import ModelCard, ModelFile

_RANDOM = {"Drawn by the seed": "random"}
_RESTAIN = {"As painted": "", "Typical H&E section": "reference"}
LARGEST_SEED = 2**31 - 1
BUTTON = 62
"""Least width of the buttons beside fields, in pixels, so that the fields end in one line."""


def tip(field: str) -> str:
    """Describe a field of `SynthesisSettings`, for a tooltip."""
    return SynthesisSettings.model_fields[field].description or ""


class PaintForm(QWidget):
    """All fields that say what is painted and how; it knows nothing of viewers or jobs."""

    mask_changed = Signal()
    """Another mask was chosen."""
    mpp_typed = Signal(float)
    """The user gives the microns per pixel; 0 for what the model paints at."""
    live_toggled = Signal(bool)
    outlines_toggled = Signal(bool)
    changed = Signal()
    """Anything was changed."""
    model_file_chosen = Signal(str)
    """A model file to add to the list."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = combo(
            {},
            "The mask to paint: a Labels layer with a number for each nucleus, or a Shapes layer of polygons.",
        )
        self.mpp = spin(20.0, 0.01, 4, "the model's", " µm", tip("mpp"))
        self.mpp_source = small_label()
        self.model = combo({}, tip("model"))
        self.more_models = menu_button("Add", "Use a model from a file.", {"Model file…": self._choose_model})
        self.model_info = small_label()
        self.device = combo({"Automatic": "auto", "CPU": "cpu"}, tip("device"))
        self.seed = QSpinBox()
        self.seed.setRange(0, LARGEST_SEED)
        self.seed.setToolTip(tip("seed"))
        self.seed.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.dice = QPushButton("Dice")
        self.dice.setToolTip("Draw a new seed: other texture, and another look where the style is drawn by the seed.")
        self.style_box = ReferenceBox(_RANDOM, tip("style"))
        self.restain = ReferenceBox(_RESTAIN, tip("restain"))
        for button in (self.more_models, self.dice, self.style_box.button, self.restain.button):
            button.setMinimumWidth(BUTTON)
        self.result = combo(
            {"Replace the picture": REPLACE, "Add a new layer": ADD},
            "What a run does where the mask has a picture already: paint it anew, or add another Image layer.",
        )
        self.outlines = QCheckBox("Show the mask as outlines")
        self.outlines.setChecked(True)
        self.outlines.setToolTip("Draw only the borders of the mask's nuclei, so that the picture below is seen.")
        self.live = QCheckBox("Live: the picture follows the mask")
        self.live.setToolTip(
            "Paint, erase, fill, undo, move or copy nuclei: what they touch is painted anew at once. Another seed, "
            "style or model is followed too."
        )
        self.run_fields = QWidget()
        """Holds the fields that only a single picture has, to be put beside the Run button."""
        self._arrange()
        self._connect()

    def settings(self, **update: Any) -> SynthesisSettings:
        """Return the settings as given.

        Parameters
        ----------
        **update
            Fields to take instead: what a style that is an open layer stands for, or the tile size.

        Raises
        ------
        RecipeError
            If a value is not valid.
        """
        values: dict[str, Any] = {
            "model": self.model.currentData() or "",
            "device": self.device.currentData(),
            "seed": self.seed.value(),
            "style": self.style_box.value,
            "restain": self.restain.value,
            "mpp": self.mpp.value() or None,
        }
        return SynthesisSettings.checked(**(values | update))

    def problem(self) -> str:
        """Why the fields other than the mask cannot be used; empty where they can."""
        if self.model.count() == 0:
            return "No model that paints is installed: add a model file with the “Add” button beside Model."
        try:
            self.settings()
        except RecipeError as error:
            return str(error)
        return ""

    def card(self) -> ModelCard | None:
        """Card of the chosen model."""
        return chosen_card(self.model)

    def set_enabled(self, enabled: bool) -> None:
        """Enable or disable all fields."""
        self.setEnabled(enabled)
        self.run_fields.setEnabled(enabled)

    def set_masks(self, names: Sequence[str], chosen: int) -> None:
        """List the mask layers; the value of each entry is its position. -1 chooses none."""
        with silent(self.mask):
            self.mask.clear()
            for index, name in enumerate(names):
                self.mask.addItem(name, index)
            self.mask.setCurrentIndex(chosen)

    def set_images(self, images: Sequence[tuple[str, str]]) -> None:
        """List the image layers whose look can be taken, each by its id and its name."""
        self.style_box.set_layers(images)
        self.restain.set_layers(images)

    def set_models(self, models: Sequence[ModelFile], chosen: str | None = None) -> None:
        """List the models; `chosen` is the path of one, by default the one chosen before, else the default."""
        before = self.model.currentData()
        show_models(self.model, models, chosen or before, DEFAULT_SYNTHESIZER)
        if self.model.currentData() != before:
            self._model_chosen()

    def set_devices(self, devices: Sequence[Device], chosen: str) -> None:
        """List the devices; those that are not to be had are greyed, with the reason."""
        show_devices(self.device, devices, chosen, tip("device"))

    def set_mpp(self, mpp: float | None, source: str) -> None:
        """Show the microns per pixel of the mask, and where they come from."""
        # Setting the same value again would move the cursor of a user who is typing.
        if abs(self.mpp.value() - (mpp or 0.0)) > 1e-9:
            with silent(self.mpp):
                self.mpp.setValue(mpp or 0.0)
        set_text(self.mpp_source, source)

    def _arrange(self) -> None:
        form = form_layout(self)
        add = partial(add_row, form)
        add("Mask", self.mask)
        add("Pixel size", self.mpp)
        form.addRow(self.mpp_source)
        form.addItem(QSpacerItem(0, GAP))
        add("Model", self.model, self.more_models)
        form.addRow(self.model_info)
        add("Device", self.device)
        form.addItem(QSpacerItem(0, GAP))
        add("Seed", self.seed, self.dice)
        add("Style", self.style_box)
        add("Stains", self.restain)
        once = form_layout(self.run_fields)
        add_row(once, "Re-run", self.result)
        once.addRow(self.outlines)
        once.addRow(self.live)

    def _connect(self) -> None:
        self.mask.currentIndexChanged.connect(lambda _: self.mask_changed.emit())
        self.mpp.valueChanged.connect(self.mpp_typed.emit)
        self.model.currentIndexChanged.connect(lambda _: self._model_chosen())
        self.dice.clicked.connect(lambda: self.seed.setValue(secrets.randbelow(LARGEST_SEED + 1)))
        self.live.toggled.connect(self.live_toggled.emit)
        self.outlines.toggled.connect(self.outlines_toggled.emit)
        self.seed.valueChanged.connect(lambda _: self.changed.emit())
        for box in (self.device, self.result):
            box.currentIndexChanged.connect(lambda _: self.changed.emit())
        for signal in (self.mask_changed, self.mpp_typed, self.style_box.changed, self.restain.changed):
            signal.connect(lambda *_: self.changed.emit())

    def _choose_model(self) -> None:
        if path := ask_model_file(self):
            self.model_file_chosen.emit(path)

    def _model_chosen(self) -> None:
        card = self.card()
        styles = getattr(card, "styles", None) or {}
        self.style_box.set_named(_RANDOM | {name.capitalize(): name for name in styles})
        if card is not None:
            self.model.setToolTip(f"{tip('model')}<br><br>{model_details(card)}")
        set_text(self.model_info, model_summary(card) if card else "")
        self.changed.emit()
