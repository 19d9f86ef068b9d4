"""Batches that are made ahead of the step that needs them."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Batch = TypeVar("Batch")


class Prefetched(Generic[Batch]):
    """Make the next batches in a thread of their own, while the networks compute.

    Entering yields an iterator over the batches; leaving ends the thread.

    Parameters
    ----------
    batches : callable
        Maps a step to its batch.
    start, stop : int
        Steps.
    """

    def __init__(self, batches: Callable[[int], Batch], start: int, stop: int) -> None:
        self._batches = batches
        self._range = range(start, stop)
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(2)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="crops", daemon=True)

    def __enter__(self) -> Iterator[Batch]:
        """Start."""
        self._thread.start()
        return self._take()

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _fill(self) -> None:
        # Crops are small: one core makes them faster than two that wait for each other.
        torch.set_num_threads(1)
        for step in self._range:
            try:
                item: Batch | BaseException = self._batches(step)
            except Exception as error:  # handed over to the thread that waits for the batch
                item = error
            while not self._ended.is_set():
                try:
                    self._ready.put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if self._ended.is_set() or isinstance(item, BaseException):
                return

    def _take(self) -> Iterator[Batch]:
        for _ in self._range:
            item = self._ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
