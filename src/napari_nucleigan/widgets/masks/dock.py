"""The Masks widget: nuclei drawn by hand, by chance, or both.

It shows forms (`panel`), runs jobs (`jobs`, through `base.jobs`), and keeps the layers of each mask alike (`sync`).
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_nucleigan.base.errors import LabelsError, NucleiganError
from napari_nucleigan.masks.sampler.statistics import mask_sizes, tissue_sizes
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.fields import list_choices, on_typed, set_text, show_pixel_size
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.scrolling import scrolled
from napari_nucleigan.widgets.base.steps import SYNTHESIZE, open_dock
from napari_nucleigan.widgets.masks import jobs
from napari_nucleigan.widgets.masks.forms import ALL, EMPTY, REPLACE, SELECTED, VIEW
from napari_nucleigan.widgets.masks.panel import FILL, TISSUE_TAB, MaskPanel
from napari_nucleigan.widgets.masks.session import MaskSession
from napari_nucleigan.widgets.masks.sync import editing_problem
from napari_nucleigan.widgets.masks.tissue import TissuePage

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes
    from napari.viewer import Viewer

    from napari_nucleigan.base.events import Progress
    from napari_nucleigan.masks.polygons import PolygonMasks
    from napari_nucleigan.widgets.masks.sync import MaskSync

FIGURES_MS = 60
"""Rest after the last change before figures and histogram are drawn."""
_NO_MASK = "Create a mask first, on the Canvas tab, or choose a Labels layer above."


class MasksWidget(MaskPanel):
    """Draw masks of nuclei.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer to draw in.
    """

    done = Signal(object)
    """A fill or edit is in the mask: a `jobs.Done`."""
    fitted = Signal()
    """The fields were learnt from a layer."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.session = MaskSession(napari_viewer, self)
        self.tissue = TissuePage(napari_viewer, self.session)
        self.tabs.addTab(scrolled(self.tissue), "Tissue")
        self.tabs.setTabVisible(TISSUE_TAB, False)
        self._target: MaskSync | None = None
        self._target_map: Labels | None = None
        self._fit_name = ""

        self._runner = Runner(self, activity=True)
        self._fitter = Runner(self, activity=True)
        self._rest = self._after(FIGURES_MS, self._show_figures)
        self._glance = self._after(FIGURES_MS, self._update)
        self._connect()
        self._theme()
        self.reset_choices()

    @property
    def mask(self) -> Labels | None:
        """The chosen mask."""
        return self.session.mask

    @property
    def sync(self) -> MaskSync | None:
        """What keeps the layers of the chosen mask alike; None where there is none, or it cannot be edited."""
        return self.session.sync

    def reset_choices(self, event: object = None) -> None:
        """List the layers again; napari calls this when layers come, go or are renamed."""
        image, session = self._over(), self.session
        session.refresh()
        at = session.masks.index(session.mask) if session.mask is not None else None
        list_choices(self.choice, ((layer.name, index) for index, layer in enumerate(session.masks)), at)
        chosen = session.images.index(image) if image in session.images else EMPTY
        self.canvas_form.set_images([layer.name for layer in session.images], chosen)
        self.edit_form.set_shapes({layer.name: partial(self.take_shapes, layer) for layer in session.foreign_shapes()})
        self.fill_form.set_layers({layer.name: partial(self.fit, layer) for layer in session.masks})
        self._show_mask()
        self._show_place()

    def select_mask(self, layer: Labels) -> None:
        """Choose a mask in the form."""
        self.choice.setCurrentIndex(self.session.masks.index(layer))

    def create(self) -> None:
        """Add a new mask, as the Canvas tab says."""
        form = self.canvas_form
        if self._canvas_problem():
            return
        shape = form.height.value(), form.width_.value()
        self.select_mask(self.session.create(self._over(), shape, form.mpp.value()))
        self._show_mask()
        self.tabs.setCurrentIndex(FILL)

    def fill(self) -> None:
        """Add random nuclei, as the Fill tab says."""
        form = self.fill_form
        if self.running or self._work_problem() or form.problem():
            return
        box = self.session.view() if form.region.currentData() == VIEW else None
        anew = form.existing.currentData() == REPLACE
        like = form.organ.currentText()
        self._start(jobs.FillOrder(form.statistics(), form.seed.value(), box, anew, like))

    def edit(self, name: str) -> None:
        """Change the nuclei that the Edit tab names: jitter, grow, shrink, copy, split or delete them."""
        sync = self.sync
        if self.running or sync is None or self._work_problem():
            return
        sync.sync()
        ids = self.chosen()
        if not ids:
            self._say("There is no nucleus to change: none is selected, or none is in view.")
            return
        if name == "delete":
            sync.delete(ids)
            self._say(f"{len(ids)} nucle{'us' if len(ids) == 1 else 'i'} deleted.")
            return
        amount = self.edit_form.amount.value()
        self._start(jobs.EditOrder(name, tuple(ids), amount, secrets.randbits(31)))

    def chosen(self) -> list[int]:
        """Nuclei that the Edit tab would change."""
        scope = self.edit_form.scope.currentData()
        if scope == SELECTED:
            return self.sync.selection() if self.sync is not None else []
        return self.session.nuclei(in_view=scope != ALL)

    def fit(self, layer: Labels) -> None:
        """Learn the fields of the Fill tab from the nuclei of a Labels layer."""
        mpp, _ = self.session.scale(layer)
        if self.running:
            return
        if text := editing_problem(layer):
            self._failed(LabelsError(text))
        elif mpp is None:
            self._failed(LabelsError(f"“{layer.name}” does not say its pixel size: choose it as the mask and type it."))
        else:
            self._fit_name = layer.name
            self._begin(self._fitter, jobs.learn(layer.data.copy(), mpp), f"learning from {layer.name}")

    def go_on(self) -> None:
        """Open Synthesize H&E with the mask."""
        if self.sync is not None and self.mask is not None:
            self.sync.sync()
            model = self.tissue.painter
            open_dock(self._viewer, SYNTHESIZE).select_mask(self.mask, model.path if model else "")

    def undo(self) -> None:
        """Take back the last stroke, fill, edit or polygon of the mask, or of the tissue map if that is in hand."""
        done = self.tissue.undo()
        if self.sync is not None and not (self.sync.undo() if done is None else done):
            self._say("There is nothing to undo.")

    def redo(self) -> None:
        """Do again what was taken back."""
        done = self.tissue.undo(redo=True)
        if self.sync is not None and not (self.sync.redo() if done is None else done):
            self._say("There is nothing to redo.")

    def paint(self) -> None:
        """Begin to paint a new nucleus in the Labels layer."""
        if self.sync is not None and self.mask is not None:
            self._viewer.layers.selection.active = self.mask
            self.mask.selected_label = self.sync.document.new_id()
            self.mask.mode = "paint"

    def draw_polygons(self) -> None:
        """Begin to draw polygons in the Shapes layer."""
        if self._show_polygons(True) and self.sync is not None and self.sync.shapes is not None:
            self._viewer.layers.selection.active = self.sync.shapes
            self.sync.shapes.mode = "add_polygon"

    def take_shapes(self, layer: Shapes) -> None:
        """Add what is drawn in another Shapes layer."""
        try:
            count = self.session.take_shapes(layer) if self.sync is not None else 0
        except NucleiganError as error:
            self._failed(error)
            return
        self.reset_choices()
        self._say(f"{count} shape{'s' * (count != 1)} taken from “{layer.name}”.")

    def _connect(self) -> None:
        self.choice.currentIndexChanged.connect(lambda _: self._mask_chosen())
        self.session.changed.connect(self._rest.start)
        self.session.selected.connect(self._glance.start)
        self.session.noted.connect(self._say)
        self.session.failed.connect(self._failed)
        on_typed(self.mpp, self._mpp_typed)
        self.canvas_form.changed.connect(self._show_place)
        self.canvas_form.create_button.clicked.connect(self.create)
        self.fill_form.changed.connect(self._update)
        self.fill_form.organ_changed.connect(self._rest.start)
        self.fill_form.fill_button.clicked.connect(self.fill)
        form = self.edit_form
        form.changed.connect(self._update)
        form.paint_button.clicked.connect(self.paint)
        form.polygon_button.clicked.connect(self.draw_polygons)
        form.show_polygons.toggled.connect(self._show_polygons)
        form.edit_clicked.connect(self.edit)
        self.undo_button.clicked.connect(lambda: self.undo())
        self.redo_button.clicked.connect(lambda: self.redo())
        self.cancel_button.clicked.connect(lambda: self.cancel())
        self._wire(self._runner, self._finished)
        self._wire(self._fitter, self._fitted)
        self._add_page(self.tissue)
        self.tissue.found.connect(self._models_found)
        self.tissue.map.changed.connect(self._update)

    def _docked(self) -> None:
        self.reset_choices()
        self.tissue.look()

    def _models_found(self) -> None:
        models = self.tissue.models
        self.tabs.setTabVisible(TISSUE_TAB, bool(models))
        self.fill_form.set_models({each.name: each.masks for each in models if each.masks is not None})

    def shut_down(self) -> None:
        """Stop all work and let go of all masks; their layers stay."""
        super().shut_down()
        self.session.close()

    def _mask_chosen(self) -> None:
        index = self.choice.currentData()
        self.session.choose(None if index is None else self.session.masks[index])
        self._show_mask()

    def _show_mask(self) -> None:
        mpp, source = self.session.scale(self.mask)
        show_pixel_size(self.mpp, self.mpp_source, mpp, source)
        self.tissue.refresh()
        self._rest.start()
        self._update()

    def _mpp_typed(self, mpp: float) -> None:
        if self.mask is not None:
            self.session.scales.give(self.mask, mpp)
            self._show_mask()

    def _over(self) -> Image | None:
        index = self.canvas_form.over.currentData()
        images = self.session.images
        return images[index] if index not in (None, EMPTY) and index < len(images) else None

    def _show_place(self) -> None:
        image = self._over()
        if image is None:
            self.canvas_form.show_place(None, None)
        else:
            self.canvas_form.show_place(layers.image_shape(image), self.session.scales.of(image)[0])
        self._update()

    def _canvas_problem(self) -> str:
        return "" if self.canvas_form.mpp.value() else "Type the pixel size in microns, or choose an objective."

    def _work_problem(self) -> str:
        if self.mask is None:
            return _NO_MASK
        if self.session.problem:
            return self.session.problem
        return "" if self.session.mpp else "Type the pixel size of the mask in microns, above."

    def _update(self) -> None:
        running, sync = self.running, self.sync
        problem = "Wait, or press Cancel." if running else self._work_problem()
        self.canvas_form.set_state(self._canvas_problem())
        form = self.fill_form
        form.set_state(problem or form.problem() or self.tissue.problem(form.statistics()))
        self.choice.setEnabled(not running)
        self.mpp.setEnabled(self.mask is not None)
        scope = self.edit_form.scope.currentData()
        said = "All nuclei in view are changed." if scope == VIEW else "All nuclei are changed."
        if scope == SELECTED:
            count = len(self.chosen())
            said = f"{count} nucle{'us' if count == 1 else 'i'} to change."
            problem = problem or ("" if count else "No nucleus is selected: select shapes, or pick a label.")
        elif sync is not None and not sync.document.areas.size:
            problem = problem or "There are no nuclei yet."
        problems = dict.fromkeys(self.edit_form.buttons, problem)
        if not problem:
            pixel = self.session.mpp or 0.0
            if self.edit_form.amount.value() < pixel:
                short = f"The amount is less than a pixel of {pixel:g} µm."
                problems.update(jitter=short, grow=short, shrink=short)
        self.edit_form.set_state(problem or said, problems, sync is not None and sync.shapes is not None)
        for button in (self.edit_form.paint_button, self.edit_form.polygon_button, self.edit_form.show_polygons):
            button.setEnabled(sync is not None)
        for button in (self.undo_button, self.redo_button):
            button.setEnabled(sync is not None and not running)
        self.next.setVisible(sync is not None and not running and bool(sync.document.areas.size))
        self.show_running(running)

    def _show_figures(self) -> None:
        sync, mpp = self.sync, self.session.mpp
        sizes = mask_sizes(sync.document.areas, sync.document.shape, mpp) if sync is not None and mpp else None
        organ, name = self.fill_form.reference()
        self.histogram.show_sizes(sizes, tissue_sizes(organ), name)
        hidden = len(sync.document.hidden) if sync is not None else 0
        are = "nucleus is" if hidden == 1 else "nuclei are"
        set_text(self.remark, f"{hidden} more {are} hidden: below others, or outside the canvas." if hidden else "")
        self._update()

    def _show_polygons(self, shown: bool) -> bool:
        if self.sync is None:
            return False
        try:
            if shown:
                self.sync.show_polygons()
            else:
                self.sync.hide_polygons()
        except NucleiganError as error:
            self._failed(error)
            return False
        self.reset_choices()
        return True

    def _start(self, order: jobs.FillOrder | jobs.EditOrder) -> None:
        sync = self.sync
        assert sync is not None
        sync.sync()
        if isinstance(order, jobs.FillOrder):
            order = replace(order, tissue=self.tissue.cells(order.statistics))
        self._target, self._target_map = sync, self.tissue.map.layer
        job = jobs.carry_out(order, sync.document.labels.copy(), self.session.mpp or 1.0, sync.document.new_id())
        self._begin(self._runner, job, "changing the mask")

    def _begin(self, runner: Runner, job: Any, what: str) -> None:
        set_text(self.notes, "")
        self.progress.setRange(0, 0)
        self.progress.setFormat(what)
        runner.start(job, what)
        self._update()

    def _finished(self, done: jobs.Done) -> None:
        sync = self._target
        if sync is None or not self.session.keeps(sync):
            self._update()
            return
        if not sync.write(done.edit.labels, done.before):
            self._start(done.order)  # the user has painted meanwhile: once more, on what is there now
            return
        if isinstance(done.order, jobs.FillOrder):
            sync.record("fills", done.order.record())
            layout, cells = done.order.statistics.layout, done.edit.tissue
            if layout is not None and cells is not None:
                self.tissue.complete(sync.labels, self._target_map, cells, layout.classes)
            self.fill_form.step_seed()
        elif done.order.name == "copy" and done.edit.ids:
            sync.select(done.edit.ids)
        self._say(jobs.outcome(done))
        self._update()
        self.done.emit(done)

    def _fitted(self, statistics: PolygonMasks) -> None:
        self.fill_form.show_fit(statistics, self._fit_name)
        self._say(f"All fields were learnt from “{self._fit_name}”.")
        self.fitted.emit()

    def _progressed(self, event: Progress) -> None:
        self.progress.setFormat(event.what)

    def _say(self, text: str) -> None:
        set_text(self.notes, text)
        self._update()
