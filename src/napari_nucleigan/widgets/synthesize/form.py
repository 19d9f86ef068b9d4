"""Form of the Synthesize widget: fields in, `SynthesisSettings` out, and the layers that they stand for."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.data.images.files import IMAGE_SUFFIXES
from napari_nucleigan.models import DEFAULT_SYNTHESIZER
from napari_nucleigan.synthesis.settings import SynthesisSettings
from napari_nucleigan.tiling import COARSEST, FINEST
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.fields import (
    LARGEST_SEED,
    Form,
    add_row,
    check,
    combo,
    fault,
    forward,
    list_choices,
    menu_button,
    pixel_size,
    push_button,
    row,
    show_pixel_size,
    silent,
    whole,
)
from napari_nucleigan.widgets.base.image_sources import Source
from napari_nucleigan.widgets.base.layers import ADD, REPLACE
from napari_nucleigan.widgets.base.mask_layers import mask_layers, mask_mpp, mask_problem, mask_reader
from napari_nucleigan.widgets.base.model_picker import ModelPicker
from napari_nucleigan.widgets.base.preferences import recall, remember
from napari_nucleigan.widgets.synthesize.jobs import FIT, ITSELF, Appearance, PaintRequest, SetOrder

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_nucleigan.widgets.base.mask_layers import MaskLayer


LAYER = "layer:"
"""How the value of an image layer begins; its `unique_id` follows."""

_RANDOM = {"Drawn by the seed": "random"}
_RESTAIN = {"As painted": "", "Typical H&E section": "reference"}
BUTTON = 62
"""Least width of the buttons beside fields, in pixels, so that the fields end in one line."""


_TIPS = {name: facts.description for name, facts in field_facts(SynthesisSettings).items()}


class PaintForm(Form):
    """All fields that say what is painted and how; it knows nothing of viewers or jobs."""

    mask_changed = Signal()
    """Another mask was chosen."""
    mpp_typed = Signal(float)
    """The user gives the microns per pixel; 0 for what the model paints at."""

    def __init__(self) -> None:
        super().__init__()
        forward(self.changed, self.mask_changed, self.mpp_typed)
        mask = combo(
            {},
            "The mask to paint: a Labels layer with a number for each nucleus, or a Shapes layer of polygons.",
        )
        self.mask = self.add("Mask", mask, call=self.mask_changed.emit)
        self.mpp = pixel_size("the model's", _TIPS["mpp"])
        add_row(self.rows, "Pixel size", self.mpp)
        self.mpp.valueChanged.connect(self.mpp_typed.emit)
        self.mpp_source = self.add_remark()
        self.add_gap()
        self.picker = ModelPicker(self, ("synthesizer",), (_TIPS["model"], _TIPS["device"]), DEFAULT_SYNTHESIZER)
        self.model, self.device = self.picker.box, self.picker.device
        self.picker.chosen.connect(self._model_chosen)
        self.picker.ready.connect(self.changed.emit)
        self.picker.add_model_row(self.rows, "Model")
        self.add("Device", self.device)
        self.add_gap()
        self.dice = push_button(
            "Dice", "Draw a new seed: other texture, and another look where the style is drawn by the seed."
        )
        self.seed = self.add("Seed", whole(0, LARGEST_SEED, 0, "", _TIPS["seed"]), self.dice)
        self.dice.clicked.connect(lambda: self.seed.setValue(secrets.randbelow(LARGEST_SEED + 1)))
        self.style_box = self.add("Style", ReferenceBox(_RANDOM, _TIPS["style"]))
        self.restain = self.add("Stains", ReferenceBox(_RESTAIN, _TIPS["restain"]))
        for button in (self.picker.add_button, self.dice, self.style_box.button, self.restain.button):
            button.setMinimumWidth(BUTTON)
        result = combo(
            {"Replace the picture": REPLACE, "Add a new layer": ADD},
            "What a run does where the mask has a picture already: paint it anew, or add another Image layer.",
        )
        self.outlines = check(
            "Show the mask as outlines",
            "Draw only the borders of the mask's nuclei, so that the picture below is seen.",
            checked=True,
        )
        self.live = check(
            "Live: the picture follows the mask",
            "Paint, erase, fill, undo, move or copy nuclei: what they touch is painted anew at once. Another seed, "
            "style or model is followed too.",
        )
        self.run_fields = Form()
        """Holds the fields that only a single picture has, to be put beside the Run button."""
        self.result = self.run_fields.add("Re-run", result, call=self.changed.emit)
        self.run_fields.rows.addRow(self.outlines)
        self.run_fields.rows.addRow(self.live)

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
            "model": self.picker.path,
            "device": self.device.currentData(),
            "seed": self.seed.value(),
            "style": self.style_box.value,
            "restain": self.restain.value,
            "mpp": self.mpp.value() or None,
        }
        return SynthesisSettings.checked(**(values | update))

    def problem(self) -> str:
        """Why the fields other than the mask cannot be used; empty where they can."""
        if self.picker.empty:
            return "No model that paints is installed: add a model file with the “Add” button beside Model."
        return fault(self.settings)

    def set_enabled(self, enabled: bool) -> None:
        """Enable or disable all fields."""
        self.setEnabled(enabled)
        self.run_fields.setEnabled(enabled)

    def set_masks(self, names: Sequence[str], chosen: int) -> None:
        """List the mask layers; the value of each entry is its position. -1 chooses none."""
        list_choices(self.mask, ((name, index) for index, name in enumerate(names)), chosen)

    def set_images(self, images: Sequence[tuple[str, str]]) -> None:
        """List the image layers whose look can be taken, each by its id and its name."""
        self.style_box.set_layers(images)
        self.restain.set_layers(images)

    def set_mpp(self, mpp: float | None, source: str) -> None:
        """Show the microns per pixel of the mask, and where they come from."""
        show_pixel_size(self.mpp, self.mpp_source, mpp, source)

    def _model_chosen(self) -> None:
        styles = getattr(self.picker.card, "styles", None) or {}
        self.style_box.set_named(_RANDOM | {name.capitalize(): name for name in styles})
        self.changed.emit()


class ReferenceBox(QWidget):
    """Choose a look.

    Parameters
    ----------
    named : mapping of str to str
        Labels and values that are always there.
    tip : str
        What the field does.
    """

    changed = Signal()
    """Another look was chosen."""

    def __init__(self, named: Mapping[str, str], tip: str) -> None:
        super().__init__()
        self._named = dict(named)
        self._layers: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self.box = combo({}, tip)
        self.button = menu_button("Image", "Take the look of an H&E image.", {"Image file…": self._choose})
        self.setLayout(row(self.box, self.button))
        self.setToolTip(tip)
        self._fill()
        forward(self.changed, self.box.currentIndexChanged)

    @property
    def value(self) -> str:
        """A named look, ``layer:ID``, or the path of an image file."""
        return self.box.currentData() or ""

    @property
    def text(self) -> str:
        """The chosen look, for people."""
        return self.box.currentText()

    def choose(self, value: str) -> None:
        """Choose one of the list."""
        self.box.setCurrentIndex(self.box.findData(value))

    def set_named(self, named: Mapping[str, str]) -> None:
        """Change the looks that are always there."""
        self._named = dict(named)
        self._fill()

    def set_layers(self, layers: Sequence[tuple[str, str]]) -> None:
        """List the open image layers, each by its id and its name."""
        self._layers = {f"Like “{name}”": f"{LAYER}{key}" for key, name in layers}
        self._fill()

    def add_file(self, path: str | Path) -> None:
        """Add an image file to the list, and choose it."""
        self._files[f"Like {Path(path).name}"] = str(path)
        self._fill(str(path))

    def _fill(self, wanted: str | None = None) -> None:
        before = self.value
        with silent(self.box):
            self.box.clear()
            for label, value in {**self._named, **self._layers, **self._files}.items():
                self.box.addItem(label, value)
                self.box.setItemData(self.box.count() - 1, label, Qt.ItemDataRole.ToolTipRole)
            self.box.setCurrentIndex(max(0, self.box.findData(before if wanted is None else wanted)))
        if self.value != before:
            self.changed.emit()

    def _choose(self) -> None:
        patterns = " ".join(f"*{suffix}" for suffix in IMAGE_SUFFIXES)
        path, _ = QFileDialog.getOpenFileName(
            self, "Choose an H&E image", recall("folder", ""), f"Images ({patterns});;All files (*)"
        )
        if path:
            remember("folder", str(Path(path).parent))
            self.add_file(path)


class Choices:
    """The layers that can be chosen in a form, and what is chosen.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers are listed.
    form : PaintForm
        Where they are chosen.
    tile : int or None
        Side of tiles, from the Preferences.
    """

    def __init__(self, viewer: Viewer, form: PaintForm, tile: int | None) -> None:
        self._viewer, self._form, self._tile = viewer, form, tile
        self._typed: dict[Hashable, float] = {}
        self._images: list[Image] = []
        self.masks: list[MaskLayer] = []

    @property
    def mask(self) -> MaskLayer | None:
        """The chosen mask layer."""
        index = self._form.mask.currentData()
        return self.masks[index] if index is not None and index < len(self.masks) else None

    def refresh(self) -> None:
        """List the layers again; what was chosen stays chosen where it is still there."""
        before = self.mask
        self.masks = mask_layers(self._viewer)
        kept = next((index for index, layer in enumerate(self.masks) if layer is before), 0 if self.masks else -1)
        self._form.set_masks([layer.name for layer in self.masks], kept)
        self._images = [layer for layer in layers.image_layers(self._viewer) if not layers.layer_problem(layer)]
        self._form.set_images([(str(layer.unique_id), layer.name) for layer in self._images])

    def problem(self) -> str:
        """Why the chosen mask cannot be painted; empty where it can."""
        mask = self.mask
        if mask is None:
            return "There is no mask: add a Labels layer and paint nuclei, or make one in the Masks widget."
        if text := mask_problem(mask):
            return text
        mpp = self._form.mpp.value()
        if mpp and not FINEST <= mpp <= COARSEST:
            return f"Nuclei are painted from {FINEST} to {COARSEST} microns per pixel: type the right pixel size above."
        return ""

    def show_mpp(self) -> None:
        """Show the microns per pixel of the chosen mask, and where they come from."""
        mask = self.mask
        if mask is None or mask_problem(mask):
            self._form.set_mpp(None, "")
        elif typed := self._typed.get(mask.unique_id):
            self._form.set_mpp(typed, "Typed by you.")
        else:
            own = mask_mpp(mask)
            self._form.set_mpp(own, "" if own else "Not in the mask: taken to be what the model paints at.")

    def type_mpp(self, mpp: float) -> None:
        """Take the microns per pixel that the user typed for the chosen mask; 0 takes them back."""
        if (mask := self.mask) is not None:
            self._typed[mask.unique_id] = mpp

    def look(self) -> Appearance:
        """Return how the form asks to paint.

        Raises
        ------
        RecipeError
            If a setting is not valid.
        """
        references, plain = {}, {"style": "random", "restain": ""}
        update: dict[str, Any] = {"tile": self._tile}
        for name, box in (("style", self._form.style_box), ("restain", self._form.restain)):
            layer = next((item for item in self._images if box.value == f"{LAYER}{item.unique_id}"), None)
            if layer is not None:
                references[name] = Source.of(layer, layers.layer_mpp(layer))
                update[name] = plain[name]
        return Appearance(self._form.settings(**update), references)

    def order(self) -> PaintRequest:
        """Return the chosen mask as the form asks to paint it.

        Raises
        ------
        RecipeError
            If a setting is not valid.
        """
        mask = self.mask
        assert mask is not None
        return PaintRequest(mask_reader(mask), self.look(), mask_mpp(mask))

    def key(self) -> Hashable:
        """Return what two orders share that paint the same mask alike.

        Raises
        ------
        RecipeError
            If a setting is not valid.
        """
        mask, look = self.mask, self.look()
        assert mask is not None
        boxes = self._form.style_box.value, self._form.restain.value
        return mask.unique_id, look.settings.model_dump_json(), boxes, mask_mpp(mask)

    def set_order(self, out: Path, masks: str, values: dict[str, Any]) -> SetOrder:
        """Return a data set as the form asks to paint it.

        Parameters
        ----------
        out : Path
            Its folder.
        masks : str
            `FIT`, `ITSELF`, or a preset.
        values : dict
            Further fields of `SetSettings`.
        """
        mask = self.mask
        if masks not in (FIT, ITSELF) or mask is None:
            return SetOrder(out, masks, self.look(), values)
        return SetOrder(out, masks, self.look(), values, mask_reader(mask), mask.name, self._form.mpp.value() or None)
