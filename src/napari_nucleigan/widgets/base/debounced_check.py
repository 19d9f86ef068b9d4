"""Look into what a form names, a moment after its last change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_nucleigan.widgets.base.jobs import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.base.events import Job

_REST_MS = 300


class DebouncedCheck(QObject):
    """Runs a job anew whenever a form has changed.

    Parameters
    ----------
    parent : QObject
        The form.
    make : callable
        Makes the job; None where there is nothing to look into yet.
    what : str
        What it does, for people.

    Attributes
    ----------
    found : object
        What the job returned; None while it is not known.
    fault : str
        Why it failed; empty where it did not.
    """

    seen = Signal(object)
    """What the job returned."""
    failed = Signal()

    def __init__(self, parent: QObject, make: Callable[[], Job[Any] | None], what: str) -> None:
        super().__init__(parent)
        self.found: Any = None
        self.fault = ""
        self._make, self._what = make, what
        self._rest = QTimer(self, singleShot=True, interval=_REST_MS)
        self._runner = Runner(self)
        self._rest.timeout.connect(self._look)
        self._runner.finished.connect(self._seen)
        self._runner.failed.connect(self._failed)

    def look(self) -> None:
        """Forget what was found, and look again."""
        self.cancel()
        self.found, self.fault = None, ""
        self._rest.start()

    def cancel(self) -> None:
        """Stop looking."""
        self._rest.stop()
        self._runner.cancel()

    def _look(self) -> None:
        if (job := self._make()) is not None:
            self._runner.start(job, self._what)

    def _seen(self, found: object) -> None:
        self.found = found
        self.seen.emit(found)

    def _failed(self, error: NucleiganError) -> None:
        self.fault = str(error)
        self.failed.emit()
