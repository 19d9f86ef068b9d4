"""The widget that tells of measured nuclei: a form, a table, a plot, and what is selected in plot and image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.labels.statistics import Question
from napari_nucleigan.widgets.base.dock import Dock
from napari_nucleigan.widgets.base.drawn_shapes import REST_MS
from napari_nucleigan.widgets.base.fields import (
    NO_MARGINS,
    column,
    menu_button,
    push_button,
    set_text,
    silent,
    small_label,
)
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import file_name, known_mpp, layer_info, pixels
from napari_nucleigan.widgets.base.path_fields import ask_file
from napari_nucleigan.widgets.base.run_bar import RunBar
from napari_nucleigan.widgets.base.scrolling import pinned
from napari_nucleigan.widgets.base.transforms import viewer_to_data
from napari_nucleigan.widgets.measure.form import VIEW, MeasureForm
from napari_nucleigan.widgets.measure.jobs import (
    class_choices,
    class_layers,
    class_source,
    measure_nuclei,
    measure_request,
    tell,
    write_nuclei,
)
from napari_nucleigan.widgets.measure.listening import Listener, edit_events, place_events
from napari_nucleigan.widgets.measure.marks import Marks
from napari_nucleigan.widgets.measure.plots import NucleiPlot
from napari_nucleigan.widgets.measure.session import Session
from napari_nucleigan.widgets.measure.table import FiguresTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_nucleigan.labels.statistics import Classes, MeasuredNuclei, Range, Statistics

_POLL_MS = 10  # what follows the mouse must not wait for the usual 50
_EDIT_MS = 500  # after an edit of the labels, until they are measured again
_MARK_MS = 30  # while nuclei are being selected, until the image follows
_MEMORY = "measurements"  # under which word the folder of files is remembered
_ADDING = "Shift", "Control"


class MeasureWidget(Dock):
    """Measure nuclei, plot their measurements, and select them in the plot or in the image.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer whose nuclei are told of.
    """

    measured = Signal()
    """The nuclei of the layer are measured."""
    told = Signal(object)
    """What is shown: a `Statistics`."""
    selected = Signal(object)
    """Labels of the nuclei that are selected now."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.session = Session()
        self._layer: Labels | None = None
        self._marks = Marks(napari_viewer)
        self.form = MeasureForm(napari_viewer)
        self.bar = RunBar("Measure the nuclei again.")
        self.bar.run_button.setText("Measure")
        self._measuring = Runner(self, activity=True)
        self._writing = Runner(self, activity=True)
        self._telling = Runner(self, apart=True, poll_ms=_POLL_MS)
        self.table = FiguresTable()
        self.plot = NucleiPlot()
        self.remark = small_label()
        self.select_button = push_button("Select drawn", "Select the nuclei whose centre lies in the drawn shapes.")
        self.clear_button = push_button("Clear", "Select no nucleus.")
        self.export_button = menu_button(
            "Export",
            "Save the nuclei that are plotted, the figures, or the plot.",
            {
                "Nuclei (CSV)…": lambda: self._ask_table("nuclei.csv"),
                "Nuclei (Parquet)…": lambda: self._ask_table("nuclei.parquet"),
                "Figures (CSV)…": lambda: self._ask("figures.csv", self.session.save_figures),
                "Plot (PNG)…": lambda: self._ask("plot.png", self.plot.save_png),
                "Plot (SVG)…": lambda: self._ask("plot.svg", self.plot.save_svg),
            },
        )
        buttons = QWidget()
        line = QHBoxLayout(buttons)
        line.setContentsMargins(*NO_MARGINS)
        for button in (self.select_button, self.clear_button, self.export_button):
            line.addWidget(button)
        parts = self.form, self.plot, self.remark, self.table, self.form.measuring
        self._fill(pinned(column(*parts, tall=self.plot), buttons, self.bar))
        self._connect()
        self._scale_font()
        self._theme()
        self.reset_choices()

    def _connect(self) -> None:
        self._edited = self._after(_EDIT_MS, self.measure)
        self._typed = self._after(_EDIT_MS, self._remeasure)
        self._reclassed = self._after(_MARK_MS, self._reclass)
        self._rested = self._after(REST_MS, self._tell)
        self._mark_soon = self._after(_MARK_MS, self._mark)
        self._edits, self._places = Listener(self._edited.start), Listener(self._typed.start)
        self._class_changes, self._views = Listener(self._reclassed.start), Listener(self._moved)
        form = self.form
        form.labels.currentIndexChanged.connect(lambda _: self._choose())
        form.mpp_typed.connect(lambda _: self._typed.start())
        form.full.toggled.connect(lambda _: self._remeasure())
        form.changed.connect(self._tell)
        self.table.hidden_changed.connect(self._tell)
        form.shapes.button.clicked.connect(self.draw_region)
        self.plot.brushed.connect(self._brushed)
        self.plot.picked.connect(self._picked)
        self.select_button.clicked.connect(self.select_drawn)
        self.clear_button.clicked.connect(self.clear_selection)
        self.bar.run_clicked.connect(self.measure)
        self.bar.cancel_clicked.connect(self.cancel)
        self._wire(self._measuring, self._measured)
        self._wire(self._telling, self._told, quiet=True)
        self._wire(self._writing, self._written, failed=self._complain, quiet=True)

    def _docked(self) -> None:
        self._edits.listen(edit_events(self._layer))
        self._places.listen(place_events(self._layer))
        self._views.listen([self._viewer.scene.camera.events, self._viewer.canvas.events.size])
        if self._clicked not in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.append(self._clicked)

    def shut_down(self) -> None:
        """Stop all work and let go of the viewer; the layers that were made stay."""
        if self._clicked in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._clicked)
        for listener in (self._edits, self._places, self._class_changes, self._views):
            listener.listen(())
        super().shut_down()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        super().set_theme(theme)
        self.plot.set_theme(theme)

    def reset_choices(self, event: object = None) -> None:
        """List the layers again; napari calls this when layers come, go or are renamed."""
        self.form.list_layers()
        if self.form.layer is not self._layer:
            self._choose()
            return
        if self._marks.removed:
            # To remove the marks is to select nothing.
            self._marks.clear()
            self.clear_selection()
        if self.session.nuclei is not None:
            self._reclassed.start()
        self._update()

    # Nuclei

    def _choose(self) -> None:
        """Show the nuclei of the layer that is chosen now."""
        self._layer = self.form.layer
        self._measuring.cancel()
        self._telling.cancel()
        self._blank()
        self._edited.stop()
        self._edits.listen(edit_events(self._layer))
        self._places.listen(place_events(self._layer))
        with silent(self.form.mpp):
            self.form.mpp.setValue(0.0)
        self.measure()

    def _reclass(self) -> None:
        self._list_classes()
        self._tell()

    def _remeasure(self) -> None:
        """Measure again where another pixel size or other measurements are wanted than the nuclei have."""
        nuclei, layer = self.session.nuclei, self._layer
        if nuclei is None or layer is None:
            return
        mpp = self._mpp(layer)
        if nuclei.mpp != mpp or (self.form.full.isChecked() and "nearest_um" not in nuclei.table):
            self.measure()
        else:
            self._tell()
            self._mark()

    def _mpp(self, layer: Labels) -> float | None:
        return self.form.mpp.value() or known_mpp(layer)

    def measure(self) -> None:
        """Measure the chosen nuclei, or take what is known of them."""
        layer = self._layer
        if layer is None or self.form.problem():
            self._update()
            return
        mpp = self._mpp(layer)
        self.bar.begin()
        if self.form.full.isChecked() and not mpp:
            self.bar.note("Texture and neighbours are measured in microns: type the pixel size.")
        request = measure_request(self._viewer, layer, mpp, bool(self.form.full.isChecked() and mpp))
        self._measuring.start(measure_nuclei(request), "measuring nuclei")
        self._update()

    def _measured(self, nuclei: MeasuredNuclei) -> None:
        self.session.take(nuclei)
        self._list_classes()
        self.form.list_measurements(nuclei.measurements)
        self._tell()
        self._mark()
        self._update()
        self.measured.emit()

    def _list_classes(self) -> None:
        layer, nuclei = self._layer, self.session.nuclei
        if layer is not None and nuclei is not None:
            others = class_layers(self._viewer, layer)
            self._class_changes.listen([other.events.features for other in others])
            self.form.list_classes(class_choices(nuclei, others))

    def _blank(self) -> None:
        self.session.clear()
        self._marks.clear()
        self.plot.draw(None, None, None)
        self.plot.select(self.session.rows)
        self.table.show_statistics(None, None)
        set_text(self.remark, "")
        set_text(self.bar.figures, "")
        self.bar.begin()

    # What is told

    def _moved(self) -> None:
        if self.form.region.currentData() == VIEW:
            self._rested.start()

    def draw_region(self) -> None:
        """Add a layer for regions, and draw a rectangle in it."""
        if self._layer is not None:
            self.form.shapes.draw(self._layer)

    def _tell(self) -> None:
        """Tell of the nuclei what the fields ask."""
        self._rested.stop()
        layer, nuclei, x = self._layer, self.session.nuclei, self.form.x_axis.currentData()
        if layer is None or nuclei is None or x is None:
            self._update()
            return
        try:
            problem = self.form.region_problem()
            region = None if problem else self.form.polygons(layer)
        except NucleiganError as error:
            problem = str(error)
        if problem:
            self._telling.cancel()
            self._told((None, None))
            set_text(self.remark, problem)
            return
        question = Question(x, self.form.y_axis.currentData() or None, region, self.table.hidden)
        source = class_source(layer, nuclei, class_layers(self._viewer, layer), self.form.classes.currentData())
        self._telling.start(tell(nuclei, source, question), "counting nuclei")

    def _told(self, result: tuple[Classes | None, Statistics | None]) -> None:
        session = self.session
        session.classes, session.found = result
        self.table.show_statistics(session.classes, session.found)
        self.plot.draw(session.nuclei, session.classes, session.found)
        self._show_selected()
        set_text(self.remark, session.remark(self._layer.name if self._layer is not None else ""))
        self._update()
        if session.found is not None:
            self.told.emit(session.found)

    # What is selected

    def _brushed(self, x: Range, y: Range | None, add: bool) -> None:
        self.session.brush(x, y, add)
        self._select()

    def _picked(self, row: int | None, add: bool) -> None:
        nuclei = self.session.nuclei
        if nuclei is not None:
            self.session.click(0 if row is None else int(nuclei.labels[row]), add)
            self._select()

    def _clicked(self, viewer: Viewer, event: Any) -> Iterator[None]:
        """Select the nucleus that is clicked, and not dragged over, while no tool is in hand."""
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged = True
            yield
        active = viewer.layers.selection.active
        if not dragged and event.button == 1 and (active is None or active.mode == "pan_zoom"):
            # Keys of vispy, which are equal to their names.
            self.click(event.position, any(name in event.modifiers for name in _ADDING))

    def click(self, position: Sequence[float], add: bool = False) -> None:
        """Select the nucleus at a place of the viewer's world; beside the others, or take it back, if `add`."""
        layer, nuclei = self._layer, self.session.nuclei
        if layer is None or nuclei is None or self._viewer.dims.ndisplay != 2:
            return
        row, at = viewer_to_data(self._viewer, layer, position)
        inside = 0 <= row < nuclei.shape[0] and 0 <= at < nuclei.shape[1]
        self.session.click(int(np.asarray(pixels(layer)[row, at])) if inside else 0, add)
        self.plot.unframe()
        self._select()

    def select_drawn(self) -> None:
        """Select the nuclei whose centre lies in the drawn shapes."""
        if self._layer is None:
            return
        try:
            self.session.select_region(self.form.drawn(self._layer))
        except NucleiganError as error:
            self._complain(error)
            return
        self.plot.unframe()
        self._select()

    def clear_selection(self) -> None:
        """Select no nucleus."""
        self.session.selected = self.session.selected[:0]
        self.plot.unframe()
        self._select()

    def _select(self) -> None:
        """Show another selection, in the plot at once."""
        self._show_selected()
        self._mark_soon.start()
        self._update()
        self.selected.emit(self.session.selected)

    def _show_selected(self) -> None:
        self.plot.select(self.session.plotted)
        set_text(self.bar.figures, self.session.line())

    def _mark(self) -> None:
        """Mark the selected nuclei in the image."""
        if self._layer is not None and self.session.nuclei is not None:
            self._marks.show(self._layer, self.session.nuclei, self.session.rows)

    def _update(self) -> None:
        session = self.session
        self.bar.set_state(self.running, self.form.problem())
        self.select_button.setEnabled(session.nuclei is not None and not self.form.shapes.problem(""))
        self.clear_button.setEnabled(len(session.selected) > 0)
        self.export_button.setEnabled(session.found is not None and not self._writing.running)

    # Files

    def _ask(self, name: str, save: Callable[[Path], object]) -> None:
        self._save(_MEMORY, self._file_name(name), save)

    def _ask_table(self, name: str) -> None:
        """Ask for a file, and write the plotted nuclei; of many that takes seconds."""
        nuclei, path = self.session.nuclei, ask_file(self, _MEMORY, self._file_name(name))
        if nuclei is None or path is None:
            return
        known = {} if self._layer is None else layer_info(self._layer)
        image = str(known.get("image") or self.form.labels.currentText())
        job = write_nuclei(path, self.session.table(), image, nuclei.mpp)
        self._writing.start(job, f"writing {path.name}")
        self._update()

    def _written(self, path: Path) -> None:
        show_info(f"Saved {path}.")
        self._update()
        self.saved.emit(path)

    def _file_name(self, name: str) -> str:
        return f"{file_name(self.form.labels.currentText())} {name}"
