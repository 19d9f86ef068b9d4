"""What the forms share to choose a model and a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QFileDialog

from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.data.images.files import IMAGE_SUFFIXES
from napari_nucleigan.data.slides import SCANNERS
from napari_nucleigan.data.slides.openslide import SUFFIXES
from napari_nucleigan.models import ModelFile, read_card
from napari_nucleigan.widgets.base.fields import silent
from napari_nucleigan.widgets.base.preferences import preferences, recall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QComboBox, QWidget

    from napari_nucleigan.base.devices import Device
    from napari_nucleigan.models import Kind, ModelCard

_CARD = Qt.ItemDataRole.UserRole + 1
_SCORES = ("aji", "f1", "pq", "dice")


def show_models(box: QComboBox, models: Sequence[ModelFile], chosen: str | None, default: str) -> None:
    """List models in a combo box, without a signal.

    Parameters
    ----------
    box : QComboBox
        Each entry's value is the path of the model.
    models : sequence of ModelFile
        Those to list.
    chosen : str or None
        Path of the one to choose, if it is among them; else `default`, else the first.
    default : str
        Name of a model.
    """
    with silent(box):
        box.clear()
        for index, file in enumerate(models):
            box.addItem(file.name, str(file.path))
            box.setItemData(index, file.card, _CARD)
            if file.card is not None:
                box.setItemData(index, model_details(file.card), Qt.ItemDataRole.ToolTipRole)
        candidates = (box.findData(chosen), box.findText(default), 0 if models else -1)
        box.setCurrentIndex(next((index for index in candidates if index >= 0), -1))


def chosen_card(box: QComboBox) -> ModelCard | None:
    """Card of the model that is chosen in a box that `show_models` filled."""
    return box.currentData(_CARD)


def ask_model_file(parent: QWidget) -> str:
    """Ask for a model file; empty where none is chosen."""
    path, _ = QFileDialog.getOpenFileName(parent, "Add a model", preferences().run_folder, "Models (*.safetensors)")
    return str(path)


def own_model_file(path: str | Path, kind: Kind) -> ModelFile:
    """Describe a model file that the user has chosen.

    Raises
    ------
    ModelError
        If it is none, or serves another task.
    """
    card = read_card(path)
    if card.kind != kind:
        raise ModelError(f"{path} is a {card.kind}, not a {kind}; choose another model file.")
    return ModelFile(card.name, Path(path), False, card)


def ask_image_files(parent: QWidget) -> list[str]:
    """Ask for H&E images; none where none is chosen."""
    patterns = " ".join(f"*{suffix}" for suffix in (*IMAGE_SUFFIXES, *SCANNERS, *SUFFIXES))
    title, names = "Open H&E images", f"Images ({patterns});;All files (*)"
    return list(QFileDialog.getOpenFileNames(parent, title, recall("folder", ""), names)[0])


def ask_image_folder(parent: QWidget) -> str:
    """Ask for a folder of H&E images; empty where none is chosen."""
    return str(QFileDialog.getExistingDirectory(parent, "Open a folder of H&E images", recall("folder", "")))


def show_devices(box: QComboBox, devices: Sequence[Device], chosen: str, tip: str) -> None:
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
