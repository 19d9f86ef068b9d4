"""Bad model files and cards; what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _bad_case import Case, Make, answers, either, fails, misused
from _bad_files import (
    both,
    deep,
    in_json,
    json_text,
    labels,
    link,
    model_file,
    nothing,
    pipe,
    png,
    says,
    write,
)

_FILE = "m.safetensors"
_PICTURE = write("a.png", png())
_NO = "cannot|model|card|not|cut short|encoding"
_SEGMENT = ("segment", "a.png", "-o", "out.tif", "--mpp", "0.25", "--device", "cpu", "--model", _FILE)


def cases() -> Iterator[Case]:
    """All of them."""
    for name, make in _whole().items():
        if name != "its end zeroed":  # only the header is looked at
            yield fails(f"model/{name}, info", ("models", "info", _FILE), make, _NO)
        yield fails(f"model/{name}, to segment", _SEGMENT, both(_PICTURE, make), _NO)
    for name, change in _cards().items():
        make = _model(change)
        yield either(f"model/{name}, info", ("models", "info", _FILE, "--json"), make, _NO, in_json(kind="segmenter"))
        right = either if name in _UNASKED else fails
        more = {"check": labels(0, 6144)} if name in _UNASKED else {}
        yield right(f"model/{name}, to segment", _SEGMENT, both(_PICTURE, make), _NO + "|memory|network", **more)
    for name, change in _idle().items():
        yield answers(f"model/{name}", ("models", "info", _FILE), _model(change), says("tiny|kind"))
    yield from _weights()
    yield from _commands()
    yield from _lists()


_UNASKED = ("confidence of text", "confidence NaN", "scale of text")
"""What is wrong in a part of the card that may be left out."""


def _model(change: Callable[[dict[str, Any]], object] | None = None, kind: str = "segmenter") -> Make:
    return lambda folder: model_file(folder / _FILE, kind, change)


def _cut(share: float) -> Make:
    def make(folder: Path) -> None:
        path = model_file(folder / _FILE)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return make


def _whole() -> dict[str, Make]:
    def zeros(folder: Path) -> None:
        path = model_file(folder / _FILE)
        content = path.read_bytes()
        path.write_bytes(content[:-5000] + bytes(5000))

    return {
        "missing": nothing,
        "empty": write(_FILE, b""),
        "of 3 bytes": write(_FILE, b"abc"),
        "text": write(_FILE, "a model"),
        "a pickle": write(_FILE, b"\x80\4cos\nsystem\n(S'touch owned'\ntR."),
        "a zip of torch": write(_FILE, b"PK\3\4" + bytes(500)),
        "a header of 2**63": write(_FILE, (2**63 - 1).to_bytes(8, "little") + b"{}"),
        "a header of 100 MB": write(_FILE, (10**8).to_bytes(8, "little") + b"{}"),
        "a header that is a list": write(_FILE, (2).to_bytes(8, "little") + b"[]"),
        "a header nested deeply": write(_FILE, (200_000).to_bytes(8, "little") + deep().encode()),
        "cut at 1 %": _cut(0.01),
        "cut at 50 %": _cut(0.5),
        "cut at 99 %": _cut(0.99),
        "its end zeroed": zeros,
        "a pipe": pipe(_FILE),
        "a link to /dev/zero": link(_FILE, "/dev/zero"),
        "a link to /dev/full": link(_FILE, "/dev/full"),
        "a folder": lambda folder: (folder / _FILE).mkdir(),
        "a link to itself": link(_FILE, _FILE),
    }


def _card(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda header: header["card"].update(values)


def _cards() -> dict[str, Callable[[dict[str, Any]], object]]:
    nan, inf = float("nan"), float("inf")
    net = "compact-unet"

    def tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
        """Change the first tensor's entry of the header."""
        return lambda header: change(header[next(name for name in header if name not in ("__metadata__", "card"))])

    return {
        "no card": lambda header: header.pop("card"),
        "a card of text": lambda header: header.update(card="x"),
        "a card nested deeply": lambda header: header.update(card=deep(50_000)),
        "a card that is a list": lambda header: header.update(card="[]"),
        "mpp NaN": _card(mpp=nan),
        "mpp infinite": _card(mpp=inf),
        "mpp 0": _card(mpp=0),
        "mpp -1": _card(mpp=-1),
        "mpp 0.001": _card(mpp=0.001),
        "mpp 1e9": _card(mpp=1e9),
        "mpp of text": _card(mpp="x"),
        "no mpp": lambda header: header["card"].pop("mpp"),
        "another kind": _card(kind="x"),
        "no name": _card(name=""),
        "a name that is a number": _card(name=5),
        "format 99": _card(format=99),
        "format 0": _card(format=0),
        "an encoding that is none": _card(encoding="x"),
        "a network that is none": _card(architecture={"name": "x"}),
        "a network of no name": _card(architecture={}),
        "a network of another kind": _card(architecture={"name": "painter"}),
        "widths of 10**9": _card(architecture={"name": net, "widths": [10**9] * 5}),
        "widths of 10**5": _card(architecture={"name": net, "widths": [10**5] * 5}),
        "widths of text": _card(architecture={"name": net, "widths": "abcde"}),
        "widths negative": _card(architecture={"name": net, "widths": [-8] * 5}),
        "widths too few": _card(architecture={"name": net, "widths": [8]}),
        "other widths": _card(architecture={"name": net, "widths": [16] * 5}),
        "an argument that is none": _card(architecture={"name": net, "widths": [8] * 5, "x": 1}),
        "a wrong checksum": _card(sha256="0" * 64),
        "no checksum": _card(sha256=""),
        "a checksum of text": _card(sha256="x"),
        "threshold NaN": _card(decode={"threshold": nan}),
        "threshold 2": _card(decode={"threshold": 2}),
        "prominence infinite": _card(decode={"prominence": inf}),
        "smoothing 1e9": _card(decode={"smoothing": 1e9}),
        "smallest area -1": _card(decode={"min_area_um2": -1}),
        "views 3.5": _card(decode={"views": 3.5}),
        "views of text": _card(decode={"views": "x"}),
        "decode a list": _card(decode=[]),
        "a stain of NaN": _card(stain={"method": "vahadane", "stains": [[nan] * 3] * 2, "maxima": [1, 1]}),
        "a stain of text": _card(stain={"method": "x"}),
        "a stain that is empty": _card(stain={}),
        "confidence of text": _card(confidence={"weights": "x"}),
        "confidence NaN": _card(confidence={"weights": [nan], "bias": inf}),
        "scale of text": _card(scale={"weights": "x"}),
        "no tensors": lambda header: [
            header.pop(name) for name in list(header) if name not in ("__metadata__", "card")
        ],
        "one tensor less": lambda header: header.pop(
            next(name for name in header if name not in ("__metadata__", "card"))
        ),
        "a tensor beyond the end": tensors(lambda entry: entry.update(data_offsets=[0, 10**12])),
        "a tensor turned round": tensors(lambda entry: entry.update(data_offsets=[100, 0])),
        "a tensor of a type that is none": tensors(lambda entry: entry.update(dtype="Q99")),
        "a tensor of another shape": tensors(lambda entry: entry.update(shape=[1])),
        "a tensor of a shape of 10**18": tensors(lambda entry: entry.update(shape=[10**9, 10**9])),
        "a tensor of a negative shape": tensors(lambda entry: entry.update(shape=[-1, 5])),
    }


def _idle() -> dict[str, Callable[[dict[str, Any]], object]]:
    """Return what is odd in a card and does no harm."""
    return {
        "a name of markup": _card(name="[red]tiny[/blue]"),
        "a name of escapes": _card(name="tiny\x1b[31m\a"),
        "a name with a path": _card(name="../../tiny"),
        "notes of 1 MB": _card(notes="x" * 10**6),
        "fields of later versions": _card(later={"a": [1]}),
        "scores of text": _card(scores={"aji": "tiny"}),
        "a date of text": _card(date="=tiny()"),
    }


def _weights() -> Iterator[Case]:
    def filled(value: float) -> Make:
        def make(folder: Path) -> None:
            import torch
            from safetensors.torch import save

            from _bad_files import changed_model
            from napari_nucleigan.models.registry import KEY, digest
            from napari_nucleigan.networks import build

            path = model_file(folder / _FILE)
            whole = path.read_bytes()
            kept: dict[str, Any] = {}
            changed_model(whole, lambda header: kept.update(header))
            state = build(kept["card"]["architecture"]).state_dict()
            state = {
                name: torch.full_like(each, value) if each.is_floating_point() else each for name, each in state.items()
            }
            card = kept["card"] | {"sha256": digest(save(state))}
            path.write_bytes(save(state, metadata={KEY: json_text(card)}))

        return make

    for value in (float("nan"), float("inf"), -float("inf")):
        yield fails(
            f"model/weights all {value}, to segment",
            _SEGMENT,
            both(_PICTURE, filled(value)),
            "finite|numbers|NaN|model",
        )
        yield fails(
            f"model/weights all {value}, for a region",
            ("propose", "a.png", "--mpp", "0.25", "--device", "cpu", "--model", _FILE),
            both(_PICTURE, filled(value)),
            "finite|numbers|NaN|model",
        )
    for value in (0.0, 1e38):
        # What is finite may compute to what is not, which is to be said; or to nothing.
        yield either(
            f"model/weights all {value}, to segment",
            _SEGMENT,
            both(_PICTURE, filled(value)),
            "finite|numbers|NaN|model",
            labels(0, 6144),
        )


def _commands() -> Iterator[Case]:
    yield fails("model/of no name", ("models", "info", ""), nothing, "model")
    for name in ("nothing", "../x", "\x1b[31m", "x" * 5000, "[red]x[/red]", "nucleigan-he.safetensors", "con", " "):
        yield fails(f"model/called {ascii(name)[:20]}", ("models", "info", name), nothing, "model|name too long")
    yield fails(
        "model/a synthesizer to segment", _SEGMENT, both(_PICTURE, _model(kind="synthesizer")), "synthesizer|segment"
    )
    yield fails(
        "model/a segmenter to paint",
        ("synthesize", "-o", "out", "-n", "1", "--device", "cpu", "--model", _FILE),
        _model(),
        "segmenter|synthesizer|paint",
    )
    yield fails(
        "model/export over a foreign file",
        ("models", "export", "tiny", "-o", "mine.safetensors"),
        write("mine.safetensors", b"mine"),
        "not made by this program",
    )
    yield fails(
        "model/export below a file",
        ("models", "export", "tiny", "-o", "mine/x.safetensors"),
        write("mine", b"mine"),
        "part of the path|in the way|not a directory|file",
    )
    yield fails("model/export of nothing", ("models", "export", "nothing", "-o", "x.safetensors"), nothing, "model")
    yield misused(
        "model/export in a format that is none",
        ("models", "export", "tiny", "-o", "x", "--format", "pkl"),
        nothing,
        "format",
    )
    yield fails(
        "model/export of a synthesizer as ONNX",
        ("models", "export", "painter", "-o", "x.onnx", "--format", "onnx"),
        nothing,
        "segmenter|synthesizer",
    )
    yield fails(
        "model/export to a link to /dev/full",
        ("models", "export", "tiny", "-o", "x.safetensors"),
        link("x.safetensors", "/dev/full"),
        "pipe or a device|cannot write",
    )
    yield fails(
        "model/export into a folder that may not be written",
        ("models", "export", "tiny", "-o", "in/x.safetensors"),
        _closed,
        "denied",
        bound=True,
    )


def _closed(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in").chmod(0o500)


def _lists() -> Iterator[Case]:
    """One bad model takes no other away from the list."""
    for name, make in {key: each for key, each in _whole().items() if key not in ("missing", "a folder")}.items():
        bad = both(make, lambda folder: _move(folder))
        yield answers(f"models list/{name}", ("models", "list"), bad, says("nucleigan-he.*tiny|tiny.*nucleigan-he"))


def _move(folder: Path) -> None:
    import os

    os.rename(folder / _FILE, Path(os.environ["NUCLEIGAN_MODELS"]) / _FILE)
