"""The Synthesize widget: masks to H&E.

It shows a form (`paint_form`), runs jobs (`paint_work`, through `jobs`), keeps the layers that come out
(`pictures`), and lets a picture follow its mask (`live`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QEvent, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication, QFrame, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_nucleigan.errors import NucleiganError
from napari_nucleigan.events import Note
from napari_nucleigan.models import ModelFile, list_models, read_card
from napari_nucleigan.segmentation.scaling import COARSEST, FINEST
from napari_nucleigan.widgets import forms, layers, paint_work, settings, work
from napari_nucleigan.widgets.fields import say, warning_style
from napari_nucleigan.widgets.jobs import Runner
from napari_nucleigan.widgets.live import Live
from napari_nucleigan.widgets.mask_layers import mask_layers, mask_mpp, mask_problem, mask_reader
from napari_nucleigan.widgets.paint_form import PaintForm
from napari_nucleigan.widgets.pictures import Outlines, Picture, Pictures
from napari_nucleigan.widgets.references import LAYER
from napari_nucleigan.widgets.runbar import RunBar
from napari_nucleigan.widgets.save_pair import PairSaver

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_nucleigan.synthesis import LiveCanvas, Synthesis
    from napari_nucleigan.widgets.mask_layers import MaskLayer

REST_MS = 150
"""Rest after the last change of a setting before live mode paints anew."""


class SynthesizeWidget(QWidget):
    """Paint H&E from masks of nuclei.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer whose masks are painted.
    """

    done = Signal(object)
    """A run has ended: its `pictures.Picture`, or None where the mask is gone."""
    followed = Signal(float)
    """Live: the picture shows the mask again; seconds since the first edit that it did not show."""
    failed = Signal(object)
    """Something went wrong: a `NucleiganError`, already shown to the user."""
    ready = Signal()
    """Models and devices are listed."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._preferences = settings.preferences()
        self._masks: list[MaskLayer] = []
        self._images: list[Image] = []
        self._typed: dict[Any, float] = {}
        self._extra_models: list[ModelFile] = []
        self._pictures = Pictures(napari_viewer)
        self._outlines = Outlines()
        self._shelf = paint_work.Shelf()
        self._order: paint_work.Order | None = None
        self._running_on: MaskLayer | None = None

        self.form = PaintForm()
        self.bar = RunBar("Paint the mask.")
        self.save_button = QPushButton("Save the pair…")
        self._runner = Runner(self, activity=True)
        self._surveyor = Runner(self)
        self.saver = PairSaver(self)
        self._live = Live(self._shelf, self)
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._build()
        self._connect()
        self._theme()
        self.reset_choices()
        self.refresh_models()

    @property
    def running(self) -> bool:
        """Whether a run is on its way."""
        return self._runner.running

    @property
    def live(self) -> Live:
        """The live mode."""
        return self._live

    @property
    def picture(self) -> Picture | None:
        """The newest picture of the chosen mask."""
        return self._pictures.of(self.mask)

    @property
    def mask(self) -> MaskLayer | None:
        """The chosen mask layer."""
        index = self.form.mask.currentData()
        return self._masks[index] if index is not None and index < len(self._masks) else None

    def reset_choices(self, event: object = None) -> None:
        """List the layers anew; napari calls this when layers come, go or are renamed."""
        before = self.mask
        self._masks = mask_layers(self._viewer)
        kept = next((index for index, layer in enumerate(self._masks) if layer is before), 0 if self._masks else -1)
        self.form.set_masks([layer.name for layer in self._masks], kept)
        self._images = [layer for layer in layers.image_layers(self._viewer) if not layers.layer_problem(layer)]
        self.form.set_images([(str(layer.unique_id), layer.name) for layer in self._images])
        picture = self._pictures.of(self._live.mask) if self._live.mask is not None else None
        if self._live.mask is not None and self._live.mask not in self._masks:
            self._end_live("The mask was removed: live mode is off.")
        elif self._live.mask is not None and picture is None and not self._live.beginning:
            self._end_live("The picture was removed: live mode is off.")
        self._mask_chosen()

    def select_mask(self, layer: MaskLayer) -> None:
        """Choose a mask layer in the form."""
        self.form.mask.setCurrentIndex(self._masks.index(layer))

    def refresh_models(self) -> None:
        """Look for models and devices again."""
        self._surveyor.start(work.survey("synthesizer"), "looking for models and devices")

    def add_model_file(self, path: str | Path) -> None:
        """Add a model file to the list, and choose it."""
        try:
            card = read_card(path)
            if card.kind != "synthesizer":
                raise NucleiganError(f"{path} is a {card.kind}, not a synthesizer; choose another model file.")
        except NucleiganError as error:
            self._failed(error)
            return
        others = [file for file in self._extra_models if file.path != Path(path)]
        self._extra_models = [*others, ModelFile(card.name, Path(path), False, card)]
        self.form.set_models([*list_models("synthesizer"), *self._extra_models], str(path))
        self._changed()

    def problem(self) -> str:
        """Why a mask cannot be painted now; empty where it can."""
        mask = self.mask
        if mask is None:
            return "There is no mask: add a Labels layer and paint nuclei, or make one in the Masks widget."
        if text := mask_problem(mask):
            return text
        mpp = self.form.mpp.value()
        if mpp and not FINEST <= mpp <= COARSEST:
            return (
                f"Nuclei can be painted from {FINEST} to {COARSEST} microns per pixel: type the right pixel size above."
            )
        if self._surveyor.running and self.form.model.count() == 0:
            return "Looking for models and devices…"
        return self.form.problem()

    def run(self) -> None:
        """Paint the chosen mask."""
        mask = self.mask
        if mask is None or self.running or self.problem():
            return
        self.bar.begin()
        self._running_on, self._order = mask, self.order()
        self._runner.start(paint_work.paint(self._order, self._shelf), f"painting {mask.name}")
        self._update()

    def cancel(self) -> None:
        """Stop what is running: a run, or the first picture of live mode."""
        if self._live.beginning:
            self._end_live("Cancelled.")
        self._runner.cancel()

    def order(self) -> paint_work.Order:
        """Return what the form asks for: the mask, the settings, the layers whose look is taken.

        Raises
        ------
        RecipeError
            If a setting is not valid.
        """
        mask = self.mask
        assert mask is not None
        references, plain = {}, {"style": "random", "restain": ""}
        update: dict[str, Any] = {"tile": self._preferences.tile}
        for name, box in (("style", self.form.style_box), ("restain", self.form.restain)):
            layer = next((item for item in self._images if box.value == f"{LAYER}{item.unique_id}"), None)
            if layer is not None:
                pixels, mpp = layers.pixels(layer), layers.layer_mpp(layer)
                first = layers.is_channel_first(layer)
                references[name] = work.Source(pixels, layer.name, mpp, channel_first=first)
                update[name] = plain[name]
        return paint_work.Order(mask_reader(mask), self.form.settings(**update), mask_mpp(mask), references)

    def _build(self) -> None:
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(6, 6, 6, 6)
        for part in (self.form, self.bar, self.save_button):
            layout.addWidget(part)
        layout.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.setMinimumWidth(320)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _connect(self) -> None:
        form = self.form
        form.mask_changed.connect(self._mask_chosen)
        form.mpp_typed.connect(self._mpp_typed)
        form.model_file_chosen.connect(self.add_model_file)
        form.live_toggled.connect(self._live_toggled)
        form.outlines_toggled.connect(self._outline)
        form.changed.connect(self._changed)
        self.bar.run_clicked.connect(self.run)
        self.bar.cancel_clicked.connect(self.cancel)
        self.save_button.clicked.connect(lambda: self.saver.ask(self.picture))
        self._rest.timeout.connect(self._begin_live)
        self._surveyor.finished.connect(self._surveyed)
        self._surveyor.failed.connect(self._failed)
        for source in (self._runner, self._live, self.saver):
            source.noted.connect(self._noted)
            source.failed.connect(self._failed)
        for source in (self._runner, self._live):
            source.progressed.connect(self.bar.show_progress)
        self._runner.finished.connect(self._finished)
        self._runner.stopped.connect(self._stopped)
        self.saver.saved.connect(self._saved)
        self.saver.changed.connect(self._update)
        self._live.begun.connect(self._begun)
        self._live.patched.connect(self._patched)
        self._live.followed.connect(self._followed)
        self._viewer.events.theme.connect(self._theme)
        # A docked widget never sees a close event; `event` below and this are what there is.
        app = QApplication.instance()
        assert app is not None
        app.aboutToQuit.connect(self._shut_down)

    def event(self, event: QEvent) -> bool:
        """Stop all jobs when the widget leaves its window."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self._shut_down()
            elif self.form.model.count() == 0 and not self._surveyor.running:
                self.refresh_models()
        return bool(super().event(event))

    def _shut_down(self) -> None:
        self._rest.stop()
        self._live.stop()
        for runner in (self._runner, self._surveyor, self.saver):
            runner.cancel()
        self._pictures.clear()
        self._outlines.forget()

    def _theme(self, event: object = None) -> None:
        for label in (self.bar.problem, self.form.mpp_source):
            label.setStyleSheet(warning_style(self._viewer.theme))

    def _mask_chosen(self) -> None:
        mask = self.mask
        own = mask_mpp(mask) if mask is not None else None
        typed = self._typed.get(mask.unique_id) if mask is not None else None
        remark = "Typed by you." if typed else ""
        if mask is not None and not own and not typed and not mask_problem(mask):
            remark = "Not in the mask: taken to be what the model paints at."
        self.form.set_mpp(typed or own, remark)
        self._changed()

    def _mpp_typed(self, mpp: float) -> None:
        if (mask := self.mask) is not None:
            self._typed[mask.unique_id] = mpp
            self._mask_chosen()

    def _changed(self) -> None:
        """Follow a change of the form."""
        if self.form.live.isChecked():
            self._rest.start()
        self._update()

    def _update(self) -> None:
        busy = self.running or self._live.beginning
        following = self._live.mask is not None
        problem = self.problem()
        self.form.setEnabled(not self.running)
        self.form.live.setEnabled(following or not problem)
        self.bar.set_state(busy, "" if busy else problem)
        if following and not busy and not problem:
            self.bar.run_button.setEnabled(False)
            self.bar.run_button.setToolTip("Live mode paints already: untick it to run once.")
        picture = self.picture
        self.save_button.setEnabled(picture is not None and not self.saver.running)
        self.save_button.setToolTip(
            "Write the picture and its mask into a data set." if picture else "Paint the mask first."
        )

    def _noted(self, event: object) -> None:
        if isinstance(event, Note):
            self.bar.note(event.text)
            if event.level == "warning":
                show_warning(event.text)

    def _failed(self, error: NucleiganError) -> None:
        if self.form.live.isChecked() and self._live.mask is None:
            self._untick()
        show_error(str(error))
        self.bar.note(str(error))
        self._update()
        self.failed.emit(error)

    def _stopped(self) -> None:
        self.bar.note("Cancelled.")
        self._update()

    def _surveyed(self, survey: work.Survey) -> None:
        chosen = self.form.device.currentData()
        self.form.set_devices(survey.devices, self._preferences.device if chosen == "auto" else chosen)
        self.form.set_models([*survey.models, *self._extra_models])
        self._update()
        self.ready.emit()

    def _finished(self, made: Synthesis) -> None:
        mask, picture = self._running_on, None
        if mask is not None and mask in self._viewer.layers:
            replace = self.form.result.currentData() == forms.REPLACE
            picture = self._show(mask, made.pixels, made.labels, made.mpp, made.provenance, replace)
            say(self.bar.figures, f"{_size(made.labels)} · {made.seconds:.1f} s · {made.provenance['model']}")
        self._running_on = None
        self._update()
        self.done.emit(picture)

    def _show(self, mask: MaskLayer, pixels: Any, labels: Any, mpp: float, provenance: dict, replace: bool) -> Picture:
        picture = self._pictures.show(mask, pixels, labels, mpp, provenance, replace)
        if self.form.outlines.isChecked():
            self._outlines.show(mask)
        return picture

    def _outline(self, shown: bool) -> None:
        if not shown:
            self._outlines.hide()
        elif (picture := self.picture) is not None:
            self._outlines.show(picture.mask)

    def _live_toggled(self, on: bool) -> None:
        if on:
            self._begin_live()
        else:
            self._rest.stop()
            self._live.stop()
            self._update()

    def _begin_live(self) -> None:
        mask = self.mask
        if mask is None or self.problem():
            self._end_live("")
            return
        if not self._live.beginning:
            self.bar.begin()
        self._order = self.order()
        self._live.start(mask, self.order)
        self._update()

    def _end_live(self, reason: str) -> None:
        self._live.stop()
        self._untick()
        if reason:
            self.bar.note(reason)
        self._update()

    def _untick(self) -> None:
        self._rest.stop()
        self.form.live.setChecked(False)

    def _begun(self, canvas: LiveCanvas) -> None:
        mask, order = self._live.mask, self._order
        assert mask is not None
        assert order is not None
        provenance = order.described(canvas.provenance())
        self._show(mask, canvas.pixels.copy(), canvas.labels.copy(), canvas.mpp, provenance, True)
        say(self.bar.figures, f"{_size(canvas.labels)} · live · {provenance['model']}")
        self._update()

    def _patched(self, patch: paint_work.Patch) -> None:
        picture = self._pictures.of(self._live.mask)
        if picture is None:
            self._end_live("The picture was removed: live mode is off.")
        else:
            picture.patch(patch)

    def _followed(self, seconds: float) -> None:
        if (picture := self._pictures.of(self._live.mask)) is not None:
            say(self.bar.figures, f"{_size(picture.labels)} · live · {seconds:.2f} s after the edit")
        self.followed.emit(seconds)

    def _saved(self, path: Path) -> None:
        self.bar.note(f"Saved {path} and its mask.")
        show_info(f"Saved {path} and its mask.")


def _size(labels: Any) -> str:
    return f"{labels.shape[1]} x {labels.shape[0]} pixels"
