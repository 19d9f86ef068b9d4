"""Executors: threads of this process, or the processes of a dask cluster.

Both are executors of `concurrent.futures`; what differs is what a worker must be told, and how many tiles should be
under way.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.errors import ExtraError, RunError
from napari_nucleigan.segmentation.slides.worker import TileWorker, equip_elsewhere, segment_elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from napari_nucleigan.segmentation.instances import Instances
    from napari_nucleigan.segmentation.slides.worker import Equipment, SlideRequest
    from napari_nucleigan.tiling import Tile

THREADS = 2
"""Threads of this process: one at the network, while another reads tiles and cuts nuclei apart."""

TRIES = 3
"""Times that a tile is tried before it is given up."""

TICK = 0.2
"""Seconds between looks at whether the work is still wanted."""

_AHEAD = 2  # tiles for each worker, so that none waits for the next
_PATIENCE = 30.0  # seconds until a scheduler has answered
_ASK_AGAIN = 5.0  # seconds between looks at how many workers there are


@dataclass(eq=False)
class TileExecutor:
    """An executor that knows a slide.

    Attributes
    ----------
    executor : Executor
        Does the work.
    segment, equip : callable
        What to call there: tiles to records, and nothing to `Equipment`.
    count : callable
        Returns how many workers there are now.
    """

    executor: Executor
    segment: Callable[[Sequence[Tile]], list[Instances]]
    equip: Callable[[], Equipment]
    count: Callable[[], int]
    _asked: float = field(default=-_ASK_AGAIN, init=False)
    _room: int = field(default=_AHEAD, init=False)

    def submit(self, tiles: Sequence[Tile]) -> Future[list[Instances]]:
        """Let the next worker that is free segment some tiles."""
        return self.executor.submit(self.segment, tiles)

    def equipment(self) -> Future[Equipment]:
        """Let a worker open slide and model, and tell what it computes with."""
        return self.executor.submit(self.equip)

    def room(self) -> int:
        """Return how many pieces of work should be under way; workers may come and go."""
        if time.monotonic() - self._asked > _ASK_AGAIN:
            self._asked = time.monotonic()
            self._room = _AHEAD * max(1, self.count())
        return self._room


def segmented(
    executor: TileExecutor, tiles: Sequence[Tile], numbers: Sequence[int], batch: int
) -> Generator[tuple[int, Instances | Exception] | None]:
    """Have tiles segmented.

    Parameters
    ----------
    executor : TileExecutor
        Who does it.
    tiles : sequence of Tile
        All tiles of the slide.
    numbers : sequence of int
        Those that are wanted, the most urgent first.
    batch : int
        Tiles that a worker takes at once.

    Yields
    ------
    (int, Instances), (int, Exception) or None
        A tile that is done; one that was given up after `TRIES`, and why; and None whenever `TICK` has gone by.
        Whoever closes the generator calls back what no worker has begun.
    """
    waiting = deque(tuple(numbers[start : start + batch]) for start in range(0, len(numbers), batch))
    tries: dict[int, int] = {}
    under_way: dict[Future[list[Instances]], tuple[int, ...]] = {}
    try:
        while waiting or under_way:
            while waiting and len(under_way) < executor.room():
                group = waiting.popleft()
                under_way[executor.submit([tiles[number] for number in group])] = group
            ready, _ = wait(under_way, TICK, FIRST_COMPLETED)
            if not ready:
                yield None
            for future in ready:
                group = under_way.pop(future)
                error = future.exception()
                if error is None:
                    yield from zip(group, future.result(), strict=True)
                elif not isinstance(error, Exception):
                    raise error
                else:
                    for number in group:
                        tries[number] = tries.get(number, 0) + 1
                        if tries[number] < TRIES:
                            # Each by itself: perhaps only one of them is at fault.
                            waiting.append((number,))
                        else:
                            yield number, error
    finally:
        for future in under_way:
            future.cancel()


@contextmanager
def threads(worker: TileWorker, count: int | None = None) -> Iterator[TileExecutor]:
    """Work in threads of this process.

    Parameters
    ----------
    worker : TileWorker
        What all of them use.
    count : int, optional
        How many; by default `THREADS`.
    """
    number = count or THREADS
    pool = ThreadPoolExecutor(number, "nucleigan-tiles")
    try:
        yield TileExecutor(pool, worker, worker.equipment, lambda: number)
    finally:
        # Whoever cancels does not wait for the tile in hand.
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def cluster(request: SlideRequest, address: str) -> Iterator[TileExecutor]:
    """Work in the processes of a dask cluster.

    A tile whose worker is lost goes to another one.

    Parameters
    ----------
    request : SlideRequest
        What the workers are told.
    address : str
        Of the scheduler, as ``tcp://host:8786``, or the path of its scheduler file.

    Raises
    ------
    ExtraError
        If dask.distributed is not installed.
    RunError
        If the scheduler does not answer.
    """
    client = connect(address)
    try:
        executor = client.get_executor(pure=False)
        yield TileExecutor(
            executor,
            partial(segment_elsewhere, request),
            partial(equip_elsewhere, request),
            lambda: sum(client.nthreads().values()),
        )
        executor.shutdown(wait=False)
    finally:
        client.close(timeout=2)


def connect(address: str) -> Any:
    """Meet the scheduler of a dask cluster.

    Parameters
    ----------
    address : str
        As for `cluster`.

    Returns
    -------
    distributed.Client

    Raises
    ------
    ExtraError, RunError
        As `cluster`.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ExtraError(
            'A dask cluster needs dask.distributed, which is not installed; run: pip install "napari-nucleigan[slides]"'
        ) from error
    file = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    if address.endswith(".json") and not Path(address).is_file():
        # dask would wait for it for ever.
        raise RunError(f"The dask scheduler at {address} does not answer (there is no such file); check its path.")
    try:
        return Client(**file, timeout=_PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise RunError(
            f"The dask scheduler at {address} does not answer ({error}); check its address, and that it runs."
        ) from error
