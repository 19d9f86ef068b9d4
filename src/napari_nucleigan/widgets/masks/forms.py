"""Forms of the Masks widget: a new canvas, random nuclei, and drawing and editing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QWidget
from superqt import QCollapsible

from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.masks.polygons import PRESETS, PolygonMasks, preset
from napari_nucleigan.widgets.base.fields import (
    LARGEST_SEED,
    MARGIN,
    Form,
    add_row,
    check,
    combo,
    enable,
    fault,
    form_layout,
    forward,
    list_choices,
    menu_button,
    objective_button,
    pixel_size,
    push_button,
    row,
    set_menu,
    set_text,
    silent,
    small_label,
    spin,
    whole,
)
from napari_nucleigan.widgets.base.settings_fields import Editor, make_editor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qtpy.QtWidgets import QPushButton

    from napari_nucleigan.base.settings import FieldFacts


EMPTY = -1
LARGEST_SIDE = 16384
_EDITS = {
    "jitter": (
        "Jitter",
        "Move each nucleus by up to the amount in a random direction and turn it a little. One that would overlap "
        "another moves less or stays, and so do those that the border of the canvas cuts.",
    ),
    "grow": ("Grow", "Move outlines outwards by the amount, up to their neighbours: touching nuclei stay apart."),
    "shrink": ("Shrink", "Move outlines inwards by the amount. No nucleus vanishes: its heart stays."),
    "copy": ("Copy", "Set a twin of each nucleus nearby, where there is room for it."),
    "split": ("Split parts", "Make a nucleus of its own of each part of a nucleus that is in several parts."),
    "delete": ("Delete", "Delete nuclei."),
}

FIRST = ("density", "area", "area_spread", "elongation", "touching", "clustering")
"""Fields that are shown at once; the others are folded away."""
SELECTED, WHOLE, VIEW, ALL = "selected", "whole", "view", "all"
KEEP, REPLACE = "keep", "replace"
_FITTED, _MODEL = "fitted", "model:"


class CanvasForm(Form):
    """Fields of a new mask."""

    def __init__(self) -> None:
        super().__init__(margin=MARGIN)
        over = combo(
            {"Empty canvas": EMPTY},
            "Where the new mask lies: on a canvas of its own, or over an image, with its size, place, units and axes.",
        )
        self.over = self.add("Over", over)
        self.height, self.width_ = (
            whole(1, LARGEST_SIDE, 512, " pixels", f"{side} of the canvas in pixels.") for side in ("Height", "Width")
        )
        add_row(self.rows, "Height", self.height)
        add_row(self.rows, "Width", self.width_)
        mpp = pixel_size("not known", "Side of a pixel in microns: about 0.25 at 40x, 0.5 at 20x.")
        mpp.setValue(0.25)
        self.magnification = objective_button(mpp)
        self.mpp = self.add("Pixel size", mpp, self.magnification)
        self.create_button = push_button("Create the mask")
        self.problem_label = small_label()

    def set_images(self, names: Sequence[str], chosen: int) -> None:
        """List the images that a mask can lie over, and choose one by its position, or `EMPTY`."""
        over = [("Empty canvas", EMPTY), *((f"“{name}”", index) for index, name in enumerate(names))]
        list_choices(self.over, over, chosen)

    def show_place(self, shape: tuple[int, int] | None, mpp: float | None) -> None:
        """Show the size and scale of the chosen image; without one the fields are free."""
        for field in (self.height, self.width_):
            field.setEnabled(shape is None)
        self.mpp.setEnabled(shape is None or mpp is None)
        self.magnification.setEnabled(self.mpp.isEnabled())
        with silent(self.height, self.width_, self.mpp):
            if shape is not None:
                self.height.setValue(shape[0])
                self.width_.setValue(shape[1])
            if mpp is not None:
                self.mpp.setValue(mpp)

    def set_state(self, problem: str) -> None:
        """Enable Create, or say why it cannot be pressed."""
        enable(self.create_button, problem, "Add a Labels layer to draw nuclei in.")
        set_text(self.problem_label, problem)


class EditForm(Form):
    """Tools to draw with, and edits of nuclei."""

    edit_clicked = Signal(str)
    """Name of the edit."""

    def __init__(self) -> None:
        super().__init__(margin=MARGIN)
        self.paint_button = push_button(
            "Paint a nucleus",
            "Paint with a brush in the Labels layer, beginning a new nucleus. Press again, or M, for the next one.",
        )
        self.polygon_button = push_button(
            "Draw polygons",
            "Draw polygons in a Shapes layer: click the corners, double-click the last. Each is a nucleus; ellipses, "
            "rectangles and closed paths too. Where they overlap, the later one is on top.",
        )
        self.show_polygons = push_button(
            "Show polygons",
            "Show all nuclei as polygons in a Shapes layer, to select, move and bend them. What changes in one layer "
            "changes in the other. Removing the Shapes layer loses no nucleus.",
        )
        self.show_polygons.setCheckable(True)
        self.take = menu_button("Take shapes", "Add what is drawn in another Shapes layer to the mask.", {})
        scope = combo(
            {"Selected nuclei": SELECTED, "Nuclei in view": VIEW, "All nuclei": ALL},
            "Which nuclei the buttons below change. Select them in the Shapes layer (Shift for several), or pick one "
            "in the Labels layer with its picker.",
        )
        amount = spin(50.0, 0.25, 2, "none", " µm", "How far Jitter, Grow and Shrink move outlines, in microns.")
        amount.setValue(0.5)
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for at, (name, (text, tip)) in enumerate(_EDITS.items()):
            button = self.buttons[name] = push_button(text, tip)
            button.clicked.connect(lambda _=False, name=name: self.edit_clicked.emit(name))
            grid.addWidget(button, *divmod(at, 3))
        self.rows.addRow(_pair(self.paint_button, self.polygon_button))
        self.rows.addRow(_pair(self.show_polygons, self.take))
        self.scope = self.add("Change", scope)
        self.selection_label = self.add_remark()
        self.amount = self.add("Amount", amount)
        self.rows.addRow(grid)

    def set_shapes(self, actions: Mapping[str, Callable[[], object]]) -> None:
        """List the Shapes layers whose shapes can be taken."""
        set_menu(self.take, actions)
        self.take.setEnabled(bool(actions))

    def set_state(self, selection: str, problems: Mapping[str, str], polygons: bool) -> None:
        """Show what is selected, and which edits can be made.

        Parameters
        ----------
        selection : str
            What the edits would change, for people.
        problems : mapping of str to str
            Why each edit is not possible; empty where it is.
        polygons : bool
            Whether the Shapes layer is there.
        """
        set_text(self.selection_label, selection)
        for name, button in self.buttons.items():
            enable(button, problems[name], _EDITS[name][1])
        with silent(self.show_polygons):
            self.show_polygons.setChecked(polygons)


def _pair(left: QWidget, right: QWidget) -> QWidget:
    pair = QWidget()
    pair.setLayout(row(left, right))
    pair.layout().setStretch(1, 1)
    return pair


class SamplerFields:
    """One field for each number and switch of `PolygonMasks`.

    Parameters
    ----------
    form : Form
        Where they are put; it tells of changes too.
    """

    def __init__(self, form: Form) -> None:
        self.base = PolygonMasks()
        self._shown: dict[str, Any] = {}
        self._editors: dict[str, Editor] = {}
        rest = QWidget()
        folded = form_layout(rest)
        for name, facts in field_facts(PolygonMasks).items():
            if facts.kind in (float, int, bool):
                made = self._editors[name] = _editor(facts)
                rows, field = form.rows if name in FIRST else folded, made.widget
                add_row(rows, "" if isinstance(field, QCheckBox) else facts.title, field)
                forward(form.changed, made.changed)
        self.more = QCollapsible("More about the nuclei")
        self.more.setDuration(0)
        self.more.setContent(rest)
        self.more.collapse(animate=False)
        form.rows.addRow(self.more)
        self.show_statistics(self.base)

    def show_statistics(self, statistics: PolygonMasks) -> None:
        """Show an organ or a fit, which the fields change from then on."""
        self.base = statistics
        for name, made in self._editors.items():
            made.show(getattr(statistics, name))
            self._shown[name] = made.get()

    def statistics(self) -> PolygonMasks:
        """Return what the fields stand for.

        Raises
        ------
        RecipeError
            If they do not go together.
        """
        # A field shows fewer digits than a fit has: what nobody touched keeps them all.
        values = {name: made.get() for name, made in self._editors.items()}
        touched = {name: value for name, value in values.items() if value != self._shown[name]}
        return self.base.changed(**touched) if touched else self.base

    @property
    def fields(self) -> dict[str, QWidget]:
        """Each field by its name."""
        return {name: made.widget for name, made in self._editors.items()}


class FillForm(Form):
    """All fields that say which random nuclei to add, and where; it knows nothing of viewers or jobs."""

    organ_changed = Signal()
    """Another organ was chosen, or a fit."""

    def __init__(self) -> None:
        super().__init__(margin=MARGIN)
        self._learnt: dict[str, PolygonMasks] = {}
        names = {("All organs" if name == "all" else name.capitalize()): name for name in PRESETS}
        organ = combo(
            names,
            "Tissue whose nuclei are imitated, as learnt from the training tiles of the Kumar data set; or what a "
            "model that paints tissue has learnt, which lays out a tissue map and the nuclei of each tissue. Choosing "
            "one sets all fields below; change them as you like.",
        )
        self.fit = menu_button("Fit", "Learn all fields from the nuclei of a Labels layer.", {})
        self.organ = self.add("Like", organ, self.fit, self._choose_organ)
        self.sampler = SamplerFields(self)
        region = combo(
            {"Whole canvas": WHOLE, "Current view": VIEW},
            "Where nuclei are added: everywhere, or in the part that the canvas shows now. A nucleus belongs to the "
            "view if its centre does, and may reach beyond it.",
        )
        existing = combo(
            {"Keep, fill between": KEEP, "Replace": REPLACE},
            "What becomes of nuclei that are in the region. Kept ones are neither cut nor covered: a new nucleus that "
            "would overlap one is left out. Replaced ones are deleted first. Undo brings them back.",
        )
        self.seed = whole(0, LARGEST_SEED, 0, "", "The same seed and fields lay out the same nuclei.")
        self.next_seed = check(
            "then next", "Go to the next seed after each fill, so that it adds other nuclei.", checked=True
        )
        self.fill_button = push_button("Fill")
        self.region = self.add("Region", region)
        self.existing = self.add("Nuclei there", existing)
        add_row(self.rows, "Seed", self.seed, self.next_seed)
        self.problem_label = small_label()
        self._choose_organ()

    def statistics(self) -> PolygonMasks:
        """Return what the nuclei shall look like.

        Raises
        ------
        RecipeError
            If the fields do not go together.
        """
        return self.sampler.statistics()

    def reference(self) -> tuple[PolygonMasks, str]:
        """Return the chosen organ or fit as it was learnt, and its name."""
        return self.sampler.base, self.organ.currentText()

    def problem(self) -> str:
        """Why the fields cannot be used; empty where they can."""
        return fault(self.statistics)

    def show_fit(self, statistics: PolygonMasks, name: str) -> None:
        """Choose what was learnt from a layer."""
        self._list(_FITTED, f"Like “{name}”", statistics)
        with silent(self.organ):
            self.organ.setCurrentIndex(self.organ.findData(_FITTED))
        self._choose_organ()

    def set_models(self, learnt: Mapping[str, PolygonMasks]) -> None:
        """List models by their names, with what each has learnt of masks and their tissue."""
        chosen = self.organ.currentData()
        for key in [key for key in self._learnt if key != _FITTED]:
            self._learnt.pop(key)
            with silent(self.organ):
                self.organ.removeItem(self.organ.findData(key))
        for name, statistics in learnt.items():
            self._list(f"{_MODEL}{name}", name, statistics)
        with silent(self.organ):
            self.organ.setCurrentIndex(max(self.organ.findData(chosen), 0))
        if chosen != self.organ.currentData():
            self._choose_organ()

    def set_layers(self, actions: Mapping[str, Callable[[], object]]) -> None:
        """List the Labels layers that can be learnt from."""
        set_menu(self.fit, actions)
        self.fit.setEnabled(bool(actions))

    def set_state(self, problem: str) -> None:
        """Enable Fill, or say why it cannot be pressed."""
        enable(self.fill_button, problem, "Add random nuclei to the mask.")
        set_text(self.problem_label, problem)

    def step_seed(self) -> None:
        """Go to the next seed, if the user wants that."""
        if self.next_seed.isChecked():
            self.seed.setValue(self.seed.value() + 1)

    def _list(self, key: str, label: str, statistics: PolygonMasks) -> None:
        self._learnt[key] = statistics
        with silent(self.organ):
            self.organ.removeItem(self.organ.findData(key))
            self.organ.addItem(label, key)

    def _choose_organ(self) -> None:
        name = self.organ.currentData()
        self.sampler.show_statistics(self._learnt.get(name) or preset(name))
        self.organ_changed.emit()
        self.changed.emit()


def _editor(facts: FieldFacts) -> Editor:
    high = facts.high or 1.0
    made = make_editor(
        facts,
        2 if high <= 10 else 0 if facts.name == "density" else 1,
        0.05 if high <= 2 else 0.1 if high <= 10 else 250 if facts.name == "density" else 1,
    )
    if isinstance(made.widget, QCheckBox):
        made.widget.setText(facts.title)
    return made
