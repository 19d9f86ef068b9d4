"""Bad places for results: what is there already, what may not be written, what is full, names that cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from _bad_case import Case, Check, Make, answers, either, fails
from _bad_files import both, data_set, label_image, link, nothing, pipe, png, saved, write

_INPUTS = both(
    write("a.png", png()),
    write("l.tif", saved(label_image())),
    lambda folder: data_set(folder / "in", split="name,organ,split\na,x,train\nb,x,test\n"),
)
_TINY = ("--device", "cpu", "--model", "tiny", "--mpp", "0.25")
_COMMANDS: dict[str, tuple[str, ...]] = {
    "tif": ("segment", "a.png", *_TINY, "-o", "{}.tif"),
    "geojson": ("segment", "a.png", *_TINY, "-o", "{}.geojson"),
    "csv": ("segment", "a.png", *_TINY, "-o", "{}.csv"),
    "ome.zarr": ("segment", "a.png", "--slide", "--workers", "1", *_TINY, "-o", "{}.ome.zarr"),
    "normalized": ("normalize", "a.png", "--method", "reinhard", "-o", "{}.png"),
    "safetensors": ("models", "export", "tiny", "-o", "{}.safetensors"),
    "evaluated.csv": ("evaluate", "l.tif", "l.tif", "--resamples", "0", "--csv", "{}.csv"),
    "evaluated.md": ("evaluate", "l.tif", "l.tif", "--resamples", "0", "--markdown", "{}.md"),
    "regions": ("propose", "a.png", "--device", "cpu", "--mpp", "0.25", "--tta", "1", "-o", "{}.geojson"),
}
_FOLDERS: dict[str, tuple[str, ...]] = {
    "masks": ("masks", "--size", "64", "-o", "{}"),
    "synthesize": ("synthesize", "-n", "1", "--size", "64", "--device", "cpu", "--model", "painter", "-o", "{}"),
    "export": ("export", "coco", "in", "{}"),
    "corrections": ("corrections", "a.png", "l.tif", "--mpp", "0.25", "--region", "0,0,64,96", "-o", "{}"),
    "segment": ("segment", "in/images", *_TINY, "-o", "{}"),
}
_NO = (
    "cannot write|not made by this program|not written over|holds|did not make|in the way|not drawn|is there|"
    "part of the path"
)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _files()
    yield from _folders()
    yield from _full()
    yield from _names()


def _at(arguments: tuple[str, ...], place: str) -> tuple[str, ...]:
    return tuple(part.replace("{}", place) for part in arguments)


def _files() -> Iterator[Case]:
    for kind, arguments in _COMMANDS.items():
        name = _at(arguments, "out")[-1]
        what: dict[str, tuple[Make, bool]] = {
            "a foreign file in the way": (write(name, b"mine" * 100), False),
            "a foreign folder in the way": (write(f"{name}/mine.txt", b"mine"), False),
            "a pipe in the way": (pipe(name), False),
            "a link to /dev/full in the way": (link(name, "/dev/full"), False),
            "a link to a foreign file in the way": (both(write("mine", b"mine" * 100), link(name, "mine")), False),
            "what may not be written": (_closed, True),
        }
        for case, (make, bound) in what.items():
            place = "shut/out" if bound else "out"
            if case == "a foreign folder in the way" and kind not in ("evaluated.csv", "evaluated.md", "regions"):
                # The result may go into the folder, and leaves alone what is there.
                yield either(f"output/{kind}, {case}", _at(arguments, place), both(_INPUTS, make), _NO, _kept)
                continue
            yield fails(f"output/{kind}, {case}", _at(arguments, place), both(_INPUTS, make), _NO, bound=bound)
        yield fails(
            f"output/{kind}, below a file", _at(arguments, "mine/out"), both(_INPUTS, write("mine", b"mine")), _NO
        )
        yield fails(
            f"output/{kind}, a name of 300 bytes", _at(arguments, "x" * 300), _INPUTS, "name too long|cannot write|long"
        )
        yield fails(f"output/{kind}, below /proc", _at(arguments, "/proc/nowhere/out"), _INPUTS, _NO)


def _kept(folder: Path, outcome: object) -> str | None:
    return None if any(path.name == "mine.txt" for path in folder.rglob("*")) else "what was there is gone"


def _closed(folder: Path) -> None:
    (folder / "shut").mkdir()
    (folder / "shut").chmod(0o500)


def _folders() -> Iterator[Case]:
    for kind, arguments in _FOLDERS.items():
        whole: dict[str, tuple[Make, str, bool]] = {
            "a file in the way": (write("out", b"mine"), "out", False),
            "below a file": (write("mine", b"mine"), "mine/out", False),
            "a link to /dev/full in the way": (link("out", "/dev/full"), "out", False),
            "a pipe in the way": (pipe("out"), "out", False),
            "what may not be written": (_closed, "shut/out", True),
            "a name of 300 bytes": (nothing, "x" * 300, False),
            "below /proc": (nothing, "/proc/nowhere/out", False),
        }
        for case, (make, place, bound) in whole.items():
            yield fails(
                f"output/{kind}, {case}",
                _at(arguments, place),
                both(_INPUTS, make),
                _NO + "|name too long|file|folder|path",
                bound=bound,
                notes=kind == "segment",
            )
    foreign = both(_INPUTS, write("out/labels/mine.tif", b"mine"), write("out/images/mine.png", b"mine"))
    for kind in ("masks", "synthesize", "export"):
        yield fails(f"output/{kind}, a foreign folder", _at(_FOLDERS[kind], "out"), foreign, _NO + "|not drawn|holds")
    yield either("output/corrections, a foreign folder", _at(_FOLDERS["corrections"], "out"), foreign, _NO, _mine)
    for kind in ("tif", "normalized"):
        itself = _COMMANDS[kind][:-1]
        yield fails(
            f"output/{kind}, onto its own source",
            (*itself, "a.png"),
            _INPUTS,
            "itself|own|source|format|suffix|written|not made|over",
        )
    yield fails(
        "output/segment, two of one name",
        ("segment", "a.png", "b/a.png", *_TINY, "-o", "out"),
        both(_INPUTS, write("b/a.png", png())),
        "same|two|both",
    )
    yield fails(
        "output/segment, several into one file",
        ("segment", "a.png", "b.png", *_TINY, "-o", "out.tif"),
        both(_INPUTS, write("b.png", png())),
        "one file",
    )
    for suffix in (".jpg", ".xyz", ".npy", ".TXT", ".tif.exe"):
        yield fails(
            f"output/segment, to {suffix}",
            ("segment", "a.png", *_TINY, "-o", f"out{suffix}"),
            _INPUTS,
            "written|format|suffix|tif",
        )


def _mine(folder: Path, outcome: object) -> str | None:
    return None if (folder / "out/labels/mine.tif").read_bytes() == b"mine" else "a foreign file was written over"


def _full() -> Iterator[Case]:
    """Answers into a device that is full: one line, and exit code 1."""
    for name, arguments in {
        "evaluate": ("evaluate", "l.tif", "l.tif", "--resamples", "0"),
        "evaluate --json": ("evaluate", "l.tif", "l.tif", "--resamples", "0", "--json"),
        "models list": ("models", "list"),
        "models info": ("models", "info", "tiny"),
        "models info --json": ("models", "info", "tiny", "--json"),
        "train recipes": ("train", "recipes"),
        "runs list": ("runs", "list", "--json"),
        "--version": ("--version",),
        "--help": ("--help",),
        "segment --help": ("segment", "--help"),
        "export": ("export", "coco", "in", "out", "--json"),
    }.items():
        yield fails(f"full/{name}", arguments, _INPUTS, "space|full", stdout="/dev/full", keeps=("out", "out/*"))


def _names() -> Iterator[Case]:
    names = {
        "of Latin-1": os.fsdecode(b"caf\xe9"),
        "with a line break": "a\nb",
        "with an escape": "a\x1b[31m",
        "with markup": "[red]x[/blue]",
        "of 240 bytes": "x" * 240,
        "of emoji": "\U0001f52c" * 50,
        "like a formula": "=cmd",
        "with spaces": " a ",
        "of a device of Windows": "NUL",
        "with a quote": "a'b\"c",
        "in two folders": "x/y/z",
        "that goes up": "x/../y",
    }
    for name, place in names.items():
        for kind in ("tif", "evaluated.csv"):
            arguments = _at(_COMMANDS[kind], place)
            yield answers(f"output name/{name}, {kind}", arguments, _INPUTS, _written(arguments[-1]))
    yield answers(
        "output name/of 300 bytes after ..",
        ("masks", "--size", "64", "-o", "x/../y"),
        _INPUTS,
        _written("y/labels/mask-00001.tif"),
    )
    empty = both(_INPUTS, write("out.tif", b""))
    yield answers(
        "output name/an empty file in the way",
        _at(_COMMANDS["tif"], "out"),
        empty,
        _written("out.tif"),
        changes=("out.tif",),
    )
    dangling = both(_INPUTS, link("out.tif", "nowhere.tif"))
    yield either(
        "output name/a link to nothing",
        _at(_COMMANDS["tif"], "out"),
        dangling,
        _NO,
        _written("out.tif"),
        changes=("out.tif",),
    )


def _written(name: str) -> Check:
    def check(folder: Path, outcome: object) -> str | None:
        path = folder / name
        return None if path.is_file() and path.stat().st_size else f"{name!a} was not written"

    return check
