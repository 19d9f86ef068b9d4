"""Live mode of the Evaluate widget: what is edited is compared again.

Every edit only sets a mark. A thread takes the layers as they are, and compares anew what has changed; edits that come
meanwhile are seen together by the next pass. So the latest edit wins, and the viewer's own thread only shows results.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.mask_layers import edits
from napari_nucleigan.widgets.evaluate.jobs import compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari.layers import Labels

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.widgets.evaluate.jobs import CompareRequest, LayerComparison

_POLL_MS = 10  # figures must not wait for the usual 50
_GATHER_MS = 15  # one stroke of a brush raises several events
_MOVES = ("scale", "translate", "rotate", "shear", "affine", "units", "name")


class Follower(QObject):
    """Compares two layers again whenever one of them has changed.

    Parameters
    ----------
    order : callable
        Gives what is to be compared now; raises `LabelsError` where that cannot be.
    parent : QObject
        The widget that owns it.
    """

    compared = Signal(object)
    """A new `LayerComparison`."""
    followed = Signal(float)
    """What is shown is up to date; seconds since the first edit that it did not show."""
    refused = Signal(str)
    """The layers cannot be compared as they are now, and why."""
    failed = Signal(object)
    """A `NucleiganError`."""

    def __init__(self, order: Callable[[], CompareRequest], parent: QObject) -> None:
        super().__init__(parent)
        self._order = order
        self._layers: tuple[Labels, ...] = ()
        self._before: LayerComparison | None = None
        self._marked: float | None = None
        self._working: float | None = None
        self._gather = QTimer(self, singleShot=True, interval=_GATHER_MS)
        self._gather.timeout.connect(self._next)
        self._runner = Runner(self, poll_ms=_POLL_MS)
        self._runner.finished.connect(self._finished)
        self._runner.failed.connect(self._failed)

    @property
    def layers(self) -> tuple[Labels, ...]:
        """The layers that are watched."""
        return self._layers

    @property
    def behind(self) -> bool:
        """Whether there are edits that have not been compared yet."""
        return self._marked is not None or self._runner.running

    def watch(self, layers: Iterable[Labels]) -> None:
        """Watch layers instead of those before; none to stop."""
        self.stop()
        self._layers = tuple(layers)
        for layer in self._layers:
            for name in (*edits(layer), *_MOVES):
                getattr(layer.events, name).connect(self.mark)

    def stop(self) -> None:
        """Watch no layer any more."""
        for layer in self._layers:
            for name in (*edits(layer), *_MOVES):
                getattr(layer.events, name).disconnect(self.mark)
        self._layers = ()
        self._marked = self._working = self._before = None
        self._gather.stop()
        self._runner.cancel()

    def begin(self, comparison: LayerComparison) -> None:
        """Take a comparison that was made elsewhere for what is shown now."""
        self._before = comparison

    def mark(self, event: Any = None) -> None:
        """Note that something has changed."""
        if self._marked is None:
            self._marked = time.monotonic()
        if not self._runner.running and not self._gather.isActive():
            self._gather.start()

    def _next(self) -> None:
        if self._marked is None or self._runner.running:
            return
        self._working, self._marked = self._marked, None
        try:
            order = self._order()
        except LabelsError as error:
            self._before = None
            self.refused.emit(str(error))
            return
        self._runner.start(compare(order, self._before), "comparing what was edited")

    def _finished(self, comparison: LayerComparison) -> None:
        if comparison is not self._before:
            self._before = comparison
            self.compared.emit(comparison)
        # Who listens may have ended live mode.
        if self._working is not None:
            self.followed.emit(time.monotonic() - self._working)
        self._next()

    def _failed(self, error: NucleiganError) -> None:
        self._before = None
        self.failed.emit(error)
        self._next()
