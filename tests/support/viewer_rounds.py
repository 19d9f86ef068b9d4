"""Rounds of a hurried user in a real viewer: layers cleared and added, docks opened and closed, jobs in between.

As a program: ``viewer_rounds.py [--rounds N] [--seed S] [--seconds T] [--plain]``. It prints one line in the end, and
fails on any error that a callback raised. A crash of the process names the steps before it, and where each thread
was. With ``--plain`` the same is done to napari alone, with docks and jobs that have nothing to do with this package:
what crashes there, too, is not ours.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import random
import sys
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QDockWidget, QPushButton

from napari_nucleigan.widgets.base.steps import NextStep

if TYPE_CHECKING:
    from collections.abc import Callable

PLUGIN = "napari-nucleigan"
_SIDES = 48, 64, 96, 130
_MICRONS: dict[str, Any] = {"scale": (0.25, 0.25), "units": ("µm", "µm")}
_PAUSES_MS = 0, 0, 5, 30, 80, 200
_MOST_DOCKS = 4


class Rounds:
    """A viewer and what is done to it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer.
    seed : int
        Same seed, same steps.
    """

    def __init__(self, viewer: Any, seed: int) -> None:
        self.viewer = viewer
        self.random = random.Random(seed)
        self.noise = np.random.default_rng(seed)
        self.docks: dict[str, tuple[Any, Any]] = {}
        self.steps: list[str] = []

    def round(self) -> None:
        """Clear, add, and do a few things in any order."""
        self._do("clear", self.viewer.layers.clear)
        self.add()
        for _ in range(self.random.randrange(3, 8)):
            call = self.random.choice([self.open, self.open, self.close, self.work, self.work, *self._usual()])
            call()

    def begin(self) -> None:
        """Open a dock, and do what crashes napari alone within two seconds."""
        self.open()
        squares = [np.array([[0, 0], [0, 9], [9, 9], [9, 0]])]
        for pause_ms in (20, 300):
            self.add()
            self._do("shapes", lambda: self.viewer.add_shapes(squares, shape_type="polygon"))
            pause(pause_ms)
            self._do("remove shapes", self.viewer.layers.pop)
            pause(pause_ms)

    def end(self) -> None:
        """Close all docks."""
        while self.docks:
            self.close()
        self._do("clear", self.viewer.layers.clear)

    def add(self) -> None:
        """Add an image and labels, and sometimes polygons and points."""
        height, width = self.random.choice(_SIDES), self.random.choice(_SIDES)
        image = self.noise.integers(90, 255, (height, width, 3), np.uint8)
        labels = np.zeros((height, width), np.int32)
        for number in range(1, self.random.randrange(3, 12)):
            row, column = self.noise.integers(0, (height - 12, width - 12))
            labels[row : row + 10, column : column + 10] = number
            image[row : row + 10, column : column + 10] = (80, 40, 120)
        self._do("image", lambda: self.viewer.add_image(image, name="tissue", rgb=True, **_MICRONS))
        for name in self.random.sample(["found", "truth"], self.random.randrange(3)):
            other = np.roll(labels, self.random.randrange(4), 0)
            self._do(f"labels {name}", partial(self.viewer.add_labels, other, name=name, **_MICRONS))
        if self.random.random() < 0.4:
            squares = [np.array([[0, 0], [0, 9], [9, 9], [9, 0]]) + at for at in (2, 14, 25)]
            self._do("shapes", lambda: self.viewer.add_shapes(squares, shape_type="polygon", **_MICRONS))
        if self.random.random() < 0.2:
            self._do("points", lambda: self.viewer.add_points(self.noise.uniform(0, 40, (20, 2)), **_MICRONS))

    def open(self) -> None:
        """Open a dock, or bring it to the front."""
        if len(self.docks) >= _MOST_DOCKS:
            self.close()
        name = self.random.choice(self._names())
        self._do(f"open {name}", lambda: self.docks.__setitem__(name, self._open(name)))

    def close(self) -> None:
        """Close a dock."""
        if self.docks:
            name = self.random.choice(list(self.docks))
            dock, _ = self.docks.pop(name)
            self._do(f"close {name}", lambda: self.viewer.window.remove_dock_widget(dock))

    def remove(self) -> None:
        """Remove a layer."""
        if len(self.viewer.layers):
            at = self.random.randrange(len(self.viewer.layers))
            self._do(f"remove {self.viewer.layers[at].name}", lambda: self.viewer.layers.pop(at))

    def paint(self) -> None:
        """Paint a stroke in a Labels layer."""
        from napari.layers import Labels

        found = [layer for layer in self.viewer.layers if isinstance(layer, Labels) and layer.editable]
        if found:
            layer, value = self.random.choice(found), self.random.randrange(20)
            self._do(f"paint {layer.name}", lambda: layer.paint((10, 12), value))

    def look(self) -> None:
        """Move the camera, or hide and show a layer, or take another theme, or a picture."""
        viewer, layers = self.viewer, self.viewer.layers
        what = self.random.choice(["zoom", "reset", "hide", "theme", "picture", "size"])
        if what == "zoom":
            self._do(what, lambda: setattr(viewer.scene.camera, "zoom", self.random.uniform(0.5, 20)))
        elif what == "reset":
            self._do(what, viewer.reset_view)
        elif what == "hide" and len(layers):
            layer = self.random.choice(list(layers))
            self._do(f"hide {layer.name}", lambda: setattr(layer, "visible", not layer.visible))
        elif what == "theme":
            self._do(what, lambda: setattr(viewer, "theme", self.random.choice(["dark", "light"])))
        elif what == "picture":
            self._do(what, lambda: viewer.screenshot(canvas_only=True, flash=False))
        elif what == "size":
            size = self.random.choice([(1000, 700), (1300, 850)])
            self._do(what, lambda: viewer.window.resize(*size))

    def clear(self) -> None:
        """Clear the layers in the middle of whatever there is."""
        self._do("clear in the middle", self.viewer.layers.clear)

    def work(self) -> None:
        """Let a dock begin what it is for."""
        if self.docks:
            name = self.random.choice(list(self.docks))
            self._do(f"work {name}", lambda: self._work(name, self.docks[name][1]))

    def go_on(self) -> None:
        """Take a step from one dock to the next."""
        for name, (frame, widget) in self.docks.items():
            steps = [button for button in widget.findChildren(NextStep) if button.isVisible()]
            if steps and len(self.docks) < _MOST_DOCKS:
                self._do(f"go on from {name}", self.random.choice(steps).click)
                for other in frame.parent().findChildren(QDockWidget):
                    known = next((each for each in self._names() if other.windowTitle().startswith(each)), None)
                    if known is not None:
                        self.docks[known] = other, other.widget()
                break

    def _usual(self) -> list[Callable[[], None]]:
        return [self.remove, self.paint, self.look, self.look, self.clear, self.add, self.go_on]

    def _names(self) -> list[str]:
        return [
            "Segment nuclei",
            "Draw masks",
            "Synthesize H&E",
            "Train a model",
            "Evaluate",
            "Segment a folder",
            "Measure nuclei",
        ]

    def _open(self, name: str) -> tuple[Any, Any]:
        return self.viewer.window.add_plugin_dock_widget(PLUGIN, name)

    def _work(self, name: str, widget: Any) -> None:
        if name in ("Segment nuclei", "Synthesize H&E"):
            if name == "Synthesize H&E" and self.random.random() < 0.5:
                widget.form.live.click()
            else:
                widget.bar.run_button.click()
        elif name == "Evaluate":
            page = widget.layers
            page.bar.run_button.click()
            page.form.outlines.click()
            if page.comparison is not None:
                page.fly_to(1)
        elif name == "Measure nuclei":
            widget.click(self.noise.uniform(0, 10, 2))
            widget.form.region.setCurrentIndex(self.random.randrange(3))
            self.random.choice([widget.bar.run_button.click, widget.draw_region, widget.clear_selection])()
        elif name == "Draw masks":
            self._draw(widget)
        elif name == "Train a model":
            self._preview(widget)

    def _draw(self, widget: Any) -> None:
        buttons = [button for button in widget.findChildren(QPushButton) if button.isEnabled() and not button.menu()]
        if buttons:
            button = self.random.choice(buttons)
            self.steps.append(f"button {button.text()}")
            button.click()

    def _preview(self, widget: Any) -> None:
        from napari_nucleigan.widgets.base.training_runs import PreviewImage

        side = self.random.choice(_SIDES)
        picture = PreviewImage(self.random.randrange(9), self.noise.integers(0, 255, (side, side * 2, 3), np.uint8))
        widget._preview.show("a run", picture)

    def _do(self, what: str, call: Callable[[], object]) -> None:
        self.steps.append(what)
        print(what, file=sys.stderr, flush=True)
        call()
        pause(self.random.choice(_PAUSES_MS))


class PlainRounds(Rounds):
    """The same of napari alone: docks of buttons, whose jobs show layers and text in overlays from a timer."""

    def _names(self) -> list[str]:
        return ["one", "two", "three", "four"]

    def _open(self, name: str) -> tuple[Any, Any]:
        from qtpy.QtCore import QTimer
        from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

        if name in self.docks:
            return self.docks[name]
        widget = QWidget()
        layout = QVBoxLayout(widget)
        for number in range(12):
            layout.addWidget(QPushButton(str(number)))
        area = QScrollArea()
        layout.addWidget(area)
        widget.timer = QTimer(widget, singleShot=True)
        widget.timer.timeout.connect(lambda: self._show(name))
        return self.viewer.window.add_dock_widget(widget, name=name), widget

    def _work(self, name: str, widget: Any) -> None:
        widget.timer.start(self.random.choice(_PAUSES_MS))

    def _show(self, name: str) -> None:
        from napari.components.overlays import TextOverlay

        layers, found = self.viewer.layers, f"overlay {name}"
        side = self.random.choice(_SIDES)
        labels = self.noise.integers(0, 9, (side, side)).astype(np.int32)
        if found in layers and layers[found].data.shape == labels.shape:
            layers[found].data = labels
        else:
            if found in layers:
                layers.remove(found)
            self.viewer.add_labels(labels, name=found, **_MICRONS)
        overlays = self.viewer.canvas.overlays
        for number in range(4):
            key = f"plain_{name}_{number}"
            if key in overlays and self.random.random() < 0.3:
                del overlays[key]
            else:
                if key not in overlays:
                    overlays[key] = TextOverlay(box=True, position="top_left", order=1000 + number)
                overlays[key].text, overlays[key].visible = f"text {side}", self.random.random() < 0.8


def pause(milliseconds: int) -> None:
    """Let Qt work for a while; nothing at all for none."""
    from qtpy.QtCore import QEventLoop, QTimer

    if milliseconds:
        loop = QEventLoop()
        QTimer.singleShot(milliseconds, loop.quit)
        loop.exec()


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked for; 1 if anything was raised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args(arguments)
    faulthandler.enable()
    import napari
    from napari.utils.notifications import notification_manager
    from qtpy.QtCore import QThreadPool

    errors: list[str] = []

    def note(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        errors.append("".join(traceback.format_exception(kind, error, trace)))

    begun = time.monotonic()
    viewer = napari.Viewer(show=True)
    sys.excepthook = note
    drawing = _Errors(errors)
    logging.getLogger("vispy").addHandler(drawing)
    rounds = (PlainRounds if options.plain else Rounds)(viewer, options.seed)
    done = 0
    rounds.begin()
    while done < options.rounds and time.monotonic() - begun < options.seconds and not errors:
        print(f"round {done}", file=sys.stderr, flush=True)
        rounds.round()
        done += 1
    rounds.end()
    pause(500)
    QThreadPool.globalInstance().waitForDone(30_000)
    pause(200)
    errors += [f"napari: {note.message}" for note in notification_manager.records if hasattr(note, "exception")]
    viewer.close()
    print(f"{done} rounds in {time.monotonic() - begun:.0f} s, {len(errors)} errors")
    for error in errors:
        print(error)
    if errors:
        print("after:", ", ".join(rounds.steps[-30:]))
    return int(bool(errors))


class _Errors(logging.Handler):
    """Keeps what vispy only logs: errors while something is drawn.

    Parameters
    ----------
    errors : list of str
        Where to.
    """

    def __init__(self, errors: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self._errors.append(f"vispy: {record.getMessage()}\n{''.join(traceback.format_stack(limit=12))}")


if __name__ == "__main__":
    sys.exit(main())
