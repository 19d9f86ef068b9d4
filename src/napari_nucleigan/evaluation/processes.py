"""Pairs of label files compared, here or in several processes: stopped at once, and a crash costs one pair only.

Not `concurrent.futures`: its processes run the main script again, and a script that opens a viewer without a guard
would open another one in each. Run as a program, this module is such a process: a line of JSON in for each pair, a line
of JSON out. It ends when its input does, which is also what becomes of it when the program that started it dies.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from napari_nucleigan import metrics
from napari_nucleigan.base.devices import detached
from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.data.datasets.dataset import only_known, read_known, read_nuclei
from napari_nucleigan.evaluation.averages import Failure, ImageScores
from napari_nucleigan.labels.numbering import remarks_on
from napari_nucleigan.labels.regions import check_pair
from napari_nucleigan.metrics import Scores, Tally

Found: TypeAlias = ImageScores | Failure

TICK = 0.2
"""Seconds after which `in_processes` gives a sign of life, so that whoever drives it can stop."""

_COMMAND = ("-P", "-m", "napari_nucleigan.evaluation.processes")
_FILES = ("truth", "pred", "known")
_READY = "ready\n"
_CRASHED = "The process that compared it was ended, perhaps for lack of memory."


@dataclass(frozen=True, slots=True)
class FilePair:
    """Two label files of one image; its organ where ``split.csv`` names it, and where its true labels are known."""

    name: str
    truth: Path
    pred: Path
    organ: str | None = None
    known: Path | None = None


@dataclass(frozen=True, slots=True)
class PairTask:
    """Two files that are to be compared, and how; as `evaluate_folders` has it."""

    pair: FilePair
    hausdorff: bool = True
    iou: float = 0.5

    def __call__(self) -> Found:
        """Compare them; what keeps them from being compared is told, not raised."""
        pair = self.pair
        try:
            truth, pred = read_nuclei(pair.truth), read_nuclei(pair.pred)
            check_pair(truth, pred)
            if pair.known is not None:
                known = read_known(pair.known)
                truth, pred = only_known(truth, known), only_known(pred, known)
                if not known.any():
                    return Failure(pair.name, "Its image in regions/ says that nobody has looked at its labels.")
            table = metrics.overlaps(truth, pred)
            scores = metrics.evaluate(truth, pred, self.hausdorff, table, self.iou)
        except NucleiganError as error:
            return Failure(pair.name, str(error))
        except MemoryError:
            return Failure(pair.name, "It is too large for the memory of this machine; cut it into tiles.")
        notes = [
            f"in the {what}, {remark}"
            for what, labels in (("true labels", truth), ("prediction", pred))
            for remark in remarks_on(labels)
        ]
        return ImageScores(pair.name, pair.organ, scores, metrics.tally(table, scores), tuple(notes))

    def to_json(self) -> dict[str, Any]:
        """Represent it for another process."""
        pair = self.pair
        files = {name: str(path.absolute()) for name in _FILES if (path := getattr(pair, name)) is not None}
        return {"name": pair.name, "organ": pair.organ, **files, "hausdorff": self.hausdorff, "iou": self.iou}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> PairTask:
        """Rebuild what `to_json` gave."""
        files = {name: Path(record[name]) for name in _FILES if name in record}
        pair = FilePair(record["name"], organ=record["organ"], **files)
        return cls(pair, record["hausdorff"], record["iou"])


def found_to_json(found: Found) -> dict[str, Any]:
    """Represent what was found for another process; every bit of every number comes through."""
    if isinstance(found, Failure):
        return {"name": found.name, "reason": found.reason}
    numbers = {"scores": found.scores.to_json(), "sums": found.tally.sums.tolist()}
    return {"name": found.name, "organ": found.organ, **numbers, "notes": found.notes}


def found_from_json(record: dict[str, Any]) -> Found:
    """Rebuild what `found_to_json` gave."""
    if "reason" in record:
        return Failure(record["name"], record["reason"])
    tally = Tally(np.array(record["sums"], dtype=np.float64))
    return ImageScores(record["name"], record["organ"], Scores(**record["scores"]), tally, tuple(record["notes"]))


class CannotStart(Exception):
    """No process can be started here at all."""


def in_processes(tasks: Sequence[PairTask], workers: int) -> Generator[tuple[int, Found] | None, None, None]:
    """Compare pairs of files, several at a time, each in a process of its own.

    To close the generator ends the processes at once, whatever they are doing.

    Parameters
    ----------
    tasks : sequence of PairTask
        What to compare.
    workers : int
        Number of processes, at least 1.

    Yields
    ------
    tuple of (int, Found) or None
        The place of a task and what it found, as they come. None every `TICK` seconds without any.

    Raises
    ------
    CannotStart
        If no process can be started, or none any more.
    """
    pool = WorkerPool(tasks)
    threads = [threading.Thread(target=pool.work, daemon=True) for _ in range(min(workers, len(tasks)))]
    try:
        for thread in threads:
            thread.start()
        missing = len(tasks)
        while missing:
            at_work = any(thread.is_alive() for thread in threads)
            try:
                found = pool.found.get(timeout=TICK if at_work else 0)
            except queue.Empty:
                if not at_work:
                    raise CannotStart from None
                yield None
                continue
            missing -= 1
            yield found
    finally:
        pool.stop()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


class WorkerPool:
    """Processes, each served by a thread that hands it one pair after the other."""

    def __init__(self, tasks: Sequence[PairTask]) -> None:
        self.found: queue.SimpleQueue[tuple[int, Found]] = queue.SimpleQueue()
        self._tasks = tasks
        self._left = deque(range(len(tasks)))
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def work(self) -> None:
        """Work off what is left, with another process where one has died; called in a thread."""
        while self._left and (process := self._start()) is not None:
            died = True
            with suppress(OSError), process:  # to close the pipe to a dead process is an error
                died = self._feed(process)
                with self._lock:
                    self._processes.discard(process)
            if not died:
                return

    def stop(self) -> None:
        """End all processes."""
        with self._lock:
            self._stopped = True
            self._left.clear()
            for process in self._processes:
                process.kill()

    def _start(self) -> subprocess.Popen[str] | None:
        """Start a process and wait until it is ready; None where that fails."""
        with self._lock:
            if self._stopped:
                return None
            try:
                process = subprocess.Popen(
                    [sys.executable, *_COMMAND],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    encoding="utf-8",
                    **detached(),
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
            task = self._tasks[index]
            line = ""
            with suppress(OSError):  # a broken pipe: no answer, either
                print(json.dumps(task.to_json()), file=process.stdin, flush=True)
                line = process.stdout.readline()
            if not line.endswith("\n"):
                self.found.put((index, Failure(task.pair.name, _CRASHED)))
                return True
            self.found.put((index, found_from_json(json.loads(line))))


def main() -> None:
    """Serve until the input ends."""
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    print(_READY, end="", file=answers, flush=True)
    for line in sys.stdin.buffer:
        found = PairTask.from_json(json.loads(line))()
        print(json.dumps(found_to_json(found)), file=answers, flush=True)


if __name__ == "__main__":
    main()
