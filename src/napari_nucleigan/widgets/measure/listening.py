"""Listening: one callback to the events of whatever is looked at now, and of nothing that was before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nucleigan.widgets.base.mask_layers import edits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Labels

_PLACE = "scale", "translate", "rotate", "shear", "affine", "units"


class Listener:
    """Connects a callback to some emitters at a time.

    Parameters
    ----------
    call : callable
        Called without arguments.
    """

    def __init__(self, call: Callable[..., object]) -> None:
        self._call = call
        self._emitters: list[Any] = []

    def listen(self, emitters: Sequence[Any]) -> None:
        """Listen to these, and no longer to those before."""
        for emitter in self._emitters:
            emitter.disconnect(self._heard)
        self._emitters = list(emitters)
        for emitter in self._emitters:
            emitter.connect(self._heard)

    def _heard(self, event: object = None) -> None:
        self._call()


def place_events(layer: Labels | None) -> list[Any]:
    """List the events after which a layer may lie elsewhere, or its pixels have another size."""
    return [] if layer is None else [getattr(layer.events, name) for name in _PLACE]


def edit_events(layer: Labels | None) -> list[Any]:
    """List the events after which the nuclei of a layer may be others."""
    return [] if layer is None else [getattr(layer.events, name) for name in (*edits(layer), "features")]
