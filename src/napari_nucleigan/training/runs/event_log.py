"""The story of a run, read as it grows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from napari_nucleigan.training.runs.run_folder import EVENTS, RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nucleigan.base.events import Event

_CHUNK = 1 << 20


class Told(NamedTuple):
    """An event of ``events.jsonl`` and when it was written, in seconds since 1970."""

    time: float
    event: Event


class EventLogReader:
    """Reads ``events.jsonl`` as it grows.

    Parameters
    ----------
    run : str, Path or RunFolder
        The run; its folder and the file need not be there yet.

    Attributes
    ----------
    restarts : int
        How often the story was taken back: a resumed run forgets what came after its checkpoint. `read` then begins
        anew, so whoever has kept earlier events must drop them when this number has changed.
    """

    def __init__(self, run: str | Path | RunFolder) -> None:
        self._run = run if isinstance(run, RunFolder) else RunFolder(run)
        self._offset = 0
        self._last = b""
        self.restarts = 0

    def read(self) -> list[Told]:
        """Return the events since the last call, about a megabyte of them at most; none where nothing is new."""
        told = []
        for line in self.lines():
            event = self._run.parse(line)
            if event is not None:
                told.append(Told(float(json.loads(line).get("time", 0.0)), event))
        return told

    def lines(self) -> list[bytes]:
        """Return the whole lines since the last call, unparsed; a torn last line waits until it is whole."""
        try:
            with (self._run.path / EVENTS).open("rb") as handle:
                # What was read last must still be there: the file may have been cut, and have grown again.
                handle.seek(max(0, self._offset - len(self._last)))
                if handle.read(len(self._last)) != self._last:
                    self._restart()
                    handle.seek(0)
                content = handle.read(_CHUNK)
                while content and b"\n" not in content and (more := handle.read(_CHUNK)):
                    content += more
        except OSError:
            if self._offset:
                self._restart()
            return []
        end = content.rfind(b"\n") + 1
        if not end:
            return []
        self._offset += end
        *lines, _ = content[:end].split(b"\n")
        self._last = lines[-1] + b"\n"
        return lines

    def _restart(self) -> None:
        self._offset, self._last = 0, b""
        self.restarts += 1
