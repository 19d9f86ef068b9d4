"""What the Evaluate widget writes onto the canvas: the score, a legend, and the nucleus under the pointer."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.viewer import Viewer

_numbers = count()
_ORDER = 1_000_000  # above all else
_SIZE = 10
_CORNERS = "top_left", "bottom_left"
_BOX = "#16181dd0"
_MARGIN = "\u2002"  # without it the box ends within the last letter
TEXT = "#ffffff"
"""Colour of plain text; the same in every theme, as the colours of the outcomes are."""


class CanvasText:
    """Lines of text in two corners of the canvas, in overlays of their own: the user's text stays untouched.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where they are shown.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._name = f"nucleigan_evaluate_{next(_numbers)}"
        self._shown: dict[str, int] = {}

    def lines(self, lines: Sequence[tuple[str, str]]) -> None:
        """Show lines, each with its colour, at the upper left."""
        self._show(_CORNERS[0], lines)

    def remark(self, text: str) -> None:
        """Show one line at the lower left; none where it is empty."""
        self._show(_CORNERS[1], [(text, TEXT)] if text else [])

    def clear(self) -> None:
        """Take everything away."""
        for corner in _CORNERS:
            overlays = self._viewer.canvas.overlays
            for number in range(self._shown.pop(corner, 0)):
                del overlays[self._key(corner, number)]

    @property
    def text(self) -> list[str]:
        """What is shown."""
        overlays = self._viewer.canvas.overlays
        keys = [self._key(corner, number) for corner in _CORNERS for number in range(self._shown.get(corner, 0))]
        return [overlays[key].text.strip() for key in keys if overlays[key].visible]

    def _show(self, corner: str, lines: Sequence[tuple[str, str]]) -> None:
        from napari.components.overlays import TextOverlay

        overlays = self._viewer.canvas.overlays
        # To make an overlay takes longer than to change one, so that those that are not needed are only hidden.
        for number in range(max(len(lines), self._shown.get(corner, 0))):
            text, colour = lines[number] if number < len(lines) else ("", TEXT)
            key = self._key(corner, number)
            if key in overlays:
                overlay = overlays[key]
                overlay.text, overlay.color, overlay.visible = text + _MARGIN, colour, bool(text)
            else:
                overlays[key] = TextOverlay(
                    text=text + _MARGIN,
                    color=colour,
                    visible=bool(text),
                    box=True,
                    box_color=_BOX,
                    position=corner,
                    font_size=_SIZE,
                    order=_ORDER + number,
                )
        self._shown[corner] = max(len(lines), self._shown.get(corner, 0))

    def _key(self, corner: str, number: int) -> str:
        return f"{self._name}_{corner}_{number}"


class Pointer:
    """Tells where the pointer is on the canvas.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose pointer.
    tell : callable
        Told the position in the viewer's world each time that the pointer has moved.
    """

    def __init__(self, viewer: Viewer, tell: Callable[[Sequence[float]], object]) -> None:
        self._viewer, self._tell = viewer, tell

    def attach(self) -> None:
        """Begin to tell."""
        if self._moved not in self._viewer.mouse_move_callbacks:
            self._viewer.mouse_move_callbacks.append(self._moved)

    def detach(self) -> None:
        """Tell no more."""
        if self._moved in self._viewer.mouse_move_callbacks:
            self._viewer.mouse_move_callbacks.remove(self._moved)

    def _moved(self, viewer: Viewer, event: object) -> None:
        self._tell(viewer.cursor.position)
