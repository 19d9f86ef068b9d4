"""Flight: the camera on its way to a place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEasingCurve, QObject, QVariantAnimation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.viewer import Viewer

_FLIGHT_MS = 350

SHARE = 0.15
"""Part of the canvas that a nucleus fills, so that its neighbours are seen, too."""


class Flight(QObject):
    """One flight at a time; a new one begins where the camera is.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose camera flies.
    parent : QObject
        The widget that owns it.
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._from = self._to = (np.zeros(2), 1.0)
        self._animation = QVariantAnimation(self, duration=_FLIGHT_MS, startValue=0.0, endValue=1.0)
        self._animation.setEasingCurve(QEasingCurve.Type.InOutCubic)
        self._animation.valueChanged.connect(self._step)

    def to(self, first: Sequence[float], last: Sequence[float], *, share: float = SHARE) -> None:
        """Fly to where a box of the viewer's world fills a part of the canvas.

        Parameters
        ----------
        first, last : sequence of float
            Opposite corners of the box, as the two axes on show.
        share : float
            The part of the canvas.
        """
        self._animation.stop()
        camera = self._viewer.scene.camera
        corners = np.array([first, last], float)
        extent = max(float(np.ptp(corners, axis=0).max()), 1e-12)
        zoom = share * min(self._viewer.canvas.size) / extent
        self._from = np.array(camera.center[-2:]), camera.zoom
        self._to = corners.mean(axis=0), zoom
        self._animation.start()

    @property
    def flying(self) -> bool:
        """Whether the camera is on its way."""
        return bool(self._animation.state() == QVariantAnimation.State.Running)

    def stop(self) -> None:
        """Stay where the camera is."""
        self._animation.stop()

    def _step(self, share: float) -> None:
        (start, zoom), (end, last) = self._from, self._to
        camera = self._viewer.scene.camera
        camera.center = (*camera.center[:-2], *(start + share * (end - start)))
        camera.zoom = zoom * (last / zoom) ** share
