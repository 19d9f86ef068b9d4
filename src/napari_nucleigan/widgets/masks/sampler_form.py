"""Fields of the sampler of random nuclei, made of the fields of `PolygonMasks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.masks.sampler.sample import PRESETS, PolygonMasks, preset
from napari_nucleigan.widgets.base.fields import add_row, combo, form_layout, menu_button, set_text, silent, small_label

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic.fields import FieldInfo
    from qtpy.QtWidgets import QFormLayout

FIRST = ("density", "area", "area_spread", "elongation", "touching", "clustering")
"""Fields that are shown at once; the others are folded away."""
WHOLE, VIEW = "whole", "view"
KEEP, REPLACE = "keep", "replace"
LARGEST_SEED = 2**31 - 1
_UNITS = {"density": " per mm²", "area": " µm²", "reach": " µm"}
_FITTED = "fitted"


class SamplerFields(QObject):
    """One field for each number and switch of `PolygonMasks`.

    Parameters
    ----------
    form : QFormLayout
        Where they are put.
    parent : QObject
        Who owns this.
    """

    changed = Signal()
    """A field was changed by the user."""

    def __init__(self, form: QFormLayout, parent: QObject) -> None:
        super().__init__(parent)
        self.base = PolygonMasks()
        self._shown: dict[str, Any] = {}
        self.fields: dict[str, QWidget] = {}
        rest = QWidget()
        folded = form_layout(rest)
        for name, field in PolygonMasks.model_fields.items():
            if field.annotation in (float, int, bool):
                made = self.fields[name] = _field(name, field)
                add_row(form if name in FIRST else folded, "" if isinstance(made, QCheckBox) else _title(name), made)
                (made.toggled if isinstance(made, QCheckBox) else made.valueChanged).connect(self._change)
        self.more = QCollapsible("More about the nuclei")
        self.more.setDuration(0)
        self.more.setContent(rest)
        self.more.collapse(animate=False)
        form.addRow(self.more)
        self.show_statistics(self.base)

    def show_statistics(self, statistics: PolygonMasks) -> None:
        """Show an organ or a fit, which the fields change from then on."""
        self.base = statistics
        with silent(*self.fields.values()):
            for name, made in self.fields.items():
                value = getattr(statistics, name)
                if isinstance(made, QCheckBox):
                    made.setChecked(value)
                else:
                    made.setValue(value)
                self._shown[name] = _value(made)

    def statistics(self) -> PolygonMasks:
        """Return what the fields stand for.

        Raises
        ------
        RecipeError
            If they do not go together.
        """
        # A field shows fewer digits than a fit has: what nobody touched keeps them all.
        touched = {name: _value(made) for name, made in self.fields.items() if _value(made) != self._shown[name]}
        return self.base.changed(**touched) if touched else self.base

    def _change(self, _: object) -> None:
        self.changed.emit()


class FillForm(QWidget):
    """All fields that say which random nuclei to add, and where; it knows nothing of viewers or jobs."""

    changed = Signal()
    """Anything was changed."""
    organ_changed = Signal()
    """Another organ was chosen, or a fit."""
    fill_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._fit: PolygonMasks | None = None
        names = {("All organs" if name == "all" else name.capitalize()): name for name in PRESETS}
        self.organ = combo(
            names,
            "Tissue whose nuclei are imitated, as learnt from the training tiles of the Kumar data set. Choosing one "
            "sets all fields below; change them as you like.",
        )
        self.fit = menu_button("Fit", "Learn all fields from the nuclei of a Labels layer.", {})
        inner = QWidget()
        form = form_layout(inner)
        add_row(form, "Like", self.organ, self.fit)
        self.sampler = SamplerFields(form, self)
        self.region = combo(
            {"Whole canvas": WHOLE, "Current view": VIEW},
            "Where nuclei are added: everywhere, or in the part that the canvas shows now. A nucleus belongs to the "
            "view if its centre does, and may reach beyond it.",
        )
        self.existing = combo(
            {"Keep, fill between": KEEP, "Replace": REPLACE},
            "What becomes of nuclei that are in the region. Kept ones are neither cut nor covered: a new nucleus that "
            "would overlap one is left out. Replaced ones are deleted first. Undo brings them back.",
        )
        self.seed = QSpinBox()
        self.seed.setRange(0, LARGEST_SEED)
        self.seed.setToolTip("The same seed and fields lay out the same nuclei.")
        self.seed.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.next_seed = QCheckBox("then next")
        self.next_seed.setChecked(True)
        self.next_seed.setToolTip("Go to the next seed after each fill, so that it adds other nuclei.")
        self.fill_button = QPushButton("Fill")
        self.problem_label = small_label()
        add_row(form, "Region", self.region)
        add_row(form, "Nuclei there", self.existing)
        add_row(form, "Seed", self.seed, self.next_seed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(5)
        for part in (inner, self.fill_button, self.problem_label):
            layout.addWidget(part)
        layout.addStretch()
        self._connect()
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
        try:
            self.statistics()
        except RecipeError as error:
            return str(error)
        return ""

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
        menu = self.fit.menu()
        menu.clear()
        for name, call in actions.items():
            menu.addAction(name).triggered.connect(lambda _=False, call=call: call())
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

    def _connect(self) -> None:
        self.organ.currentIndexChanged.connect(lambda _: self._choose_organ())
        self.sampler.changed.connect(self.changed.emit)
        for box in (self.region, self.existing):
            box.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.fill_button.clicked.connect(lambda: self.fill_clicked.emit())

    def _choose_organ(self) -> None:
        name = self.organ.currentData()
        self.sampler.show_statistics(self._fit if name == _FITTED and self._fit else preset(name))
        self.organ_changed.emit()
        self.changed.emit()


def _field(name: str, field: FieldInfo) -> QWidget:
    made: QWidget
    low, high = _limits(field)
    if field.annotation is bool:
        made = QCheckBox(_title(name))
    elif field.annotation is int:
        made = QSpinBox()
        made.setRange(int(low), int(high))
    else:
        made = QDoubleSpinBox()
        made.setDecimals(2 if high <= 10 else 1 if high < 1000 or name in ("area", "reach") else 0)
        made.setRange(low, high)
        made.setSingleStep(0.05 if high <= 2 else 0.1 if high <= 10 else 1 if name != "density" else 250)
        made.setSuffix(_UNITS.get(name, ""))
    made.setToolTip(field.description or "")
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return made


def _title(name: str) -> str:
    return PolygonMasks.model_fields[name].title or name


def _limits(field: FieldInfo) -> tuple[float, float]:
    low, high = 0.0, 1e6
    for limit in field.metadata:
        low = float(getattr(limit, "ge", getattr(limit, "gt", low)))
        high = float(getattr(limit, "le", getattr(limit, "lt", high)))
    return low, high


def _value(made: QWidget) -> Any:
    if isinstance(made, QCheckBox):
        return made.isChecked()
    assert isinstance(made, QSpinBox | QDoubleSpinBox)
    return made.value()
