"""The Segment widget: H&E images to nuclei.

It shows a form (`form`), runs jobs (`jobs`, through `base.jobs`) and keeps the layers that come out (`results`).
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtCore import Signal

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.widgets.base import image_sources, layers, preferences
from napari_nucleigan.widgets.base.dock import ModelDock
from napari_nucleigan.widgets.base.drawn_shapes import ShapesPicker
from napari_nucleigan.widgets.base.fields import column, warning_style
from napari_nucleigan.widgets.base.image_sources import WHOLE_IMAGE
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.label_images import LabelImages
from napari_nucleigan.widgets.base.mask_layers import is_labels, pairs_of
from napari_nucleigan.widgets.base.run_bar import RunBar
from napari_nucleigan.widgets.base.scrolling import pinned
from napari_nucleigan.widgets.base.steps import EVALUATE, NextStep, open_dock
from napari_nucleigan.widgets.base.transforms import PixelSizes
from napari_nucleigan.widgets.segment import form as forms
from napari_nucleigan.widgets.segment import jobs
from napari_nucleigan.widgets.segment.artefacts import show_artefacts
from napari_nucleigan.widgets.segment.colours import class_legend, colour
from napari_nucleigan.widgets.segment.corrections import Corrections
from napari_nucleigan.widgets.segment.form import SlideFields, slide_job
from napari_nucleigan.widgets.segment.regions import RegionChoice
from napari_nucleigan.widgets.segment.results import Refilter, Result, Results, run_key
from napari_nucleigan.widgets.segment.slide_filter import FilteredFiles, SlideFilter, class_names, slide_results
from napari_nucleigan.widgets.segment.slide_run import SlideRun, SlideShown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.base.events import Progress
    from napari_nucleigan.contributions.layers import LayerData
    from napari_nucleigan.segmentation import FileResult, Segmentation

REFILTER_MS = 80
"""Rest after the last move of a filter before the labels are made again."""


class SegmentWidget(ModelDock):
    """Segment the nuclei of H&E images.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer whose images are segmented.
    """

    done = Signal(object)
    """A run has ended: the list of its `results.Result`."""
    pops_up = True

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._images: list[Image] = []  # those that hold labels come last
        self._he = 0  # how many do not
        self._scales = PixelSizes()
        self._results = Results(napari_viewer)
        self._queue: deque[Image] = deque()
        self._made: list[Result | SlideShown] = []
        self._total = 0
        self._leaving = False
        self._key: tuple[Any, ...] = ()
        self._part = WHOLE_IMAGE

        self.shapes = ShapesPicker(
            napari_viewer,
            "region",
            "A Shapes layer with rectangles, polygons or ellipses. A nucleus counts if its centre lies in one of them.",
        )
        self.slide = SlideFields()
        self.label_images = LabelImages(napari_viewer)
        self.filtered = FilteredFiles(self)
        self.form = forms.SegmentForm(self.shapes, self.slide, self.label_images, self.filtered.button)
        self._choice = RegionChoice(napari_viewer, self.form, self.shapes, self._scales, self)
        self.bar = RunBar("Segment the nuclei.")
        self.next = NextStep("Evaluate it", "Open Evaluate with these nuclei as the prediction.", self.go_on)
        self.corrections = Corrections(napari_viewer, self._results, self._preferences.run_folder)
        self._runner = Runner(self, activity=True)
        self._opener = Runner(self, activity=True)
        self._refilterer = Refilter(self._results, self)
        self._slide_filter = SlideFilter(napari_viewer, self)
        self.slides = SlideRun(napari_viewer, self)
        self._rest = self._after(REFILTER_MS, self._refilter)
        self._fill(pinned(column(self.form, self.corrections), self.bar, self.next))
        self._connect()
        self._theme()
        self.reset_choices()
        self.form.picker.look()

    @property
    def results(self) -> list[Result]:
        """The results whose layers are still in the viewer."""
        self._results.prune()
        return list(self._results)

    def reset_choices(self, event: object = None) -> None:
        """List the image layers again; napari calls this when layers come, go or are renamed."""
        kept = [layer.unique_id for layer in self._selected()]
        everything = self.form.image.currentData() == forms.ALL_IMAGES
        found = layers.image_layers(self._viewer)
        self._he = len(found)
        self._images = [*found, *layers.label_images(self._viewer)]
        self.label_images.look()
        chosen: int | str | None = next((i for i, layer in enumerate(self._images) if layer.unique_id in kept), None)
        if everything and self._he > 1:
            chosen = forms.ALL_IMAGES
        elif chosen is None and self._he:
            chosen = 0
        self.form.set_images([layer.name for layer in self._images], chosen, self._he)
        self._results.prune()
        self.shapes.reset_choices()
        self._image_chosen()
        self.corrections.reset_choices()
        self._leave_removed()

    def select_image(self, layer: Image) -> None:
        """Choose an image layer in the form."""
        self.form.image.setCurrentIndex(self._images.index(layer))

    def open_paths(self, paths: Sequence[str | Path]) -> None:
        """Open images from files or folders as layers."""
        if not paths:
            return
        preferences.remember("folder", str(Path(paths[0]).parent))
        self.bar.begin()
        self._opener.start(image_sources.load_images(paths), "opening images")
        self._update()

    def run(self) -> None:
        """Segment the chosen images."""
        if self.running:
            return
        if self.problem():  # what is in view may have become too much
            self._update()
            return
        self.bar.begin()
        self._rest.stop()
        self._refilterer.cancel()
        self._slide_filter.cancel()
        self._queue = deque(self._selected())
        self._total = len(self._queue)
        self._made = []
        self._next()

    def cancel(self) -> None:
        """Stop what is running; results already made stay."""
        self._queue.clear()
        super().cancel()

    def go_on(self) -> None:
        """Open Evaluate with the nuclei that were found last."""
        if (result := self._comparable()) is not None:
            dock = open_dock(self._viewer, EVALUATE)
            dock.tabs.setCurrentIndex(0)
            dock.layers.choices.choose(result.labels)

    def problem(self) -> str:
        """Why a run is not possible now; empty where it is."""
        chosen = self._selected()
        if not chosen:
            return "Open an H&E image: with Open beside Image, or by dropping files on the canvas."
        for layer in chosen:
            if text := layers.layer_problem(layer) or self._scales.problem(layer):
                return text
        return self.form.problem() or self._choice.problem(chosen)

    def _connect(self) -> None:
        self._connect_model()
        form = self.form
        form.paths_chosen.connect(self.open_paths)
        form.image_changed.connect(self._image_chosen)
        form.mpp_typed.connect(self._mpp_typed)
        form.filters_changed.connect(self._rest.start)
        form.colours_changed.connect(self._colour)
        form.changed.connect(self._update)
        self._wire(self._opener, self._opened)
        self._wire(self._runner, self._finished, failed=self._failed_run)
        self._wire(self.slides, self._finished_slide, failed=self._failed_run)
        self._wire(self.filtered, self._written)
        self._wire(self._refilterer, quiet=True)
        self._wire(self._slide_filter, quiet=True)
        self._quiet.append(self.form.scale.runner)  # it tells of itself
        self.shapes.button.clicked.connect(lambda: self.shapes.draw(self._selected()[0]))
        self._refilterer.shown.connect(self._refiltered)
        self._refilterer.noted.connect(self._noted)
        self._slide_filter.noted.connect(self._noted)
        self._slide_filter.shown.connect(self._slide_filtered)
        self.corrections.model_made.connect(self._learnt)
        self._choice.view_changed.connect(self._update)
        self._add_page(self.corrections)

    def shut_down(self) -> None:
        """Stop all work and let go of the viewer; the layers that were made stay."""
        self._queue.clear()
        self._choice.rest()
        super().shut_down()
        self._results.clear()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        super().set_theme(theme)
        for remark in (self.form.mpp_source, self.label_images.remark):
            remark.setStyleSheet(warning_style(theme))

    def _selected(self) -> list[Image]:
        data = self.form.image.currentData()
        if data == forms.ALL_IMAGES:
            return self._images[: self._he]
        return [self._images[data]] if data is not None and data < len(self._images) else []

    def _image_chosen(self) -> None:
        chosen = self._selected()
        values = {self._scales.of(layer)[0] for layer in chosen}
        if len(values) == 1:
            self.form.set_mpp(*self._scales.of(chosen[0]))
        else:
            text = "The images differ; what you type is used for those that do not say it." if chosen else ""
            self.form.set_mpp(None, text)
        self._update()

    def _mpp_typed(self, mpp: float) -> None:
        for layer in (chosen := self._selected()):
            if len(chosen) == 1 or layers.layer_mpp(layer) is None:
                self._scales.give(layer, mpp)
        self._image_chosen()

    def _update(self) -> None:
        running = self.running
        self.form.setEnabled(not running)
        self.form.region.setEnabled(self.form.image.currentData() != forms.ALL_IMAGES)
        self.bar.set_state(running, "" if running else self.problem())
        chosen = self._selected()
        image = chosen[0] if len(chosen) == 1 else None
        self.shapes.button.setEnabled(len(chosen) == 1)
        self.slide.look(next((layer for layer in chosen if self._choice.is_slide(layer, WHOLE_IMAGE)), None))
        self.next.setVisible(not running and self._comparable() is not None)
        found = slide_results(self._viewer, chosen)
        hidden = self._slide_filter.hidden(found)
        self.filtered.look(hidden)
        self.form.show_filtered(class_names(found), bool(hidden))
        mpp = self._scales.of(image)[0] if image else None
        self.form.offer_scale(None if mpp or image is None or layers.layer_problem(image) else image)
        self.corrections.look(image, mpp, self.form)

    def _comparable(self) -> Result | None:
        """Return the last result beside which there are other nuclei of the same image to measure it by."""
        self._results.prune()
        pairs = pairs_of(self._viewer)
        for result in reversed(list(self._results)):
            if any(image == result.image and labels != result.labels for image, labels in pairs):
                return result
        return None

    def _learnt(self, model: Path, image: Image | None) -> None:
        """Take the model that was made of the user's corrections."""
        self.add_model_file(model)
        if not self.running and image in self._images:
            self.select_image(image)
            self.run()

    def _leave_removed(self) -> None:
        """Stop to segment an image that was removed meanwhile, and go on with the next; a slide's results are files."""
        if not self._runner.running or not self._queue or self._queue[0] in self._viewer.layers:
            return
        self._leaving = True  # the others are still wanted
        self._runner.cancel()
        self._leaving = False
        self._next()

    def _next(self) -> None:
        while self._queue and self._queue[0] not in self._viewer.layers:
            self.bar.note(f"“{self._queue.popleft().name}” was removed: it is not segmented.")
        if not self._queue:
            self._update()
            self._show_figures()
            self.done.emit(self._made)
            return
        layer = self._queue[0]
        mpp = self._scales.of(layer)[0] or 0.0  # never 0: `problem` has asked for it
        part = self._choice.part(layer)
        chosen = self.form.settings().model_copy(update={"tile": self._preferences.tile, "mpp": mpp})
        if self._choice.is_slide(layer, part):
            self.slide.remember()
            self.slides.segment(slide_job(layer, part, chosen, self.slide), layer)
        else:
            self._key, self._part = run_key(layer, chosen, mpp, part), part
            source = image_sources.Source.of(layer, mpp, part)
            self._runner.start(jobs.segment_source(source, chosen), f"segmenting {layer.name}")
        self._update()

    def _finished(self, result: Segmentation) -> None:
        layer = self._queue.popleft()
        replace = self.form.rerun.currentData() == layers.REPLACE
        self._made.append(self._results.show(layer, result, self._key, self._part, replace))
        top, _, left, _ = self._part.box or (0, 0, 0, 0)
        show_artefacts(self._viewer, layer, result.artefacts, (top, left))
        for note in result.notes:
            self.bar.note(note)
        self._next()

    def _finished_slide(self, shown: SlideShown) -> None:
        self._queue.popleft()
        self._made.append(shown)
        if shown.labels is not None:
            self._say(colour(shown.labels, self._results.look))
        self.bar.note(shown.remark())
        self._next()

    def _failed_run(self, error: NucleiganError) -> None:
        self._failed(error)
        if self.sender() is self.slides and (kept := self.slides.kept()):
            self.bar.note(kept)
        self._queue.popleft()
        self._next()

    def _stopped(self) -> None:
        if self._leaving:
            return
        self._queue.clear()
        kept = self.slides.kept() if self.sender() is self.slides else ""
        self.bar.note(f"Cancelled. {kept}".strip())
        self._show_figures()
        self._update()

    def _progressed(self, event: Progress) -> None:
        several = self._total > 1 and self._queue
        at = self._total - len(self._queue) + 1
        self.bar.show_progress(event, f"image {at} of {self._total}: " if several else "")

    def _opened(self, images: list[LayerData]) -> None:
        added = [self._viewer.add_image(pixels, **arguments) for pixels, arguments, _ in images]
        for layer in added[1:]:
            layer.visible = False
        self.reset_choices()
        self.select_image(added[0])
        hidden = "; the first is shown, the others are hidden in the layer list" if len(added) > 1 else ""
        show_info(f"Opened {len(added)} image{'s' * (len(added) > 1)}{hidden}.")
        self._update()

    def _show_figures(self) -> None:
        self.bar.show_figures([item.figures for item in self._made])
        self._show_kinds()

    def _show_kinds(self) -> None:
        made = [item.labels for item in self._made if item.labels is not None]
        self.form.show_kinds(class_legend(layer for layer in made if layer in self._viewer.layers))

    def _colour(self) -> None:
        """Colour all nuclei that the viewer shows, of results of slides and of files too, as the form says."""
        self._results.look = self.form.colours.currentData()
        for layer in self._viewer.layers:
            if "model" in layers.layer_info(layer) and layers.view_kind(layer) is None and is_labels(layer):
                self._say(colour(layer, self._results.look))
        self._show_kinds()

    def _say(self, problem: str) -> None:
        if problem:
            self.bar.note(problem)

    def _refilter(self) -> None:
        if not self.running and not self.form.problem():
            chosen = self._results.latest(self._selected(), self.form.model.currentData())
            self._refilterer.filter(chosen, self.form.settings())
            found = slide_results(self._viewer, self._selected())
            self._slide_filter.filter(found, self.form.settings(), self.form.classes.chosen)

    def _slide_filtered(self, labels: Labels, view: jobs.SlideView) -> None:
        """Say how many nuclei of a slide are shown now."""
        for item in self._made:
            if isinstance(item, SlideShown) and item.labels is not None and item.labels.unique_id == labels.unique_id:
                item.left = view.left
        self._say(colour(labels, self._results.look))
        self._show_figures()
        self._update()

    def _written(self, results: list[FileResult]) -> None:
        for result in results:
            names = ", ".join(path.name for path in result.outputs)
            self._say(f"Written to {result.outputs[0].parent}: {names}, {result.nuclei} nuclei.")
        self._update()

    def _refiltered(self, item: Result) -> None:
        self._made = [item] if item not in self._made else self._made
        self._show_figures()
