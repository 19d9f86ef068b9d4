"""Bad TIFF files: cut, twisted, of odd samples and odd colours."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from _bad_case import Case, Check, answers, either, fails
from _bad_files import LONG, SHAPE, SHORT, looks_right, picture, saved, sized, tiff, write
from _bad_pictures import normalize

_GOOD, _ANY, _READ = looks_right(), sized(), r"cannot read a\.(ome\.)?tif"

Content = bytes | Callable[[], bytes]


def read_tiff(name: str, content: Content, check: Check = _GOOD, file: str = "a.tif") -> Case:
    return answers(f"tiff/{name}", normalize(file), write(file, content), check)


def refused_tiff(name: str, content: Content, says: str = _READ, file: str = "a.tif") -> Case:
    return fails(f"tiff/{name}", normalize(file), write(file, content), says)


def either_tiff(name: str, content: Content, check: Check = _ANY, says: str = _READ, file: str = "a.tif") -> Case:
    return either(f"tiff/{name}", normalize(file), write(file, content), says, check)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _cut()
    yield from _structure()
    yield from _sizes()
    yield from _types()
    yield from _colours()
    yield from _compressed()


def _cut() -> Iterator[Case]:
    whole = tiff()
    for size in (0, 2, 4, 8, 10):
        yield refused_tiff(f"of {size} bytes", whole[:size])
    for name, content in {"": whole, "LZW, ": saved(picture(), compression="lzw"), "tiled, ": _tiled()}.items():
        for share in (15, 50, 85):
            yield refused_tiff(f"{name}cut at {share} %", content[: len(content) * share // 100])
    for name, content in {
        "LZW": saved(picture(), compression="lzw"),
        "deflate": saved(picture(), compression="zlib"),
    }.items():
        place = len(content) * 2 // 3
        yield either_tiff(f"{name} with zeros in it", content[:place] + bytes(300) + content[place + 300 :])


def _tiled() -> bytes:
    return saved(picture(), tile=(32, 32), compression="zlib")


def _structure() -> Iterator[Case]:
    whole = tiff()
    begin = struct.unpack("<I", whole[4:8])[0]
    for magic in (0, 41, 44):
        yield refused_tiff(f"the number {magic} in place of 42", tiff(magic=magic))
    yield read_tiff("of a Motorola", tiff(order=">", data=picture().tobytes()))
    yield refused_tiff("no first directory", whole[:4] + bytes(4) + whole[8:])
    yield refused_tiff("its first directory beyond the end", whole[:4] + b"\xff\xff\xff\x7f" + whole[8:])
    yield refused_tiff("its first directory within the header", whole[:4] + b"\2\0\0\0" + whole[8:])
    yield refused_tiff("a directory of no entries", whole[:begin] + b"\0\0" + whole[begin + 2 :])
    yield refused_tiff("a directory of 65 535 entries", whole[:begin] + b"\xff\xff" + whole[begin + 2 :])
    yield either_tiff("directories in a circle", tiff(following=-1), _GOOD)
    yield either_tiff("a second directory beyond the end", tiff(following=0x7FFFFFFF), _GOOD)
    yield either_tiff("a second directory in the pixels", tiff(following=100), _GOOD)
    yield refused_tiff("10 001 pages", lambda: _many_pages(10_001), "pages|cannot read")
    yield either_tiff("3000 pages", lambda: _many_pages(3000), _ANY)
    for tag, name in ((330, "sub-directories"), (34665, "EXIF"), (34853, "GPS")):
        yield either_tiff(f"{name} in a circle", tiff({tag: (LONG, [begin])}), _GOOD)
        yield either_tiff(f"{name} beyond the end", tiff({tag: (LONG, [2**31])}), _GOOD)
    yield refused_tiff("a type of value that is none", tiff({256: (0, struct.pack("<I", 96))}))
    for tag, name in (
        (256, "width"),
        (257, "height"),
        (273, "places of strips"),
        (279, "sizes of strips"),
        (262, "colours"),
    ):
        yield either_tiff(f"no {name}", tiff({tag: None}), _ANY)
    yield refused_tiff("a strip beyond the end", tiff({273: (LONG, [2**31])}))
    yield refused_tiff("a strip of 4 GB", tiff({279: (LONG, [2**32 - 1])}))
    yield either_tiff("a strip of 0 bytes", tiff({279: (LONG, [0])}), _ANY)
    yield either_tiff("a strip of half its bytes", tiff({279: (LONG, [picture().nbytes // 2])}), _ANY)
    yield either_tiff("strips of 0 rows", tiff({278: (LONG, [0])}), _ANY)
    yield read_tiff("strips of 2**32 - 1 rows", tiff({278: (LONG, [2**32 - 1])}))
    yield either_tiff("one strip of 1 row", tiff({278: (LONG, [1])}), _ANY)
    yield either_tiff(
        "a million strips", lambda: tiff({278: (LONG, [1]), 273: (LONG, [8] * 10**6), 279: (LONG, [8] * 10**6)}), _ANY
    )
    tile = {
        322: (LONG, [64]),
        323: (LONG, [64]),
        324: (LONG, [8]),
        325: (LONG, [64 * 64 * 3]),
        273: None,
        279: None,
        278: None,
    }
    yield either_tiff("one tile of two", tiff(tile), _ANY)
    for size in (0, 1, 17, 2**31):
        yield either_tiff(f"tiles {size} wide", tiff({**tile, 322: (LONG, [size])}), _ANY)


def _many_pages(count: int) -> bytes:
    """Write many directories by hand, all of the same pixel."""
    entries = struct.pack("<H", 9)
    for tag, kind, value in (
        (256, 4, 1),
        (257, 4, 1),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, 1),
        (279, 4, 1),
    ):
        entries += struct.pack("<HHII", tag, kind, 1, value)
    step = len(entries) + 4
    parts = [b"II*\0\x10\0\0\0" + bytes(8)]
    for number in range(count):
        parts.append(entries + struct.pack("<I", 16 + step * (number + 1) if number < count - 1 else 0))
    return b"".join(parts)


def _sizes() -> Iterator[Case]:

    def packed(size: dict[int, Any]) -> Callable[[], bytes]:
        return lambda: tiff({**size, 259: (SHORT, [8])}, zlib.compress(bytes(100_000_000), 1))

    huge = {"30 000 squared": (30_000, 30_000), "100 000 squared": (100_000, 100_000), "2**31 wide": (64, 2**31)}
    for name, (height, width) in {**huge, "2**32 - 1 squared": (2**32 - 1, 2**32 - 1)}.items():
        size: dict[int, Any] = {256: (LONG, [width]), 257: (LONG, [height]), 278: (LONG, [height])}
        yield refused_tiff(f"{name}, 18 kB", tiff(size))
        yield refused_tiff(f"{name}, packed", packed(size))
    for name, (height, width) in {"width 0": (64, 0), "height 0": (0, 96), "0 x 0": (0, 0)}.items():
        yield refused_tiff(name, tiff({256: (LONG, [width]), 257: (LONG, [height])}))
    yield refused_tiff("one row more than there are", tiff({257: (LONG, [SHAPE[0] + 1]), 278: (LONG, [SHAPE[0] + 1])}))
    yield either_tiff("0 samples a pixel", tiff({277: (SHORT, [0]), 258: (SHORT, [8])}))
    for samples in (2, 5, 255, 65_535):
        bits = [8] * max(1, min(samples, 300))
        yield refused_tiff(
            f"{samples} samples a pixel", tiff({277: (SHORT, [samples]), 258: (SHORT, bits)}), "cannot read|channels"
        )
    for bits in (3, 7):
        yield either_tiff(f"{bits} bits a sample", tiff({258: (SHORT, [bits] * 3)}))
    for bits in (0, 64, 65_535):
        yield refused_tiff(f"{bits} bits a sample", tiff({258: (SHORT, [bits] * 3)}))
    yield refused_tiff("samples of 8, 16 and 8 bits", tiff({258: (SHORT, [8, 16, 8])}))


def _types() -> Iterator[Case]:
    grey = picture()[..., 1]
    unit = picture() / 255
    bad = unit.copy()
    bad[10:13, 10:13] = np.nan
    yield read_tiff("16 bits", saved(picture().astype(np.uint16) * 257, photometric="rgb"))
    yield read_tiff("of 16 bits the lower 10", saved(picture().astype(np.uint16) * 4, photometric="rgb"))
    yield read_tiff("32 bits", saved(picture().astype(np.uint32) * 16_843_009, photometric="rgb"))
    yield read_tiff("float32 to 1", saved(unit.astype(np.float32), photometric="rgb"))
    yield read_tiff("float64 to 1", saved(unit, photometric="rgb"))
    yield read_tiff("float16 to 1", saved(unit.astype(np.float16), photometric="rgb"))
    yield read_tiff("float32 to 255", saved(picture().astype(np.float32), photometric="rgb"))
    yield read_tiff("float32 from -1 to 1", saved((2 * unit - 1).astype(np.float32), photometric="rgb"))
    yield read_tiff("float32 with NaN", saved(bad.astype(np.float32), photometric="rgb"))
    yield read_tiff(
        "float32 with infinity", saved(np.where(np.isnan(bad), np.inf, bad).astype(np.float32), photometric="rgb")
    )
    for name, value in {"NaN": np.nan, "infinity": np.inf, "1e38": 1e38, "-1e38": -1e38}.items():
        yield refused_tiff(
            f"float32, all {name}",
            saved(np.full((*SHAPE, 3), value, np.float32), photometric="rgb"),
            "NaN|white|cannot",
        )
    yield refused_tiff(
        "float32, of 1e30 too",
        saved(np.where(unit > 0.9, 1e30, unit).astype(np.float32), photometric="rgb"),
        "white|cannot",
    )
    for kind in ("complex64", "complex128"):
        yield refused_tiff(kind, saved(unit.astype(kind)), "complex|cannot|colours|type")
    for kind in ("int8", "int16", "int32", "int64", "uint64"):
        yield either_tiff(kind, saved(picture().astype(kind), photometric="rgb"), _ANY, "cannot|type|colours")
        yield either_tiff(f"{kind}, grey", saved(grey.astype(kind)), _ANY, "cannot|type|colours")
    yield read_tiff("true and false", saved(grey > 128), _ANY)
    yield read_tiff("1 bit", saved(grey > 128, compression="packbits"), _ANY)
    yield read_tiff("grey", saved(grey), _ANY)
    yield read_tiff("grey of float32", saved((grey / 255).astype(np.float32)), _ANY)


def _colours() -> Iterator[Case]:
    rgb, grey = picture(), picture()[..., 1]
    planar = np.moveaxis(rgb, 2, 0)
    opaque = np.dstack([rgb, np.full(SHAPE, 255, np.uint8)])
    yield read_tiff("planes", saved(planar, photometric="rgb", planarconfig="separate"))
    yield read_tiff("planes in tiles", saved(planar, photometric="rgb", planarconfig="separate", tile=(16, 16)))
    yield read_tiff(
        "planes with alpha",
        saved(np.moveaxis(opaque, 2, 0), photometric="rgb", planarconfig="separate", extrasamples=[2]),
    )
    yield read_tiff("alpha", saved(opaque, photometric="rgb", extrasamples=[2]))
    yield read_tiff("premultiplied alpha", saved(opaque, photometric="rgb", extrasamples=[1]))
    yield read_tiff("a sample of no meaning", saved(opaque, photometric="rgb", extrasamples=[0]))
    yield either_tiff(
        "an extra sample of kind 9",
        tiff({338: (SHORT, [9]), 277: (SHORT, [4]), 258: (SHORT, [8] * 4)}, opaque.tobytes()),
        _GOOD,
    )
    yield read_tiff("white is zero", saved(255 - grey, photometric="miniswhite"), _ANY)
    stacks = {"a stack of 5": 5, "two planes": 2, "four planes": 4, "a stack of 100": 100}
    for name, count in stacks.items():
        yield refused_tiff(
            name, saved(np.stack([grey] * count), photometric="minisblack"), "stack|channel|planes|cannot read"
        )
    for axes in ("ZYX", "TYX", "CYX", "QYX"):
        many = saved(np.stack([grey] * 5), photometric="minisblack", ome=True, metadata={"axes": axes})
        yield refused_tiff(f"five planes on {axes}", many, "stack|channel|planes|cannot read|2-D", "a.ome.tif")
    yield refused_tiff(
        "time and depth",
        saved(np.stack([[rgb] * 2] * 2), photometric="rgb", ome=True, metadata={"axes": "TZYXS"}),
        "2-D|stack|cannot|planes",
        "a.ome.tif",
    )
    for number, name in {
        3: "palette",
        4: "mask",
        5: "CMYK",
        6: "YCbCr",
        8: "CIELab",
        9: "ICCLab",
        32803: "CFA",
        32844: "LogL",
        32845: "LogLuv",
        34892: "raw",
        999: "unknown",
    }.items():
        yield either_tiff(f"colours said to be {name}", tiff({262: (SHORT, [number])}), _ANY)
        yield either_tiff(f"grey said to be {name}", tiff({262: (SHORT, [number])}, pixels=grey), _ANY)
    table = np.repeat(np.arange(256, dtype=np.uint16)[None] * 257, 3, 0)
    yield read_tiff(
        "a palette of greys", tiff({262: (SHORT, [3]), 320: (SHORT, table.ravel().tolist())}, pixels=grey), _ANY
    )
    for count in (0, 3, 30, 100_000):
        short = tiff({262: (SHORT, [3]), 320: (SHORT, [7] * count)}, pixels=grey)
        yield either_tiff(f"a palette of {count} numbers", short, _ANY)


def _compressed() -> Iterator[Case]:
    for codec in ("lzw", "zlib", "packbits", "lzma", "zstd", "webp", "jpeg2000", "jpeg", "jpegxl", "png", "lerc"):
        options = {"photometric": "rgb", "tile": (32, 32)} if codec in ("jpeg", "png") else {"photometric": "rgb"}
        yield read_tiff(f"packed by {codec}", saved(picture(), compression=codec, **options))
        whole = bytearray(saved(picture(), compression=codec, **options))
        for place in range(len(whole) // 3, len(whole) // 3 + 200):
            whole[place] ^= 0x55
        yield either_tiff(f"packed by {codec}, some bytes turned round", bytes(whole))
    for number in (0, 2, 3, 4, 6, 9, 32766, 32771, 32809, 32895, 33003, 34661, 34712, 50000, 65000):
        yield either_tiff(
            f"noise of compression {number}", tiff({259: (SHORT, [number])}), _ANY, "cannot read|compression"
        )
    for predictor in (0, 2, 3, 9, 34892):
        yield either_tiff(
            f"predictor {predictor}",
            tiff({317: (SHORT, [predictor]), 259: (SHORT, [8])}, zlib.compress(picture().tobytes())),
        )
    yield either_tiff("a strip that unpacks to 2 GB", lambda: tiff({259: (SHORT, [8])}, _bomb(2_000_000_000)), _ANY)
    yield either_tiff(
        "a JPEG of 65 000 squared as a strip", tiff({259: (SHORT, [7]), 262: (SHORT, [6])}, _jpeg(65_000, 65_000))
    )
    yield either_tiff("a JPEG without tables", tiff({259: (SHORT, [7]), 262: (SHORT, [6])}, _jpeg(*SHAPE)[:20]))
    yield either_tiff(
        "JPEG tables of noise", tiff({259: (SHORT, [7]), 262: (SHORT, [6]), 347: (7, bytes(range(200)))}, _jpeg(*SHAPE))
    )


def _jpeg(height: int, width: int) -> bytes:
    import imagecodecs

    data = bytes(imagecodecs.jpeg_encode(picture()))
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def _bomb(size: int) -> bytes:
    packer, parts = zlib.compressobj(1), []
    for _ in range(size // 10_000_000):
        parts.append(packer.compress(bytes(10_000_000)))
    return b"".join([*parts, packer.flush()])
