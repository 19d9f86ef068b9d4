"""Model picker: fields for a model and a device, the job that looks for both, and the form of those who segment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QFileDialog

from napari_nucleigan.base.devices import Device, devices
from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.masks.encoding import PROMINENCE, THRESHOLD
from napari_nucleigan.models import DEFAULT_SEGMENTER, ModelFile, list_models, read_card
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.confidence import regression
from napari_nucleigan.segmentation.settings import LARGEST_AREA
from napari_nucleigan.widgets.base.fields import (
    Form,
    add_row,
    combo,
    fault,
    forward,
    menu_button,
    set_text,
    silent,
    slider,
    small_label,
    spin,
)
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.path_fields import ClassifierField
from napari_nucleigan.widgets.base.preferences import preferences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.models import Kind, ModelCard


_CARD = Qt.ItemDataRole.UserRole + 1
_SCORES = ("aji", "f1", "pq", "dice")
_LOOKING = "looking for models and devices"

_NORMALIZE = {
    "As the model asks": "model",
    "Not normalised": "none",
    "Vahadane": "vahadane",
    "Macenko": "macenko",
    "Reinhard": "reinhard",
}

TIPS = {name: facts.description for name, facts in field_facts(SegmentSettings).items()}
"""Descriptions of the fields of `SegmentSettings`, for tooltips."""


@dataclass(frozen=True)
class Inventory:
    """The models of each kind, the devices that there are, and the files that cannot be read as models."""

    models: dict[Kind, list[ModelFile]]
    devices: list[Device]
    unreadable: list[ModelFile]


def take_inventory(kinds: Sequence[Kind]) -> Job[Inventory]:
    """Look for models of some kinds and for devices; a job, because it imports torch, which takes seconds."""
    yield Progress(0, 2, "looking for models")
    models = {kind: list_models(kind) for kind in kinds}
    unreadable = [file for file in list_models(broken=True) if file.card is None]
    yield Progress(1, 2, "looking for devices")
    return Inventory(models, devices(), unreadable)


class ModelPicker(QObject):
    """Fields for a model and a device; what lays them out is the form's.

    Parameters
    ----------
    form : QWidget
        The form that they belong to.
    kinds : sequence of str
        Kinds of models that can be chosen; those of the first are listed, until `set_kind` names another.
    tips : tuple of str
        What the model and the device are for.
    default : str
        Name of the model that is chosen at first.
    nothing : str
        Label of an entry that stands for no model; empty where there is none.

    Attributes
    ----------
    box, device : QComboBox
        The models by their paths, and the devices by their names.
    add_button : QPushButton
        Asks for a model file.
    info : QLabel
        A line on the chosen model.
    """

    chosen = Signal()
    """Another model was chosen."""
    kind_asked = Signal(str)
    """A model file of another kind than is listed was added: its kind."""
    ready = Signal()
    """Models and devices are listed."""
    failed = Signal(object)
    """A model file cannot be used, or nothing can be found: a `NucleiganError`."""

    def __init__(
        self, form: QWidget, kinds: Sequence[Kind], tips: tuple[str, str], default: str = "", nothing: str = ""
    ) -> None:
        super().__init__(form)
        self._kinds, self._kind = tuple(kinds), kinds[0]
        self._tips, self._default, self._nothing = tips, default, nothing
        self._models: dict[Kind, list[ModelFile]] = {}
        self._added: list[ModelFile] = []
        self._unreadable: list[ModelFile] = []
        self._looked = False
        self._runner = Runner(self)
        self.box, self.device = combo({}, tips[0]), combo({"Automatic": "auto", "CPU": "cpu"}, tips[1])
        self.add_button = menu_button("Add", "Use a model from a file.", {"Model file…": self._ask})
        self.info = small_label()
        self._list(None)
        self.box.currentIndexChanged.connect(lambda _: self._tell())
        self._runner.finished.connect(self._found)
        self._runner.failed.connect(self._not_found)

    @property
    def path(self) -> str:
        """Path of the chosen model; empty where there is none."""
        return self.box.currentData() or ""

    @property
    def card(self) -> ModelCard | None:
        """Card of the chosen model."""
        return self.box.currentData(_CARD)

    @property
    def empty(self) -> bool:
        """Whether no model can be chosen."""
        return not any(self.box.itemData(at) for at in range(self.box.count()))

    @property
    def waiting(self) -> str:
        """Why nothing can be chosen yet; empty where something can, or never will."""
        return f"{_LOOKING.capitalize()}…" if self.empty and not self._looked else ""

    def add_model_row(self, form: QFormLayout, name: str) -> None:
        """Add the models to a form, and the line on the chosen one."""
        add_row(form, name, self.box, self.add_button)
        form.addRow(self.info)

    def look(self) -> None:
        """Look for models and devices, unless there are some, or they are being looked for."""
        if self.empty and not self._runner.running:
            self._runner.start(take_inventory(self._kinds), _LOOKING)

    def cancel(self) -> None:
        """Stop looking."""
        self._runner.cancel()

    def set_kind(self, kind: Kind, default: str = "") -> None:
        """List models of another kind, of which the one of a name is chosen at first."""
        self._kind, self._default = kind, default
        self._list(self.path)

    def choose(self, name: str) -> None:
        """Choose a model by its name or path, none where it is empty; what is not there changes nothing."""
        found = max(self.box.findData(name), self.box.findText(name) if name else -1)
        if found >= 0:
            self.box.setCurrentIndex(found)

    def add(self, path: str | Path) -> None:
        """Add a model file to the list, and choose it."""
        try:
            card = read_card(path)
            if card.kind not in self._kinds:
                raise ModelError(f"{path} is a {card.kind}, not a {self._kind}; choose another model file.")
        except ModelError as error:
            self.failed.emit(error)
            return
        file = ModelFile(card.name, Path(path), False, card)
        self._added = [*(each for each in self._added if each.path != file.path), file]
        self._models[card.kind] = list_models(card.kind)
        if card.kind != self._kind:
            self.kind_asked.emit(card.kind)
        self._list(str(path))

    def _ask(self) -> None:
        folder = preferences().run_folder
        path, _ = QFileDialog.getOpenFileName(self.box, "Add a model", folder, "Models (*.safetensors)")
        if path:
            self.add(path)

    def _found(self, found: Inventory) -> None:
        chosen = self.device.currentData()
        _show_devices(self.device, found.devices, preferences().device if chosen == "auto" else chosen, self._tips[1])
        self._models, self._unreadable, self._looked = found.models, found.unreadable, True
        self._list(self.path)
        self.ready.emit()

    def _not_found(self, error: NucleiganError) -> None:
        self._looked = True
        self.failed.emit(error)

    def _list(self, chosen: str | None) -> None:
        before = self.path
        listed = self._models.get(self._kind, [])
        there = {file.path for file in listed}
        added = [file for file in self._added if file.card and file.card.kind == self._kind and file.path not in there]
        with silent(self.box):
            self.box.clear()
            if self._nothing:
                self.box.addItem(self._nothing, "")
            for file in [*listed, *added]:
                self.box.addItem(file.name, str(file.path))
                if file.card is not None:
                    self.box.setItemData(self.box.count() - 1, file.card, _CARD)
                    self.box.setItemData(self.box.count() - 1, model_details(file.card), Qt.ItemDataRole.ToolTipRole)
            for file in self._unreadable:
                # To be seen, with the reason, but not to be chosen.
                self.box.addItem(f"{file.name} (unreadable)")
                self.box.setItemData(self.box.count() - 1, file.problem, Qt.ItemDataRole.ToolTipRole)
                items = self.box.model()
                assert isinstance(items, QStandardItemModel)
                items.item(self.box.count() - 1).setEnabled(False)
            index = self.box.findData(chosen) if chosen else -1
            if index < 0 and self._default:
                index = self.box.findText(self._default)
            self.box.setCurrentIndex(-1 if self.empty and not self._nothing else max(index, 0))
        if self.path != before:
            self._tell()

    def _tell(self) -> None:
        card = self.card
        self.box.setToolTip(f"{self._tips[0]}<br><br>{model_details(card)}" if card else self._tips[0])
        set_text(self.info, model_summary(card) if card else "")
        self.chosen.emit()


def _show_devices(box: QComboBox, devices: Sequence[Device], chosen: str, tip: str) -> None:
    """List devices in a combo box; those that are not to be had are greyed, with the reason."""
    with silent(box):
        box.clear()
        items = box.model()
        assert isinstance(items, QStandardItemModel)
        for index, device in enumerate(devices):
            box.addItem(device.label, device.name)
            item = items.item(index)
            if item is not None:
                item.setEnabled(device.available)
                item.setToolTip(device.reason or device.label)
        index = box.findData("cuda:0" if chosen == "cuda" else chosen)
        box.setCurrentIndex(index if index >= 0 and devices[index].available else 0)
    missing = [f"{device.label}: {device.reason}" for device in devices if not device.available]
    box.setToolTip("\n".join([tip, *missing]))


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
        parts.append(card.licence_name)
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
        self.classifier = self.add("Classifier", ClassifierField(TIPS["classifier"]))
        self.add_gap()
        self.threshold = self.add("Threshold", slider(THRESHOLD, TIPS["threshold"]), call=moved)
        self.prominence = self.add("Prominence", slider(PROMINENCE, TIPS["prominence"]), call=moved)
        smallest = spin(10_000.0, 5.0, 1, "no limit", " µm²", TIPS["min_area"])
        largest = spin(100_000.0, 50.0, 1, f"{LARGEST_AREA:g} µm²", " µm²", TIPS["max_area"])
        self.min_area = self.add("Smallest", smallest, call=moved)
        self.max_area = self.add("Largest", largest, call=moved)
        self.min_confidence = self.add("Confidence", slider(0.0, TIPS["min_confidence"], 0.0), call=moved)

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
            min_confidence=round(self.min_confidence.value(), 3),
            normalize=self.normalize.currentData(),
            classifier=str(self.classifier.path or ""),
        )

    def problem(self) -> str:
        """Why these fields cannot be used; empty where they can."""
        if self.picker.waiting:
            return self.picker.waiting
        if self.picker.empty:
            return "No model is installed: add a model file with the “Add” button beside Model."
        if self.max_area.value() and self.min_area.value() >= self.max_area.value():
            return "The smallest area is not below the largest: lower Smallest or raise Largest."
        return self.classifier.problem() or fault(self.settings)

    def _model_chosen(self) -> None:
        card = self.picker.card
        if card is not None:
            tells = regression(card) is not None
            self.min_confidence.setEnabled(tells)
            with silent(self.threshold, self.prominence, self.min_area, self.max_area, self.min_confidence):
                self.threshold.setValue(float(card.decode.get("threshold", THRESHOLD)))
                self.prominence.setValue(float(card.decode.get("prominence", PROMINENCE)))
                self.min_area.setValue(float(card.decode.get("min_area_um2", 0.0)))
                self.max_area.setValue(float(card.decode.get("max_area_um2", LARGEST_AREA)))
                self.min_confidence.setValue(float(card.decode.get("min_confidence", 0.0)) if tells else 0.0)
        self.changed.emit()
