"""Runs that train, in napari's activity dock."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QLabel

from napari_nucleigan.training.runs.status import RunState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari.utils import cancelable_progress
    from qtpy.QtCore import QObject

    from napari_nucleigan.training.runs.status import RunStatus


CALM = 2
"""Speed of napari's spinner while runs train, in per cent."""


class Activity:
    """One progress bar for each run that trains; its Cancel asks the run to stop.

    Parameters
    ----------
    owner : QObject
        Its bars go with it.
    """

    _shown: ClassVar[int] = 0  # bars of all widgets

    def __init__(self, owner: QObject) -> None:
        self._bars: dict[Path, cancelable_progress] = {}
        # Not at once: the window that is being destroyed around it cannot be searched for a spinner.
        owner.destroyed.connect(lambda: QTimer.singleShot(0, self.clear))

    @property
    def bars(self) -> list[cancelable_progress]:
        """The bars there are."""
        return list(self._bars.values())

    def update(self, statuses: Iterable[RunStatus]) -> list[Path]:
        """Bring the bars up to date.

        Parameters
        ----------
        statuses : iterable of RunStatus
            All runs there are.

        Returns
        -------
        list of Path
            Runs whose bar was cancelled since the last call.
        """
        alive = {status.path: status for status in statuses if status.state.alive}
        for path in self._bars.keys() - alive.keys():
            self._remove(path)
        cancelled = []
        for path, status in alive.items():
            bar = self._bars.get(path)
            if bar is not None and bar.is_canceled:
                self._remove(path)
                cancelled.append(path)
                self._add(status)
            elif bar is None and status.state is not RunState.STOPPING:
                self._add(status)
            self._show(status)
        return cancelled

    def clear(self) -> None:
        """Take all bars away; the runs go on."""
        for path in list(self._bars):
            self._remove(path)

    def _add(self, status: RunStatus) -> None:
        from napari.utils import cancelable_progress

        # tqdm prints; the terminal has no use for a second bar.
        self._bars[status.path] = cancelable_progress(total=0, desc=f"training {status.name}", file=io.StringIO())
        Activity._shown += 1
        _set_spinner(CALM)

    def _remove(self, path: Path) -> None:
        self._bars.pop(path).close()
        Activity._shown -= 1
        if not Activity._shown:
            _set_spinner(100)

    def _show(self, status: RunStatus) -> None:
        bar = self._bars.get(status.path)
        if bar is not None and status.steps and status.step is not None:
            bar.total = status.steps
            bar.update(status.step - bar.n)


def _set_spinner(speed: int) -> None:
    """Set the speed of the spinner beside napari's activity dock.

    It paints the whole window 33 times a second. Where no graphics card does that, it takes nearly half a core, all
    night, from a training.
    """
    for window in QApplication.topLevelWidgets():
        for label in window.findChildren(QLabel):
            if label.movie() is not None:
                label.movie().setSpeed(speed)
