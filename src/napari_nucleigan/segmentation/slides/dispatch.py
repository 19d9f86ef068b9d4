"""Handing out tiles to a crew, and again where one fails."""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_nucleigan.segmentation.slides.executors import TileExecutor
    from napari_nucleigan.segmentation.slides.tile_store import TileRecord
    from napari_nucleigan.tiling.tiles import Tile

TRIES = 3
"""Times that a tile is tried before it is given up."""

TICK = 0.2
"""Seconds between looks at whether the work is still wanted."""


def segmented(
    crew: TileExecutor, tiles: Sequence[Tile], numbers: Sequence[int], batch: int
) -> Generator[tuple[int, TileRecord | Exception] | None]:
    """Have tiles segmented.

    Parameters
    ----------
    crew : TileExecutor
        Who does it.
    tiles : sequence of Tile
        All tiles of the slide.
    numbers : sequence of int
        Those that are wanted, the most urgent first.
    batch : int
        Tiles that a worker takes at once.

    Yields
    ------
    (int, TileRecord), (int, Exception) or None
        A tile that is done; one that was given up after `TRIES`, and why; and None whenever `TICK` has gone by.
        Whoever closes the generator calls back what no worker has begun.
    """
    waiting = deque(tuple(numbers[start : start + batch]) for start in range(0, len(numbers), batch))
    tries: dict[int, int] = {}
    under_way: dict[Future[list[TileRecord]], tuple[int, ...]] = {}
    try:
        while waiting or under_way:
            while waiting and len(under_way) < crew.room():
                group = waiting.popleft()
                under_way[crew.submit([tiles[number] for number in group])] = group
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
