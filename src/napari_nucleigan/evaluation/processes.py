"""Comparisons spread over processes: stopped at once, and a crash costs one pair only.

Not `concurrent.futures`: its processes run the main script again, and a script that opens a viewer without a guard
would open another one in each.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari_nucleigan.evaluation.comparing import found_from_json
from napari_nucleigan.evaluation.groups import Failure

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_nucleigan.evaluation.comparing import Found, PairTask

TICK = 0.2
"""Seconds after which `in_processes` gives a sign of life, so that whoever drives it can stop."""

_COMMAND = ("-P", "-m", "napari_nucleigan.evaluation.worker")
_READY = "ready\n"
_CRASHED = "The process that compared it was ended, perhaps for lack of memory."


class CannotStart(Exception):
    """No process can be started here at all."""


def in_processes(comparisons: Sequence[PairTask], workers: int) -> Generator[tuple[int, Found] | None, None, None]:
    """Compare pairs of files, several at a time, each in a process of its own.

    To close the generator ends the processes at once, whatever they are doing.

    Parameters
    ----------
    comparisons : sequence of PairTask
        What to compare.
    workers : int
        Number of processes, at least 1.

    Yields
    ------
    tuple of (int, Found) or None
        The place of a comparison and what it found, as they come. None every `TICK` seconds without any.

    Raises
    ------
    CannotStart
        If no process can be started, or none any more.
    """
    crew = WorkerPool(comparisons)
    threads = [threading.Thread(target=crew.tend, daemon=True) for _ in range(min(workers, len(comparisons)))]
    try:
        for thread in threads:
            thread.start()
        missing = len(comparisons)
        while missing:
            at_work = any(thread.is_alive() for thread in threads)
            try:
                found = crew.found.get(timeout=TICK if at_work else 0)
            except queue.Empty:
                if not at_work:
                    raise CannotStart from None
                yield None
                continue
            missing -= 1
            yield found
    finally:
        crew.dismiss()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


class WorkerPool:
    """Processes, each tended by a thread that hands it one pair after the other."""

    def __init__(self, comparisons: Sequence[PairTask]) -> None:
        self.found: queue.SimpleQueue[tuple[int, Found]] = queue.SimpleQueue()
        self._comparisons = comparisons
        self._left = deque(range(len(comparisons)))
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[str]] = set()
        self._dismissed = False

    def tend(self) -> None:
        """Work off what is left, with another process where one has died; called in a thread."""
        while self._left and (process := self._start()) is not None:
            died = True
            with suppress(OSError), process:  # to close the pipe to a dead process is an error
                died = self._feed(process)
                with self._lock:
                    self._processes.discard(process)
            if not died:
                return

    def dismiss(self) -> None:
        """End all processes."""
        with self._lock:
            self._dismissed = True
            self._left.clear()
            for process in self._processes:
                process.kill()

    def _start(self) -> subprocess.Popen[str] | None:
        """Start a process and wait until it is ready; None where that fails."""
        with self._lock:
            if self._dismissed:
                return None
            try:
                process = subprocess.Popen(
                    [sys.executable, *_COMMAND],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    encoding="utf-8",
                    **_apart(),
                )
            except OSError:
                return None
            self._processes.add(process)
        assert process.stdout is not None
        if process.stdout.readline() == _READY:
            return process
        with process, self._lock:
            self._processes.discard(process)
        return None

    def _feed(self, process: subprocess.Popen[str]) -> bool:
        """Hand pairs to a process until none is left; tell whether it has died."""
        assert process.stdin is not None and process.stdout is not None
        while True:
            try:
                index = self._left.popleft()
            except IndexError:
                return False
            comparison = self._comparisons[index]
            answer = ""
            with suppress(OSError):  # a broken pipe: no answer, either
                print(json.dumps(comparison.to_json()), file=process.stdin, flush=True)
                answer = process.stdout.readline()
            if not answer.endswith("\n"):
                self.found.put((index, Failure(comparison.pair.name, _CRASHED)))
                return True
            self.found.put((index, found_from_json(json.loads(answer))))


def _apart() -> dict[str, Any]:
    """Options that keep Ctrl-C from a process: the program that has started it decides what becomes of it."""
    if os.name == "nt":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined]
        return {"creationflags": flags}
    return {"start_new_session": True}
