"""Runs that train, in napari's activity dock."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from napari_nucleigan.training.control import RunState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari.utils import cancelable_progress

    from napari_nucleigan.training.control import RunStatus


class Activity:
    """One progress bar for each run that trains; its Cancel asks the run to stop."""

    def __init__(self) -> None:
        self._bars: dict[Path, cancelable_progress] = {}

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
            self._bars.pop(path).close()
        cancelled = []
        for path, status in alive.items():
            bar = self._bars.get(path)
            if bar is not None and bar.is_canceled:
                bar.close()
                cancelled.append(path)
                self._bars[path] = self._add(status)
            elif bar is None and status.state is not RunState.STOPPING:
                self._bars[path] = self._add(status)
            self._show(status)
        return cancelled

    def clear(self) -> None:
        """Take all bars away; the runs go on."""
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()

    def _add(self, status: RunStatus) -> cancelable_progress:
        from napari.utils import cancelable_progress

        # tqdm prints; the terminal has no use for a second bar.
        return cancelable_progress(total=0, desc=f"training {status.name}", file=io.StringIO())

    def _show(self, status: RunStatus) -> None:
        bar = self._bars.get(status.path)
        if bar is not None and status.steps and status.step is not None:
            bar.total = status.steps
            bar.update(status.step - bar.n)
