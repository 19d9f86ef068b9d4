"""Bad slides in OME-Zarr, damaged or hostile."""

from __future__ import annotations

import gzip
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from _bad_case import Case, Make, answers, either, fails
from _bad_files import SHAPE, both, deep, labels, picture, write

ARGUMENTS = ("-o", "out.tif", "--mpp", "0.25", "--device", "cpu", "--workers", "1", "--model", "tiny")
_READ = r"cannot (be )?(read|find|list)|no images|not known"
_SIZED = labels(0, 6144)  # the nuclei of a model of random weights

Change = Callable[[dict[str, Any], dict[str, Any]], object]
"""Changes the attributes of the group and the metadata of its array."""


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _zarr("zarr 2", _zarr_2, _changes_2())
    yield from _zarr("zarr 3", _zarr_3, _changes_3())
    yield from _chunks()
    yield from _files_of_zarr()


def slide(name: str) -> tuple[str, ...]:
    """Return the command for a slide."""
    return ("segment", name, *ARGUMENTS)


def _attributes() -> dict[str, Any]:
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    scale = [{"type": "scale", "scale": [1, 0.25, 0.25]}]
    return {
        "multiscales": [
            {"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
        ]
    }


def _values() -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(picture(), 2, 0))


def _zarr_2(change: Change = lambda group, array: None, chunk: bytes | None = None) -> Make:
    """Make an image of one chunk in Zarr 2 by hand."""

    def make(folder: Path) -> None:
        group = _attributes()
        array: dict[str, Any] = {
            "zarr_format": 2,
            "shape": [3, *SHAPE],
            "chunks": [3, *SHAPE],
            "dtype": "|u1",
            "compressor": None,
            "fill_value": 0,
            "order": "C",
            "filters": None,
            "dimension_separator": ".",
        }
        change(group, array)
        place = folder / "a.ome.zarr"
        (place / "0").mkdir(parents=True)
        (place / ".zgroup").write_text('{"zarr_format": 2}')
        (place / ".zattrs").write_text(group.get("text") or json.dumps(group))
        (place / "0" / ".zarray").write_text(array.get("text") or json.dumps(array))
        (place / "0" / "0.0.0").write_bytes(_values().tobytes() if chunk is None else chunk)

    return make


def _zarr_3(change: Change = lambda group, array: None, chunk: bytes | None = None) -> Make:
    """Make an image of one chunk in Zarr 3 by hand."""

    def make(folder: Path) -> None:
        ome = _attributes()
        array: dict[str, Any] = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [3, *SHAPE],
            "data_type": "uint8",
            "fill_value": 0,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [3, *SHAPE]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "codecs": [{"name": "bytes"}],
            "attributes": {},
        }
        group: dict[str, Any] = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"ome": {"version": "0.5", **ome}},
        }
        change(group["attributes"]["ome"], array)
        place = folder / "a.ome.zarr"
        (place / "0" / "c" / "0" / "0").mkdir(parents=True)
        (place / "zarr.json").write_text(group["attributes"]["ome"].get("text") or json.dumps(group))
        (place / "0" / "zarr.json").write_text(array.get("text") or json.dumps(array))
        (place / "0" / "c" / "0" / "0" / "0").write_bytes(_values().tobytes() if chunk is None else chunk)

    return make


def _image(**values: Any) -> Change:
    return lambda group, array: group["multiscales"][0].update(values)


def _array(**values: Any) -> Change:
    return lambda group, array: array.update(values)


def _level(**values: Any) -> Change:
    return lambda group, array: group["multiscales"][0]["datasets"][0].update(values)


def _of_both() -> dict[str, Change]:
    axes = _attributes()["multiscales"][0]["axes"]
    paths = ("..", "../../..", "/etc", "0/../../x", "1", "", "0\x00", "0" * 300, "\x1b[31m")
    return {
        "no multiscales": lambda group, array: group.clear(),
        "multiscales empty": lambda group, array: group.update(multiscales=[]),
        "multiscales a number": lambda group, array: group.update(multiscales=5),
        "multiscales a text": lambda group, array: group.update(multiscales="x"),
        "no datasets": lambda group, array: group["multiscales"][0].pop("datasets"),
        "datasets empty": _image(datasets=[]),
        "datasets of null": _image(datasets=[None]),
        "100 000 levels": _image(datasets=[{"path": "0"}] * 100_000),
        "no axes": lambda group, array: group["multiscales"][0].pop("axes"),
        "axes of no names": _image(axes=[{}, {}, {}]),
        "two axes": _image(axes=axes[1:]),
        "five axes": _image(axes=[{"name": "t"}, {"name": "z"}, *axes]),
        "an axis twice": _image(axes=[axes[0], axes[1], axes[1]]),
        "metadata nested deeply": lambda group, array: group.update(text='{"multiscales": ' + deep(50_000) + "}"),
        "metadata cut": lambda group, array: group.update(text='{"multiscales": [{"ver'),
        "metadata of 20 MB": lambda group, array: group.update(text='{"x": "' + "x" * 20_000_000 + '"}'),
        "metadata a list": lambda group, array: group.update(text="[1, 2]"),
        "no codec list": lambda group, array: array.update(text="{}"),
        "array metadata cut": lambda group, array: array.update(text='{"zarr_format": 3, "sha'),
        "array metadata null": lambda group, array: array.update(text="null"),
        "array nested deeply": lambda group, array: array.update(text='{"shape": ' + deep(50_000) + "}"),
        "shape empty": _array(shape=[]),
        "shape of text": _array(shape=["a", "b", "c"]),
        "shape negative": _array(shape=[3, -64, 96]),
        "shape of 1e30": _array(shape=[3, 10**30, 96]),
        "shape of 4 axes": _array(shape=[1, 3, *SHAPE]),
        "one channel": _array(shape=[1, *SHAPE]),
        "five channels": _array(shape=[5, *SHAPE]),
        "no rows": _array(shape=[3, 0, 96]),
        **{f"path {ascii(path)[:20]}": _level(path=path) for path in paths},
        "path null": _level(path=None),
        "path a list": _level(path=["0"]),
    }


def _changes_2() -> dict[str, Change]:
    codecs: dict[str, Any] = {
        "pickle": {"id": "pickle"},
        "msgpack2": {"id": "msgpack2"},
        "json2": {"id": "json2"},
        "none": {"id": ""},
        "bz2": {"id": "bz2"},
        "lzma": {"id": "lzma"},
        "a text": "zlib",
        "a number": 7,
        "no name": {},
        "a path": {"id": "../../x"},
        "markup": {"id": "[red]x"},
    }
    found: dict[str, Change] = {}
    for name, codec in codecs.items():
        found[f"compressor {name}"] = _array(compressor=codec)
        found[f"filter {name}"] = _array(filters=[codec])
    for kind in ("|O", "<U8", "<f4", "<f8", "<u2", ">u4", "<c16", "|b1", "<M8[ns]", "|V12", "x", "", "<u1024"):
        found[f"type {kind!r}"] = _array(dtype=kind)
    found["type of records"] = _array(dtype=[["a", "<u1"], ["b", "<O8"]])
    for size in ([3, 0, 0], [3, -1, 5], [3, 2**40, 2**40], [0], [1] * 9):
        found[f"chunks {size}"] = _array(chunks=size)
    for value in ("NaN", "Infinity", -1, 1e300, {}, "AAAA"):
        found[f"filled with {value!r}"] = _array(fill_value=value)
    found["order Z"] = _array(order="Z")
    found["separator ../"] = _array(dimension_separator="../")
    found["format 9"] = _array(zarr_format=9)
    return found


def _changes_3() -> dict[str, Change]:
    found = _of_both()
    inner = {"name": "numcodecs.pickle"}
    shards = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [3, 7, 7], "codecs": [{"name": "bytes"}], "index_codecs": [{"name": "bytes"}]},
    }
    hidden = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [3, 8, 8], "codecs": [inner], "index_codecs": [inner]},
    }
    for name, codecs in {
        "none": [],
        "null": None,
        "a text": "bytes",
        "numcodecs.pickle": [inner],
        "unknown": [{"name": "x"}],
        "of no name": [{}],
        "shards that do not divide": [shards],
        "a pickle in a shard": [hidden],
        "only gzip": [{"name": "gzip"}],
        "vlen-utf8": [{"name": "vlen-utf8"}],
        "a checksum": [{"name": "bytes"}, {"name": "crc32c"}],
        "200 shards in shards": [_nested(200)],
    }.items():
        found[f"codecs {name}"] = _array(codecs=codecs)
    for kind in ("float32", "string", "object", "r24", "uint1024", "complex64", {"name": "numpy.datetime64"}, None, 3):
        found[f"type {kind!r}"] = _array(data_type=kind)
    for name, grid in {
        "of 2**40": [3, 2**40, 2**40],
        "of 0": [0, 0, 0],
        "negative": [-1, 5, 5],
        "of 2 axes": [64, 96],
        "text": "x",
    }.items():
        found[f"chunks {name}"] = _array(chunk_grid={"name": "regular", "configuration": {"chunk_shape": grid}})
    found["a grid that is not known"] = _array(chunk_grid={"name": "x"})
    found["an extension that must be known"] = _array(must_know={"must_understand": True})
    found["a group in place of the array"] = _array(node_type="group")
    found["storage transformers"] = _array(storage_transformers=[{"name": "x"}])
    return found


def _nested(depth: int) -> dict[str, Any]:
    codec: dict[str, Any] = {"name": "bytes"}
    for _ in range(depth):
        codec = {
            "name": "sharding_indexed",
            "configuration": {"chunk_shape": [1, 1, 1], "codecs": [codec], "index_codecs": []},
        }
    return codec


def _zarr(kind: str, make: Callable[[Change], Make], changes: dict[str, Change]) -> Iterator[Case]:
    yield answers(
        f"{kind}/sound", ("segment", "a.ome.zarr", *ARGUMENTS[:-2]), make(lambda group, array: None), labels(3, 12)
    )
    for name, change in changes.items():
        # What is damaged in its metadata may be read where the rest tells enough, and never wrongly.
        yield either(f"{kind}/{name}", slide("a.ome.zarr"), make(change), _READ, _SIZED)
    scale: dict[str, Any] = {
        "0": [1, 0, 0],
        "negative": [1, -1, -1],
        "NaN": [1, float("nan"), float("nan")],
        "infinite": [1, float("inf"), 1],
        "1e300": [1, 1e300, 1e300],
        "text": [1, "a", "b"],
        "too short": [1],
        "null": None,
    }
    for name, values in scale.items():
        change = _level(coordinateTransformations=[{"type": "scale", "scale": values}])
        arguments = ("segment", "a.ome.zarr", "-o", "out.tif", "--device", "cpu")
        yield fails(f"{kind}/scale {name}", arguments, make(change), "microns|mpp|scale|cannot read|no images")


def _chunks() -> Iterator[Case]:
    values = _values().tobytes()
    packed = {"id": "zlib", "level": 1}
    for name, chunk in {"of 0 bytes": b"", "cut": values[:100], "too long": values * 2}.items():
        yield either(f"chunk/{name}", slide("a.ome.zarr"), _zarr_2(chunk=chunk), _READ, _SIZED)
        yield either(f"chunk/{name}, in Zarr 3", slide("a.ome.zarr"), _zarr_3(chunk=chunk), _READ, _SIZED)
    codecs: dict[str, tuple[Any, bytes]] = {
        "zlib of noise": (packed, os.urandom(5000)),
        "zlib, cut": (packed, zlib.compress(values)[:-50]),
        "zlib of 1 GB": (packed, _bomb()),
        "gzip of 1 GB": ({"id": "gzip", "level": 1}, gzip.compress(bytes(10**8), 1)),
        "blosc that says 2 GB": ({"id": "blosc"}, b"\2\1\0\1" + struct.pack("<III", 2**31 - 1, 2**20, 20) + bytes(4)),
        "blosc of noise": ({"id": "blosc"}, os.urandom(3000)),
        "zstd that says 2**60": ({"id": "zstd"}, b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**60) + bytes(40)),
        "zstd of noise": ({"id": "zstd"}, os.urandom(3000)),
        "zstd of 3 bytes": ({"id": "zstd"}, b"\x28\xb5\x2f"),
        "lz4 that says 2 GB": ({"id": "lz4"}, struct.pack("<I", 2**31 - 1) + bytes(40)),
    }
    for name, (codec, chunk) in codecs.items():
        yield fails(f"chunk/{name}", slide("a.ome.zarr"), _zarr_2(_array(compressor=codec), chunk), _READ)

    def instead(put: Callable[[Path], object]) -> Make:
        def replace(folder: Path) -> None:
            path = folder / "a.ome.zarr" / "0" / "0.0.0"
            path.unlink()
            put(path)

        return both(_zarr_2(), replace)

    for device in ("zero", "full", "random", "null"):
        put = instead(lambda path, to=device: os.symlink(f"/dev/{to}", path))
        yield either(f"chunk/a link to /dev/{device}", slide("a.ome.zarr"), put, _READ, _SIZED)
    yield either("chunk/a pipe", slide("a.ome.zarr"), instead(os.mkfifo), _READ, _SIZED)
    yield either("chunk/a folder", slide("a.ome.zarr"), instead(Path.mkdir), _READ, _SIZED)
    yield either(
        "chunk/a link to itself", slide("a.ome.zarr"), instead(lambda path: os.symlink("0.0.0", path)), _READ, _SIZED
    )
    yield either("chunk/missing", slide("a.ome.zarr"), instead(lambda path: None), _READ, _SIZED)
    yield fails("chunk/may not be read", slide("a.ome.zarr"), both(_zarr_2(), _forbid), _READ, bound=True)
    huge = _zarr_2(_array(shape=[3, 4_000_000, 4_000_000], chunks=[3, 64, 96]))
    yield either("chunk/4 million squared of nothing", slide("a.ome.zarr"), huge, r"cannot|memory|large", _SIZED)
    wide = _zarr_2(_array(shape=[3, 64, 2**50], chunks=[3, 64, 96]))
    yield fails("chunk/64 x 2**50", slide("a.ome.zarr"), wide, r"cannot|memory|large|no images")


def _bomb() -> bytes:
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(10**7)) for _ in range(20)) + packer.flush()


def _forbid(folder: Path) -> None:
    (folder / "a.ome.zarr" / "0" / "0.0.0").chmod(0)


def _files_of_zarr() -> Iterator[Case]:
    yield fails("zarr/an empty folder", slide("a.ome.zarr"), lambda folder: (folder / "a.ome.zarr").mkdir(), _READ)
    yield fails("zarr/a file", slide("a.ome.zarr"), write("a.ome.zarr", b"x"), _READ)
    yield fails("zarr/zipped", slide("a.ome.zarr.zip"), write("a.ome.zarr.zip", b"PK\3\4" + bytes(100)), _READ)
    yield fails("zarr/metadata that is a pipe", slide("a.ome.zarr"), _metadata(os.mkfifo), _READ)
    yield fails("zarr/metadata that is a folder", slide("a.ome.zarr"), _metadata(Path.mkdir), _READ)
    for device in ("zero", "random"):
        make = _metadata(lambda path, to=device: os.symlink(f"/dev/{to}", path))
        yield fails(f"zarr/metadata that are /dev/{device}", slide("a.ome.zarr"), make, _READ)
    for name, channels in {
        "a number": 5,
        "null": None,
        "of null": [None],
        "fluorescent": [{"label": "DAPI"}],
        "a text": "x",
    }.items():
        change = lambda group, array, to=channels: group.update(omero={"channels": to})  # noqa: E731
        yield either(f"zarr/channels {name}", slide("a.ome.zarr"), _zarr_2(change), _READ + "|fluorescence", _SIZED)


def _metadata(put: Callable[[Path], object]) -> Make:
    def make(folder: Path) -> None:
        (folder / "a.ome.zarr").mkdir()
        put(folder / "a.ome.zarr" / ".zattrs")

    return make
