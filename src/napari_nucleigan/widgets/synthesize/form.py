"""Forms of the Synthesize widget: what is painted and how, and data sets that are made so."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.data.images.files import IMAGE_SUFFIXES
from napari_nucleigan.masks.polygons import PRESETS
from napari_nucleigan.models import DEFAULT_SYNTHESIZER
from napari_nucleigan.synthesis.settings import SetSettings, SynthesisSettings
from napari_nucleigan.training.runs.run_library import default_folder, new_folder
from napari_nucleigan.widgets.base.dock import Page
from napari_nucleigan.widgets.base.fields import (
    LARGEST_SEED,
    Form,
    add_row,
    check,
    column,
    combo,
    fault,
    forward,
    menu_button,
    pixel_size,
    push_button,
    row,
    set_text,
    silent,
    spin,
    whole,
)
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import ADD, REPLACE
from napari_nucleigan.widgets.base.model_picker import ModelPicker
from napari_nucleigan.widgets.base.path_fields import FolderField
from napari_nucleigan.widgets.base.preferences import recall, remember
from napari_nucleigan.widgets.base.run_bar import RunBar
from napari_nucleigan.widgets.base.tissue import TissueBox
from napari_nucleigan.widgets.synthesize.jobs import FIT, ITSELF, SetRequest, make_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_nucleigan.synthesis.datasets import SetReport
    from napari_nucleigan.widgets.synthesize.jobs import ModelCache

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
        self.tissue = self.add("Tissue", TissueBox())
        self.style_box = self.add("Style", ReferenceBox(_RANDOM, _TIPS["style"]))
        self.restain = self.add("Stains", ReferenceBox(_RESTAIN, _TIPS["restain"]))
        for button in (
            self.picker.add_button,
            self.dice,
            self.tissue.button,
            self.style_box.button,
            self.restain.button,
        ):
            button.setMinimumWidth(BUTTON)
        self.rows.setRowVisible(self.tissue, False)
        result = combo(
            {"Replace the picture": REPLACE, "Add a new layer": ADD},
            "What a run does where the mask has a picture already: paint it anew, or add another Image layer.",
        )
        self.outlines = check(
            "Show the mask as outlines",
            "Draw only the borders of the mask's nuclei, and the tissue faintly, so that the picture below is seen.",
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
        if self.picker.waiting:
            return self.picker.waiting
        if self.picker.empty:
            return "No model that paints is installed: add a model file with the “Add” button beside Model."
        return fault(self.settings)

    @property
    def knows_tissue(self) -> bool:
        """Whether the chosen model paints tissue from a map."""
        return getattr(self.picker.card, "tissue", None) is not None

    def _model_chosen(self) -> None:
        styles = getattr(self.picker.card, "styles", None) or {}
        self.style_box.set_named(_RANDOM | {name.capitalize(): name for name in styles})
        self.rows.setRowVisible(self.tissue, self.knows_tissue)
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


class SetSection(Page):
    """Fields of a data set, and the job that makes it.

    Parameters
    ----------
    cache : ModelCache
        Where the model is kept.
    request : callable
        Gives the `SetRequest` of a folder, a kind of masks and further settings.
    problem : callable
        Tells why nothing can be painted; it is told whether the chosen mask is needed.
    """

    done = Signal(object)
    """The `SetReport`."""
    pops_up = True

    def __init__(self, cache: ModelCache, request: Callable[..., SetRequest], problem: Callable[[bool], str]) -> None:
        super().__init__()
        self._cache, self._request, self._problem = cache, request, problem
        tips = {name: facts.description for name, facts in field_facts(SetSettings).items()}
        named = {("All organs" if name == "all" else name.capitalize()): name for name in PRESETS}
        masks = combo(
            {f"Drawn: {label}": name for label, name in named.items()}
            | {"Drawn: like the mask": FIT, "The mask itself": ITSELF},
            "Draw masks like those of an organ, or like the mask chosen above; or paint that mask again and again, "
            "each time with other texture and style.",
        )
        self.fields = Form()
        self.masks = self.fields.add("Masks", masks, call=self.update_state)
        self.count = whole(1, 1_000_000, 100, "", tips["count"])
        self.side = whole(64, 4096, 256, " pixels", tips["size"])
        self.side.setSingleStep(64)
        self.consistency = spin(1.0, 0.05, 2, "not asked for", "", tips["min_consistency"])
        folder = FolderField(
            "The data set: images/, labels/ and split.csv. A folder with a part of the same set is filled up."
        )
        self.bar = RunBar("Make the data set; pairs that are in the folder already are kept.")
        self.bar.run_button.setText("Make the data set")
        self._runner = Runner(self, activity=True)
        for name, field in (("Pairs", self.count), ("Size", self.side), ("Consistency", self.consistency)):
            add_row(self.fields.rows, name, field)
        self.folder = self.fields.add("Folder", folder, call=self.update_state)
        column(self.fields, inside=self)
        self.bar.run_clicked.connect(self.run)
        self.bar.cancel_clicked.connect(self.cancel)
        self._wire(self._runner, self._finished)

    def propose(self, name: str) -> None:
        """Fill in masks like the one of a name and, where none is given, a folder that is not there yet."""
        self.masks.setCurrentIndex(self.masks.findData(FIT))
        if self.folder.path is None:
            self.folder.line.setText(str(new_folder(f"{name} pairs", default_folder().parent / "datasets")))

    def problem(self) -> str:
        """Why no data set can be made now; empty where one can."""
        return self._problem(self.masks.currentData() in (FIT, ITSELF)) or self.folder.problem()

    def run(self) -> None:
        """Make the data set."""
        if self.running or self.problem():
            return
        self.bar.begin()
        set_text(self.bar.figures, "")
        values: dict[str, Any] = {
            "count": self.count.value(),
            "size": self.side.value(),
            "min_consistency": self.consistency.value() or None,
        }
        request = self._request(self.folder.path, self.masks.currentData(), values)
        self._runner.start(make_set(request, self._cache), "making a data set")
        self.update_state()

    def update_state(self) -> None:
        """Enable what can be used now."""
        self.fields.setEnabled(not self.running)
        self.side.setEnabled(self.masks.currentData() != ITSELF)
        self.bar.set_state(self.running, "" if self.running else self.problem())

    def _finished(self, report: SetReport) -> None:
        pairs = report.made + report.kept
        parts = [f"{pairs} pair{'' if pairs == 1 else 's'} in {report.out.name}", f"{report.seconds:.1f} s"]
        if report.kept:
            parts.insert(1, f"{report.kept} were there")
        if report.consistency is not None:
            parts.append(f"consistency {report.consistency:.2f}")
        if report.dropped:
            parts.append(f"{len(report.dropped)} given up")
        set_text(self.bar.figures, " · ".join(parts))
        self.update_state()
        self.done.emit(report)

    def _stopped(self) -> None:
        self.bar.note("Cancelled. What is made stays; press the button again to go on.")
        self.update_state()

    _update = update_state
