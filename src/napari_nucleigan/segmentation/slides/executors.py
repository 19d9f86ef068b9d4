"""Executors: threads of this process, or the processes of a dask cluster.

Both are executors of `concurrent.futures`; what differs is what a worker must be told, and how many tiles should be
under way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.base.errors import ExtraError, NucleiganError, RunError
from napari_nucleigan.base.reading import read_json
from napari_nucleigan.base.text import printable
from napari_nucleigan.segmentation.slides.worker import TileWorker, equip_elsewhere, segment_elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from napari_nucleigan.segmentation.instances import Instances
    from napari_nucleigan.segmentation.slides.worker import Equipment, SlideRequest
    from napari_nucleigan.tiling import Tile

THREADS = 2
"""Threads of this process: one at the network, while another reads tiles and cuts nuclei apart."""

THREADS_OF_GPU = 6
"""The same beside a GPU, at most: its network is done long before the nuclei of a tile are cut apart."""

TRIES = 3
"""Times that a tile is tried before it is given up."""

TICK = 0.2
"""Seconds between looks at whether the work is still wanted."""

_AHEAD = 2  # tiles for each worker, so that none waits for the next
_PATIENCE = 10.0  # seconds until a scheduler has answered
_ASK_AGAIN = 5.0  # seconds between looks at how many workers there are
_ALONE = 15.0  # seconds without any worker after which none is waited for
_KEPT = "Finished tiles are kept, and the same command goes on from them."


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

    Raises
    ------
    RunError
        From `room`, if there is nobody any more who could do the work.
    """

    executor: Executor
    segment: Callable[[Sequence[Tile]], list[Instances]]
    equip: Callable[[], Equipment]
    count: Callable[[], int]
    _asked: float = field(default=-_ASK_AGAIN, init=False)
    _room: int = field(default=_AHEAD, init=False)
    _met: bool = field(default=False, init=False)
    _alone_since: float | None = field(default=None, init=False)

    def submit(self, tiles: Sequence[Tile]) -> Future[list[Instances]]:
        """Let the next worker that is free segment some tiles."""
        try:
            return self.executor.submit(self.segment, tiles)
        except Exception as error:  # of a client that has lost its scheduler
            raise RunError(f"The dask cluster takes no more work; look after it. {_KEPT}") from error

    def equipment(self) -> Future[Equipment]:
        """Let a worker open slide and model, and tell what it computes with."""
        return self.executor.submit(self.equip)

    def room(self) -> int:
        """Return how many pieces of work should be under way; workers may come and go."""
        now = time.monotonic()
        if now - self._asked > _ASK_AGAIN:
            self._asked = now
            workers = self.count()
            self._room = _AHEAD * max(1, workers)
            # Before the first has come, the cluster's queue may take its time.
            self._met = self._met or workers > 0
            self._alone_since = None if workers or not self._met else self._alone_since or now
            if self._alone_since is not None and now - self._alone_since > _ALONE:
                raise RunError(f"All workers of the dask cluster are gone; start others. {_KEPT}")
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
            room = executor.room()
            while waiting and len(under_way) < room:
                group = waiting.popleft()
                under_way[executor.submit([tiles[number] for number in group])] = group
            ready, _ = wait(under_way, TICK, FIRST_COMPLETED)
            if not ready:
                yield None
            for future in ready:
                group = under_way.pop(future)
                try:
                    error = future.exception()
                except CancelledError as cancelled:  # not by us, who are still looking
                    raise RunError(f"The dask cluster has dropped the work; look after it. {_KEPT}") from cancelled
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
        How many; by default `THREADS`, and more beside a GPU.
    """
    spare = 0 if worker.equipment().device == "cpu" else min(THREADS_OF_GPU, usable_cores())
    number = count or max(THREADS, spare)
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
    with _without_its_log():
        client = connect(address)

        def count() -> int:
            try:
                return sum(client.sync(client.scheduler.ncores, callback_timeout=_PATIENCE).values())
            except (OSError, TimeoutError, CancelledError) as error:
                raise RunError(
                    f"The dask scheduler at {printable(address)} does not answer any more; start it again. {_KEPT}"
                ) from error

        try:
            executor = client.get_executor(pure=False)
            yield TileExecutor(executor, partial(segment_elsewhere, request), partial(equip_elsewhere, request), count)
            executor.shutdown(wait=False)
        finally:
            # One that is gone would be waited for.
            with suppress(Exception):
                client.close(timeout=2)


@contextmanager
def _without_its_log() -> Iterator[None]:
    """Keep dask from writing on the terminal what is said in a sentence here."""
    logs = [logging.getLogger(name) for name in ("distributed", "distributed.client", "tornado", "asyncio")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


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
        from distributed import Client, Security, rpc
    except ImportError as error:
        raise ExtraError(
            'A dask cluster needs dask.distributed, which is not installed; run: pip install "napari-nucleigan[slides]"'
        ) from error

    async def greet(where: str) -> str:
        """Ask who is there: a client would wait for ever for a server that is no scheduler."""
        security = Security().get_connection_args("client")  # type: ignore[no-untyped-call]
        async with rpc(where, connection_args=security, timeout=_PATIENCE) as other:  # type: ignore[no-untyped-call]
            return str((await asyncio.wait_for(other.identity(), _PATIENCE))["type"])

    fault = "check its address, and that it runs"
    try:
        where = str(read_json(address)["address"]) if address.endswith(".json") else address
        with ThreadPoolExecutor(1) as apart:  # where no other loop runs, as in a notebook
            kind = "Scheduler" if where.startswith("inproc") else apart.submit(asyncio.run, greet(where)).result()
        if kind != "Scheduler":
            raise RunError(f"At {printable(address)} is a dask {kind.lower()}, and no scheduler; {fault}.")
        return Client(where, timeout=_PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
    except NucleiganError:
        raise
    except Exception as error:  # whatever a server that is none makes dask say
        said = printable(error) or "it says nothing"
        raise RunError(f"The dask scheduler at {printable(address)} does not answer ({said}); {fault}.") from error
