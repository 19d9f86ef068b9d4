"""Bad slides of scanners, and folders of tiles."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _bad_case import Case, Make, either, fails
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
    layouts: dict[str, Make] = {
        "no tile": named("a.txt"),
        "no places": named("a.png", "b.png"),
        "row 99 999 999": named("r0_c0.png", "r99999999_c0.png"),
        "column of 30 digits": named("r0_c0.png", f"r0_c{10**30}.png"),
        "twice the same place": named("r0_c0.png", "x_r0_c0.png"),
        "sizes that differ": both(named("r0_c0.png"), write("in/r0_c1.png", png(picture()[:20, :30]))),
        "an empty tile": both(named("r0_c0.png"), write("in/r0_c1.png", b"")),
        "a tile of noise": both(named("r0_c0.png"), write("in/r0_c1.png", b"x" * 100)),
        "a place of QuPath that is far": named(
            "a [d=1,x=99999999999,y=0,w=96,h=64].png", "a [d=1,x=0,y=0,w=96,h=64].png"
        ),
        "a place of QuPath with d=0": named("a [d=0,x=0,y=0,w=96,h=64].png", "a [d=0,x=96,y=0,w=96,h=64].png"),
        "a place of QuPath with d=1e300": named("a [d=1e300,x=0,y=0,w=96,h=64].png"),
        "a place of QuPath with w=0": named("a [d=1,x=0,y=0,w=0,h=0].png", "a [d=1,x=96,y=0,w=0,h=0].png"),
    }
    for name, make in layouts.items():
        yield either(f"tiles/{name}", folder, make, "cannot|tiles|no images|place", _some)


def _some(folder: Path, outcome: Any) -> str | None:
    return None if (folder / "out.tif").is_file() else "nothing was written"


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
