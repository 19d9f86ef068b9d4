"""Filters that are moved after a run: the labels follow, without the network."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.segment.jobs import refilter_job

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_nucleigan.segmentation import Segmentation, SegmentSettings
    from napari_nucleigan.widgets.segment.results import Result, Results

_FILTERS = ("threshold", "prominence", "min_area", "max_area")


class Refilter(QObject):
    """Cuts the kept masks of results into nuclei anew, one after the other.

    Parameters
    ----------
    results : Results
        Whose layers follow.
    parent : QObject
        The widget that owns it.
    """

    shown = Signal(object)
    """A `results.Result` whose layer shows the new nuclei."""
    noted = Signal(str)
    """What the user should know."""
    failed = Signal(object)
    """A `NucleiganError`."""

    def __init__(self, results: Results, parent: QObject) -> None:
        super().__init__(parent)
        self._results = results
        self._waiting: deque[Result] = deque()
        self._wanted: SegmentSettings | None = None
        self._runner = Runner(self)
        self._runner.finished.connect(self._finished)
        self._runner.failed.connect(self.failed.emit)

    def start(self, results: Iterable[Result], settings: SegmentSettings) -> None:
        """Give results the filters of some settings; what is still on its way is left."""
        self.cancel()
        self._waiting, self._wanted = deque(results), settings
        self._next()

    def cancel(self) -> None:
        """Leave the results as they are."""
        self._waiting.clear()
        self._runner.cancel()

    def _next(self) -> None:
        while self._waiting and self._waiting[0].segmentation.field is None:
            name = self._waiting.popleft().image.name
            self.noted.emit(f"The mask of “{name}” was too large to keep: press Run to apply the filters.")
        if self._waiting:
            item = self._waiting[0]
            before = item.segmentation
            update = {name: getattr(self._wanted, name) for name in _FILTERS}
            self._runner.start(
                refilter_job(before, before.settings.model_copy(update=update), item.part), "filtering the nuclei"
            )

    def _finished(self, segmentation: Segmentation) -> None:
        item = self._waiting.popleft()
        self._results.prune()
        if item not in self._results:
            pass
        elif item.edited:
            item = self._results.show(item.image, segmentation, item.key, item.part, replace=False)
            self.noted.emit("You have painted in the labels: they were kept, a new layer was added.")
        else:
            self._results.update(item, segmentation)
        self.shown.emit(item)
        self._next()
