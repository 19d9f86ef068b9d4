"""The Synthesize widget: masks to H&E.

It shows a form (`form`), runs jobs (`jobs`, through `base.jobs`), keeps the layers that come out, and lets a picture
follow its mask (`layers`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QTabWidget

from napari_nucleigan.models.tissue import classes_on
from napari_nucleigan.widgets.base.dock import ModelDock, add_tabs
from napari_nucleigan.widgets.base.fields import GAP, column, set_text, warning_style
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import REPLACE
from napari_nucleigan.widgets.base.run_bar import RunBar
from napari_nucleigan.widgets.base.scrolling import pinned
from napari_nucleigan.widgets.base.steps import TRAIN, NextStep, open_dock
from napari_nucleigan.widgets.base.tissue import MapMaker, map_problem
from napari_nucleigan.widgets.synthesize import jobs
from napari_nucleigan.widgets.synthesize.dialog import SavePairDialog
from napari_nucleigan.widgets.synthesize.form import PaintForm, SetSection
from napari_nucleigan.widgets.synthesize.layers import Choices, LivePainting, PaintedImage, PaintedImages
from napari_nucleigan.widgets.synthesize.outlines import Outlines

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.synthesis import LiveCanvas, Synthesis
    from napari_nucleigan.widgets.base.mask_layers import MaskLayer

REST_MS = 150
"""Rest after the last change of a setting before live mode paints again."""


class SynthesizeWidget(ModelDock):
    """Paint H&E from masks of nuclei.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer whose masks are painted.
    """

    done = Signal(object)
    """A run has ended: its `PaintedImage`, or None where the mask is gone."""
    followed = Signal(float)
    """Live: the picture shows the mask again; seconds since the first edit that it did not show."""
    pops_up = True

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._pictures = PaintedImages(napari_viewer)
        self._outlines = Outlines()
        self._cache = jobs.ModelCache()
        self._request: jobs.PaintRequest | None = None
        self._running_on: MaskLayer | None = None
        self._live_key: Any = None
        self._shown: PaintedImage | None = None  # the picture that live mode keeps in step

        self.form = PaintForm()
        self._choices = Choices(napari_viewer, self.form, self._preferences.tile)
        self.bar = RunBar("Paint the mask.")
        self.save_button = QPushButton("Save the pair…")
        self.set_step = NextStep(
            "Make many pairs like it",
            "Turn to the page of data sets: masks like this one, painted in the same way.",
            self.go_on_to_set,
        )
        self.train_step = NextStep("Train on them", "Open Train a model with this data set.", self.go_on_to_training)
        self._saved_to: Path | None = None
        self._runner = Runner(self, activity=True)
        self._saver = Runner(self, activity=True)
        self._maker = MapMaker(napari_viewer, self)
        self.live = LivePainting(self._cache, self)
        self.sets = SetSection(self._cache, self._choices.set_request, self.problem)
        self._rest = self._after(REST_MS, self._begin_live)
        self._build()
        self._connect()
        self._theme()
        self.reset_choices()
        self.form.picker.look()

    @property
    def picture(self) -> PaintedImage | None:
        """The newest picture of the chosen mask."""
        return self._pictures.of(self.mask)

    @property
    def mask(self) -> MaskLayer | None:
        """The chosen mask layer."""
        return self._choices.mask

    def reset_choices(self, event: object = None) -> None:
        """List the layers again; napari calls this when layers come, go or are renamed."""
        self._choices.refresh()
        if self.live.mask is not None and self.live.mask not in self._choices.masks:
            self._end_live("The mask was removed: live mode is off.")
        elif self._shown is not None and self._shown.image not in self._viewer.layers:
            self._end_live("The picture was removed: live mode is off.")
        self._mask_chosen()

    def select_mask(self, layer: MaskLayer, model: str = "") -> None:
        """Choose a mask layer in the form, and the file of a model where the chosen one cannot paint its tissue."""
        self.form.mask.setCurrentIndex(self._choices.masks.index(layer))
        form = self.form
        if model and (not form.knows_tissue or map_problem(form.tissue.layer, form.picker.card)):
            self.add_model_file(model)

    def problem(self, needs_mask: bool = True) -> str:
        """Why nothing can be painted now, or not the chosen mask; empty where it can."""
        return self.form.picker.waiting or (needs_mask and self._choices.problem()) or self.form.problem()

    def run(self) -> None:
        """Paint the chosen mask."""
        mask = self.mask
        if mask is None or self.running or self.problem():
            return
        self.bar.begin()
        self._running_on, self._request = mask, self._choices.request()
        self._runner.start(jobs.paint(self._request, self._cache), f"painting {mask.name}")
        self._update()

    def save_pair(self) -> None:
        """Ask where the picture and its mask are to be saved; the dialogue does not block."""
        if (picture := self.picture) is not None:
            dialog = SavePairDialog(self, picture.mask.name)
            dialog.accepted.connect(lambda: self._save_pair(dialog, picture))
            dialog.open()

    def go_on_to_set(self) -> None:
        """Fill the page of data sets with what was painted."""
        if (picture := self.picture) is not None:
            self.sets.propose(picture.mask.name)
            self.tabs.setCurrentWidget(self.sets)

    def go_on_to_training(self) -> None:
        """Open Train a model with the data set."""
        if self._saved_to is not None:
            open_dock(self._viewer, TRAIN).learn_from(self._saved_to)

    def cancel(self) -> None:
        """Stop what is running: a run, or the first picture of live mode."""
        if self.live.beginning:
            self._end_live("Cancelled.")
        super().cancel()

    def _build(self) -> None:
        once = column(self.form.run_fields, self.save_button)
        self.tabs = QTabWidget()
        add_tabs(
            self.tabs,
            (once, "Picture", "Paint the chosen mask, once or live."),
            (self.sets, "Data set", "Make many pairs of a mask and its picture."),
        )
        inner = column(self.form, self.tabs)
        inner.layout().insertSpacing(1, GAP)
        self._fill(pinned(inner, self.bar, self.sets.bar, self.set_step, self.train_step))
        self.tabs.currentChanged.connect(self._show_bar)
        self._show_bar()

    def _show_bar(self) -> None:
        """Show the bar of the page in front, and the step to the other page."""
        at = self.tabs.currentIndex()
        for index, bar in enumerate((self.bar, self.sets.bar)):
            bar.setVisible(index == at)
        self.set_step.setVisible(at == 0 and self.picture is not None and not self.running)

    def _connect(self) -> None:
        self._connect_model()
        form = self.form
        form.mask_changed.connect(self._mask_chosen)
        form.mpp_typed.connect(self._mpp_typed)
        form.live.toggled.connect(self._live_toggled)
        form.outlines.toggled.connect(self._outline)
        form.changed.connect(self._changed)
        form.tissue.begun.connect(self._begin_map)
        self._wire(self._maker, form.tissue.choose, quiet=True)
        self.save_button.clicked.connect(self.save_pair)
        self._wire(self._runner, self._finished)
        self._wire(self._saver, self._saved, stopped=self._update, quiet=True)
        self.live.progressed.connect(self._progressed)
        self.live.noted.connect(self._noted)
        self.live.failed.connect(self._failed)
        self._add_page(self.sets)
        self.sets.done.connect(lambda report: self._offer_training(report.out))
        self.live.begun.connect(self._begun)
        self.live.patched.connect(self._patched)
        self.live.followed.connect(self._followed)

    def shut_down(self) -> None:
        """Stop all work and let go of the viewer; the layers that were made stay."""
        self._stop_live()
        super().shut_down()
        self._pictures.clear()
        self._outlines.forget()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        super().set_theme(theme)
        self.form.mpp_source.setStyleSheet(warning_style(theme))

    def _mask_chosen(self) -> None:
        self._choices.show_mask()
        self._changed()

    def _mpp_typed(self, mpp: float) -> None:
        self._choices.type_mpp(mpp)
        self._mask_chosen()

    def _changed(self) -> None:
        """Follow a change of the form."""
        if self.form.live.isChecked() and (self.problem() or self._choices.key() != self._live_key):
            self._rest.start()
        self._update()

    def _update(self) -> None:
        busy = self.running or self.live.beginning
        following = self.live.mask is not None
        problem = self.problem()
        for fields in (self.form, self.form.run_fields):
            fields.setEnabled(not self.running)
        self.form.live.setEnabled(following or not problem)
        self.bar.set_state(busy, "" if busy else problem)
        if following and not busy and not problem:
            self.bar.run_button.setEnabled(False)
            self.bar.run_button.setToolTip("Live mode paints already: untick it to run once.")
        picture = self.picture
        self.save_button.setEnabled(picture is not None and not self._saver.running)
        self.save_button.setToolTip(
            "Write the picture and its mask into a data set." if picture else "Paint the mask first."
        )
        self._show_bar()
        self.sets.update_state()

    def _offer_training(self, folder: Path) -> None:
        self._saved_to = folder
        self.train_step.show()

    def _failed(self, error: NucleiganError) -> None:
        if self.live.mask is None:
            self.form.live.setChecked(False)
        super()._failed(error)

    def _finished(self, made: Synthesis) -> None:
        mask, picture = self._running_on, None
        if mask is not None and mask in self._viewer.layers:
            replace = self.form.result.currentData() == REPLACE
            picture = self._show(mask, made.pixels, made.labels, made.mpp, made.provenance, replace)
            set_text(self.bar.figures, f"{_size(made.labels)} · {made.seconds:.1f} s · {made.provenance['model']}")
        self._running_on = None
        self._update()
        self.done.emit(picture)

    def _show(
        self, mask: MaskLayer, pixels: Any, labels: Any, mpp: float, provenance: dict, replace: bool
    ) -> PaintedImage:
        picture = self._pictures.show(mask, pixels, labels, mpp, provenance, replace)
        if self.form.outlines.isChecked():
            self._outlines.show(mask, self.form.tissue.layer)
        return picture

    def _outline(self, shown: bool) -> None:
        if not shown:
            self._outlines.hide()
        elif (picture := self.picture) is not None:
            self._outlines.show(picture.mask, self.form.tissue.layer)

    def _begin_map(self, image: Image | None) -> None:
        """Begin an empty tissue map over the mask, or one with the tissue of an image."""
        card, mask = self.form.picker.card, self.mask
        classes = classes_on(card) if card is not None else None
        if classes is not None and mask is not None and not self.problem():
            self._maker.begin(mask, self.form.mpp.value() or classes.mpp, classes, image)

    def _live_toggled(self, on: bool) -> None:
        if on:
            self._begin_live()
        else:
            self._stop_live()
            self._update()

    def _begin_live(self) -> None:
        mask, problem = self.mask, self.problem()
        if mask is None or problem:
            self._end_live(f"Live mode is off. {problem}")
            return
        self._live_key = self._choices.key()
        if not self.live.beginning:
            self.bar.begin()
        self._request = self._choices.request()
        self.live.start(mask, self._choices.request, self._choices.tissue)
        self._update()

    def _end_live(self, reason: str) -> None:
        self._stop_live()
        self.form.live.setChecked(False)
        if reason:
            self.bar.note(reason)
        self._update()

    def _stop_live(self) -> None:
        self._rest.stop()
        self.live.stop()
        self._shown = None

    def _begun(self, canvas: LiveCanvas) -> None:
        mask, request = self.live.mask, self._request
        assert mask is not None
        assert request is not None
        provenance = request.look.described(canvas.provenance())
        self._shown = self._show(mask, canvas.pixels.copy(), canvas.labels.copy(), canvas.mpp, provenance, True)
        set_text(self.bar.figures, f"Live · {_size(canvas.labels)} · {provenance['model']}")
        self._update()

    def _patched(self, patch: jobs.Patch) -> None:
        if self._shown is None:
            return
        if self._shown.image.data.shape[:2] == self._shown.labels.shape:
            self._shown.patch(patch)
        else:
            self._end_live("The picture was given other data: live mode is off.")

    def _followed(self, seconds: float) -> None:
        if self._shown is not None:
            set_text(self.bar.figures, f"Live · {seconds:.2f} s after the edit")
        self.followed.emit(seconds)

    def _save_pair(self, dialog: SavePairDialog, picture: PaintedImage) -> None:
        folder, name = dialog.folder.path, dialog.name.text().strip()
        assert folder is not None
        suffix, replace = dialog.format.currentData(), dialog.replace.isChecked()
        # Copies: live mode may go on painting.
        pixels, labels = picture.image.data.copy(), picture.labels.copy()
        job = jobs.save_pair(pixels, labels, picture.mpp, folder, name, suffix=suffix, replace=replace)
        self._saver.start(job, f"saving {name}")
        self._update()

    def _saved(self, path: Path) -> None:
        self.bar.note(f"Saved {path} and its mask.")
        self._offer_training(path.parent.parent)
        show_info(f"Saved {path} and its mask.")
        self._update()
        self.saved.emit(path)


def _size(labels: Any) -> str:
    return f"{labels.shape[1]} x {labels.shape[0]} pixels"
