"""Live mode: a picture that follows its mask while the user paints.

Every edit of the mask layer only sets a mark. A thread compares the mask with the one that the canvas shows, and
paints again what the difference can be seen in; edits that come meanwhile are seen together by the next pass. So the
latest edit wins, no edit is lost, whatever made it, and the viewer's own thread does nothing but show patches.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.mask_layers import edits, mask_reader
from napari_nucleigan.widgets.synthesize.jobs import ModelCache, PaintRequest, Patch, Reshaped, begin, follow

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.synthesis import LiveCanvas
    from napari_nucleigan.widgets.base.mask_layers import MaskLayer

_POLL_MS = 10  # a patch must not wait for the usual 50


class Live(QObject):
    """Lets a canvas follow a mask layer.

    Parameters
    ----------
    shelf : ModelCache
        Where the model is kept.
    parent : QObject
        The widget that owns it.
    """

    progressed = Signal(object)
    """`events.Progress` of the first picture."""
    begun = Signal(object)
    """A new `LiveCanvas`, with its first picture."""
    patched = Signal(object)
    """A `Patch` to show."""
    followed = Signal(float)
    """The picture shows the mask; seconds since the first edit that it did not show."""
    noted = Signal(object)
    failed = Signal(object)
    """A `NucleiganError`; live mode has ended."""

    def __init__(self, shelf: ModelCache, parent: QObject) -> None:
        super().__init__(parent)
        self._shelf = shelf
        self._mask: MaskLayer | None = None
        self._order: Callable[[], PaintRequest] | None = None
        self._canvas: LiveCanvas | None = None
        self._edited: float | None = None
        self._shown: float | None = None
        self._runner = Runner(self, poll_ms=_POLL_MS)
        self._runner.progressed.connect(self.progressed.emit)
        self._runner.noted.connect(self.noted.emit)
        self._runner.finished.connect(self._finished)
        self._runner.failed.connect(self._failed)

    @property
    def mask(self) -> MaskLayer | None:
        """The layer that is followed; None where live mode is off."""
        return self._mask

    @property
    def beginning(self) -> bool:
        """Whether the first picture is still being painted."""
        return self._mask is not None and self._canvas is None

    @property
    def behind(self) -> bool:
        """Whether there are edits that the picture does not show yet."""
        return self._mask is not None and (self._edited is not None or self._runner.running)

    def start(self, mask: MaskLayer, order: Callable[[], PaintRequest]) -> None:
        """Begin to follow a mask, or begin anew with other settings.

        Parameters
        ----------
        mask : MaskLayer
            The layer to follow.
        order : callable
            Gives the order of the first picture; asked for again where the mask changes its shape.
        """
        if mask is not self._mask:
            self.stop()
            for name in edits(mask):
                getattr(mask.events, name).connect(self._mark)
        self._mask, self._order = mask, order
        self._begin()

    def stop(self) -> None:
        """Stop to follow; what has been shown stays."""
        if self._mask is not None:
            for name in edits(self._mask):
                getattr(self._mask.events, name).disconnect(self._mark)
        self._mask = self._order = self._canvas = self._edited = self._shown = None
        self._runner.cancel()

    def _begin(self) -> None:
        assert self._order is not None
        self._canvas = self._edited = None
        self._runner.start(begin(self._order(), self._shelf), "painting")

    def _mark(self, event: object = None) -> None:
        if self._edited is None:
            self._edited = time.monotonic()
        if not self._runner.running:
            self._next()

    def _next(self) -> None:
        if self._edited is None or self._mask is None or self._canvas is None:
            return
        self._shown, self._edited = self._edited, None
        self._runner.start(follow(self._canvas, mask_reader(self._mask)), "painting what was edited")

    def _finished(self, result: Any) -> None:
        if self.beginning:
            self._canvas = result
            self.begun.emit(result)
        elif isinstance(result, Reshaped):
            self._begin()
            return
        elif isinstance(result, Patch):
            self.patched.emit(result)
            # Who listens may have switched live mode off.
            if self._shown is not None:
                self.followed.emit(time.monotonic() - self._shown)
        self._next()

    def _failed(self, error: NucleiganError) -> None:
        self.stop()
        self.failed.emit(error)
