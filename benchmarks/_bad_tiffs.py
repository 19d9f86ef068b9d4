"""Bad TIFF files: cut, twisted, of odd samples and odd colours, with tags and metadata that cannot be."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from _bad_case import Case, Check, Make, answers, either, fails
from _bad_files import ASCII, LONG, RATIONAL, SHAPE, SHORT, looks_right, picture, saved, sized, tiff, write
from _bad_pictures import normalize

_GOOD, _ANY, _READ = looks_right(), sized(), r"cannot read a\.(ome\.)?tif"

Content = bytes | Callable[[], bytes]


def _read(name: str, content: Content, check: Check = _GOOD, file: str = "a.tif") -> Case:
    return answers(f"tiff/{name}", normalize(file), write(file, content), check)


def _refused(name: str, content: Content, says: str = _READ, file: str = "a.tif") -> Case:
    return fails(f"tiff/{name}", normalize(file), write(file, content), says)


def _either(name: str, content: Content, check: Check = _ANY, says: str = _READ, file: str = "a.tif") -> Case:
    return either(f"tiff/{name}", normalize(file), write(file, content), says, check)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _cut()
    yield from _structure()
    yield from _sizes()
    yield from _types()
    yield from _colours()
    yield from _compressed()
    yield from _orientations()
    yield from _scales()
    yield from _described()


def _cut() -> Iterator[Case]:
    whole = tiff()
    for size in (0, 2, 4, 8, 10):
        yield _refused(f"of {size} bytes", whole[:size])
    for name, content in {"": whole, "LZW, ": saved(picture(), compression="lzw"), "tiled, ": _tiled()}.items():
        for share in (15, 50, 85):
            yield _refused(f"{name}cut at {share} %", content[: len(content) * share // 100])
    for name, content in {"LZW": saved(picture(), compression="lzw"), "deflate": saved(picture(), compression="zlib")}.items():
        place = len(content) * 2 // 3
        yield _either(f"{name} with zeros in it", content[:place] + bytes(300) + content[place + 300 :])


def _tiled() -> bytes:
    return saved(picture(), tile=(32, 32), compression="zlib")


def _structure() -> Iterator[Case]:
    whole = tiff()
    begin = struct.unpack("<I", whole[4:8])[0]
    for magic in (0, 41, 44):
        yield _refused(f"the number {magic} in place of 42", tiff(magic=magic))
    yield _read("of a Motorola", tiff(order=">", data=picture().tobytes()))
    yield _refused("no first directory", whole[:4] + bytes(4) + whole[8:])
    yield _refused("its first directory beyond the end", whole[:4] + b"\xff\xff\xff\x7f" + whole[8:])
    yield _refused("its first directory within the header", whole[:4] + b"\2\0\0\0" + whole[8:])
    yield _refused("a directory of no entries", whole[:begin] + b"\0\0" + whole[begin + 2 :])
    yield _refused("a directory of 65 535 entries", whole[:begin] + b"\xff\xff" + whole[begin + 2 :])
    yield _either("directories in a circle", tiff(following=-1), _GOOD)
    yield _either("a second directory beyond the end", tiff(following=0x7FFFFFFF), _GOOD)
    yield _either("a second directory in the pixels", tiff(following=100), _GOOD)
    yield _refused("10 001 pages", lambda: _many_pages(10_001), "pages|cannot read")
    yield _either("3000 pages", lambda: _many_pages(3000), _ANY)
    for tag, name in ((330, "sub-directories"), (34665, "EXIF"), (34853, "GPS")):
        yield _either(f"{name} in a circle", tiff({tag: (LONG, [begin])}), _GOOD)
        yield _either(f"{name} beyond the end", tiff({tag: (LONG, [2**31])}), _GOOD)
    yield _refused("a type of value that is none", tiff({256: (0, struct.pack("<I", 96))}))
    for tag, name in ((256, "width"), (257, "height"), (273, "places of strips"), (279, "sizes of strips"), (262, "colours")):
        yield _either(f"no {name}", tiff({tag: None}), _ANY)
    yield _refused("a strip beyond the end", tiff({273: (LONG, [2**31])}))
    yield _refused("a strip of 4 GB", tiff({279: (LONG, [2**32 - 1])}))
    yield _either("a strip of 0 bytes", tiff({279: (LONG, [0])}), _ANY)
    yield _either("a strip of half its bytes", tiff({279: (LONG, [picture().nbytes // 2])}), _ANY)
    yield _either("strips of 0 rows", tiff({278: (LONG, [0])}), _ANY)
    yield _read("strips of 2**32 - 1 rows", tiff({278: (LONG, [2**32 - 1])}))
    yield _either("one strip of 1 row", tiff({278: (LONG, [1])}), _ANY)
    yield _either("a million strips", lambda: tiff({278: (LONG, [1]), 273: (LONG, [8] * 10**6), 279: (LONG, [8] * 10**6)}), _ANY)
    tile = {322: (LONG, [64]), 323: (LONG, [64]), 324: (LONG, [8]), 325: (LONG, [64 * 64 * 3]), 273: None, 279: None, 278: None}
    yield _either("one tile of two", tiff(tile), _ANY)
    for size in (0, 1, 17, 2**31):
        yield _either(f"tiles {size} wide", tiff({**tile, 322: (LONG, [size])}), _ANY)


def _many_pages(count: int) -> bytes:
    """Write many directories by hand, all of the same pixel."""
    entries = struct.pack("<H", 9)
    for tag, kind, value in (
        (256, 4, 1), (257, 4, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 4, 1), (279, 4, 1)
    ):  # fmt: skip
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
        yield _refused(f"{name}, 18 kB", tiff(size))
        yield _refused(f"{name}, packed", packed(size))
    for name, (height, width) in {"width 0": (64, 0), "height 0": (0, 96), "0 x 0": (0, 0)}.items():
        yield _refused(name, tiff({256: (LONG, [width]), 257: (LONG, [height])}))
    yield _refused("one row more than there are", tiff({257: (LONG, [SHAPE[0] + 1]), 278: (LONG, [SHAPE[0] + 1])}))
    yield _either("0 samples a pixel", tiff({277: (SHORT, [0]), 258: (SHORT, [8])}))
    for samples in (2, 5, 255, 65_535):
        bits = [8] * max(1, min(samples, 300))
        yield _refused(f"{samples} samples a pixel", tiff({277: (SHORT, [samples]), 258: (SHORT, bits)}), "cannot read|channels")
    for bits in (3, 7):
        yield _either(f"{bits} bits a sample", tiff({258: (SHORT, [bits] * 3)}))
    for bits in (0, 64, 65_535):
        yield _refused(f"{bits} bits a sample", tiff({258: (SHORT, [bits] * 3)}))
    yield _refused("samples of 8, 16 and 8 bits", tiff({258: (SHORT, [8, 16, 8])}))


def _types() -> Iterator[Case]:
    grey = picture()[..., 1]
    unit = picture() / 255
    bad = unit.copy()
    bad[10:13, 10:13] = np.nan
    yield _read("16 bits", saved(picture().astype(np.uint16) * 257, photometric="rgb"))
    yield _read("of 16 bits the lower 10", saved(picture().astype(np.uint16) * 4, photometric="rgb"))
    yield _read("32 bits", saved(picture().astype(np.uint32) * 16_843_009, photometric="rgb"))
    yield _read("float32 to 1", saved(unit.astype(np.float32), photometric="rgb"))
    yield _read("float64 to 1", saved(unit, photometric="rgb"))
    yield _read("float16 to 1", saved(unit.astype(np.float16), photometric="rgb"))
    yield _read("float32 to 255", saved(picture().astype(np.float32), photometric="rgb"))
    yield _read("float32 from -1 to 1", saved((2 * unit - 1).astype(np.float32), photometric="rgb"))
    yield _read("float32 with NaN", saved(bad.astype(np.float32), photometric="rgb"))
    yield _read("float32 with infinity", saved(np.where(np.isnan(bad), np.inf, bad).astype(np.float32), photometric="rgb"))
    for name, value in {"NaN": np.nan, "infinity": np.inf, "1e38": 1e38, "-1e38": -1e38}.items():
        yield _refused(f"float32, all {name}", saved(np.full((*SHAPE, 3), value, np.float32), photometric="rgb"), "NaN|white|cannot")
    yield _refused("float32, of 1e30 too", saved(np.where(unit > 0.9, 1e30, unit).astype(np.float32), photometric="rgb"), "white|cannot")
    for kind in ("complex64", "complex128"):
        yield _refused(kind, saved(unit.astype(kind)), "complex|cannot|colours|type")
    for kind in ("int8", "int16", "int32", "int64", "uint64"):
        yield _either(kind, saved(picture().astype(kind), photometric="rgb"), _ANY, "cannot|type|colours")
        yield _either(f"{kind}, grey", saved(grey.astype(kind)), _ANY, "cannot|type|colours")
    yield _read("true and false", saved(grey > 128), _ANY)
    yield _read("1 bit", saved(grey > 128, compression="packbits"), _ANY)
    yield _read("grey", saved(grey), _ANY)
    yield _read("grey of float32", saved((grey / 255).astype(np.float32)), _ANY)


def _colours() -> Iterator[Case]:
    rgb, grey = picture(), picture()[..., 1]
    planar = np.moveaxis(rgb, 2, 0)
    opaque = np.dstack([rgb, np.full(SHAPE, 255, np.uint8)])
    yield _read("planes", saved(planar, photometric="rgb", planarconfig="separate"))
    yield _read("planes in tiles", saved(planar, photometric="rgb", planarconfig="separate", tile=(16, 16)))
    yield _read("planes with alpha", saved(np.moveaxis(opaque, 2, 0), photometric="rgb", planarconfig="separate", extrasamples=[2]))
    yield _read("alpha", saved(opaque, photometric="rgb", extrasamples=[2]))
    yield _read("premultiplied alpha", saved(opaque, photometric="rgb", extrasamples=[1]))
    yield _read("a sample of no meaning", saved(opaque, photometric="rgb", extrasamples=[0]))
    yield _either("an extra sample of kind 9", tiff({338: (SHORT, [9]), 277: (SHORT, [4]), 258: (SHORT, [8] * 4)}, opaque.tobytes()), _GOOD)
    yield _read("white is zero", saved(255 - grey, photometric="miniswhite"), _ANY)
    stacks = {"a stack of 5": 5, "two planes": 2, "four planes": 4, "a stack of 100": 100}
    for name, count in stacks.items():
        yield _refused(name, saved(np.stack([grey] * count), photometric="minisblack"), "stack|channel|planes|cannot read")
    for axes in ("ZYX", "TYX", "CYX", "QYX"):
        many = saved(np.stack([grey] * 5), photometric="minisblack", ome=True, metadata={"axes": axes})
        yield _refused(f"five planes on {axes}", many, "stack|channel|planes|cannot read|2-D", "a.ome.tif")
    yield _refused("time and depth", saved(np.stack([[rgb] * 2] * 2), photometric="rgb", ome=True, metadata={"axes": "TZYXS"}), "2-D|stack|cannot|planes", "a.ome.tif")
    for number, name in {3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab", 32803: "CFA", 32844: "LogL", 32845: "LogLuv", 34892: "raw", 999: "unknown"}.items():
        yield _either(f"colours said to be {name}", tiff({262: (SHORT, [number])}), _ANY)
        yield _either(f"grey said to be {name}", tiff({262: (SHORT, [number])}, pixels=grey), _ANY)
    table = np.repeat(np.arange(256, dtype=np.uint16)[None] * 257, 3, 0)
    yield _read("a palette of greys", tiff({262: (SHORT, [3]), 320: (SHORT, table.ravel().tolist())}, pixels=grey), _ANY)
    for count in (0, 3, 30, 100_000):
        short = tiff({262: (SHORT, [3]), 320: (SHORT, [7] * count)}, pixels=grey)
        yield _either(f"a palette of {count} numbers", short, _ANY)


def _compressed() -> Iterator[Case]:
    for codec in ("lzw", "zlib", "packbits", "lzma", "zstd", "webp", "jpeg2000", "jpeg", "jpegxl", "png", "lerc"):
        options = {"photometric": "rgb", "tile": (32, 32)} if codec in ("jpeg", "png") else {"photometric": "rgb"}
        yield _read(f"packed by {codec}", saved(picture(), compression=codec, **options))
        whole = bytearray(saved(picture(), compression=codec, **options))
        for place in range(len(whole) // 3, len(whole) // 3 + 200):
            whole[place] ^= 0x55
        yield _either(f"packed by {codec}, some bytes turned round", bytes(whole))
    for number in (0, 2, 3, 4, 6, 9, 32766, 32771, 32809, 32895, 33003, 34661, 34712, 50000, 65000):
        yield _either(f"noise of compression {number}", tiff({259: (SHORT, [number])}), _ANY, "cannot read|compression")
    for predictor in (0, 2, 3, 9, 34892):
        yield _either(f"predictor {predictor}", tiff({317: (SHORT, [predictor]), 259: (SHORT, [8])}, zlib.compress(picture().tobytes())))
    yield _either("a strip that unpacks to 2 GB", lambda: tiff({259: (SHORT, [8])}, _bomb(2_000_000_000)), _ANY)
    yield _either("a JPEG of 65 000 squared as a strip", tiff({259: (SHORT, [7]), 262: (SHORT, [6])}, _jpeg(65_000, 65_000)))
    yield _either("a JPEG without tables", tiff({259: (SHORT, [7]), 262: (SHORT, [6])}, _jpeg(*SHAPE)[:20]))
    yield _either("JPEG tables of noise", tiff({259: (SHORT, [7]), 262: (SHORT, [6]), 347: (7, bytes(range(200)))}, _jpeg(*SHAPE)))


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


def _orientations() -> Iterator[Case]:
    for turn in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65_535):
        check = looks_right(SHAPE[::-1] if 5 <= turn <= 8 else SHAPE)
        yield _read(f"turned by {turn}", tiff({274: (SHORT, [turn])}), check)


def _scales() -> Iterator[Case]:
    """Resolutions that cannot be: with a scale given they are read, without one it is asked for."""
    for name, (value, unit) in {
        "0 over 0": ((0, 0), 3),
        "1 over 0": ((1, 0), 3),
        "0 over 1": ((0, 1), 3),
        "1 over 4 billion": ((1, 2**32 - 1), 3),
        "4 billion": ((2**32 - 1, 1), 3),
        "40 000 of no unit": ((40_000, 1), 1),
        "40 000 of unit 9": ((40_000, 1), 9),
        "72 an inch": ((72, 1), 2),
    }.items():
        content = tiff({282: (RATIONAL, [value]), 283: (RATIONAL, [value]), 296: (SHORT, [unit])})
        yield _read(f"resolution {name}", content)
        unknown = ("segment", "a.tif", "-o", "out.tif", "--device", "cpu")
        yield fails(f"tiff/resolution {name}, and none given", unknown, write("a.tif", content), "microns per pixel|mpp|scale")
    for name, values in {"of one axis": ([(40_000, 1)], None), "very unlike": ([(40_000, 1)], [(1, 1)])}.items():
        tags: dict[int, Any] = {282: (RATIONAL, values[0]), 296: (SHORT, [3])}
        if values[1]:
            tags[283] = (RATIONAL, values[1])
        yield fails(f"tiff/resolution {name}", "segment a.tif -o out.tif --device cpu", write("a.tif", tiff(tags)), "microns|mpp|scale")


def _described() -> Iterator[Case]:
    ome = (
        '<?xml version="1.0" encoding="UTF-8"?>{doctype}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image '
        'ID="Image:0"><Pixels BigEndian="false" DimensionOrder="XYCZT" ID="Pixels:0" SizeC="{c}" SizeT="{t}" SizeX="{x}" '
        'SizeY="64" SizeZ="1" Type="uint8" {scale}><Channel ID="Channel:0:0" SamplesPerPixel="3"/>{data}</Pixels></Image></OME>'
    )
    usual = {"doctype": "", "c": "3", "t": "1", "x": "96", "scale": "", "data": '<TiffData IFD="0" PlaneCount="1"/>'}
    laughs = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{"&" + chr(97 + n) + ";" * 1}{("&" + chr(97 + n) + ";") * 9}">' for n in range(12)
    ) + "]>"
    for name, change in {
        "no XML at all": None,
        "cut": "cut",
        "an entity of ten billion laughs": {"doctype": laughs, "scale": 'PhysicalSizeXUnit="&m;"'},
        "an entity of a file": {"doctype": '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>', "scale": 'PhysicalSizeXUnit="&f;"'},
        "SizeX 0": {"x": "0"},
        "SizeX 10**12": {"x": str(10**12)},
        "SizeX that is text": {"x": "wide"},
        "SizeT 10**9": {"t": str(10**9)},
        "SizeC 7": {"c": "7"},
        "another file": {"data": '<TiffData IFD="0"><UUID FileName="../../../etc/passwd">urn:uuid:0</UUID></TiffData>'},
        "a page that is not there": {"data": '<TiffData IFD="99999" PlaneCount="1"/>'},
        "10**9 planes": {"data": '<TiffData IFD="0" PlaneCount="1000000000"/>'},
    }.items():
        text = ome.format(**{**usual, **(change if isinstance(change, dict) else {})})
        text = "OME but no XML" if change is None else text[: len(text) // 2] if change == "cut" else text
        content = tiff({270: (ASCII, text.encode() + b"\0")})
        yield _either(f"OME: {name}", content, _GOOD, file="a.ome.tif")
    for name, scale in {
        "0": 'PhysicalSizeX="0" PhysicalSizeY="0"',
        "negative": 'PhysicalSizeX="-0.25" PhysicalSizeY="-0.25"',
        "NaN": 'PhysicalSizeX="NaN" PhysicalSizeY="NaN"',
        "infinite": 'PhysicalSizeX="INF" PhysicalSizeY="INF"',
        "text": 'PhysicalSizeX="small" PhysicalSizeY="small"',
        "1e300": 'PhysicalSizeX="1e300" PhysicalSizeY="1e300"',
        "1e-300": 'PhysicalSizeX="1e-300" PhysicalSizeY="1e-300"',
        "in parsecs": 'PhysicalSizeX="0.25" PhysicalSizeXUnit="pc" PhysicalSizeY="0.25" PhysicalSizeYUnit="pc"',
        "in a unit of markup": 'PhysicalSizeX="0.25" PhysicalSizeXUnit="[red]" PhysicalSizeY="0.25" PhysicalSizeYUnit="[red]"',
    }.items():
        content = tiff({270: (ASCII, ome.format(**{**usual, "scale": scale}).encode() + b"\0")})
        yield fails(f"tiff/OME: a scale that is {name}", "segment a.ome.tif -o out.tif --device cpu", write("a.ome.tif", content), "microns|mpp|scale")
    for name, text in {
        "MPP nan": "Aperio Image Library v12|AppMag = x|MPP = nan",
        "MPP 0": "Aperio Image Library v12|AppMag = 0|MPP = 0",
        "MPP 1e9": "Aperio Image Library v12|MPP = 1e9",
        "MPP of 10 MB": "Aperio Image Library v12|MPP = " + "9" * 10**7,
        "ImageJ, 10**9 images": "ImageJ=1.53\nimages=1000000000\nslices=1000000000\n",
        "ImageJ, unit of 1 MB": "ImageJ=1.53\nunit=" + "u" * 10**6 + "\n",
        "ImageJ, spacing nan": "ImageJ=1.53\nspacing=nan\nunit=micron\n",
        "shape of tifffile": '{"shape": [1000000, 1000000, 3]}',
        "shape of tifffile, negative": '{"shape": [-1, 96, 3]}',
        "JSON that is deep": '{"shape": ' + "[" * 50_000 + "]" * 50_000 + "}",
        "MetaMorph": "<MetaData><prop id='spatial-calibration-x' value='nan'/></MetaData>",
        "of Latin-1": "caf\xe9 \xb5m",
    }.items():
        yield _either(f"description: {name}", tiff({270: (ASCII, text.encode("latin-1") + b"\0")}), _GOOD)
    yield either("tiff/pixels of another file", normalize("a.tif"), _external, "cannot read", _ANY)


def _external(folder: Path) -> None:
    content = saved(picture(), tile=(32, 32))
    (folder / "a.tif").write_bytes(content[: len(content) - 100])
