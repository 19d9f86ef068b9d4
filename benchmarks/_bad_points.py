"""Bad points and classifiers: tables and GeoJSON that classes are learnt from, and files of what was learnt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from _bad_case import Case, Check, Make, either, fails, misused
from _bad_files import both, changed_model, deep, in_json, nothing, pipe, write
from _bad_labels import PICTURE, SEGMENT, bad_geojson


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _points()
    yield from _classifiers()


def _points() -> Iterator[Case]:
    places = [(x, y) for y in (16, 48) for x in (16, 48, 80)]
    rows = [f"a,{x},{y},{'ab'[number % 2]}" for number, (x, y) in enumerate(places)]
    sound = "name,x,y,type\n" + "\n".join(rows) + "\n"
    arguments = (
        "classify",
        "train",
        "a.png",
        "-p",
        "p.csv",
        "-o",
        "c.safetensors",
        "--mpp",
        "0.25",
        "--device",
        "cpu",
        "--tta",
        "1",
        "--no-embedding",
    )
    tables: dict[str, Any] = {
        "empty": "",
        "a header only": "name,x,y,type\n",
        "no header": "\n".join(rows),
        "no type": sound.replace("type", "t"),
        "NaN": sound.replace("16,16", "nan,16"),
        "infinite": sound.replace("16,16", "inf,16"),
        "text": sound.replace("16,16", "x,16"),
        "1e300": sound.replace("16,16", "1e300,16"),
        "negative": sound.replace("16,16", "-9,16"),
        "another image": sound.replace("\na,", "\nz,"),
        "one class": sound.replace(",b", ",a"),
        "no class": sound.replace(",a\n", ",\n"),
        "short rows": sound.replace(",16,a", ""),
        "40 classes": "name,x,y,type\n" + "".join(f"a,16,16,c{n}\n" for n in range(40)),
        "two classes in one nucleus": "name,x,y,type\na,16,16,a\na,17,16,b\n",
        "an open quote": sound.replace("a,16", '"a,16'),
        "NUL": sound.replace("a,16", "a\0,16"),
        "of Latin-1": sound.replace(",b", ",caf\udce9"),
        "UTF-16": sound.encode("utf-16"),
        "a class of 1 MB": sound.replace(",b", "," + "b" * 10**6),
        "binary": bytes(range(256)) * 9,
        "far from nuclei": "name,x,y,type\na,0,0,a\na,95,63,b\n",
        "a class of markup": sound.replace(",b", ",[red]b"),
        "one point of each": "\n".join(sound.split("\n")[:3]),
    }
    for name, content in tables.items():
        make = both(PICTURE, write("p.csv", content))
        yield either(
            f"points/{name}", arguments, make, "cannot|class|nucle|points|images|name", _classifier, notes=True
        )
    for name, content in islice(bad_geojson().items(), 1, None, 4):
        make = both(PICTURE, write("a.geojson", content))
        to = (*arguments[:4], "a.geojson", *arguments[5:])
        yield either(f"points/GeoJSON {name}", to, make, "cannot|class|nucle|points|images", _classifier, notes=True)
    sound_ones = both(PICTURE, write("p.csv", sound))
    yield misused(
        "points/a file that is no .safetensors", (*arguments[:6], "c.txt", *arguments[7:]), sound_ones, "safetensors"
    )
    yield fails(
        "points/a foreign file in the way",
        arguments,
        both(sound_ones, write("c.safetensors", b"mine")),
        "not made by this program",
    )
    yield fails("points/missing", arguments, PICTURE, "cannot read")
    yield fails("points/no image", arguments, write("p.csv", sound), "cannot|no ")


def _classifier(folder: Path, outcome: Any) -> str | None:
    return None if (folder / "c.safetensors").is_file() else "no classifier was written"


def _classifier_file(change: Any, arrays: dict[str, np.ndarray] | None = None) -> Make:
    def make(folder: Path) -> None:
        from safetensors.numpy import save

        from napari_nucleigan.models.registry import digest

        usual = {
            "mean": np.zeros(1),
            "scale": np.ones(1),
            "weights": np.array([[1.0], [-1.0]]),
            "bias": np.zeros(2),
            **(arrays or {}),
        }
        card = {
            "format": 1,
            "kind": "classifier",
            "name": "c",
            "columns": ["area_um2"],
            "mpp": 0.25,
            "counts": {"a": 3, "b": 3},
            "images": 1,
            "classes": [{"name": "a", "color": [255, 0, 0]}, {"name": "b", "color": [0, 0, 255]}],
            "sha256": digest(save(usual)),
        }
        content = save(usual, metadata={"nucleigan": json.dumps(card)})
        (folder / "c.safetensors").write_bytes(changed_model(content, change))

    return make


def _classifiers() -> Iterator[Case]:
    def card(**values: Any) -> Make:
        return _classifier_file(lambda header: header["card"].update(values))

    nan, inf = np.nan, np.inf
    colour = {"name": "a", "color": [1, 2, 3]}
    makes = {
        "empty": write("c.safetensors", b""),
        "text": write("c.safetensors", b"classifier"),
        "of 8 bytes": write("c.safetensors", b"\xff" * 8),
        "a header of 2**63": write("c.safetensors", (2**63 - 1).to_bytes(8, "little") + b"{}"),
        "a pickle": write("c.safetensors", b"\x80\4cos\nsystem\n."),
        "weights NaN": _classifier_file(lambda header: None, {"weights": np.array([[nan], [0.0]])}),
        "bias infinite": _classifier_file(lambda header: None, {"bias": np.array([inf, 0])}),
        "scale 0": _classifier_file(lambda header: None, {"scale": np.zeros(1)}),
        "scale negative": _classifier_file(lambda header: None, {"scale": -np.ones(1)}),
        "weights of another shape": _classifier_file(lambda header: None, {"weights": np.zeros((3, 2))}),
        "mean of two axes": _classifier_file(lambda header: None, {"mean": np.zeros((1, 1))}),
        "weights of text": _classifier_file(lambda header: None, {"weights": np.zeros((2, 1), np.uint8)}),
        "no card": _classifier_file(lambda header: header.pop("card")),
        "a card of text": _classifier_file(lambda header: header.update(card="x")),
        "a card nested deeply": _classifier_file(lambda header: header.update(card=deep(50_000))),
        "mpp NaN": card(mpp=nan),
        "mpp infinite": card(mpp=inf),
        "mpp 0": card(mpp=0),
        "mpp 1e300": card(mpp=1e300),
        "one class": card(classes=[colour]),
        "a class twice": card(classes=[colour, colour]),
        "a colour of 999": card(classes=[colour, {"name": "b", "color": [999, 0, 0]}]),
        "a column that is not measured": card(columns=["height_of_the_moon"]),
        "columns null": card(columns=None),
        "of format 99": card(format=99),
        "another kind": card(kind="segmenter"),
        "a wrong checksum": card(sha256="0" * 64),
        "embedding 10**9": card(embedding=10**9),
        "embedding 5": card(embedding=5),
    }
    for number, (name, make) in enumerate(makes.items()):
        check: Check = in_json(name="c") if name == "a column that is not measured" else in_json(name="never")
        yield either(f"classifier/{name}", "classify info c.safetensors --json", make, "cannot|classifier|not", check)
        if number % 3 == 0:
            yield fails(
                f"classifier/{name}, applied",
                (*SEGMENT, "--classifier", "c.safetensors"),
                both(PICTURE, make),
                "cannot|classifier|not",
            )
    yield fails("classifier/missing", "classify info c.safetensors", nothing, "cannot")
    yield fails("classifier/a folder", "classify info .", nothing, "cannot")
    yield fails("classifier/a pipe", "classify info c.safetensors", pipe("c.safetensors"), "pipe")
