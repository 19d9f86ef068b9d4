"""Files for bad inputs: small sound ones of each format, taken apart so that any part of them can be made wrong."""

from __future__ import annotations

import json
import os
import struct
import zlib
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

if TYPE_CHECKING:
    from collections.abc import Callable

    from _bad_case import Check, Outcome
    from napari_nucleigan.models import ModelCard

SHAPE = (64, 96)
"""Of the pictures: six nuclei, 3 microns in radius at 0.25 microns per pixel."""


@cache
def label_image(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Discs on a grid, numbered from 1."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    number = rows // 32 * (shape[1] // 32) + columns // 32 + 1
    inside = (rows % 32 - 16) ** 2 + (columns % 32 - 16) ** 2 <= 11**2
    return np.where(inside, number, 0).astype(np.int32)


@cache
def picture(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """H&E of `label_image`: violet nuclei on a pink ground, with some grain."""
    grain = np.random.default_rng(0).normal(0, 0.05, (*shape, 1))
    inside = label_image(shape)[..., None] > 0
    stains = np.where(inside, 1.3, 0.08) * np.array([0.65, 0.70, 0.29]) + np.where(inside, 0.25, 0.5) * np.array(
        [0.07, 0.99, 0.11]
    )
    return np.rint(255 * np.exp(-stains * (1 + grain))).clip(0, 255).astype(np.uint8)


def write(name: str, content: bytes | str | Callable[[], bytes | str]) -> Callable[[Path], None]:
    """Make a maker of one file; what is large is made only then."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        found = content() if callable(content) else content
        path.write_bytes(found.encode("utf-8", "surrogateescape") if isinstance(found, str) else found)

    return make


def both(*makes: Callable[[Path], object]) -> Callable[[Path], None]:
    """Make a maker of several."""

    def make(folder: Path) -> None:
        for each in makes:
            each(folder)

    return make


def nothing(folder: Path) -> None:
    """Make nothing."""


def json_text(value: Any) -> str:
    """Write a value as JSON, NaN and infinity too."""
    return json.dumps(value)


def deep(depth: int = 100_000) -> str:
    """Write JSON that is nested deeply."""
    return "[" * depth + "]" * depth


# PNG


def png(pixels: np.ndarray | None = None, **options: Any) -> bytes:
    """Encode a PNG."""
    import imagecodecs

    return bytes(imagecodecs.png_encode(np.ascontiguousarray(picture() if pixels is None else pixels), **options))


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Take a PNG apart into kinds and contents."""
    found, place = [], 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        found.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def joined(parts: list[tuple[bytes, bytes]]) -> bytes:
    """Put a PNG together, with the right checksums."""
    body = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def png_with(
    header: dict[int, bytes] | None = None,
    data: bytes | None = None,
    more: list[tuple[bytes, bytes]] | None = None,
    without: tuple[bytes, ...] = (),
    pixels: np.ndarray | None = None,
) -> bytes:
    """Write a PNG some of whose parts are others: bytes of the header by their place, the packed data, more chunks."""
    parts = []
    for kind, content in chunks(png(pixels)):
        if kind in without:
            continue
        if kind == b"IHDR" and header:
            whole = bytearray(content)
            for place, value in header.items():
                whole[place : place + len(value)] = value
            content = bytes(whole)
        if kind == b"IDAT" and data is not None:
            content = data
        parts.append((kind, content))
        if kind == b"IHDR":
            parts += more or []
    return joined(parts)


# TIFF

BYTE, ASCII, SHORT, LONG, RATIONAL = 1, 2, 3, 4, 5
_CODES = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "II", 11: "f", 12: "d"}


def tiff(
    changes: dict[int, tuple[int, list[Any] | bytes] | None] | None = None,
    data: bytes | None = None,
    *,
    order: str = "<",
    magic: int = 42,
    following: int | None = None,
    pixels: np.ndarray | None = None,
) -> bytes:
    """Write a TIFF of one strip by hand; `changes` gives tags other types and values, or leaves them out."""
    pixels = picture() if pixels is None else pixels
    data = pixels.tobytes() if data is None else data
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    tags: dict[int, tuple[int, list[Any] | bytes] | None] = {
        256: (LONG, [pixels.shape[1]]),
        257: (LONG, [pixels.shape[0]]),
        258: (SHORT, [8 * pixels.dtype.itemsize] * samples),
        259: (SHORT, [1]),
        262: (SHORT, [2 if samples > 1 else 1]),
        273: (LONG, [8]),
        277: (SHORT, [samples]),
        278: (LONG, [pixels.shape[0]]),
        279: (LONG, [len(data)]),
        **(changes or {}),
    }
    kept = sorted((tag, each) for tag, each in tags.items() if each is not None)
    begin = 8 + len(data) + len(data) % 2
    place = begin + 2 + 12 * len(kept) + 4
    entries, beyond = b"", b""
    for tag, (kind, values) in kept:
        if isinstance(values, bytes):
            content, count = values, len(values)
        else:
            flat = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
            content, count = struct.pack(f"{order}{len(values) * _CODES[kind]}", *flat), len(values)
        if len(content) > 4:
            pointer = struct.pack(f"{order}I", place + len(beyond))
            beyond += content + b"\0" * (len(content) % 2)
        else:
            pointer = content.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, kind, count) + pointer
    last = struct.pack(f"{order}I", {None: 0, -1: begin}.get(following, following or 0))
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", magic, begin)
    return head + data + b"\0" * (len(data) % 2) + struct.pack(f"{order}H", len(kept)) + entries + last + beyond


def saved(values: np.ndarray, **options: Any) -> bytes:
    """Write a TIFF as tifffile does."""
    stream = BytesIO()
    tifffile.imwrite(stream, values, **{"metadata": None, **options})
    return stream.getvalue()


# What is right


def labels(least: int = 0, most: int = 40, shape: tuple[int, int] = SHAPE, name: str = "out.tif") -> Check:
    """Check a label image that was written: its size, and how many nuclei it has."""

    def check(folder: Path, outcome: Outcome) -> str | None:
        if not (folder / name).is_file():
            return f"{name} was not written"
        values = tifffile.imread(folder / name)
        found = len(np.unique(values)) - 1 if (values == 0).any() else len(np.unique(values))
        if values.shape != shape:
            return f"its labels have the shape {values.shape}, not {shape}"
        if values.dtype.kind not in "ui" or not least <= found <= most:
            return f"{found} nuclei of {values.dtype}, right are {least} to {most}"
        return None

    return check


def looks_right(shape: tuple[int, int] = SHAPE, name: str = "out.tif") -> Check:
    """Check that a picture that was written is that of `picture`, whatever became of its colours."""

    def check(folder: Path, outcome: Outcome) -> str | None:
        if wrong := sized(shape, name)(folder, outcome):
            return wrong
        found = tifffile.imread(folder / name)[..., 1].astype(float)
        right = picture()[..., 1].astype(float)
        alike = max(
            float(np.corrcoef(each.ravel(), found.ravel())[0, 1])
            for turned in (right, right.T)
            for each in (turned, turned[::-1], turned[:, ::-1], turned[::-1, ::-1])
            if each.shape == found.shape
        )
        return None if alike > 0.8 else f"the picture is another: its correlation with the right one is {alike:.2f}"

    return check


def sized(shape: tuple[int, int] = SHAPE, name: str = "out.tif") -> Check:
    """Check that a picture was written, and its size."""

    def check(folder: Path, outcome: Outcome) -> str | None:
        if not (folder / name).is_file():
            return f"{name} was not written"
        found = tifffile.imread(folder / name)
        if found.shape != (*shape, 3) or found.dtype != np.uint8:
            return f"it holds {found.dtype} values of shape {found.shape}"
        return None

    return check


def says(pattern: str, stream: str = "stdout") -> Check:
    """Check that an answer says something."""
    import re

    def check(folder: Path, outcome: Outcome) -> str | None:
        text = outcome.said if stream == "stderr" else outcome.stdout
        return None if re.search(pattern, text, re.IGNORECASE | re.DOTALL) else f"{stream} does not say {pattern!r}"

    return check


def in_json(**wanted: Any) -> Check:
    """Check values of an answer in JSON, by their names; a function tells whether a value is right."""

    def check(folder: Path, outcome: Outcome) -> str | None:
        try:
            answer = json.loads(outcome.stdout, parse_constant=lambda name: 1 / 0)
        except (ValueError, ZeroDivisionError):
            return "the answer is no JSON"
        for path, right in wanted.items():
            value = answer
            for part in path.split("__"):
                value = value[int(part)] if isinstance(value, list) else value.get(part)
            if not (right(value) if callable(right) else value == right):
                return f"{path} is {value!r}"
        return None

    return check


def every(*checks: Check) -> Check:
    """Check several things."""

    def check(folder: Path, outcome: Outcome) -> str | None:
        return next(filter(None, (each(folder, outcome) for each in checks)), None)

    return check


# Models


def model_file(
    path: Path, kind: str = "segmenter", change: Callable[[dict[str, Any]], object] | None = None, **card: Any
) -> Path:
    """Save a small sound model of random weights; `change` then works on its header, past all checks of ours."""
    import torch

    from napari_nucleigan.models import ModelCard, save_model
    from napari_nucleigan.networks import build, build_synthesizer

    torch.manual_seed(0)
    if kind == "segmenter":
        architecture: dict[str, Any] = {"name": "compact-unet", "widths": [8, 8, 8, 8, 8]}
        state = build(architecture).state_dict()
    else:
        architecture = {"name": "painter", "widths": [8, 8, 8, 8], "style_size": 4}
        state = build_synthesizer(architecture).state_dict()
    styles = {"liver": [[1.0, 1, -1, -1], [-1, 1, -1, 1]]} if kind == "synthesizer" else {}
    known: ModelCard = ModelCard(
        kind=kind,
        architecture=architecture,
        **{"name": "tiny", "mpp": 0.25, "styles": styles, **card},  # type: ignore[arg-type]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(path, state, known)
    if change is not None:
        path.write_bytes(changed_model(path.read_bytes(), change))
    return path


def changed_model(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Change the header of a model file; its card lies under ``"card"`` as a dictionary, or as text that is no JSON."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["card"] = json.loads(header["__metadata__"]["nucleigan"])
    change(header)
    card = header.pop("card", None)
    text = card if isinstance(card, str) else json.dumps(card)
    header["__metadata__"] = {"format": "pt"} if card is None else {"nucleigan": text}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


# Data sets


def data_set(folder: Path, names: tuple[str, ...] = ("a", "b"), split: str | None = None) -> Path:
    """Make a sound data set."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / "images" / f"{name}.png").write_bytes(png())
        (folder / "labels" / f"{name}.tif").write_bytes(saved(label_image()))
    if split is not None:
        (folder / "split.csv").write_text(split, "utf-8")
    return folder


def link(name: str, target: str) -> Callable[[Path], None]:
    """Make a maker of a symbolic link."""
    return lambda folder: os.symlink(target, folder / name)


def pipe(name: str) -> Callable[[Path], None]:
    """Make a maker of a pipe that nobody writes to."""
    return lambda folder: os.mkfifo(folder / name)
