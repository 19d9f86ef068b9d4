"""What the story of a run comes to."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_nucleigan.training.runs.event_log import EventLogReader

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nucleigan.training.runs.run_folder import RunFolder


@dataclass
class RunSummary:
    """What a status needs of ``events.jsonl``; read on from where it was.

    Attributes
    ----------
    tail : EventLogReader
        Reads the file.
    restarts : int
        How often the story was taken back.
    step : int or None
        The last step told of.
    best : dict of str to float
        Scores of the best model.
    best_step : int or None
        When it was found.
    finished : bool
        Whether the training came to its end.
    time : float
        When the last event was written, in seconds since 1970.
    """

    tail: EventLogReader
    restarts: int = 0
    step: int | None = None
    best: dict[str, float] = field(default_factory=dict)
    best_step: int | None = None
    finished: bool = False
    time: float = 0.0

    def update(self) -> None:
        """Read what is new."""
        lines: list[bytes] | None = None
        while lines is None or lines:
            lines = self.tail.lines()
            if self.tail.restarts != self.restarts:
                self.restarts = self.tail.restarts
                self.step, self.best, self.best_step, self.finished = None, {}, None, False
            # Only few lines are worth the parsing.
            for line in lines:
                if b'"event": "scores"' in line:
                    self._scores(line)
                elif b'"event": "finished"' in line:
                    self.finished = True
            losses = next((line for line in reversed(lines) if b'"step": ' in line), None)
            if losses is not None:
                values = _values(losses)
                self.step, self.time = values.get("step", self.step), float(values.get("time") or self.time)

    def _scores(self, line: bytes) -> None:
        values = _values(line)
        if values.get("best"):
            self.best, self.best_step = dict(values.get("values", {})), values.get("step")


def _values(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


_digests: dict[Path, RunSummary] = {}
_digesting = threading.Lock()


def digest_of(folder: RunFolder) -> RunSummary:
    """Return the digest of a run as its story stands; only what is new is read."""
    key = folder.path.absolute()
    with _digesting:
        digest = _digests.setdefault(key, RunSummary(EventLogReader(folder)))
        digest.update()
        return replace(digest)
