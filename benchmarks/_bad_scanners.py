"""Bad slides of scanners, and folders of tiles."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from _bad_case import Case, Make, answers, either, fails
from _bad_files import both, labels, link, nothing, picture, png, saved, write
from _bad_slides import ARGUMENTS, slide

_SIZED = labels(0, 6144)  # the nuclei of a model of random weights


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _tiles()
    yield from _scanners()


def _tiles() -> Iterator[Case]:
    def named(*names: str, content: bytes = b"") -> Make:
        return both(*(write(f"in/{name}", content or png()) for name in names))

    folder = ("segment", "in", "-o", "out.tif", "--slide", *ARGUMENTS[2:])
    refused: dict[str, tuple[Make, str]] = {
        "no tile": (named("a.txt"), "holds no images"),
        "no places": (named("a.png", "b.png"), "do not tell where they lie"),
        "rows and columns without letters": (named("0_0.png", "0_1.png"), "do not tell where they lie"),
        "row 99 999 999": (named("r0_c0.png", "r99999999_c0.png"), "nearly all of them white"),
        "column of 30 digits": (named("r0_c0.png", f"r0_c{10**30}.png"), "nearly all of them white"),
        "twice the same place": (named("r0_c0.png", "x_r0_c0.png"), "lie in one place"),
        "two slides": (named(*(f"{s}_x{x}_y0.png" for s in "ab" for x in (0, 96))), "lie in one place"),
        "two planes of a stack": (named(*(f"a [d=1,x=0,y=0,w=96,h=64,z={z}].png" for z in (0, 1))), "lie in one place"),
        "that overlap": (named("a_x0_y0.png", "a_x86_y0.png"), "do not lie on a grid"),
        "an empty tile": (both(named("r0_c0.png"), write("in/r0_c1.png", b"")), "r0_c1.png: it is empty"),
        "a tile of noise": (both(named("r0_c0.png"), write("in/r0_c1.png", b"x" * 100)), "r0_c1.png: it is not PNG"),
        "a place of QuPath that is far": (
            named("a [d=1,x=99999999999,y=0,w=96,h=64].png", "a [d=1,x=0,y=0,w=96,h=64].png"),
            "do not lie on a grid|nearly all of them white",
        ),
        "a place of QuPath with w=0": (
            named("a [d=0,x=0,y=0,w=0,h=0].png", "a [d=0,x=96,y=0,w=0,h=0].png"),
            "by several factors|d=0",
        ),
    }
    for name, (make, says) in refused.items():
        yield fails(f"tiles/{name}", folder, make, says)
    size: dict[str, tuple[Make, tuple[int, int]]] = {
        "by row and column": (named(*(f"row-{r}_column-{c}.png" for r in (1, 2) for c in (1, 2))), (128, 192)),
        "by pixels": (named(*(f"a_x{x}_y{y}.png" for x in (0, 96) for y in (0, 64))), (128, 192)),
        "that begin left of 0": (named(*(f"a_x{x}_y0.png" for x in (-96, 0))), (64, 192)),
        "with hyphens": (named(*(f"a_x-{x}_y-0.png" for x in (0, 96))), (64, 192)),
        "of QuPath, made smaller": (named(*(f"a [d=4,x={x},y=0,w=384,h=256].png" for x in (0, 384))), (64, 192)),
        "of QuPath, not made smaller": (named(*(f"a [x={x},y=0,w=96,h=64].png" for x in (0, 96))), (64, 192)),
        "one smaller": (both(named("r0_c0.png"), write("in/r0_c1.png", png(picture()[:20, :30]))), (64, 192)),
        "one of QuPath": (named("a [d=1e300,x=0,y=0,w=96,h=64].png"), (64, 96)),
    }
    for name, (make, shape) in size.items():
        yield answers(f"tiles/{name}", folder, make, labels(0, 10**5, shape))


def _scanners() -> Iterator[Case]:
    plain = saved(picture(), photometric="rgb")
    for suffix in ("svs", "ndpi", "scn", "bif", "mrxs", "vms", "vmu", "svslide", "czi", "dcm", "vsi"):
        for name, content in {"empty": b"", "of noise": os.urandom(4000)}.items():
            yield fails(
                f"scanner/{suffix}, {name}",
                slide(f"a.{suffix}"),
                write(f"a.{suffix}", content),
                r"cannot|needs|not installed|no images",
            )
    for suffix in ("svs", "scn", "bif", "ndpi"):
        yield either(
            f"scanner/{suffix} that is a plain TIFF",
            slide(f"a.{suffix}"),
            write(f"a.{suffix}", plain),
            "cannot",
            _SIZED,
        )
        yield fails(f"scanner/{suffix}, cut", slide(f"a.{suffix}"), write(f"a.{suffix}", plain[:3000]), "cannot")
    head = bytes(128) + b"DICM"
    for name, content in {
        "only its head": head,
        "and noise": head + os.urandom(999),
        "a length of 4 GB": head + b"\2\0\0\0UL\4\0\xff\xff\xff\xff",
    }.items():
        yield fails(f"scanner/DICOM, {name}", slide("a.dcm"), write("a.dcm", content), "cannot|needs|no images")
    czi = b"ZISRAWFILE" + bytes(6) + struct.pack("<qq", 2**62, 2**62) + bytes(500)
    yield fails("scanner/CZI with sizes of 2**62", slide("a.czi"), write("a.czi", czi), "cannot|needs|not installed")
    yield fails("scanner/mrxs without its folder", slide("a.mrxs"), write("a.mrxs", png()), "cannot")
    yield fails("scanner/a link to /dev/zero", slide("a.svs"), link("a.svs", "/dev/zero"), "cannot|device")
    yield fails("scanner/a pipe", slide("a.ndpi"), lambda folder: os.mkfifo(folder / "a.ndpi"), "cannot|pipe")
    yield fails("scanner/missing", slide("a.svs"), nothing, "cannot")
