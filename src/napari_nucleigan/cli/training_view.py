"""Training view: a training as it goes, on the terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.events import Checkpoint, Finished, Losses, Note, Progress, ValidationScores, duration
from napari_nucleigan.cli.console import print_message

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import RenderableType

    from napari_nucleigan.base.events import Event

_QUIET_SECONDS = 30.0  # between lines of losses where there is no terminal


class TrainingView:
    """Losses, validation scores, images per second and the time left, on stderr.

    On a terminal they are a table that is drawn again and again; elsewhere lines, few enough for a log.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        self._last: dict[type[Event], Any] = {}
        self._best: ValidationScores | None = None
        self._printed = 0.0
        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=4)

    def __enter__(self) -> TrainingView:
        """Begin to show."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear what moves."""
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        self._last[type(event)] = event
        if isinstance(event, ValidationScores) and event.best:
            self._best = event
        elif isinstance(event, Note):
            self._console.print(event.text, markup=False, highlight=False, soft_wrap=True)
        if not self._console.is_terminal:
            self._print_line(event)

    def _print_line(self, event: Event) -> None:
        if isinstance(event, ValidationScores):
            best = ", the best so far" if event.best else ""
            print_message(f"step {event.step}: validation {_values(event.values)}{best}")
        elif isinstance(event, Losses) and time.monotonic() - self._printed > _QUIET_SECONDS:
            self._printed = time.monotonic()
            left = self._last[Progress].seconds_left if Progress in self._last else None
            rest = f", {duration(left)} left" if left is not None else ""
            print_message(f"step {event.step}: {_values(event.values)}, {event.images_per_second:.1f} images/s{rest}")
        elif isinstance(event, Finished):
            print_message(f"step {event.step}: finished")

    def _table(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="bold")
        if losses := self._last.get(Losses):
            rows.add_row("losses", _values(losses.values))
            rows.add_row("speed", f"{losses.images_per_second:.1f} images/s, rate {losses.lr:.2g}")
        if scores := self._last.get(ValidationScores):
            rows.add_row("validation", f"{_values(scores.values)} at step {scores.step}")
        if self._best is not None:
            rows.add_row("best", f"{_values(self._best.values)} at step {self._best.step}")
        if saved := self._last.get(Checkpoint):
            rows.add_row("checkpoint", f"step {saved.step}")
        if (now := self._last.get(Progress)) is None:
            return Group(rows, Text("preparing"))
        left = "" if now.seconds_left is None else f", {duration(now.seconds_left)} left"
        text = Text(f"{now.what}: {now.done} of {now.total}{left}")
        return Group(rows, ProgressBar(total=now.total, completed=now.done, width=60), text)


def _values(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
