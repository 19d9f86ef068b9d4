"""Work spread over processes: results as they come, stopped at once, and a crash costs one piece of work only."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from multiprocessing.connection import Connection

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

TICK = 0.2
"""Seconds after which `in_processes` gives a sign of life, so that whoever drives it can stop."""

_MOST = 61  # processes that Windows can wait for


class CannotStart(Exception):
    """No process can be started here at all."""


class Crashed:
    """Stands for the result of a piece of work that ended its process."""


def in_processes(
    function: Callable[[_Item], _Result], items: Sequence[_Item], workers: int
) -> Generator[tuple[int, _Result | Crashed] | None, None, None]:
    """Call a function for each item, several at a time, each in a process of its own.

    To close the generator ends the processes at once, whatever they are doing; so does the end of this process, however
    it comes about.

    Parameters
    ----------
    function : callable
        Found by its name in its module, as pickle finds functions.
    items : sequence
        Each small: it is sent to the process.
    workers : int
        Number of processes, at least 1.

    Yields
    ------
    tuple of (int, result) or None
        The place of an item and what the function gave, as they come; `Crashed` where it ended its process (out of
        memory, a fault in a library). None every `TICK` seconds without any.

    Raises
    ------
    CannotStart
        If processes cannot be started: a script that is not guarded by ``if __name__ == "__main__":`` is one reason.
    """
    left = deque(range(len(items)))
    while left:
        suspects = yield from _until_broken(function, items, left, min(workers, len(left), _MOST))
        if suspects and not (yield from _can_start()):
            raise CannotStart
        # Which of them broke the pool shows when each is alone.
        for index in suspects:
            if (yield from _until_broken(function, items, deque([index]), 1)):
                yield index, Crashed()


def _until_broken(
    function: Callable[[_Item], _Result], items: Sequence[_Item], left: deque[int], workers: int
) -> Generator[tuple[int, _Result | Crashed] | None, None, list[int]]:
    """Work off what is left; return what was under way when a process died, if one did."""
    running: dict[Future[_Result], int] = {}
    with _pool(workers) as executor:
        while left or running:
            try:
                # One more than there are processes, so that none waits for the next item.
                while left and len(running) <= workers:
                    running[_submit(executor, function, items[left[0]])] = left[0]
                    left.popleft()
            except BrokenProcessPool:
                return sorted(running.values())
            done, _ = wait(running, TICK, FIRST_COMPLETED)
            if not done:
                yield None
            for future in done:
                try:
                    result = future.result()
                except BrokenProcessPool:
                    return sorted(running.values())
                yield running.pop(future), result
    return []


def _can_start() -> Generator[None, None, bool]:
    with _pool(1) as executor:
        try:
            asked = _submit(executor, abs, 0)
            while not wait([asked], TICK).done:
                yield None
            asked.result()
        except (BrokenProcessPool, OSError):
            return False
    return True


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    # spawn: a fork of a process with threads, as the viewer is, may hang.
    context = get_context("spawn")
    watched, held = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(workers, context, _begin, (watched,))
    try:
        yield executor
    finally:
        held.close()
        executor.shutdown(wait=True, cancel_futures=True)
        watched.close()


def _begin(watched: Connection) -> None:
    """Prepare a process: leave Ctrl-C to the parent, and end when the parent lets go of its end of the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()


def _end_with(watched: Connection) -> None:
    with suppress(OSError, EOFError):
        watched.recv_bytes()
    os._exit(0)


def _submit(executor: ProcessPoolExecutor, function: Callable[[_Item], _Result], item: _Item) -> Future[_Result]:
    """Hand in a piece of work; processes that this starts do not hear Ctrl-C, not even before `_begin`."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return executor.submit(function, item)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return executor.submit(function, item)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
