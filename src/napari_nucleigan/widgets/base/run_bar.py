"""Run bar: the buttons that start and stop the work of a dock, how far it has come, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QWidget

from napari_nucleigan.base.events import duration
from napari_nucleigan.widgets.base.fields import NO_MARGINS, column, push_button, set_text, small_label
from napari_nucleigan.widgets.base.scrolling import Remarks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.base.events import Progress


@dataclass(frozen=True)
class Figures:
    """What is said of an image that was segmented.

    Attributes
    ----------
    nuclei : int
        How many were found.
    seconds : float
        Time that it took.
    mpp : float
        Microns per pixel of the image.
    model : str
        Name of the model.
    """

    nuclei: int
    seconds: float
    mpp: float
    model: str


class RunBar(QWidget):
    """Two buttons, a progress bar with the time left, and the lines below them.

    Parameters
    ----------
    run_tip : str
        What Run does.
    """

    run_clicked = Signal()
    cancel_clicked = Signal()
    figures_changed = Signal(str)
    """The line of figures."""

    def __init__(self, run_tip: str) -> None:
        super().__init__()
        self._run_tip = run_tip
        self._messages: list[str] = []
        self.run_button = push_button("Run")
        self.cancel_button = push_button("Cancel", "Stop at once. Results already made stay.")
        self.progress = QProgressBar()
        self.problem = small_label()
        self.figures = small_label()
        self.notes = small_label()
        self._remarks = Remarks(self.notes)
        font = self.figures.font()
        font.setBold(True)
        self.figures.setFont(font)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        parts = (buttons, self.progress, self.problem, self.figures, self._remarks)
        column(*parts, inside=self, margins=NO_MARGINS, stretch=False)
        self.run_button.clicked.connect(lambda: self.run_clicked.emit())
        self.cancel_button.clicked.connect(lambda: self.cancel_clicked.emit())

    def set_state(self, running: bool, problem: str) -> None:
        """Enable what can be pressed, and say why Run cannot."""
        self.run_button.setEnabled(not running and not problem)
        self.run_button.setToolTip(problem or self._run_tip)
        self.cancel_button.setEnabled(running)
        self.progress.setVisible(running)
        set_text(self.problem, "" if running else problem)

    def begin(self) -> None:
        """Clear what was said of the run before."""
        self._messages = []
        self._remarks.set_text("")
        self.progress.setRange(0, 0)
        self.progress.setFormat("starting…")

    def show_progress(self, event: Progress, prefix: str = "") -> None:
        """Show how far the run has come."""
        self.progress.setRange(0, max(0, event.total))
        self.progress.setValue(event.done)
        left = "" if event.seconds_left is None else f" · {duration(event.seconds_left)} left"
        self.progress.setFormat(text := f"{prefix}{event.what}{left}")
        self.progress.setToolTip(text)

    def note(self, text: str) -> None:
        """Add a line to the notes, once."""
        if text not in self._messages:
            self._messages.append(text)
        self._remarks.set_text("\n".join(self._messages))

    def show_figures(self, images: Sequence[Figures]) -> None:
        """Show the line of figures of a run."""
        text = figures(images)
        set_text(self.figures, text)
        self.figures_changed.emit(text)


def figures(images: Sequence[Figures]) -> str:
    """One line of figures on a run: nuclei, seconds, microns per pixel, model."""
    if not images:
        return ""
    count = sum(one.nuclei for one in images)
    seconds = sum(one.seconds for one in images)
    scales = sorted({one.mpp for one in images})
    parts = [
        "1 nucleus" if count == 1 else f"{count} nuclei",
        f"{seconds:.1f} s" if seconds < 60 else duration(seconds),
        " to ".join(f"{mpp:.3g}" for mpp in (scales[:1] + scales[1:][-1:])) + " µm per pixel",
        images[0].model,
    ]
    if len(images) > 1:
        parts.insert(0, f"{len(images)} images")
    return " · ".join(parts)
