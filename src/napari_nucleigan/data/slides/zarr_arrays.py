"""Arrays in Zarr from anywhere: only codecs that compute, and no more memory than the array says that it needs."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr
from zarr.abc.store import Store
from zarr.storage import LocalStore, WrapperStore

from napari_nucleigan.base.reading import FileFault, check_memory, check_regular, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

METADATA = 16_000_000
"""Bytes of a text of metadata; what is made of it takes twenty times as much."""

CODECS = frozenset(
    {"bytes", "blosc", "crc32c", "delta", "gzip", "lz4", "sharding_indexed", "shuffle", "transpose", "zlib", "zstd"}
)
"""Codecs that are run. Others may be anything: one unpickles, which runs programs."""

_CHUNK = 1 << 28  # bytes: several chunks are decoded at once
_SURPLUS = 1 << 20  # bytes that a chunk may have more than it should
_DEFLATE = 1032  # times that data of gzip or zlib can grow at most
_ZSTD_START, _GZIP_START = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"


Stores = Callable[[Path], Store]
"""Gives the place of the chunks of an array whose folder is known."""


def in_folder(path: Path) -> Store:
    """Return the place of the chunks of an array that lie in its own folder."""
    return LocalStore(path, read_only=True)


def open_array(path: Path, store: Stores = in_folder) -> zarr.Array:
    """Open an array for reading.

    Parameters
    ----------
    path : Path
        Its folder.
    store : callable
        Where its chunks are; by default in the folder.

    Raises
    ------
    FileFault, Exception
        If it is damaged, needs a codec that is not one of `CODECS`, or its chunks are too large.
    """
    file = next((path / name for name in ("zarr.json", ".zarray") if (path / name).is_file()), None)
    if file is None:
        raise FileFault(f"its array {path.name} is missing")
    for name in _codecs(read_json(file, METADATA)):
        if name not in CODECS:
            raise FileFault(
                f"its array {path.name} is encoded by {name!r}, which is not run; save it with zstd or blosc"
            )
    bounded = _BoundedStore(store(path))
    array = zarr.open_array(bounded, mode="r")
    chunk = math.prod(array.chunks) * array.dtype.itemsize
    check_memory(chunk, _CHUNK)
    check_memory(math.prod(array.shards or (0,)) * array.dtype.itemsize)
    bounded.most = max(chunk, math.prod(array.shards or (0,)) * array.dtype.itemsize) + _SURPLUS
    return array


def _codecs(metadata: Any) -> Iterator[str]:
    """Go through the names of an array's codecs, of version 2 or 3, those within shards too."""
    inner = metadata.get("codecs") or [metadata.get("compressor"), *(metadata.get("filters") or ())]
    for codec in filter(None, inner):
        yield str(codec.get("name", codec.get("id"))).removeprefix("numcodecs.")
        configuration = codec.get("configuration") or {}
        yield from _codecs({"codecs": [*configuration.get("codecs", ()), *configuration.get("index_codecs", ())]})


class _BoundedStore(WrapperStore[Store]):  # type: ignore[misc]
    """A store that hands out no chunk that would unpack to more than an array's chunks hold."""

    most: int | None = None

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        most = METADATA if self.most is None else self.most
        large = byte_range is None and await self._size(key) > most
        found = None if large else await super().get(key, prototype, byte_range)
        if large or (found is not None and self.most is not None and _unpacked(found.to_bytes(), most) > most):
            raise FileFault(f"its chunk {key} unpacks to more than {most / 1e6:.0f} MB")
        return found

    async def _size(self, key: str) -> int:
        """Return how many bytes a chunk has where it lies, 0 where there is none."""
        store = self._store
        while isinstance(store, WrapperStore):
            store = store._store
        if isinstance(store, LocalStore):
            file = store.root / key
            if not file.exists():
                return 0
            check_regular(file)
            return int(file.stat().st_size)
        try:
            return int(await store.getsize(key) or 0)
        except FileNotFoundError:
            return 0


def _unpacked(data: bytes, most: int) -> int:
    """Size of a chunk once it is unpacked, as far as its first bytes tell its format; of others its own."""
    if data.startswith(_ZSTD_START):
        return _zstd_size(data)
    if data[:1] in (b"\x01", b"\x02") and len(data) >= 16 and int.from_bytes(data[12:16], "little") == len(data):
        return int.from_bytes(data[4:8], "little")  # blosc
    if (data.startswith(_GZIP_START) or data[:1] == b"\x78") and len(data) * _DEFLATE > most:
        try:
            return len(zlib.decompressobj(32 + zlib.MAX_WBITS).decompress(data, most + 1))
        except zlib.error:
            return len(data)
    return len(data)


def _zstd_size(data: bytes) -> int:
    """Size that the header of a zstd frame gives; 0 where it leaves it open, for the decoder refuses those."""
    flags = data[4]
    size = flags >> 6
    single = flags >> 5 & 1
    place = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    count = (single, 2, 4, 8)[size]
    return int.from_bytes(data[place : place + count], "little") + (256 if size == 1 else 0)
