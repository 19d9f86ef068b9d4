"""The page of the Evaluate widget that compares two folders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout

from napari_nucleigan.base.files import write_text
from napari_nucleigan.evaluation import evaluate_folders
from napari_nucleigan.widgets.base.dock import Page, RunBar
from napari_nucleigan.widgets.base.fields import menu_button, set_text
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import add_once
from napari_nucleigan.widgets.evaluate.folder_report import ReportView
from napari_nucleigan.widgets.evaluate.form import FolderForm
from napari_nucleigan.widgets.evaluate.jobs import read_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.viewer import Viewer

    from napari_nucleigan.contributions.layers import LayerData
    from napari_nucleigan.evaluation import Report
    from napari_nucleigan.widgets.evaluate.jobs import FolderPair


class EvaluateFolders(Page):
    """Compare the predictions of a whole folder with the truth.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where images are opened.
    """

    reported = Signal(object)
    """A new `Report` is shown."""
    opened = Signal(object, object)
    """The layers of a prediction and of its truth, that were opened."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._report: Report | None = None
        self._compared: FolderPair | None = None
        self.form = FolderForm()
        self.bar = RunBar("Compare the files of equal names, in processes of their own.")
        self.view = ReportView()
        self.copy_button = QPushButton("Copy")
        self.open_button = QPushButton("Open")
        self.export_button = menu_button(
            "Export",
            "Save the report.",
            {
                "Everything (CSV)…": lambda: self._ask("evaluation.csv", save_csv),
                "Everything (JSON)…": lambda: self._ask("evaluation.json", save_json),
                "Table (Markdown)…": lambda: self._ask("evaluation.md", save_markdown),
            },
        )
        self._runner = Runner(self, activity=True)
        self._opener = Runner(self)
        self._build()
        self._connect()
        self._update()

    @property
    def report(self) -> Report | None:
        """What is shown; None where nothing has been compared."""
        return self._report

    def run(self) -> None:
        """Compare the two folders of the form."""
        found = self.form.found
        if self.running or found is None or self.form.problem():
            return
        self._show(None)
        self._compared = found
        self.form.remember()
        self.bar.begin()
        job = evaluate_folders(found.pred, found.truth, split=found.split, iou=self.form.iou.value())
        self._runner.start(job, f"comparing {found.pred.name} with {found.truth.name}")
        self._update()

    def open_image(self, name: str) -> None:
        """Open an image of the report: its labels as layers, and the image itself where there is one."""
        pairs = {pair.name: pair for pair in self._compared.pairing.pairs} if self._compared is not None else {}
        if name in pairs:
            self._opener.start(read_pair(pairs[name]), f"opening {name}")

    def copy(self) -> None:
        """Put the table onto the clipboard, as rows that a spreadsheet takes."""
        if self._report is not None:
            header, rows = self._report.table("organ" if self._report.groups else "image")
            QGuiApplication.clipboard().setText("\n".join("\t".join(row) for row in (header, *rows)))

    def shut_down(self) -> None:
        """Stop all work."""
        super().shut_down()
        self.form.cancel()

    def _build(self) -> None:
        self.bar.run_button.setText("Compare")
        self.bar.cancel_button.setToolTip("Stop at once.")
        self.copy_button.setToolTip("Copy the table, as rows that a spreadsheet takes.")
        self.open_button.setToolTip(
            "Open the image that is chosen in the list: its labels and, from a data set, itself."
        )
        buttons = QHBoxLayout()
        for button in (self.copy_button, self.export_button, self.open_button):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self.form)
        layout.addWidget(self.bar)
        layout.addWidget(self.view, 1)
        layout.addLayout(buttons)

    def _connect(self) -> None:
        self.form.changed.connect(self._update)
        self.bar.run_clicked.connect(self.run)
        self.bar.cancel_clicked.connect(self.cancel)
        self.copy_button.clicked.connect(self.copy)
        self.open_button.clicked.connect(lambda: self.open_image(self.view.image or ""))
        self.view.opened.connect(self.open_image)
        self.view.images.itemSelectionChanged.connect(self._update)
        self._wire(self._runner, self._finished)
        self._wire(self._opener, self._add_layers, failed=self._complain, quiet=True)

    def _finished(self, report: Report) -> None:
        self._show(report)
        left_out = len(report.missing) + len(report.extra) + len(report.failed)
        if left_out:
            self.bar.note(f"{left_out} left out of all figures; see the last page.")
        self.reported.emit(report)

    def _show(self, report: Report | None) -> None:
        self._report = report
        self.view.show_report(report)
        text = ""
        if report is not None:
            count = len(report.images)
            text = (
                f"{count} image{'' if count == 1 else 's'} · AJI {report.mean['aji']:.3f} · F1 {report.mean['f1']:.3f}"
            )
        set_text(self.bar.figures, text)
        self._update()

    def _update(self) -> None:
        self.form.setEnabled(not self.running)
        self.bar.set_state(self.running, "" if self.running else self.form.problem())
        for button in (self.copy_button, self.export_button):
            button.setEnabled(self._report is not None)
        self.open_button.setEnabled(self.view.image is not None)

    def _add_layers(self, made: list[LayerData]) -> None:
        """Add layers that are not open yet, and show where they are."""
        *_, truth, pred = add_once(self._viewer, made)
        self._viewer.reset_view()
        self.opened.emit(pred, truth)

    def _ask(self, name: str, save: Callable[[Path, Report], None]) -> None:
        report = self._report
        if report is None:
            return
        self._save("evaluations", name, lambda chosen: save(chosen, report))


def save_csv(path: Path, report: Report) -> None:
    """Write everything as a table; raises `OutputError` if it cannot be written."""
    write_text(path, report.to_csv())


def save_json(path: Path, report: Report) -> None:
    """Write everything as JSON; raises `OutputError` if it cannot be written."""
    write_text(path, json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n")


def save_markdown(path: Path, report: Report) -> None:
    """Write the table of organs, or of images where none is known; raises `OutputError` if it cannot be written."""
    write_text(path, report.to_markdown("organ" if report.groups else "image"))
