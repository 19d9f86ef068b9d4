"""The form of the Segment widget: fields in, `SegmentSettings` out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QLabel,
    QSpacerItem,
    QWidget,
)

from napari_nucleigan.data.images import IMAGE_SUFFIXES
from napari_nucleigan.errors import RecipeError
from napari_nucleigan.masks.encoding import PROMINENCE, THRESHOLD
from napari_nucleigan.models import DEFAULT_SEGMENTER
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.widgets.fields import (
    combo,
    menu_button,
    row,
    say,
    silent,
    slider,
    small_label,
    spin,
    tooltip,
)
from napari_nucleigan.widgets.settings import preferences, recall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.models import ModelCard, ModelFile
    from napari_nucleigan.segmentation import Device

MAGNIFICATIONS = {"40x": 0.25, "20x": 0.5, "10x": 1.0, "5x": 2.0}
"""Usual microns per pixel of slide scanners, by their objective."""

ALL_IMAGES = "all"
GAP = 6
"""Pixels between groups of fields."""
_CARD = Qt.ItemDataRole.UserRole + 1
WHOLE, VIEW = "whole", "view"
REPLACE, ADD = "replace", "add"
_SCORES = ("aji", "f1", "pq", "dice")
_NORMALIZE = {
    "As the model asks": "model",
    "Not normalised": "none",
    "Vahadane": "vahadane",
    "Macenko": "macenko",
    "Reinhard": "reinhard",
}


def model_summary(card: ModelCard) -> str:
    """One line on a model: what it expects, how good it is, under which licence."""
    parts = [f"{card.mpp:g} µm per pixel"]
    groups = _scores(card)
    if groups:
        # Scores on test images tell more than those on images that helped to choose.
        measured_on = next((name for name in groups if "test" in name), next(iter(groups)))
        figures = " · ".join(f"{name} {value:.2f}" for name, value in list(groups[measured_on].items())[:2])
        parts.append(f"{figures} ({measured_on})" if measured_on else figures)
    if card.licence:
        parts.append(card.licence.split(" (")[0])
    return " · ".join(parts)


def model_details(card: ModelCard) -> str:
    """All that a user may want to know of a model, as rich text for a tooltip."""
    rows = {
        name.capitalize() or "Scores": ", ".join(f"{key} {value:.3f}" for key, value in scores.items())
        for name, scores in _scores(card).items()
    }
    rows |= {
        "Trained on": card.training_data,
        "Licence of the data": card.data_licence,
        "Licence of the weights": card.licence,
        "Made": " ".join(part for part in (card.date, card.version) if part),
        "Notes": card.notes,
    }
    lines = [f"<b>{card.name}</b>: {card.mpp:g} µm per pixel"]
    return "<br>".join([*lines, *(f"{name}: {text}" for name, text in rows.items() if text)])


def _scores(card: ModelCard) -> dict[str, dict[str, float]]:
    """Scores of a card by what they were measured on; the name is empty where the card gives none."""
    found: dict[str, dict[str, float]] = {}

    def gather(name: str, part: dict[str, object]) -> None:
        numbers = {key.upper(): value for key in _SCORES if isinstance(value := part.get(key), int | float)}
        if numbers:
            found[name] = numbers
        for key, inner in part.items():
            if isinstance(inner, dict):
                gather(name if key == "all" else ", ".join(filter(None, (name, key))), inner)

    gather("", card.scores)
    return found


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
        with silent(self.model):
            self.model.clear()
            for index, file in enumerate(models):
                self.model.addItem(file.name, str(file.path))
                self.model.setItemData(index, file.card, _CARD)
                if file.card is not None:
                    self.model.setItemData(index, model_details(file.card), Qt.ItemDataRole.ToolTipRole)
            candidates = (
                self.model.findData(chosen or before),
                self.model.findText(DEFAULT_SEGMENTER),
                0 if models else -1,
            )
            self.model.setCurrentIndex(next((index for index in candidates if index >= 0), -1))
        if self.model.currentData() != before:
            self._model_chosen()

    def set_devices(self, devices: Sequence[Device], chosen: str) -> None:
        """List the devices; those that are not to be had are greyed, with the reason."""
        with silent(self.device):
            self.device.clear()
            items = self.device.model()
            assert isinstance(items, QStandardItemModel)
            for index, device in enumerate(devices):
                self.device.addItem(device.label, device.name)
                item = items.item(index)
                if item is not None:
                    item.setEnabled(device.available)
                    item.setToolTip(device.reason or device.label)
            index = self.device.findData("cuda:0" if chosen == "cuda" else chosen)
            self.device.setCurrentIndex(index if index >= 0 and devices[index].available else 0)
        missing = [f"{device.label}: {device.reason}" for device in devices if not device.available]
        self.device.setToolTip("\n".join([tooltip("device"), *missing]))

    def set_mpp(self, mpp: float | None, source: str) -> None:
        """Show the microns per pixel of the chosen image, and where they come from."""
        # Setting the same value again would move the cursor of a user who is typing.
        if abs(self.mpp.value() - (mpp or 0.0)) > 1e-9:
            with silent(self.mpp):
                self.mpp.setValue(mpp or 0.0)
        say(self.mpp_source, source)

    def card(self) -> ModelCard | None:
        """Card of the chosen model."""
        return self.model.currentData(_CARD)

    def _arrange(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(5)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)

        def add(text: str, field: QWidget, button: QWidget | None = None) -> None:
            label = QLabel(text)
            label.setToolTip(field.toolTip())
            form.addRow(label, row(field, button) if button else field)

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
        start = preferences().run_folder
        path, _ = QFileDialog.getOpenFileName(self, "Add a model", start, "Models (*.safetensors)")
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
