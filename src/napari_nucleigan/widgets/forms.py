"""The form of the Segment widget: fields in, `SegmentSettings` out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QSpacerItem,
    QWidget,
)

from napari_nucleigan.data.images import IMAGE_SUFFIXES
from napari_nucleigan.errors import RecipeError
from napari_nucleigan.masks.encoding import PROMINENCE, THRESHOLD
from napari_nucleigan.models import DEFAULT_SEGMENTER
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.widgets.fields import (
    add_row,
    combo,
    form_layout,
    menu_button,
    say,
    silent,
    slider,
    small_label,
    spin,
    tooltip,
)
from napari_nucleigan.widgets.pickers import (
    ask_model_file,
    chosen_card,
    model_details,
    model_summary,
    show_devices,
    show_models,
)
from napari_nucleigan.widgets.settings import recall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.models import ModelCard, ModelFile
    from napari_nucleigan.segmentation import Device

MAGNIFICATIONS = {"40x": 0.25, "20x": 0.5, "10x": 1.0, "5x": 2.0}
"""Usual microns per pixel of slide scanners, by their objective."""

ALL_IMAGES = "all"
GAP = 6
"""Pixels between groups of fields."""
WHOLE, VIEW = "whole", "view"
REPLACE, ADD = "replace", "add"
_NORMALIZE = {
    "As the model asks": "model",
    "Not normalised": "none",
    "Vahadane": "vahadane",
    "Macenko": "macenko",
    "Reinhard": "reinhard",
}


class SegmentForm(QWidget):
    """All fields of the Segment widget; it knows nothing of viewers or jobs."""

    image_changed = Signal()
    """Another image was chosen."""
    mpp_typed = Signal(float, bool)
    """The user gives the microns per pixel, 0 for not known; and whether the field was left like that."""
    filters_changed = Signal()
    """Threshold, splitting or size filters were moved."""
    changed = Signal()
    """Anything was changed."""
    paths_chosen = Signal(list)
    """Image files, or a folder, to open."""
    model_file_chosen = Signal(str)
    """A model file to add to the list."""

    def __init__(self) -> None:
        super().__init__()
        self.image = combo({}, "The image to segment. All open image layers are listed.")
        self.open = menu_button(
            "Open",
            "Open H&E images from files or a folder.",
            {"Files…": self._choose_files, "Folder…": self._choose_folder},
        )
        self.mpp = spin(20.0, 0.01, 4, "not known", " µm", tooltip("mpp"))
        self.magnification = menu_button(
            "Objective",
            "Set the usual microns per pixel of an objective.",
            {f"{name} objective ({mpp:g} µm)": partial(self._type_mpp, mpp) for name, mpp in MAGNIFICATIONS.items()},
        )
        self.mpp_source = small_label()
        self.region = combo(
            {"Whole image": WHOLE, "Current view": VIEW},
            "Segment the whole image, or only the part that the canvas shows now. That part counts "
            "as an image of its own, also for its stains.",
        )
        self.model = combo({}, tooltip("model"))
        self.more_models = menu_button("Add", "Use a model from a file.", {"Model file…": self._choose_model})
        self.model_info = small_label()
        self.normalize = combo(_NORMALIZE, tooltip("normalize"))
        self.device = combo({"Automatic": "auto", "CPU": "cpu"}, tooltip("device"))
        self.threshold = slider(THRESHOLD, tooltip("threshold"))
        self.prominence = slider(PROMINENCE, tooltip("prominence"))
        self.min_area = spin(10_000.0, 5.0, 1, "no limit", " µm²", tooltip("min_area"))
        self.max_area = spin(100_000.0, 50.0, 1, "no limit", " µm²", tooltip("max_area"))
        self.rerun = combo(
            {"Replace the same result": REPLACE, "Add a new layer": ADD},
            "What a run does where the same image was already segmented with the same model, "
            "microns per pixel, stain normalisation and region: replace that result, or add "
            "another layer.",
        )
        self._arrange()
        self._connect()

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
        """Why the fields other than the image cannot be used; empty where they can."""
        if self.model.count() == 0:
            return "No model is installed: add a model file with the “Add” button beside Model."
        if self.max_area.value() and self.min_area.value() >= self.max_area.value():
            return "The smallest area is not below the largest: lower Smallest or raise Largest."
        try:
            self.settings()
        except RecipeError as error:
            return str(error)
        return ""

    def set_images(self, names: Sequence[str], chosen: int | str | None) -> None:
        """List the images.

        Parameters
        ----------
        names : sequence of str
            Their names; the value of each entry is its position.
        chosen : int, "all" or None
            The entry to choose.
        """
        with silent(self.image):
            self.image.clear()
            for index, name in enumerate(names):
                self.image.addItem(name, index)
            if len(names) > 1:
                self.image.addItem(f"All {len(names)} images", ALL_IMAGES)
            self.image.setCurrentIndex(self.image.findData(chosen) if chosen is not None else -1)

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

    def set_mpp(self, mpp: float | None, source: str) -> None:
        """Show the microns per pixel of the chosen image, and where they come from."""
        # Setting the same value again would move the cursor of a user who is typing.
        if abs(self.mpp.value() - (mpp or 0.0)) > 1e-9:
            with silent(self.mpp):
                self.mpp.setValue(mpp or 0.0)
        say(self.mpp_source, source)

    def card(self) -> ModelCard | None:
        """Card of the chosen model."""
        return chosen_card(self.model)

    def _arrange(self) -> None:
        form = form_layout(self)
        add = partial(add_row, form)
        add("Image", self.image, self.open)
        add("Pixel size", self.mpp, self.magnification)
        form.addRow(self.mpp_source)
        add("Region", self.region)
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
        add("Re-run", self.rerun)

    def _connect(self) -> None:
        self.image.currentIndexChanged.connect(lambda _: self.image_changed.emit())
        self.mpp.valueChanged.connect(lambda mpp: self.mpp_typed.emit(mpp, False))
        self.mpp.editingFinished.connect(lambda: self.mpp.value() or self.mpp_typed.emit(0.0, True))
        self.model.currentIndexChanged.connect(lambda _: self._model_chosen())
        for box in (self.region, self.normalize, self.device, self.rerun):
            box.currentIndexChanged.connect(lambda _: self.changed.emit())
        for number in (self.threshold, self.prominence, self.min_area, self.max_area):
            number.valueChanged.connect(lambda _: self.filters_changed.emit())
        for signal in (self.image_changed, self.mpp_typed, self.filters_changed):
            signal.connect(lambda *_: self.changed.emit())

    def _choose_files(self) -> None:
        patterns = " ".join(f"*{suffix}" for suffix in IMAGE_SUFFIXES)
        paths, _ = QFileDialog.getOpenFileNames(
            self,
            "Open H&E images",
            recall("folder", ""),
            f"Images ({patterns});;All files (*)",
        )
        if paths:
            self.paths_chosen.emit(paths)

    def _choose_folder(self) -> None:
        title = "Open a folder of H&E images"
        folder = QFileDialog.getExistingDirectory(self, title, recall("folder", ""))
        if folder:
            self.paths_chosen.emit([folder])

    def _choose_model(self) -> None:
        path = ask_model_file(self)
        if path:
            self.model_file_chosen.emit(path)

    def _type_mpp(self, mpp: float) -> None:
        self.mpp.setValue(mpp)

    def _model_chosen(self) -> None:
        card = self.card()
        if card is not None:
            with silent(self.threshold, self.prominence, self.min_area, self.max_area):
                self.threshold.setValue(float(card.decode.get("threshold", THRESHOLD)))
                self.prominence.setValue(float(card.decode.get("prominence", PROMINENCE)))
                self.min_area.setValue(float(card.decode.get("min_area_um2", 0.0)))
                self.max_area.setValue(float(card.decode.get("max_area_um2", 0.0)))
            self.model.setToolTip(f"{tooltip('model')}<br><br>{model_details(card)}")
        say(self.model_info, model_summary(card) if card else "")
        self.changed.emit()
