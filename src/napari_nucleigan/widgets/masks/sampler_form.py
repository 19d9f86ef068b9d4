"""Sampler form: fields of the sampler of random nuclei, made of what `PolygonMasks` says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QWidget
from superqt import QCollapsible

from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.masks.polygons import PRESETS, PolygonMasks, preset
from napari_nucleigan.widgets.base.fields import (
    LARGEST_SEED,
    Form,
    add_row,
    check,
    combo,
    fault,
    form_layout,
    forward,
    lay_out,
    menu_button,
    push_button,
    set_menu,
    set_text,
    silent,
    small_label,
    whole,
)
from napari_nucleigan.widgets.base.settings_fields import Editor, make_editor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_nucleigan.base.settings import FieldFacts

FIRST = ("density", "area", "area_spread", "elongation", "touching", "clustering")
"""Fields that are shown at once; the others are folded away."""
WHOLE, VIEW = "whole", "view"
KEEP, REPLACE = "keep", "replace"
_FITTED = "fitted"


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


class FillForm(QWidget):
    """All fields that say which random nuclei to add, and where; it knows nothing of viewers or jobs."""

    changed = Signal()
    """Anything was changed."""
    organ_changed = Signal()
    """Another organ was chosen, or a fit."""

    def __init__(self) -> None:
        super().__init__()
        self._fit: PolygonMasks | None = None
        names = {("All organs" if name == "all" else name.capitalize()): name for name in PRESETS}
        organ = combo(
            names,
            "Tissue whose nuclei are imitated, as learnt from the training tiles of the Kumar data set. Choosing one "
            "sets all fields below; change them as you like.",
        )
        self.fit = menu_button("Fit", "Learn all fields from the nuclei of a Labels layer.", {})
        form = Form()
        forward(self.changed, form.changed)
        self.organ = form.add("Like", organ, self.fit, self._choose_organ)
        self.sampler = SamplerFields(form)
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
        self.problem_label = small_label()
        self.region = form.add("Region", region)
        self.existing = form.add("Nuclei there", existing)
        add_row(form.rows, "Seed", self.seed, self.next_seed)
        lay_out(self, form, self.fill_button, self.problem_label).addStretch()
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
        self._fit = statistics
        with silent(self.organ):
            self.organ.removeItem(self.organ.findData(_FITTED))
            self.organ.addItem(f"Like “{name}”", _FITTED)
            self.organ.setCurrentIndex(self.organ.count() - 1)
        self._choose_organ()

    def set_layers(self, actions: Mapping[str, Callable[[], object]]) -> None:
        """List the Labels layers that can be learnt from."""
        set_menu(self.fit, actions)
        self.fit.setEnabled(bool(actions))

    def set_state(self, problem: str) -> None:
        """Enable Fill, or say why it cannot be pressed."""
        self.fill_button.setEnabled(not problem)
        self.fill_button.setToolTip(problem or "Add random nuclei to the mask.")
        set_text(self.problem_label, problem)

    def step_seed(self) -> None:
        """Go to the next seed, if the user wants that."""
        if self.next_seed.isChecked():
            self.seed.setValue(self.seed.value() + 1)

    def _choose_organ(self) -> None:
        name = self.organ.currentData()
        self.sampler.show_statistics(self._fit if name == _FITTED and self._fit else preset(name))
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
