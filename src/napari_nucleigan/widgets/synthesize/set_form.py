"""Data-set form: the part of the Synthesize widget that makes data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.masks.polygons import PRESETS
from napari_nucleigan.synthesis.settings import SetSettings
from napari_nucleigan.widgets.base.dock import Page, RunBar
from napari_nucleigan.widgets.base.fields import Form, add_row, column, combo, set_text, spin, whole
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.path_fields import FolderField
from napari_nucleigan.widgets.synthesize.jobs import FIT, ITSELF, SetOrder, make_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.synthesis.datasets import SetReport
    from napari_nucleigan.widgets.synthesize.jobs import ModelCache


class SetSection(Page):
    """Fields of a data set, and the job that makes it.

    Parameters
    ----------
    cache : ModelCache
        Where the model is kept.
    order : callable
        Gives the `SetOrder` of a folder, a kind of masks and further settings.
    problem : callable
        Tells why nothing can be painted; it is told whether the chosen mask is needed.
    """

    done = Signal(object)
    """The `SetReport`."""
    pops_up = True

    def __init__(self, cache: ModelCache, order: Callable[..., SetOrder], problem: Callable[[bool], str]) -> None:
        super().__init__()
        self._cache, self._order, self._problem = cache, order, problem
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
        column(self.fields, self.bar, inside=self)
        self._connect()

    def problem(self) -> str:
        """Why no data set can be made now; empty where one can."""
        return self._problem(self._needs_mask()) or self.folder.problem()

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
        order = self._order(self.folder.path, self.masks.currentData(), values)
        self._runner.start(make_set(order, self._cache), "making a data set")
        self.update_state()

    def update_state(self) -> None:
        """Enable what can be used now."""
        self.fields.setEnabled(not self.running)
        self.side.setEnabled(self.masks.currentData() != ITSELF)
        self.bar.set_state(self.running, "" if self.running else self.problem())

    def _needs_mask(self) -> bool:
        return self.masks.currentData() in (FIT, ITSELF)

    def _connect(self) -> None:
        self.bar.run_clicked.connect(self.run)
        self.bar.cancel_clicked.connect(self.cancel)
        self._wire(self._runner, self._finished)

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

    def _update(self) -> None:
        self.update_state()
