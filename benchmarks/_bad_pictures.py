"""Bad pictures: PNG, JPEG and what only calls itself so; paths that name no picture; pictures of nothing."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from _bad_case import Case, Check, Make, answers, either, fails, misused
from _bad_files import (
    SHAPE,
    chunks,
    joined,
    label_image,
    labels,
    link,
    looks_right,
    nothing,
    picture,
    pipe,
    png,
    png_with,
    sized,
    write,
)

_READ = r"cannot read {}"
_GOOD = looks_right()
_ANY = sized()


def segment(name: str) -> tuple[str, ...]:
    """Return the command that segments a picture, which takes some seconds."""
    return ("segment", name, "-o", "out.tif", "--mpp", "0.25", "--device", "cpu", "--tta", "1")


def normalize(name: str) -> tuple[str, ...]:
    """Return the command that only reads a picture, and writes it in other stains."""
    return ("normalize", name, "-o", "out.tif", "--method", "reinhard")


def refused(name: str, make: Make, file: str = "a.png", says: str = "", **more: Any) -> Case:
    """Make a case of a picture that is refused."""
    return fails(name, normalize(file), make, says or _READ.format(file.rsplit("/", 1)[-1].replace("(", r"\(")), **more)


def read(name: str, make: Make, file: str = "a.png", check: Check = _GOOD, **more: Any) -> Case:
    """Make a case of a picture that is odd and read all the same."""
    return answers(name, normalize(file), make, check, **more)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _cut_png()
    yield from _odd_png()
    yield from _jpeg()
    yield from _other_formats()
    yield from _paths()
    yield from _names()
    yield from _contents()


def _cut_png() -> Iterator[Case]:
    whole = png()
    for size in (0, 1, 7, 8, 12, 20, 32, 33, 40):
        yield refused(f"png/of {size} bytes", write("a.png", whole[:size]))
    for share in (20, 40, 60, 80, 95):
        yield refused(f"png/cut at {share} %", write("a.png", whole[: len(whole) * share // 100]))
    for share in (30, 70):
        place = len(whole) * share // 100
        content = whole[:place] + bytes(64) + whole[place + 64 :]
        yield refused(f"png/64 zeros at {share} %", write("a.png", content))
        content = whole[:place] + b"\xff" * 512 + whole[place + 512 :]
        yield refused(f"png/512 ones at {share} %", write("a.png", content))
    yield either("png/without its end", normalize("a.png"), write("a.png", whole[:-12]), "cannot read a.png", _GOOD)
    yield read("png/more after its end", write("a.png", whole + os.urandom(5000)))


def _odd_png() -> Iterator[Case]:
    size = struct.pack
    heads: dict[str, dict[int, bytes]] = {
        "width 0": {0: size(">I", 0)},
        "height 0": {4: size(">I", 0)},
        "width 2**31": {0: size(">I", 2**31)},
        "width 2**32 - 1": {0: size(">I", 2**32 - 1)},
        "height 2**31 - 1": {4: size(">I", 2**31 - 1)},
        "100 000 squared": {0: size(">II", 100_000, 100_000)},
        "65 500 x 6000": {0: size(">II", 65_500, 6000)},
        "one row more": {4: size(">I", SHAPE[0] + 1)},
        "one column more": {0: size(">I", SHAPE[1] + 1)},
        "depth 0": {8: b"\0"},
        "depth 3": {8: b"\3"},
        "depth 32": {8: b"\x20"},
        "colour type 1": {9: b"\1"},
        "colour type 5": {9: b"\5"},
        "colour type 7": {9: b"\7"},
        "palette that is not there": {9: b"\3"},
        "compression 1": {10: b"\1"},
        "filter method 1": {11: b"\1"},
        "interlacing 2": {12: b"\2"},
    }
    for name, header in heads.items():
        yield refused(f"png/{name}", write("a.png", png_with(header)))
    packed = b"".join(content for kind, content in chunks(png()) if kind == b"IDAT")
    rows = zlib.decompress(packed)
    wrong = bytearray(rows)
    wrong[0] = 9
    yield refused("png/no pixels", write("a.png", png_with(without=(b"IDAT",))))
    yield refused("png/pixels of 0 bytes", write("a.png", png_with(data=b"")))
    yield refused("png/pixels that are no zlib", write("a.png", png_with(data=b"x" * 1000)))
    yield refused("png/half of the pixels", write("a.png", png_with(data=zlib.compress(rows[: len(rows) // 2]))))
    yield either(
        "png/twice the pixels",
        normalize("a.png"),
        write("a.png", png_with(data=zlib.compress(rows * 2))),
        "a.png",
        _GOOD,
    )
    yield refused("png/a filter of kind 9", write("a.png", png_with(data=zlib.compress(bytes(wrong)))))
    yield refused("png/no header", write("a.png", png_with(without=(b"IHDR",))))

    def bomb() -> bytes:
        return zlib.compress(bytes(300_000_000), 1)

    yield refused(
        "png/bomb of 20 000 squared 16-bit RGBA",
        write("a.png", lambda: png_with({0: size(">II", 20_000, 20_000), 8: b"\x10\6"}, bomb())),
    )
    for kind in (b"zTXt", b"iCCP", b"iTXt"):
        head = b"x\0\1\0\0\0" if kind == b"iTXt" else b"x\0\0"
        make = write("a.png", lambda kind=kind, head=head: png_with(more=[(kind, head + bomb())]))
        yield either(f"png/{kind.decode()} of 300 MB", normalize("a.png"), make, "a.png", _GOOD)
    for name, density in {
        "scale 0": size(">IIB", 0, 0, 1),
        "scale 1e-9": size(">IIB", 2**31 - 1, 2**31 - 1, 1),
        "scale of 1 m": size(">IIB", 1, 1, 1),
        "scale of no unit": size(">IIB", 4, 4, 7),
        "scale of 3 bytes": b"abc",
    }.items():
        make = write("a.png", png_with(more=[(b"pHYs", density)]))
        if name == "scale of 3 bytes":
            yield either(f"png/{name}", normalize("a.png"), make, "cannot read a.png", _GOOD)
        else:
            yield read(f"png/{name}", make)
        says = "microns per pixel|mpp|header is damaged"
        yield fails(f"png/{name}, and none given", "segment a.png -o out.tif --device cpu", make, says)
    depths: dict[str, tuple[np.ndarray, Check]] = {
        "16 bits": (picture().astype(np.uint16) * 257, _GOOD),
        "16 bits of which 12": (picture().astype(np.uint16) * 16, _GOOD),
        "grey": (picture()[..., 1], _ANY),
        "grey of 16 bits": (picture()[..., 1].astype(np.uint16) * 257, _ANY),
        "opaque": (np.dstack([picture(), np.full(SHAPE, 255, np.uint8)]), _GOOD),
        "transparent": (np.dstack([picture(), np.zeros(SHAPE, np.uint8)]), _GOOD),
        "half transparent": (np.dstack([picture(), np.full(SHAPE, 128, np.uint8)]), _ANY),
    }
    for name, (pixels, check) in depths.items():
        yield read(f"png/{name}", write("a.png", png(pixels)), check=check)
    yield either("png/grey and alpha", normalize("a.png"), _pillow("a.png", "LA"), "channels|cannot read", _ANY)
    yield from _palettes()


def _pillow(name: str, mode: str = "RGB", **options: Any) -> Make:
    def make(folder: Path) -> None:
        from PIL import Image

        Image.fromarray(picture()).convert(mode).save(folder / name, **options)

    return make


def _palettes() -> Iterator[Case]:
    def indexed(change: Any) -> Make:
        def make(folder: Path) -> None:
            from PIL import Image

            stream = BytesIO()
            Image.fromarray(picture()).quantize(64).save(stream, "PNG")
            parts = [(kind, change.get(kind, content)) for kind, content in chunks(stream.getvalue())]
            (folder / "a.png").write_bytes(joined([part for part in parts if part[1] is not None]))

        return make

    yield read("png/a palette", indexed({}))
    yield refused("png/a palette left out", indexed({b"PLTE": None}))
    for name, content in {"of no colours": b"", "of 2 bytes": b"ab", "too long": bytes(3 * 300)}.items():
        yield refused(f"png/a palette {name}", indexed({b"PLTE": content}))
    short = indexed({b"PLTE": bytes(range(12))})
    yield either("png/indices beyond the palette", normalize("a.png"), short, "cannot read a.png", _ANY)
    yield read("png/black and white", _pillow("a.png", "1"), check=_ANY)
    yield read("png/interlaced", write("a.png", _interlaced()))


def _interlaced() -> bytes:
    """Write Adam7 by hand: seven pictures, each of rows without a filter."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = b""
    for top, left, down, right in passes:
        for row in picture()[top::down, left::right]:
            rows += b"\0" + row.tobytes()
    return png_with({12: b"\1"}, zlib.compress(rows))


def _jpeg() -> Iterator[Case]:
    def changed(change: Any, **options: Any) -> Make:
        def make(folder: Path) -> None:
            import imagecodecs

            (folder / "a.jpg").write_bytes(change(bytes(imagecodecs.jpeg_encode(picture(), **options))))

        return make

    def sized(height: int, width: int) -> Any:
        def change(data: bytes) -> bytes:
            place = data.index(b"\xff\xc0") + 5
            return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]

        return change

    for share in (1, 5, 20, 50, 80, 99):
        yield refused(f"jpeg/cut at {share} %", changed(lambda data, to=share: data[: len(data) * to // 100]), "a.jpg")
    for name, change in {
        "only its first marker": lambda data: data[:2],
        "no tables": lambda data: data[:2] + data[data.index(b"\xff\xc0") :],
        "no frame": lambda data: data.replace(b"\xff\xc0", b"\xff\xfe"),
        "12 bits said": lambda data: data.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
        "0 x 0": sized(0, 0),
        "width 0": sized(96, 0),
        "65 500 squared": sized(65_500, 65_500),
    }.items():
        yield refused(f"jpeg/{name}", changed(change), "a.jpg")
    for name, change in {
        "arithmetic coding said": lambda data: data.replace(b"\xff\xc0", b"\xff\xc9"),
        "a marker of length 0": lambda data: data[:2] + b"\xff\xe1\0\0" + data[2:],
    }.items():
        yield either(f"jpeg/{name}", normalize("a.jpg"), changed(change), "cannot read a.jpg", _ANY)
    for share in (40, 60):
        zeros = changed(
            lambda data, to=share: data[: len(data) * to // 100] + bytes(200) + data[len(data) * to // 100 + 200 :]
        )
        yield either(f"jpeg/200 zeros at {share} %", normalize("a.jpg"), zeros, "cannot read a.jpg", _ANY)
    yield read("jpeg/two beginnings", changed(lambda data: data + data), "a.jpg")
    yield read("jpeg/more after its end", changed(lambda data: data + b"x" * 9999), "a.jpg")
    for quality in (1, 30):
        yield read(f"jpeg/quality {quality}", changed(lambda data: data, level=quality), "a.jpg", _ANY)
    yield read("jpeg/grey", _pillow("a.jpg", "L"), "a.jpg", _ANY)
    yield either("jpeg/CMYK", normalize("a.jpg"), _pillow("a.jpg", "CMYK"), "cannot read a.jpg|channels", _GOOD)
    yield read("jpeg/progressive", _pillow("a.jpg", progressive=True), "a.jpg")
    for turn in (0, 1, 3, 6, 8, 9, 65535):
        shape = SHAPE[::-1] if turn in (6, 8) else SHAPE
        exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">H", turn) + bytes(6)
        yield read(f"jpeg/turned by {turn}", _pillow("a.jpg", exif=exif), "a.jpg", looks_right(shape))
    for name, exif in {
        "of noise": b"Exif\0\0" + os.urandom(200),
        "cut": b"Exif\0\0MM\0*\0\0",
        "that points beyond": b"Exif\0\0MM\0*\x7f\xff\xff\xff",
        "that points at itself": b"Exif\0\0MM\0*\0\0\0\x08\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\x08",
    }.items():
        yield read(f"jpeg/EXIF {name}", _pillow("a.jpg", exif=exif), "a.jpg")
    for density in (1, 65535):
        yield read(f"jpeg/density {density}", _pillow("a.jpg", dpi=(density, density)), "a.jpg")


def _other_formats() -> Iterator[Case]:
    def encoded(codec: str, name: str) -> Make:
        def make(folder: Path) -> None:
            import imagecodecs

            (folder / name).write_bytes(bytes(getattr(imagecodecs, f"{codec}_encode")(picture())))

        return make

    for kind in ("gif", "bmp", "webp", "ppm", "tga", "ico", "pcx"):
        form = {"ico": "ICO"}.get(kind, kind.upper())
        yield refused(f"other/{kind.upper()} called .png", _pillow("a.png", format=form))
        yield refused(f"other/a.{kind}", _pillow(f"a.{kind}", format=form), f"a.{kind}")
    for codec in ("jpeg2k", "jpegxl", "avif", "qoi"):
        yield refused(f"other/{codec} called .jpg", encoded(codec, "a.jpg"), "a.jpg")
    yield read("other/PNG called .jpg", write("a.jpg", png()), "a.jpg")
    yield read("other/PNG called .tif", write("a.tif", png()), "a.tif")
    yield read("other/PNG called .xyz", write("a.xyz", png()), "a.xyz")
    magic = {
        "text": b"name,organ,split\n",
        "HTML of a server that says no": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "zip": b"PK\3\4" + bytes(200),
        "PDF": b"%PDF-1.7\n" + bytes(200),
        "ELF": b"\x7fELF" + bytes(200),
        "gzip": b"\x1f\x8b\x08" + bytes(200),
        "SQLite": b"SQLite format 3\0" + bytes(200),
        "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(200),
        "numpy": b"\x93NUMPY\1\0v\0" + bytes(200),
        "pickle": b"\x80\4cos\nsystem\n(S'touch owned'\ntR.",
        "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n",
        "zeros": bytes(100_000),
        "noise": os.urandom(100_000),
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    }
    for name, content in magic.items():
        yield refused(f"other/{name} called .tif", write("a.tif", content), "a.tif")


def _paths() -> Iterator[Case]:
    yield refused("path/missing", nothing)
    yield refused("path/missing folder", nothing, "nowhere/a.png", "cannot read nowhere/a.png")
    yield refused("path/through a file", write("b", b"x"), "b/a.png", "cannot read b/a.png|not a directory")
    yield refused("path/4200 characters", nothing, "x/" * 2098 + "a.png", "name too long|cannot read")
    yield refused("path/a name of 300 characters", nothing, "x" * 300 + ".png", "name too long|cannot read")
    yield fails("path/nothing", segment(""), nothing, "one file|no images")
    yield fails("path/a folder without images", segment("."), write("a.txt", b"x"), "no images|one file")
    yield fails("path/an empty folder", segment("in"), lambda folder: (folder / "in").mkdir(), "no images|one file")
    yield fails(
        "path/a folder called a.png", segment("a.png"), lambda folder: (folder / "a.png").mkdir(), "images|file"
    )
    yield refused("path/a pipe", pipe("a.png"), says="pipe")
    yield refused("path/a link to nothing", link("a.png", "b.png"))
    yield refused("path/a link to itself", link("a.png", "a.png"))
    for device in ("zero", "null", "full", "random"):
        yield refused(f"path/a link to /dev/{device}", link("a.png", f"/dev/{device}"), says="device")
        yield refused(f"path/a link to /dev/{device} as TIFF", link("a.tif", f"/dev/{device}"), "a.tif", "device")
    for name in ("environ", "maps", "status"):
        yield refused(f"path/a link to /proc/self/{name}", link("a.png", f"/proc/self/{name}"))
    yield misused("path/what may not be read", segment("a.png"), _forbidden, "not readable", bound=True)
    yield refused("path/in a folder that may not be entered", _closed, "in/a.png", "denied", bound=True)
    yield misused("path/a folder that may not be listed", segment("in"), _closed, "not readable", bound=True)
    yield misused("path/none", ("segment", "-o", "out.tif"), nothing, "missing argument")
    yield misused("path/no output", ("segment", "a.png"), write("a.png", png()), "--out|-o")
    yield misused("path/like an option", segment("-x.png"), write("-x.png", png()), "no such option|-x")
    yield refused("path/a server that is none", nothing, "https://127.0.0.1:9/a.zarr", "127.0.0.1")
    yield refused("path/an address of no known kind", nothing, "gopher://x/a.zarr", "gopher|cannot read")


def _forbidden(folder: Path) -> None:
    write("a.png", png())(folder)
    (folder / "a.png").chmod(0)


def _closed(folder: Path) -> None:
    write("in/a.png", png())(folder)
    (folder / "in").chmod(0)


def _names() -> Iterator[Case]:
    names = {
        "of Latin-1": os.fsdecode(b"caf\xe9.png"),
        "with a line break": "a\nb.png",
        "with an escape": "a\x1b[31mb.png",
        "with markup": "[red]a[/red].png",
        "with a bell": "a\ab.png",
        "of 255 bytes": "x" * 251 + ".png",
        "like a formula": "=HYPERLINK(1).png",
        "with a quote": "a'b\"c.png",
        "with a glob": "*.png",
        "with a percent sign": "%s%n.png",
        "right to left": "\u202egnp.a.png",
        "of emoji": "\U0001f52c.png",
        "with spaces at its ends": " a .png",
        "of one suffix only": ".png",
        "in capitals": "A.PNG",
    }
    for kind, name in names.items():
        yield read(f"name/{kind}", write(name, png()), name)
    for kind, name in list(names.items())[:6]:
        yield fails(f"name/{kind}, empty", segment(name), write(name, b""), "cannot read")


def _contents() -> Iterator[Case]:
    random = np.random.default_rng(0)
    blank = {"white": 255, "black": 0, "grey": 128, "nearly white": 254}
    for name, value in blank.items():
        make = write("a.png", png(np.full((*SHAPE, 3), value, np.uint8)))
        yield answers(f"content/all {name}", segment("a.png"), make, labels(0, 3))
    for shape in ((1, 1), (1, 2), (2, 2), (3, 3), (1, 500), (500, 1), (7, 9), (2, 20_000), (30_000, 3)):
        pixels = np.resize(picture(), (*shape, 3))
        yield answers(
            f"content/{shape[0]} x {shape[1]}", segment("a.png"), write("a.png", png(pixels)), labels(0, 9999, shape)
        )
    patterns = {
        "noise": random.integers(0, 256, (*SHAPE, 3)).astype(np.uint8),
        "a chessboard": np.indices((*SHAPE, 3)).sum(0).astype(np.uint8) % 2 * 255,
        "stripes": np.broadcast_to((np.arange(SHAPE[1]) % 2 * 255)[None, :, None], (*SHAPE, 3)).astype(np.uint8),
        "inverted H&E": 255 - picture(),
        "swapped channels": picture()[..., ::-1].copy(),
        "only red": picture() * np.array([1, 0, 0], np.uint8),
        "one pixel": np.where(np.arange(SHAPE[0] * SHAPE[1]).reshape(*SHAPE, 1) == 5000, 0, np.full((*SHAPE, 3), 240)),
        "half black": np.where(np.arange(SHAPE[1])[None, :, None] < 48, 0, picture()),
        "labels": np.repeat(label_image()[..., None].astype(np.uint8), 3, 2),
    }
    for name, pixels in patterns.items():
        make = write("a.png", png(np.ascontiguousarray(pixels, np.uint8)))
        yield answers(f"content/{name}", segment("a.png"), make, labels(0, 400))
