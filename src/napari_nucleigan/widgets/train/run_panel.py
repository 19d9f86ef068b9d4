"""Run panel: the state of a run, its progress, what can be done, its plots and its log; its preview as a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_nucleigan.base.events import duration
from napari_nucleigan.training.runs.status import RunState
from napari_nucleigan.widgets.base.fields import set_text, small_label
from napari_nucleigan.widgets.base.layers import (
    METADATA_KEY,
    VIEW_KEY,
    image_layers,
    labels_place,
    layer_problem,
    selection_kept,
)
from napari_nucleigan.widgets.base.training_runs import colour
from napari_nucleigan.widgets.train.plots import LivePlots
from napari_nucleigan.widgets.train.runs_list import allowed, best_score, word
from napari_nucleigan.widgets.train.series import Series

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_nucleigan.base.events import Event
    from napari_nucleigan.training.runs.status import RunStatus
    from napari_nucleigan.widgets.base.training_runs import PreviewImage

REFRESH_MS = 400
"""Between two drawings of plots that grow."""

_NOTHING = "No run is open: start one on the first page, or open one from the list."
_LOG_LINES = 6
_TIPS = {
    "pause": "Wait after the present step; the process and its memory are kept.",
    "resume": "Go on: a paused run at once, an ended one from its last checkpoint, in a new process.",
    "stop": "Save the state after the present step, then end. Resume goes on from there.",
    "kill": "End the process at once; the steps since the last checkpoint are lost.",
}
_GAP = 0.05  # of the width of the user's images, between them and the preview


class RunPanel(QWidget):
    """Shows a run, and perhaps others beside it in the plots; it asks for what the user wants by signals."""

    asked = Signal(object, str)
    """Path of the run, and what the user wants with it: ``"pause"``, ``"resume"``, ``"stop"`` or ``"kill"``."""
    use_clicked = Signal(object)
    """Path of the run whose model is to be used."""
    preview_toggled = Signal(bool)
    """Whether the preview is to be shown as a layer."""

    def __init__(self) -> None:
        super().__init__()
        self._paths: list[Path] = []
        self._series: dict[Path, Series] = {}
        self._status: RunStatus | None = None
        self._dark = True
        self.title = QLabel(_NOTHING)
        self.title.setWordWrap(True)
        self.message = small_label()
        self.progress = QProgressBar()
        self.buttons = {name: QPushButton(name.capitalize()) for name in _TIPS}
        for name, button in self.buttons.items():
            button.setToolTip(_TIPS[name])
            button.clicked.connect(lambda _=False, name=name: self.asked.emit(self.path, name))
        self.use_button = QPushButton("Use the model")
        self.preview = QCheckBox("Preview layer")
        self.preview.setChecked(True)
        self.preview.setToolTip(
            "Show the newest preview as a layer beside your images: of a segmenter the input, its nuclei, the "
            "prediction and the truth; of a synthesizer masks, painted images, masks read back, and real images."
        )
        self.plots = LivePlots()
        self.log = QPlainTextEdit(readOnly=True)
        self.log.setToolTip("What the process wrote last.")
        self._timer = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self._build()
        self._timer.timeout.connect(self._draw)
        self.use_button.clicked.connect(lambda: self.use_clicked.emit(self.path))
        self.preview.toggled.connect(self.preview_toggled.emit)
        self.show_runs([])

    @property
    def path(self) -> Path | None:
        """Folder of the run; the first one where several are compared."""
        return self._paths[0] if self._paths else None

    @property
    def paths(self) -> list[Path]:
        """Folders of all runs that are shown."""
        return list(self._paths)

    @property
    def status(self) -> RunStatus | None:
        """What is known of the run."""
        return self._status

    def show_runs(self, paths: Sequence[Path]) -> None:
        """Show a run, and others beside it in the plots."""
        self._series = {path: self._series.get(path) or Series() for path in paths}
        self._paths = list(paths)
        if self._status is not None and self._status.path != self.path:
            self._status = None
        self.plots.show_runs(self._named())
        self._describe()

    def renamed(self, before: Path, after: Path) -> None:
        """Go on showing a run whose folder has another name now."""
        if before in self._series:
            self._series = {after if path == before else path: series for path, series in self._series.items()}
            self.show_runs([after if path == before else path for path in self._paths])

    def take(self, path: Path, events: Sequence[Event], fresh: bool) -> None:
        """Take in what a run has told; `fresh` if it begins again."""
        if path not in self._series:
            return
        if fresh:
            self._series[path] = Series()
            self.plots.show_runs(self._named())
        self._series[path].feed(events)
        if not self._timer.isActive():
            self._timer.start()

    def set_status(self, status: RunStatus) -> None:
        """Show the state of the run."""
        if status.path == self.path:
            self._status = status
            self._describe()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme."""
        from napari.utils.theme import get_theme

        self._dark = get_theme(theme).type == "dark"
        self.plots.set_theme(theme)
        self._describe()

    def _named(self) -> dict[str, Series]:
        names = [path.name for path in self._paths]
        # Runs of different folders may have the same name.
        return {
            path.name if names.count(path.name) == 1 else str(path): series for path, series in self._series.items()
        }

    def _draw(self) -> None:
        # Not while another page is in front.
        if self.isVisibleTo(self.window()):
            self.plots.refresh()

    def showEvent(self, event: object) -> None:
        """Draw what has come while the panel was hidden."""
        super().showEvent(event)
        self.plots.refresh()

    def _build(self) -> None:
        buttons = QGridLayout()
        buttons.setSpacing(4)
        for column, button in enumerate(self.buttons.values()):
            buttons.addWidget(button, 0, column)
        buttons.addWidget(self.use_button, 1, 0, 1, 2)
        buttons.addWidget(self.preview, 1, 2, 1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(5)
        for part in (self.title, self.progress, self.message, self.log):
            layout.addWidget(part)
        layout.addLayout(buttons)
        layout.addWidget(self.plots, 1)

    def _describe(self) -> None:
        status = self._status
        shown = self.path is not None
        for part in (self.plots, self.use_button, self.preview, *self.buttons.values()):
            part.setVisible(shown)
        can = allowed(status) if status is not None else set()
        for name, button in self.buttons.items():
            button.setEnabled(name in can)
        model = status is not None and status.model is not None
        self.use_button.setEnabled(model)
        kind = status.kind if status is not None else ""
        where = {"segmenter": "Segment nuclei", "synthesizer": "Synthesize H&E"}.get(kind, "its widget")
        self.use_button.setToolTip(
            f"Open {where} with the best model so far." if model else "There is no model before the first validation."
        )
        if status is None:
            self.title.setText(_NOTHING if not shown else f"<b>{_plain(self._paths[0].name)}</b>")
            set_text(self.message, "")
            self.progress.hide()
            self.log.hide()
            return
        hue = colour(status.state, self._dark)
        others = f" beside {len(self._paths) - 1} more" if len(self._paths) > 1 else ""
        self.title.setText(
            f"<span style='color:{hue}'>● <b>{word(status.state)}</b></span>&nbsp; <b>{_plain(status.name)}</b>{others}"
        )
        self.title.setToolTip(f"{status.path}\n{status.recipe}")
        set_text(self.message, " ".join(part for part in (_detail(status), _best(status)) if part))
        self._show_progress(status)
        troubled = status.state in (RunState.FAILED, RunState.INTERRUPTED) and bool(status.log)
        text = "\n".join(status.log)
        if troubled and self.log.toPlainText() != text:
            self.log.setPlainText(text)
            self.log.setFixedHeight(16 * min(_LOG_LINES, 1 + max(2, len(text) // 45)))
            bar = self.log.verticalScrollBar()
            bar.setValue(bar.maximum())
        self.log.setVisible(troubled)

    def _show_progress(self, status: RunStatus) -> None:
        alive = status.state.alive
        self.progress.setVisible(alive)
        if not alive:
            return
        known = bool(status.steps) and status.step is not None
        # A bar that swings to and fro paints the window all the time: not for a run that may wait for hours.
        swings = 0 if status.state is RunState.RUNNING else 1
        self.progress.setRange(0, status.steps if known and status.steps else swings)
        self.progress.setValue(status.step or 0)
        left = "" if status.seconds_left is None else f" · {duration(status.seconds_left)} left"
        count = f"step {status.step} of {status.steps}" if known else status.what or word(status.state).lower()
        self.progress.setFormat(f"{count}{left}")


def _detail(status: RunStatus) -> str:
    """Say what there is besides the state itself."""
    plain = status.message.rstrip(".").lower() == word(status.state).lower()
    busy = status.what if status.state is RunState.RUNNING and status.what not in ("", "training") else ""
    return f"{busy.capitalize()}." if plain and busy else "" if plain else status.message


def _best(status: RunStatus) -> str:
    best = best_score(status)
    return f"Best {best[0]} {best[1]:.3f} at step {status.best_step}." if best else ""


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


class PreviewLayer:
    """One layer for previews, that is updated in place.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where it is shown.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Image | None = None
        self._refused = False

    @property
    def layer(self) -> Image | None:
        """The layer; None where there is none."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def begin(self) -> None:
        """Show the previews of another run, also where the user has removed the layer of the run before."""
        self._refused = False

    def show(self, run: str, preview: PreviewImage) -> None:
        """Show a preview; not where the user has removed its layer."""
        layer = self.layer
        if layer is None and self._layer is not None:
            self._layer, self._refused = None, True
        if self._refused:
            return
        name = f"{run} preview"
        if layer is not None and layer.data.shape != preview.pixels.shape:
            self._viewer.layers.remove(layer)
            layer = None
        if layer is None:
            # Nobody wants to segment it: it is no image that other widgets may choose.
            known = {METADATA_KEY: {VIEW_KEY: "preview"}}
            with selection_kept(self._viewer):
                layer = self._viewer.add_image(preview.pixels, name=name, rgb=True, metadata=known, **self._place())
            self._layer = layer
        else:
            layer.data = preview.pixels
        layer.name = name
        layer.metadata = {**layer.metadata, "step": preview.step}

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if (layer := self.layer) is not None:
            self._viewer.layers.remove(layer)
        self._layer = None

    def _place(self) -> dict[str, Any]:
        """To the right of everything, in the scale and units of the topmost image."""
        images = [layer for layer in image_layers(self._viewer) if not layer_problem(layer)]
        if not images:
            return {}
        place = labels_place(images[0])
        world = self._viewer.layers.extent.world[:, -2:]
        top, right = float(world[0, 0]), float(world[1, 1])
        gap = _GAP * float(world[1, 1] - world[0, 1])
        scale = np.abs(place["scale"])
        corner = np.array([top, right + gap]) + scale / 2
        return {"scale": scale, "translate": corner, "units": place["units"], "axis_labels": place["axis_labels"]}
