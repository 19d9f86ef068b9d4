"""What is said of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nucleigan.base.events import Progress
from napari_nucleigan.widgets.base.run_bar import Figures, RunBar, figures

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot


def made(nuclei: int, seconds: float, mpp: float) -> Figures:
    return Figures(nuclei, seconds, mpp, "m")


def test_figures() -> None:
    assert figures([]) == ""
    assert figures([made(1, 0.44, 0.25)]) == "1 nucleus · 0.4 s · 0.25 µm per pixel · m"
    assert figures([made(0, 1, 0.2526)]) == "0 nuclei · 1.0 s · 0.253 µm per pixel · m"
    several = [made(1, 1, 0.5), made(2, 2, 0.25), made(3, 3, 1.0)]
    assert figures([made(5, 75, 0.25)]) == "5 nuclei · 1 min 15 s · 0.25 µm per pixel · m"
    assert figures(several) == "3 images · 6 nuclei · 6.0 s · 0.25 to 1 µm per pixel · m"


def test_states(qtbot: QtBot) -> None:
    bar = RunBar("Do it.")
    qtbot.addWidget(bar)
    bar.set_state(False, "No image.")
    assert (bar.run_button.isEnabled(), bar.run_button.toolTip()) == (False, "No image.")
    bar.set_state(True, "No image.")
    assert bar.problem.text() == ""
    assert bar.cancel_button.isEnabled()
    bar.show_progress(Progress(2, 4, "segmenting", 75), "image 1 of 2: ")
    assert bar.progress.value() == 2
    assert bar.progress.format() == "image 1 of 2: segmenting · 1 min 15 s left"
    bar.set_state(False, "")
    assert (bar.run_button.isEnabled(), bar.run_button.toolTip()) == (True, "Do it.")
    bar.note("once")
    bar.note("once")
    bar.note("twice")
    assert bar.notes.text() == "once\ntwice"
    bar.begin()
    assert bar.notes.text() == ""
