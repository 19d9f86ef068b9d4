"""The Evaluate widget: predicted nuclei against true ones, of two layers on the image, or of two folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QTabWidget

from napari_nucleigan.metrics import OUTCOMES
from napari_nucleigan.widgets.base.dock import Dock, Page, add_tabs
from napari_nucleigan.widgets.base.fields import (
    MARGIN,
    column,
    menu_button,
    push_button,
    set_text,
    silent,
    warning_style,
)
from napari_nucleigan.widgets.base.flight import Flight
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.label_images import LabelImages
from napari_nucleigan.widgets.base.run_bar import RunBar
from napari_nucleigan.widgets.base.scrolling import pinned
from napari_nucleigan.widgets.base.transforms import grid_to_viewer, viewer_to_grid
from napari_nucleigan.widgets.evaluate.folders import EvaluateFolders
from napari_nucleigan.widgets.evaluate.form import IOU, NOTHING, EvaluateChoices, EvaluateForm
from napari_nucleigan.widgets.evaluate.jobs import LiveComparison, compare, save_csv, save_json, save_nuclei
from napari_nucleigan.widgets.evaluate.overlay import COLOURS, OUTLINE, TEXT, CanvasText, Overlay, ramp
from napari_nucleigan.widgets.evaluate.plots import BinPlots
from napari_nucleigan.widgets.evaluate.table import NucleiList, ScoreTable, length

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.widgets.evaluate.jobs import LayerComparison

_LEAST_SIDE = 30  # pixels: nuclei smaller than that are not flown to any nearer
_POINT = "Point at a nucleus to read what became of it."


class EvaluateLayers(Page):
    """Compare two Labels layers, on the image.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers are compared.
    """

    compared = Signal(object)
    """A new `LayerComparison` is shown."""
    followed = Signal(float)
    """Live: what is shown is up to date; seconds since the first edit that it did not show."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._comparison: LayerComparison | None = None
        self._anchor: Labels | None = None
        self._nucleus = 0
        self.form = EvaluateForm()
        self.label_images = LabelImages(viewer)
        self.bar = RunBar("Compare the two layers.")
        self.table = ScoreTable()
        self.copy_button = push_button("Copy", "Copy all figures, as rows that a spreadsheet takes.")
        self.export_button = menu_button(
            "Export",
            "Save the figures, or a table of all nuclei.",
            {
                "Figures (CSV)…": lambda: self._ask("figures.csv", save_csv),
                "Figures and nuclei (JSON)…": lambda: self._ask("figures.json", save_json),
                "Nuclei (CSV)…": lambda: self._ask("nuclei.csv", save_nuclei),
            },
        )
        self.nuclei = NucleiList()
        self.plots = BinPlots()
        self.tabs = QTabWidget()
        self.pointed = QLabel()
        self.pointed.setToolTip(
            "What became of the nucleus under the pointer, how well it fits (IoU), and its Hausdorff distance, the "
            "largest (HD) and the average (AHD)."
        )
        self.pointed.setWordWrap(True)
        self.pointed.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.overlay = Overlay(viewer)
        self.canvas = CanvasText(viewer)
        self.choices = EvaluateChoices(viewer, self.form)
        self.flight = Flight(viewer, self)
        self.live = LiveComparison(self.choices.request, self)
        self._runner = Runner(self, activity=True)
        self._build()
        self._connect()
        self.reset_choices()

    @property
    def comparison(self) -> LayerComparison | None:
        """What is shown; None where nothing has been compared."""
        return self._comparison

    def reset_choices(self) -> None:
        """List the layers again."""
        self.label_images.look()
        before = self.choices.pred, self.choices.truth
        self.choices.refresh()
        if (self._comparison is not None or self.running) and (self.choices.pred, self.choices.truth) != before:
            if self.running:
                self.bar.note("One of the two layers was removed: the comparison was stopped.")
            self._drop()
        elif any(gone := self.overlay.removed()):
            # To remove a layer is the same as not to ask for it.
            with silent(self.form.look, self.form.outlines):
                if gone[0]:
                    self.form.look.setCurrentIndex(self.form.look.findData(NOTHING))
                if gone[1]:
                    self.form.outlines.setChecked(False)
            self._show()
        self._update()

    def run(self) -> None:
        """Compare the two layers of the form."""
        if self.running or self.choices.problem():
            return
        self.live.stop()
        self.choices.fixed = True
        self.bar.begin()
        self._runner.start(compare(self.choices.request()), "comparing two layers")
        self._update()

    def compare(self, pred: Labels, truth: Labels) -> None:
        """Choose two layers, and compare them."""
        self._drop()
        self.choices.choose(pred, truth)
        self.run()

    def fly_to(self, number: int) -> None:
        """Fly the camera to a nucleus of the comparison."""
        layer = self._anchor
        if self._comparison is None or layer is None or not 0 < number <= len(self._comparison.inspection.nuclei):
            return
        box = self._comparison.inspection.nuclei.boxes[number - 1].reshape(2, 2) - [0, 1]
        # What lies around a speck is worth seeing, too.
        middle, reach = box.mean(axis=1), np.maximum(np.ptp(box, axis=1), _LEAST_SIDE) / 2
        grid = self._comparison.grid
        self.flight.to(*(grid_to_viewer(self._viewer, layer, grid, middle + way * reach) for way in (-1, 1)))
        self.overlay.mark(self._comparison, layer, number)
        self._tell(number)

    def attach(self) -> None:
        """Follow the pointer; the widget is in a window."""
        if self._moved not in self._viewer.mouse_move_callbacks:
            self._viewer.mouse_move_callbacks.append(self._moved)

    def shut_down(self) -> None:
        """Stop all work and let go of the viewer; the layers that were made stay."""
        if self._moved in self._viewer.mouse_move_callbacks:
            self._viewer.mouse_move_callbacks.remove(self._moved)
        self.flight.stop()
        self.live.stop()
        super().shut_down()
        self.canvas.clear()
        self.overlay.forget()
        self._comparison = self._anchor = None

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        super().set_theme(theme)
        self.label_images.remark.setStyleSheet(warning_style(theme))
        self.plots.set_theme(theme)

    def _build(self) -> None:
        self.bar.run_button.setText("Compare")
        ticks = QHBoxLayout()
        ticks.addWidget(self.form.outlines)
        ticks.addWidget(self.form.score)
        ticks.addStretch()
        buttons = QHBoxLayout()
        buttons.addWidget(self.copy_button)
        buttons.addWidget(self.export_button)
        scores = column(self.table, buttons, margins=(0, MARGIN, 0, 0), tall=self.table)
        scores.layout().addStretch()  # the buttons stay at the rows, in sight, however tall another page is
        add_tabs(
            self.tabs,
            (scores, "Figures", "How well the two layers agree."),
            (self.nuclei, "Nuclei", "Every nucleus, the worst first; a click flies there."),
            (self.plots, "Size and density", "How well small and large, scattered and crowded nuclei are found."),
        )
        parts = self.form, self.label_images, ticks, self.pointed, self.tabs
        pinned(column(*parts, tall=self.tabs), self.bar, inside=self)

    def _connect(self) -> None:
        form = self.form
        form.layers_chosen.connect(self._chosen)
        form.threshold_moved.connect(self._again)
        form.live.toggled.connect(self._live_toggled)
        form.look_changed.connect(self._show)
        self.bar.run_clicked.connect(self.run)
        self.bar.cancel_clicked.connect(self.cancel)
        self.copy_button.clicked.connect(self.table.copy)
        self.nuclei.chosen.connect(self.fly_to)
        self._wire(self._runner, self._compared, stopped=self._update)
        self.live.compared.connect(self._compared)
        self.live.followed.connect(self.followed.emit)
        self.live.refused.connect(self._refused)
        self.live.failed.connect(self._failed)

    def _chosen(self) -> None:
        """Follow a choice of other layers."""
        self.choices.fixed = True
        had = self._comparison is not None
        self._drop()
        if had and self.form.live.isChecked():
            self.run()
        self._update()

    def _again(self) -> None:
        """Follow the threshold."""
        if self._comparison is not None:
            self.live.mark()

    def _live_toggled(self, on: bool) -> None:
        # Nothing is followed that was never asked for.
        if not on or self._comparison is not None:
            self._watch()
        if on:
            self._again()

    def _watch(self) -> None:
        both = self.choices.pred, self.choices.truth
        live = self.form.live.isChecked()
        self.live.watch([layer for layer in both if layer is not None] if live else [])
        if self._comparison is not None:
            self.live.begin(self._comparison)

    def _compared(self, comparison: LayerComparison) -> None:
        first = self._comparison is None
        self._comparison = comparison
        self._anchor = self.choices.anchor(comparison.grid)
        self.bar.begin()  # what was said is of the comparison before
        if self.sender() is self._runner or first:
            self._watch()
            self.live.mark()  # there may have been edits before the layers were watched
        self._nucleus = 0
        self.pointed.setText(_POINT)
        self.canvas.remark("")
        self.table.show_comparison(comparison)
        self.nuclei.show_comparison(comparison)
        self.overlay.mark(comparison, self._anchor, self.nuclei.in_hand)
        self.plots.show_comparison(comparison)
        for note in comparison.request.alignment.notes:
            self.bar.note(note)
        self._show()
        self._update()
        self.compared.emit(comparison)

    def _show(self) -> None:
        if self._comparison is not None and self._anchor is not None:
            self.overlay.show(
                self._comparison, self._anchor, self.form.look.currentData(), self.form.outlines.isChecked()
            )
        self._write()

    def _write(self) -> None:
        """Write the score and the legend onto the canvas."""
        if self._comparison is None:
            self.canvas.clear()
            return
        scores, counts = self._comparison.inspection.scores, self._comparison.inspection.counts
        figures = (
            f"AJI {scores.aji:.3f} · PQ {scores.pq:.3f} · F1 {scores.f1:.3f} at IoU > {self._comparison.request.iou:g}"
        )
        set_text(self.bar.figures, figures)
        if not self.form.score.isChecked():
            self.canvas.clear()
            return
        lines = [(figures, TEXT)]
        look = self.form.look.currentData()
        if look == IOU:
            lines += [(f"■ IoU {share:g}", ramp(share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
        elif look != NOTHING:
            lines += [(f"■ {name} {counts[name]}", COLOURS[name]) for name in OUTCOMES]
        if self.form.outlines.isChecked():
            lines.append(("□ truth", OUTLINE))
        self.canvas.lines(lines)

    def _moved(self, viewer: Viewer, event: object) -> None:
        if self._comparison is None or self._anchor is None or viewer.dims.ndisplay != 2:
            return
        picture = self._comparison.inspection.picture
        position = viewer.cursor.position
        row, column = viewer_to_grid(viewer, self._anchor, self._comparison.grid, position)
        inside = 0 <= row < picture.shape[0] and 0 <= column < picture.shape[1]
        self._tell(int(picture[row, column]) if inside else 0)

    def _tell(self, number: int) -> None:
        """Say what became of a nucleus, on the canvas and in the widget."""
        if number == self._nucleus or self._comparison is None:
            return
        self._nucleus = number
        text = _POINT
        if number:
            found, mpp = self._comparison.inspection.nucleus(number), self._comparison.request.mpp
            text = f"{found['outcome'].capitalize()} · IoU {found['iou']:.2f}"
            if found["hausdorff"] is not None:
                largest, mean = (length(found[name], mpp) for name in ("hausdorff", "average_hausdorff"))
                text += f" · HD {largest} · AHD {mean}"
        self.pointed.setText(text)
        self.canvas.remark(text if number and self.form.score.isChecked() else "")

    def _refused(self) -> None:
        # The layers stay watched: what cannot be compared now may be the next moment.
        self._blank()
        self._update()

    def _drop(self) -> None:
        """Show nothing, and follow nothing."""
        self._runner.cancel()
        self.live.stop()
        self._blank()

    def _blank(self) -> None:
        self._comparison = None
        self._nucleus = 0
        self.overlay.clear()
        self.canvas.clear()
        for part in (self.table, self.nuclei, self.plots):
            part.show_comparison(None)
        set_text(self.bar.figures, "")
        self.pointed.setText("")

    def _update(self) -> None:
        self.form.setEnabled(not self.running)
        self.bar.set_state(self.running, "" if self.running else self.choices.problem())
        for button in (self.copy_button, self.export_button):
            button.setEnabled(self._comparison is not None)

    def _failed(self, error: NucleiganError) -> None:
        self._drop()
        super()._failed(error)

    def _ask(self, name: str, save: Callable[[Path, LayerComparison], None]) -> None:
        comparison = self._comparison
        if comparison is None:
            return
        # A layer may be called "a/b"; a file may not.
        name = f"{comparison.request.pred_name} {name}".replace("/", "-")
        self._save("evaluations", name, lambda chosen: save(chosen, comparison))


class EvaluateWidget(Dock):
    """Measure how well nuclei were segmented, and see it on the image.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer whose layers are compared.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.layers = EvaluateLayers(napari_viewer)
        self.folders = EvaluateFolders(napari_viewer)
        self.tabs = QTabWidget()
        add_tabs(
            self.tabs,
            (self.layers, "Layers", "Compare two Labels layers, on the image."),
            (self.folders, "Folders", "Compare all predictions of a folder with their truth."),
        )
        self._fill(self.tabs)
        for page in (self.layers, self.folders):
            self._add_page(page)
        self.folders.opened.connect(self._opened)
        self._theme()
        self._docked()

    def reset_choices(self, event: object = None) -> None:
        """List the layers again; napari calls this when layers come, go or are renamed."""
        self.layers.reset_choices()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        for page in (self.layers, self.folders):
            page.set_theme(theme)

    def _docked(self) -> None:
        self.layers.attach()

    def _opened(self, pred: Labels, truth: Labels) -> None:
        """Show an image of the folders on the page of layers."""
        self.tabs.setCurrentIndex(0)
        self.layers.compare(pred, truth)
