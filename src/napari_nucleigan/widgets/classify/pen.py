"""Pen: clicks on nuclei, and drags over them, as the canvas reports them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari.viewer import Viewer

_TREMBLE = 3  # pixels of the screen that the mouse may move within a click


class Pen:
    """Tells where the mouse has clicked, and, with Shift, along which lines it is dragged; the image stays then.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose canvas is listened to.
    touch : callable
        Takes a place of the viewer's world, the place before or None, and whether the drag has met something already;
        returns whether something is met.
    """

    def __init__(self, viewer: Viewer, touch: Callable[[Sequence[float], Sequence[float] | None, bool], bool]) -> None:
        self._viewer, self._touch = viewer, touch

    def listen(self, wanted: bool) -> None:
        """Begin to listen to the canvas, or stop."""
        callbacks = self._viewer.mouse_drag_callbacks
        if wanted and self._dragged not in callbacks:
            callbacks.append(self._dragged)
        elif not wanted and self._dragged in callbacks:
            callbacks.remove(self._dragged)

    def _dragged(self, viewer: Viewer, event: Any) -> Iterator[None]:
        if event.button != 1:
            return
        begun, last = np.array(event.pos), event.position
        painting = "Shift" in event.modifiers  # keys of vispy, which are equal to their names
        met = painting and self._touch(last, None, False)
        yield
        while event.type == "mouse_move":
            if painting:
                met = self._touch(event.position, last, met) or met
                last = event.position
            yield
        # A hand that trembles clicks; one that goes further has moved the image.
        if not painting and np.abs(np.array(event.pos) - begun).max() <= _TREMBLE:
            self._touch(event.position, None, False)
