"""Bad labels and bad texts beside pictures: label images, GeoJSON, tables of points, classifiers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from _bad_case import Case, Check, Make, answers, either, fails, misused
from _bad_files import (
    SHAPE,
    both,
    changed_model,
    deep,
    in_json,
    label_image,
    labels,
    link,
    nothing,
    picture,
    pipe,
    png,
    saved,
    write,
)

_TRUTH = write("t.tif", saved(label_image()))
_PICTURE = write("a.png", png())
_EVALUATE = ("evaluate", "{}", "t.tif", "--json", "--resamples", "0")
_NO = "cannot read|no label image|differ|of shape|could not be compared|neither"


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _label_images()
    yield from _classes()
    yield from _regions()
    yield from _corrections()
    yield from _points()
    yield from _classifiers()


def _evaluated(name: str, file: str, content: Any, right: Check | None = None) -> Iterator[Case]:
    make = both(_TRUTH, write(file, content))
    arguments = tuple(part.format(file) for part in _EVALUATE)
    if right is None:
        yield fails(f"labels/{name}", arguments, make, _NO)
    else:
        yield answers(f"labels/{name}", arguments, make, right)


def _label_images() -> Iterator[Case]:
    values = label_image()
    perfect = in_json(images__0__aji=1.0)
    scored = in_json(images__0__aji=lambda value: 0 <= value <= 1)
    wrong: dict[str, Any] = {
        "0 and 255": ((values > 0) * np.uint8(255)).astype(np.uint8),
        "0 and 1": (values > 0).astype(np.uint8),
        "true and false": values > 0,
        "negative": -values,
        "one negative": np.where(values == 1, -1, values).astype(np.int32),
        "float32": values.astype(np.float32),
        "float64 with NaN": np.where(values == 1, np.nan, values),
        "complex": values.astype(np.complex64),
        "colours": picture(),
        "three planes": np.stack([values] * 5),
        "above 2**31": np.where(values == 1, np.int64(2**40), values),
        "2**64 - 1": np.where(values == 1, np.uint64(2**64 - 1), values.astype(np.uint64)),
        "one row less": values[:-1],
        "turned": np.ascontiguousarray(values.T),
        "1 x 1": values[:1, :1],
    }
    for name, array in wrong.items():
        yield from _evaluated(name, "p.tif", saved(array, photometric="rgb" if array.shape[-1] == 3 else "minisblack"))
    for name, array in {
        "of 16 bits": values.astype(np.uint16),
        "of 8 bits": values.astype(np.uint8),
        "of int64": values.astype(np.int64),
        "of uint64": values.astype(np.uint64),
        "with gaps": values * 1000,
        "large numbers": np.where(values > 0, 2**31 - 1 - values, 0).astype(np.int32),
    }.items():
        yield from _evaluated(name, "p.tif", saved(array), perfect)
    yield from _evaluated("PNG of 8 bits", "p.png", png(values.astype(np.uint8)), perfect)
    yield from _evaluated("PNG of 16 bits", "p.png", png(values.astype(np.uint16)), perfect)
    yield from _evaluated("empty of nuclei", "p.tif", saved(np.zeros(SHAPE, np.int32)), in_json(images__0__aji=0.0))
    yield from _evaluated("full of one nucleus", "p.tif", saved(np.ones(SHAPE, np.int32)), scored)
    yield from _evaluated("each pixel a nucleus", "p.tif", saved(np.arange(1, 6145, dtype=np.int32).reshape(SHAPE)), scored)
    noise = np.random.default_rng(0).integers(0, 2**31 - 1, SHAPE).astype(np.int32)
    yield from _evaluated("noise", "p.tif", saved(noise), scored)
    for name, content in {"empty": b"", "text": b"labels\n", "cut": saved(values)[:900]}.items():
        yield from _evaluated(name, "p.tif", content)
        yield from _evaluated(f"PNG, {name}", "p.png", content[:900] if name != "cut" else png(values.astype(np.uint8))[:70])
    jpeg = both(_TRUTH, write("p.jpg", b"\xff\xd8\xff\xe0" + bytes(100)))
    yield fails("labels/JPEG", "evaluate p.jpg t.tif --resamples 0", jpeg, "cannot|no label|compared")
    yield fails("labels/missing", "evaluate p.tif t.tif", _TRUTH, "neither|cannot")
    yield fails("labels/missing truth", "evaluate t.tif p.tif", _TRUTH, "neither|cannot")
    yield fails("labels/empty folder", "evaluate in t.tif", both(_TRUTH, lambda folder: (folder / "in").mkdir()), "no label images")
    yield fails("labels/a pipe", "evaluate p.tif t.tif", both(_TRUTH, pipe("p.tif")), "pipe|neither")
    for device in ("zero", "full"):
        yield fails(f"labels/a link to /dev/{device}", "evaluate p.tif t.tif", both(_TRUTH, link("p.tif", f"/dev/{device}")), "device|neither")
    for command in ("masks -o out --like p.tif", "synthesize p.tif -o out"):
        for name, array in {"0 and 255": wrong["0 and 255"], "colours": picture(), "NaN": wrong["float64 with NaN"], "empty": None}.items():
            content = b"" if array is None else saved(array)
            yield fails(f"labels/{name}, for {command.split()[0]}", command, write("p.tif", content), _NO)
    blank = write("p.tif", saved(np.zeros(SHAPE, np.int32)))
    yield fails("labels/no nuclei to learn masks from", "masks -o out --like p.tif", blank, "no nuclei|nuclei|learn")


def _classes() -> Iterator[Case]:
    sound = _geojson()
    truth = write("t.geojson", sound)
    arguments = "evaluate p.geojson t.geojson --by class --mpp 0.25 --json"
    yield answers("classes/sound", arguments, both(truth, write("p.geojson", sound)), in_json())
    for name, content in islice(_bad_geojson().items(), 1, None, 2):
        make = both(truth, write("p.geojson", content))
        yield either(f"classes/{name}", arguments, make, "cannot|compared|no |holds", in_json())
    yield fails("classes/tables that are not there", "evaluate p.tif t.tif --by class", both(_TRUTH, write("p.tif", saved(label_image()))), "class")
    for name, table in {
        "empty": "", "no class": "label\n1\n", "label a text": "label,class\nx,a\n", "label 99": "label,class\n99,a\n",
        "label twice": "label,class\n1,a\n1,b\n", "label 1e300": "label,class\n1e300,a\n", "of Latin-1": "label,class\n1,caf\udce9\n",
        "1 MB class": "label,class\n1," + "x" * 10**6 + "\n", "an open quote": 'label,class\n1,"a\n',
    }.items():  # fmt: skip
        make = both(_TRUTH, write("t.csv", "label,class\n" + "".join(f"{n},a\n" for n in range(1, 7))), write("p.tif", saved(label_image())), write("p.csv", table))
        yield either(f"classes/table {name}", "evaluate p.tif t.tif --by class --json", make, "cannot|class|compared|label", in_json())


def _geojson(**change: Any) -> str:
    features = []
    for number in range(1, 7):
        rows, columns = np.nonzero(label_image() == number)
        left, top, right, bottom = (int(value) for value in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        properties = {"objectType": "annotation", "classification": {"name": "a" if number % 2 else "b"}}
        features.append({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties, **change})
    return json.dumps({"type": "FeatureCollection", "features": features})


def _polygon(*rings: Any) -> str:
    return _geojson(geometry={"type": "Polygon", "coordinates": list(rings)})


def _bad_geojson() -> dict[str, Any]:
    return {
        "empty": "",
        "text": "polygons",
        "null": "null",
        "a number": "5",
        "an empty list": "[]",
        "an empty object": "{}",
        "cut": _geojson()[:300],
        "nested deeply": deep(),
        "coordinates nested deeply": '{"type": "Polygon", "coordinates": ' + deep(50_000) + "}",
        "no features": '{"type": "FeatureCollection", "features": []}',
        "features null": '{"type": "FeatureCollection", "features": null}',
        "features of numbers": '{"type": "FeatureCollection", "features": [1, 2]}',
        "geometry null": _geojson(geometry=None),
        "geometry of no type": _geojson(geometry={}),
        "points": _geojson(geometry={"type": "Point", "coordinates": [5, 5]}),
        "lines": _geojson(geometry={"type": "LineString", "coordinates": [[1, 1], [9, 9]]}),
        "a circle": _geojson(geometry={"type": "Circle", "coordinates": [5, 5]}),
        "a ring of 2 corners": _polygon([[1, 1], [9, 9]]),
        "a ring of numbers": _polygon([1, 2, 3]),
        "corners of text": _polygon([["a", "b"], ["c", "d"], ["e", "f"]]),
        "corners of one number": _polygon([[1], [2], [3]]),
        "corners of null": _polygon([[None, 1], [2, 3], [4, 5]]),
        "corners NaN": _polygon([[float("nan"), 1], [9, 1], [9, 9]]),
        "corners infinite": _polygon([[float("inf"), 1], [9, 1], [9, 9]]),
        "corners at 1e300": _polygon([[0, 0], [1e300, 0], [0, 1e300]]),
        "corners at 1e9": _polygon([[0, 0], [1e9, 0], [0, 1e9]]),
        "corners at 50 000": _polygon([[0, 0], [50_000, 0], [50_000, 50_000], [0, 50_000]]),
        "negative corners": _polygon([[-50, -50], [-10, -50], [-10, -10]]),
        "of Latin-1": _geojson().replace('"a"', '"caf\udce9"'),
        "a class of markup": _geojson().replace('"a"', '"[red]x[/blue]"'),
        "a class of escapes": _geojson().replace('"a"', '"\\u001b[31m\\ud800"'),
        "a class of 1 MB": lambda: _geojson().replace('"a"', '"' + "x" * 10**6 + '"'),
        "a class that is a number": _geojson(properties={"classification": 7}),
        "a formula": _geojson().replace('"a"', '"=cmd|x"'),
    }


_SEGMENT = ("segment", "a.png", "-o", "out.tif", "--mpp", "0.25", "--device", "cpu", "--workers", "1", "--model", "tiny")


def _regions() -> Iterator[Case]:
    for name, content in islice(_bad_geojson().items(), 0, None, 2):
        make = both(_PICTURE, write("r.geojson", content))
        yield either(f"region/{name}", (*_SEGMENT, "--region", "r.geojson"), make, "cannot|polygon|region|outside|lie", labels(0, 6144))
    packed = {"a bomb": lambda: gzip.compress(bytes(600_000_000), 1), "cut": lambda: gzip.compress(_geojson().encode())[:40], "no gzip": lambda: b"x"}
    for name, content in packed.items():
        make = both(_PICTURE, write("r.geojson.gz", content))
        yield fails(f"region/packed, {name}", (*_SEGMENT, "--region", "r.geojson.gz"), make, "cannot read")
    yield misused("region/missing", (*_SEGMENT, "--region", "r.geojson"), _PICTURE, "does not exist")
    yield misused("region/a folder", (*_SEGMENT, "--region", "."), _PICTURE, "directory|folder")
    yield fails("region/a pipe", (*_SEGMENT, "--region", "r.geojson"), both(_PICTURE, pipe("r.geojson")), "pipe")
    yield fails("region/a link to /dev/zero", (*_SEGMENT, "--region", "r.json"), both(_PICTURE, link("r.json", "/dev/zero")), "device")
    empty = both(_PICTURE, write("r.geojson", _polygon([[70, 40], [71, 40], [71, 41], [70, 41]])))
    yield answers("region/without nuclei", (*_SEGMENT, "--region", "r.geojson"), empty, labels(0, 6144))


def _corrections() -> Iterator[Case]:
    given = both(_PICTURE, _TRUTH)
    base = ("corrections", "a.png", "t.tif", "-o", "out", "--mpp", "0.25")
    boxes = {
        "text": "a,b,c,d", "three numbers": "1,2,3", "five numbers": "1,2,3,4,5", "negative": "-5,0,10,10", "empty": "", "of 0": "0,0,0,0",
        "NaN": "nan,0,10,10", "fractions": "0.5,0,10,10", "10**30": "0,0," + "9" * 4400 + ",10",
    }  # fmt: skip
    for name, box in boxes.items():
        yield misused(f"corrections/a region {name}", (*base, f"--region={box}"), given, "region")
    for name, box in {"beyond": "1000,1000,10,10", "far beyond": f"{10**15},0,10,10", "of 10**18": f"{10**18},{10**18},{10**18},{10**18}"}.items():
        yield fails(f"corrections/a region {name}", (*base, "--region", box), given, "region|correct|nothing|empty")
    yield misused("corrections/no region", base, given, "--region")
    for name, content in _bad_geojson().items():
        make = both(given, write("r.geojson", content))
        yield either(f"corrections/{name}", (*base, "--regions", "r.geojson"), make, "cannot|region|nothing|no ", _written)
    for value in ("nan", "inf", "-1", "0", "1e9", "x"):
        yield misused(f"corrections/mpp {value}", (*base[:-1], value, "--region", "0,0,50,50"), given, "mpp")
    small = both(_PICTURE, write("t.tif", saved(label_image()[:20, :20])))
    yield fails("corrections/labels of another size", (*base, "--region", "0,0,50,50"), small, "size|shape|differ|large")
    other = both(given, write("r.png", png(np.ones((9, 9), np.uint8))))
    yield fails("corrections/a mask of another size", (*base, "--regions", "r.png"), other, "size|shape|differ|large")
    zero = both(given, write("r.png", png(np.zeros(SHAPE, np.uint8))))
    yield fails("corrections/an empty mask", (*base, "--regions", "r.png"), zero, "region|correct|nothing|no ")


def _written(folder: Path, outcome: Any) -> str | None:
    return None if any((folder / "out" / "images").glob("*")) else "nothing was written"


def _points() -> Iterator[Case]:
    places = [(x, y) for y in (16, 48) for x in (16, 48, 80)]
    rows = [f"a,{x},{y},{'ab'[number % 2]}" for number, (x, y) in enumerate(places)]
    sound = "name,x,y,type\n" + "\n".join(rows) + "\n"
    arguments = ("classify", "train", "a.png", "-p", "p.csv", "-o", "c.safetensors", "--mpp", "0.25", "--device", "cpu", "--tta", "1", "--no-embedding")
    tables: dict[str, Any] = {
        "empty": "", "a header only": "name,x,y,type\n", "no header": "\n".join(rows), "no type": sound.replace("type", "t"),
        "NaN": sound.replace("16,16", "nan,16"), "infinite": sound.replace("16,16", "inf,16"), "text": sound.replace("16,16", "x,16"),
        "1e300": sound.replace("16,16", "1e300,16"), "negative": sound.replace("16,16", "-9,16"), "another image": sound.replace("\na,", "\nz,"),
        "one class": sound.replace(",b", ",a"), "no class": sound.replace(",a\n", ",\n"), "short rows": sound.replace(",16,a", ""),
        "40 classes": "name,x,y,type\n" + "".join(f"a,16,16,c{n}\n" for n in range(40)), "two classes in one nucleus": "name,x,y,type\na,16,16,a\na,17,16,b\n",
        "an open quote": sound.replace("a,16", '"a,16'), "NUL": sound.replace("a,16", "a\0,16"), "of Latin-1": sound.replace(",b", ",caf\udce9"),
        "UTF-16": sound.encode("utf-16"), "a class of 1 MB": sound.replace(",b", "," + "b" * 10**6), "binary": bytes(range(256)) * 9,
        "far from nuclei": "name,x,y,type\na,0,0,a\na,95,63,b\n", "a class of markup": sound.replace(",b", ",[red]b"), "one point of each": "\n".join(sound.split("\n")[:3]),
    }  # fmt: skip
    for name, content in tables.items():
        make = both(_PICTURE, write("p.csv", content))
        yield either(f"points/{name}", arguments, make, "cannot|class|nucle|points|images|name", _classifier, notes=True)
    for name, content in islice(_bad_geojson().items(), 1, None, 4):
        make = both(_PICTURE, write("a.geojson", content))
        to = (*arguments[:4], "a.geojson", *arguments[5:])
        yield either(f"points/GeoJSON {name}", to, make, "cannot|class|nucle|points|images", _classifier, notes=True)
    sound_ones = both(_PICTURE, write("p.csv", sound))
    yield misused("points/a file that is no .safetensors", (*arguments[:6], "c.txt", *arguments[7:]), sound_ones, "safetensors")
    yield fails("points/a foreign file in the way", arguments, both(sound_ones, write("c.safetensors", b"mine")), "not made by this program")
    yield fails("points/missing", arguments, _PICTURE, "cannot read")
    yield fails("points/no image", arguments, write("p.csv", sound), "cannot|no ")


def _classifier(folder: Path, outcome: Any) -> str | None:
    return None if (folder / "c.safetensors").is_file() else "no classifier was written"


def _classifier_file(change: Any, arrays: dict[str, np.ndarray] | None = None) -> Make:
    def make(folder: Path) -> None:
        from safetensors.numpy import save

        from napari_nucleigan.models.registry import digest

        usual = {"mean": np.zeros(1), "scale": np.ones(1), "weights": np.array([[1.0], [-1.0]]), "bias": np.zeros(2), **(arrays or {})}
        card = {
            "format": 1, "kind": "classifier", "name": "c", "columns": ["area_um2"], "mpp": 0.25, "counts": {"a": 3, "b": 3}, "images": 1,
            "classes": [{"name": "a", "color": [255, 0, 0]}, {"name": "b", "color": [0, 0, 255]}], "sha256": digest(save(usual)),
        }  # fmt: skip
        content = save(usual, metadata={"nucleigan": json.dumps(card)})
        (folder / "c.safetensors").write_bytes(changed_model(content, change))

    return make


def _classifiers() -> Iterator[Case]:
    def card(**values: Any) -> Make:
        return _classifier_file(lambda header: header["card"].update(values))

    nan, inf = np.nan, np.inf
    colour = {"name": "a", "color": [1, 2, 3]}
    makes = {
        "empty": write("c.safetensors", b""), "text": write("c.safetensors", b"classifier"), "of 8 bytes": write("c.safetensors", b"\xff" * 8),
        "a header of 2**63": write("c.safetensors", (2**63 - 1).to_bytes(8, "little") + b"{}"), "a pickle": write("c.safetensors", b"\x80\4cos\nsystem\n."),
        "weights NaN": _classifier_file(lambda header: None, {"weights": np.array([[nan], [0.0]])}), "bias infinite": _classifier_file(lambda header: None, {"bias": np.array([inf, 0])}),
        "scale 0": _classifier_file(lambda header: None, {"scale": np.zeros(1)}), "scale negative": _classifier_file(lambda header: None, {"scale": -np.ones(1)}),
        "weights of another shape": _classifier_file(lambda header: None, {"weights": np.zeros((3, 2))}), "mean of two axes": _classifier_file(lambda header: None, {"mean": np.zeros((1, 1))}),
        "weights of text": _classifier_file(lambda header: None, {"weights": np.zeros((2, 1), np.uint8)}), "no card": _classifier_file(lambda header: header.pop("card")),
        "a card of text": _classifier_file(lambda header: header.update(card="x")), "a card nested deeply": _classifier_file(lambda header: header.update(card=deep(50_000))),
        "mpp NaN": card(mpp=nan), "mpp infinite": card(mpp=inf), "mpp 0": card(mpp=0), "mpp 1e300": card(mpp=1e300), "one class": card(classes=[colour]),
        "a class twice": card(classes=[colour, colour]), "a colour of 999": card(classes=[colour, {"name": "b", "color": [999, 0, 0]}]),
        "a column that is not measured": card(columns=["height_of_the_moon"]), "columns null": card(columns=None), "of format 99": card(format=99),
        "another kind": card(kind="segmenter"), "a wrong checksum": card(sha256="0" * 64), "embedding 10**9": card(embedding=10**9), "embedding 5": card(embedding=5),
    }  # fmt: skip
    for number, (name, make) in enumerate(makes.items()):
        check: Check = in_json(name="c") if name == "a column that is not measured" else in_json(name="never")
        yield either(f"classifier/{name}", "classify info c.safetensors --json", make, "cannot|classifier|not", check)
        if number % 3 == 0:
            yield fails(f"classifier/{name}, applied", (*_SEGMENT, "--classifier", "c.safetensors"), both(_PICTURE, make), "cannot|classifier|not")
    yield fails("classifier/missing", "classify info c.safetensors", nothing, "cannot")
    yield fails("classifier/a folder", "classify info .", nothing, "cannot")
    yield fails("classifier/a pipe", "classify info c.safetensors", pipe("c.safetensors"), "pipe")
