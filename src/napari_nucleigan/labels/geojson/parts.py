"""GeoJSON of more nuclei than fit into memory: written part by part, into several files where they are many."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy.typing as npt

from napari_nucleigan.base.files import atomic_write, refuse_foreign, says_so
from napari_nucleigan.labels.geojson.writing import binary, compact, lines

if TYPE_CHECKING:
    from napari_nucleigan.labels.classes import Colour

MOST = 100_000
"""Nuclei in a file: QuPath, which reads a file as a whole, takes them part by part."""

_AHEAD = 2  # parts that are traced and encoded while others are compressed and written


class GeoJSONPart(NamedTuple):
    """The nuclei of a part of an image.

    Attributes
    ----------
    labels : ndarray of integers, shape (h, w)
        0 is background.
    features : mapping of str to ndarray, shape (n,)
        As for `labels_to_geojson`.
    origin : (int, int)
        Row and column of its first pixel, in such pixels.
    """

    labels: npt.NDArray[Any]
    features: Mapping[str, npt.NDArray[Any]]
    origin: tuple[int, int]


def part_path(path: Path, number: int) -> Path:
    """Name the file of the nuclei from ``(number - 1) * MOST`` on: ``x.part2.geojson.gz``; the first has no number."""
    if number == 1:
        return path
    suffix = ".geojson.gz" if path.name.lower().endswith(".geojson.gz") else path.suffix
    return path.with_name(f"{path.name[: -len(suffix)]}.part{number}{path.name[-len(suffix) :]}")


def part_files(path: Path) -> list[Path]:
    """Return a file and the further ones beside it that hold the rest of its nuclei."""
    further = (part_path(path, number) for number in itertools.count(2))
    return [path, *itertools.takewhile(says_so, further)]


def write_geojson_parts(
    path: str | Path,
    parts: Iterable[GeoJSONPart],
    shape: tuple[int, int],
    mpp: float | None = None,
    factors: tuple[float, float] = (1.0, 1.0),
    colours: Mapping[str, Colour] | None = None,
) -> list[Path]:
    """Write the nuclei of an image part by part, of which only a few are held at a time; whole or not at all.

    Outlines are traced in other threads than the one that compresses and writes.

    Parameters
    ----------
    path : str or Path
        The file; it is compressed if its name ends in ``.gz``. Of more than `MOST` nuclei the rest goes to further
        files, as `part_path` names them; those of an earlier, larger result are removed.
    parts : iterable of GeoJSONPart
        Each nucleus in one of them.
    shape : (int, int)
        Height and width of the image in pixels.
    mpp : float, optional
        Microns per pixel of the image.
    factors : (float, float)
        Pixels of the image that a pixel of the parts is high and wide.
    colours : mapping of str to (int, int, int), optional
        Colours of the classes.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    OutputError
        If a file cannot be written, or one of the further names belongs to something else.
    """
    path = Path(path)
    head = compact({"height": shape[0], "width": shape[1], "mpp": mpp})

    def encoded(part: GeoJSONPart) -> list[bytes]:
        return lines(part.labels, part.features, colours or {}, part.origin, factors)

    before = part_files(path)
    # The files appear together, the first one last.
    with ExitStack() as stack, ThreadPoolExecutor(_AHEAD, "nucleigan-outlines") as pool:
        files = _Files(path, f'{{"type":"FeatureCollection","nucleigan":{head},"features":['.encode(), stack)
        for written in _ahead(pool, encoded, parts):
            files.add(written)
        files.end()
    for old in before[len(files.paths) :]:
        old.unlink(missing_ok=True)
    return files.paths


class _Files:
    """Files of at most `MOST` features, each with the same head."""

    def __init__(self, path: Path, head: bytes, stack: ExitStack) -> None:
        self._path, self._head, self._stack = path, head, stack
        self.paths: list[Path] = []
        self._count = 0
        self._next()

    def add(self, lines: list[bytes]) -> None:
        """Write features, each a line."""
        while lines:
            if self._count == MOST:
                self.end()
                self._next()
            taken, lines = lines[: MOST - self._count], lines[MOST - self._count :]
            self._file.write((b",\n" if self._count else b"\n") + b",\n".join(taken))
            self._count += len(taken)

    def end(self) -> None:
        """Finish a file."""
        self._file.write(b"\n]}\n")
        self._file.close()

    def _next(self) -> None:
        path = part_path(self._path, len(self.paths) + 1)
        if self.paths:
            refuse_foreign(path)
        temporary = self._stack.enter_context(atomic_write(path))
        self._file = self._stack.enter_context(binary(temporary))
        self._file.write(self._head)
        self.paths.append(path)
        self._count = 0


def _ahead(
    pool: ThreadPoolExecutor, call: Callable[[GeoJSONPart], list[bytes]], parts: Iterable[GeoJSONPart]
) -> Iterator[list[bytes]]:
    """Call something of each part in threads, a few parts ahead of what is taken, in their order."""
    under_way: deque[Future[list[bytes]]] = deque()
    for part in parts:
        under_way.append(pool.submit(call, part))
        if len(under_way) > _AHEAD:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()
