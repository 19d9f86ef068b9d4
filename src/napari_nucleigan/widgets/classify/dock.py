"""The widget that gives nuclei classes by clicks: a form (`form`), a session (`session`), and the layer of classes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Points as PointsLayer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog

from napari_nucleigan.base.errors import NucleiganError, RecipeError, listing
from napari_nucleigan.base.text import printable
from napari_nucleigan.classification import (
    Points,
    assign,
    load_classifier,
    points_of,
    read_points,
    save_classifier,
)
from napari_nucleigan.classification.training import describe_scores
from napari_nucleigan.segmentation.description import describe
from napari_nucleigan.widgets.base.dock import Dock
from napari_nucleigan.widgets.base.fields import column, menu_button, push_button, set_text, small_label
from napari_nucleigan.widgets.base.flight import Flight
from napari_nucleigan.widgets.base.image_sources import Source
from napari_nucleigan.widgets.base.jobs import Runner, once
from napari_nucleigan.widgets.base.layers import METADATA_KEY, VIEW_KEY, labels_place, layer_file
from napari_nucleigan.widgets.base.path_fields import ask_classifier, ask_to_open
from napari_nucleigan.widgets.base.preferences import recall, remember
from napari_nucleigan.widgets.base.run_bar import RunBar
from napari_nucleigan.widgets.base.scrolling import pinned
from napari_nucleigan.widgets.classify.class_list import ClassList, in_rows
from napari_nucleigan.widgets.classify.form import ClassifyForm
from napari_nucleigan.widgets.classify.pen import Pen
from napari_nucleigan.widgets.classify.session import Key, Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_nucleigan.classification import Classifier
    from napari_nucleigan.segmentation.description import Description

CLASSES_VIEW = "classes"
_UNNAMED = (0.6, 0.6, 0.6, 1.0)  # colour of a nucleus without a class
_REST_MS = 700  # after a click, until its scores are worked out


class ClassifyWidget(Dock):
    """Classify nuclei: name classes, click nuclei, and all others follow."""

    ready = Signal()
    """Models and devices are listed."""
    measured = Signal()
    """The nuclei are measured, and can be clicked."""
    recoloured = Signal()
    """All nuclei have the colours of their classes."""
    scored = Signal(str)
    """How well the classifier names held-back nuclei, in a sentence."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.session = Session()
        self.layer: Labels | None = None
        self._key: Key = ("", "")
        self._seen: list[int] = []
        self.form = ClassifyForm(napari_viewer)
        self.bar = RunBar("Measure the nuclei, and let the network look at them. Then they can be clicked.")
        self.bar.run_button.setText("Measure")
        self._measuring, self._fitting, self._scoring = Runner(self, activity=True), Runner(self), Runner(self)
        self._flight, self._pen = Flight(napari_viewer, self), Pen(napari_viewer, self.click)
        self.classes = ClassList(self.session)
        self.undo_button = push_button(
            "Undo", "Take back what was done last: a click, what was painted, points, or a change of the classes."
        )
        self.next_button = push_button("Next unsure", "Fly to the nucleus that the classifier is least sure of.")
        self.points_button = menu_button(
            "Points",
            "Take classes from points: a table or GeoJSON, or a Points layer.",
            {"From a file…": self._ask_points, "From the chosen Points layer": self.take_points_layer},
        )
        self.open_button = push_button("Open", "Apply a classifier from a file.")
        self.save_button = push_button("Save", "Save the classifier as a file.")
        self.score = small_label()
        others = self.undo_button, self.points_button, self.next_button, self.open_button, self.save_button
        buttons = in_rows((*self.classes.buttons, *others))
        body = column(self.form, self.classes, buttons, self.score, tall=self.classes)
        self._fill(pinned(body, self.bar))
        self._connect()
        self._theme()
        self._show_classes()

    def _connect(self) -> None:
        self.form.changed.connect(self._update)
        self.form.picker.ready.connect(self.ready)
        self.bar.run_clicked.connect(self.measure)
        self.bar.cancel_clicked.connect(self.cancel)
        self._wire(self.form.picker, quiet=True)
        self._wire(self._measuring, self._measured)
        self._wire(self._fitting, self._fitted, quiet=True)
        self._wire(self._scoring, self._scored, quiet=True)
        self._rest = self._after(_REST_MS, self._score)
        for button, call in (
            (self.undo_button, self.undo),
            (self.next_button, self.fly_to_unsure),
            (self.open_button, self._ask_classifier),
            (self.save_button, self._ask_save),
        ):
            button.clicked.connect(partial(self._told, call))
        self.classes.chosen_changed.connect(self._update)
        self.classes.added.connect(self._show_classes)
        self.classes.said.connect(self._said)
        self.classes.failed.connect(self._complain)
        for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.removed):
            event.connect(self._layers_changed)
        self._layers_changed()

    def _docked(self) -> None:
        self.form.picker.look()
        self._pen.listen(True)

    def shut_down(self) -> None:
        """Stop all work and let go of the viewer; the layers that were made stay."""
        self._pen.listen(False)
        self._flight.stop()
        super().shut_down()

    def _told(self, call: Any, *_: object) -> None:
        try:
            call()
        except NucleiganError as error:
            self._complain(error)

    def _layers_changed(self, _: object = None) -> None:
        if self.layer is not None and self.layer not in self._viewer.layers:
            self.layer, self._key = None, ("", "")
        for layer in self._viewer.layers:
            layer.events.metadata.connect(self._layers_changed)  # once: they may tell the pixel size
        self.form.list_layers()

    def _update(self) -> None:
        problem, session = self.form.problem(), self.session
        self.bar.set_state(self.running, problem)
        self.classes.enable()
        shown = self.layer is not None
        self.undo_button.setEnabled(session.undoable)
        self.next_button.setEnabled(session.fits(self._key))
        self.points_button.setEnabled(shown)
        busy = self._fitting.running or self._scoring.running or self._rest.isActive()
        self.save_button.setEnabled(session.classifier is not None and not busy)

    # Nuclei

    def measure(self) -> None:
        """Measure the chosen nuclei, and show them to be clicked."""
        image, labels = self.form.image_layer, self.form.labels_layer
        if self.form.problem() or image is None or labels is None:
            return
        try:
            settings = self.form.settings()
        except NucleiganError as error:
            self._complain(error)
            return
        source, nuclei = Source.of(image, self.form.microns), np.array(labels.data)
        self._pending = (image.unique_id, labels.unique_id), image, labels

        def job() -> Any:
            import sklearn.linear_model  # noqa: F401  # it takes a second, which the first click has not

            return (yield from describe(source.image(), nuclei, settings))

        self.bar.begin()
        self._measuring.start(job(), "measuring nuclei")
        self._update()

    def _measured(self, found: Description) -> None:
        key, image, labels = self._pending
        if image not in self._viewer.layers:
            self._update()
            return
        old = self.session.images.get(key)
        if old is not None and not np.array_equal(old.labels, found.labels):
            # Other nuclei: what was said of the earlier ones is about nothing.
            self.session.forget(key)
        self.session.images[key] = found
        self._key, self._seen = key, []
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = self._viewer.add_labels(
            np.where(found.labels > 0, labels.data, 0),
            name=f"{image.name} classes",
            metadata={METADATA_KEY: {VIEW_KEY: CLASSES_VIEW}},
            opacity=0.6,
            **labels_place(image),
        )
        labels.visible = False
        for number in range(1, 10):
            self.layer.bind_key(str(number), partial(_choose, self.classes, number - 1), overwrite=True)
        self.bar.note(f"{len(found.numbers)} nuclei can be clicked now; drag with Shift to paint several.")
        self._recolour()
        self._said()
        self.measured.emit()
        if self.session.opened is not None:
            self._told(partial(self.session.opened.check_segmenter, found.model, found.sha256))

    def click(self, position: Sequence[float], start: Sequence[float] | None = None, more: bool = False) -> bool:
        """Give nuclei the chosen class.

        Parameters
        ----------
        position : sequence of float
            A place of the viewer's world: the nucleus there.
        start : sequence of float, optional
            Another one: also the nuclei between them.
        more : bool
            Whether that is one step, to be undone at once, with the click before.

        Returns
        -------
        bool
            Whether there were any.
        """
        place, layer = self.classes.chosen, self.layer
        if layer is None or not layer.visible or place < 0 or layer.mode != "pan_zoom":
            return False
        line = [np.asarray(layer.world_to_data(each))[-2:] for each in (position if start is None else start, position)]
        met = self.session.along(self._key, *line)
        kind = self.session.classes[place].name
        if more:
            met = [row for row in met if self.session.said.get((self._key, row)) != kind]
        if met:
            self.session.click(self._key, met, [kind] * len(met), more)
            self._said()
        return bool(met)

    def undo(self) -> None:
        """Take back what was done last."""
        self.session.undo()
        self._said()

    def _said(self) -> None:
        """Learn from what was said, and colour all nuclei anew."""
        self._scoring.cancel()
        set_text(self.score, "")
        if self.session.trainable:
            self._rest.start()
            self._fitting.start(once(partial(self.session.fit, False)), "learning the classes")
        else:
            self._fitting.cancel()
            self._rest.stop()
            self.session.classifier = self.session.opened
            self._tell_score()
            self._recolour()
        self._update()

    def _tell_score(self) -> None:
        if (classifier := self.session.classifier) is not None:
            set_text(self.score, describe_scores(classifier.card))

    def _fitted(self, classifier: Classifier) -> None:
        self.session.classifier = classifier
        self._recolour()
        self._update()

    def _score(self) -> None:
        if self.session.trainable:
            self._scoring.start(once(partial(self.session.fit, True)), "scoring the classes")
        self._update()

    def _scored(self, classifier: Classifier) -> None:
        self.session.classifier = classifier
        text = describe_scores(classifier.card)
        set_text(self.score, text)
        self._recolour()
        self._update()
        self.scored.emit(text)

    def _recolour(self) -> None:
        from napari.utils.colormaps import DirectLabelColormap

        self._show_classes()
        if self.layer is None:
            return
        found = self.session.images[self._key]
        kinds, sure = self.session.kinds(self._key)
        colours = {each.name: (*(part / 255 for part in each.color), 1.0) for each in self.session.classes}
        known = {
            number: colours.get(kind, _UNNAMED) for number, kind in zip(found.numbers.tolist(), kinds, strict=True)
        }
        self.layer.colormap = DirectLabelColormap(color_dict={None: _UNNAMED, 0: (0, 0, 0, 0), **known})
        self.layer.features = {"index": found.numbers, "class": kinds, "class_probability": sure}
        self.recoloured.emit()

    def fly_to_unsure(self) -> None:
        """Fly to the nucleus that the classifier is least sure of, each time to another one."""
        place = self.session.unsure(self._key, self._seen)
        if place is None or self.layer is None:
            self.bar.note("There is no nucleus left to ask for.")
            return
        self._seen.append(place)
        rows, columns = np.nonzero(self.session.images[self._key].labels == place + 1)
        corners = [self.layer.data_to_world((part(rows), part(columns))) for part in (np.min, np.max)]
        self._flight.to(*corners)

    def _show_classes(self) -> None:
        known = self.session.images.get(self._key)
        if known is None:
            self.classes.show_classes(())
        else:
            self.classes.show_classes(self.session.kinds(self._key)[0], known.mm2)

    # Files

    def take_points(self, path: str | Path) -> None:
        """Take classes from a table or GeoJSON of points, those of the image that is shown."""
        found = read_points(path)
        image = next((layer for layer in self._viewer.layers if layer.unique_id == self._key[0]), None)
        file = layer_file(image) if isinstance(image, ImageLayer) else None
        name = self.session.images[self._key].name
        points, note = points_of(found, name, *([file.name] if file else [])), ""
        if points is None and len(found) == 1:
            other, points = next(iter(found.items()))
            note = f"The points of {printable(other)!r} were taken. "
        if points is None:
            named = listing(map(printable, found), 5)
            raise RecipeError(f"{path} has no points of {name!r}: its images are {named}; rename the layer if need be.")
        self._take(points, note)

    def take_points_layer(self) -> None:
        """Take classes from the chosen Points layer: its text features, or its name for all of its points."""
        chosen = [layer for layer in self._viewer.layers.selection if isinstance(layer, PointsLayer)]
        if not chosen or self.layer is None:
            self._complain(RecipeError("Choose a Points layer in the list of layers first."))
            return
        layer = chosen[0]
        table = layer.features
        texts = [name for name in ("type", "class", *table.columns) if name in table and table[name].dtype.kind == "O"]
        kinds = table[texts[0]].astype(str).tolist() if texts else [layer.name] * len(layer.data)
        places = [np.asarray(self.layer.world_to_data(layer.data_to_world(each)))[-2:] for each in layer.data]
        self._told(lambda: self._take(Points(np.array(places).reshape(-1, 2)[:, ::-1] + 0.5, tuple(kinds))))

    def _take(self, points: Points, note: str = "") -> None:
        known = self.session.images[self._key]
        found = assign(points, known.labels, known.mpp)
        self.session.take(self._key, found.types)
        got = sum(map(bool, found.types))
        self.bar.note(f"{note}{got} {'nucleus has' if got == 1 else 'nuclei have'} a class. {found.note(known.name)}")
        self._said()

    def open_classifier(self, path: str | Path) -> None:
        """Apply a classifier from a file to the nuclei."""
        self.session.use(load_classifier(path))
        self._fitting.cancel()
        self._scoring.cancel()
        self._rest.stop()
        self._tell_score()
        self._recolour()
        self._update()

    def save_classifier(self, path: str | Path) -> None:
        """Write the classifier to a file."""
        if self.session.classifier is not None:
            self.session.classifier = save_classifier(path, self.session.classifier)
            self.saved.emit(Path(path))

    def _ask_points(self) -> None:
        pattern = "Points (*.csv *.tsv *.txt *.geojson *.json *.gz)"
        if path := ask_to_open(self, "classify", "Take classes from points", pattern):
            self._told(lambda: self.take_points(path))

    def _ask_classifier(self) -> None:
        if path := ask_classifier(self):
            self.open_classifier(path)

    def _ask_save(self) -> None:
        start = str(Path(recall("classify", "")) / "types.safetensors")
        path, _ = QFileDialog.getSaveFileName(self, "Save", start, "Classifiers (*.safetensors)")
        if path:
            remember("classify", str(Path(path).parent))
            self.save_classifier(path)


def _choose(classes: ClassList, place: int, _: object = None) -> None:
    """Choose a class by a key that a layer hears."""
    classes.choose(place)
