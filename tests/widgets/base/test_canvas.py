"""The canvas is the current one for OpenGL when layers are removed, and a hurried user crashes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
from qtpy.QtWidgets import QWidget

from napari_nucleigan.widgets.base.canvas import CanvasGuard, main_window
from napari_nucleigan.widgets.evaluate.dock import EvaluateWidget
from napari_nucleigan.widgets.masks.dock import MasksWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytestqt.qtbot import QtBot

LONG = 60_000  # milliseconds; the machine may be busy
PROGRAM = Path(__file__).parents[2] / "support" / "viewer_rounds.py"


def test_opengl_works_for_the_canvas_when_layers_are_removed(make_napari_viewer_proxy: Callable, qtbot: QtBot) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    docks = [cls(viewer) for cls in (EvaluateWidget, MasksWidget)]
    for dock in docks:
        viewer.window.add_dock_widget(dock)
    window = main_window(docks[0])
    assert window is not None
    qtbot.waitUntil(lambda: window.findChild(CanvasGuard) is not None, timeout=LONG)
    assert len(window.findChildren(CanvasGuard)) == 1
    canvas: Any = next(part for part in window.centralWidget().findChildren(QWidget) if part.inherits("QOpenGLWidget"))
    qtbot.waitUntil(canvas.isValid, timeout=LONG)
    found: list[bool] = []
    viewer.layers.events.removed.connect(lambda _: found.append(QOpenGLContext.currentContext() == canvas.context()))
    context, surface = QOpenGLContext(), QOffscreenSurface()
    surface.create()
    assert context.create()
    for remove in (viewer.layers.pop, viewer.layers.clear):
        viewer.add_image(np.zeros((20, 30)))
        assert context.makeCurrent(surface)  # as Qt does for its windows
        remove()
    viewer.window.remove_dock_widget("all")
    viewer.add_image(np.zeros((20, 30)))
    assert context.makeCurrent(surface)
    viewer.layers.clear()
    assert found == [True, True, True]


@pytest.mark.timeout(400)
def test_a_hurried_user_crashes_nothing(models: Path, painters: Path, tmp_path: Path) -> None:
    # A process of its own: a crash in the midst of OpenGL ends it.
    line = [sys.executable, str(PROGRAM), "--rounds", "2", "--seconds", "20"]
    settings = {**os.environ, "NAPARI_CONFIG": str(tmp_path / "settings.yaml")}
    done = subprocess.run(line, env=settings, capture_output=True, text=True, timeout=380)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-6000:]}"
