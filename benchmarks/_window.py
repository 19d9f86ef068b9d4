"""What the benchmarks in a real viewer share: a display, ticks, waiting."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from _table import Skip

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_S = 120


def need_display() -> None:
    """Raise `Skip` where there is no display."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise Skip("it needs a display; run it by scripts/xvfb.sh")


class Ticks:
    """Notes when a timer of 5 ms is heard."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._times: list[float] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(lambda: self._times.append(time.perf_counter()))
        self._timer.start(5)

    def stop(self) -> None:
        """Listen no more."""
        self._timer.stop()

    def worst(self) -> float:
        """Longest time between two ticks in seconds."""
        return float(np.diff(self._times).max())

    def usual(self) -> float:
        """Time in seconds that 95 % of them took at most."""
        return float(np.quantile(np.diff(self._times), 0.95))


def wait(condition: Callable[[], bool]) -> None:
    """Let Qt work until a condition holds."""
    from qtpy.QtWidgets import QApplication

    begun = time.monotonic()
    while not condition():
        QApplication.processEvents()
        time.sleep(0.001)
        if time.monotonic() - begun > LONGEST_S:
            raise TimeoutError("the widget did not get there")


def settle(milliseconds: int) -> None:
    """Let Qt work for a while."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()
