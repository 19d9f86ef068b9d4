"""Run form: what the forms of all new runs share: the model to start from, device, queue, name, what is advanced."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLineEdit, QToolButton, QWidget

from napari_nucleigan.widgets.base.fields import NO_MARGINS, Form, check, column, forward
from napari_nucleigan.widgets.base.model_picker import ModelPicker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_nucleigan.models import Kind
    from napari_nucleigan.widgets.base.training_jobs import TrainRequest


class RunForm(QWidget):
    """Fields of a new run.

    Parameters
    ----------
    kinds : sequence of str
        Kinds of models that it can start from.
    tip : str
        What the model is for.
    default : str
        Name of the model that is chosen at first.
    nothing : str
        Label of an entry that stands for no model; empty where there is none.
    """

    changed = Signal()
    failed = Signal(object)
    """A file cannot be used: a `NucleiganError`."""

    def __init__(self, kinds: Sequence[Kind], tip: str, default: str, nothing: str = "") -> None:
        super().__init__()
        self.picker = ModelPicker(self, kinds, (tip, "Where to compute."), default, nothing=nothing)
        self.picker.add_button.setToolTip("Start from a model file.")
        self.picker.failed.connect(self.failed.emit)
        self.start, self.device = self.picker.box, self.picker.device
        self._bottom, self._last = Form(), Form()
        self._bottom.add("Device", self.device)
        queue = check(
            "Wait for other runs", "Begin when no run that was started earlier computes on this device any more."
        )
        self.queue = self._bottom.add("Queue", queue)
        name = QLineEdit()
        name.setToolTip("Name of the run, and of its model. A number is added where there is such a run.")
        self.name = self._last.add("Name", name)
        self.advanced_button = QToolButton(text="Advanced", checkable=True, arrowType=Qt.ArrowType.RightArrow)
        self.advanced_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.advanced_button.toggled.connect(self._open)
        self.advanced = QWidget()

    def request(self, runs: Path) -> TrainRequest:
        """Return the run as given, to be kept in a folder of runs.

        Raises
        ------
        RecipeError
            If a value is not valid.
        """
        raise NotImplementedError

    def problem(self) -> str:
        """Why it cannot be started like this; empty where it can."""
        raise NotImplementedError

    def outlook(self) -> str:
        """Tell how long it will take, as far as that is known without a try."""
        raise NotImplementedError

    def refresh(self) -> None:
        """List the layers again, where some can be chosen."""

    def cancel(self) -> None:
        """Stop looking into folders, and for models."""
        self.picker.cancel()

    def _lay_out(self, shown: Sequence[Any], hidden: Sequence[Any], tip: str) -> None:
        """Put the fields in sight below one another, then those that only the button *Advanced* shows, as it tells."""
        self.advanced_button.setToolTip(tip)
        column(*hidden, self._bottom, inside=self.advanced, margins=NO_MARGINS, stretch=False)
        self.advanced.hide()
        parts = (*shown, self._last, self.advanced_button, self.advanced)
        column(*parts, inside=self, margins=NO_MARGINS)
        parts = (*shown, *hidden, self._bottom, self._last)
        forward(self.changed, *(part.changed for part in parts if hasattr(part, "changed")))

    def _suggest_name(self, what: str) -> None:
        day = datetime.datetime.now().astimezone().date().isoformat()
        self.name.setPlaceholderText(f"{what} {day}")

    @property
    def _name(self) -> str:
        return self.name.text().strip() or self.name.placeholderText()

    def _fill_advanced(self) -> None:
        """Make what is only made when somebody wants to see it."""

    def _open(self, shown: bool) -> None:
        self._fill_advanced()
        self.advanced.setVisible(shown)
        self.advanced_button.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
