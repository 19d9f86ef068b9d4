"""Bad labels: label images, and the GeoJSON and tables of classes, regions and corrections."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from _bad_case import Case, Check, answers, either, fails, misused
from _bad_files import (
    SHAPE,
    both,
    deep,
    in_json,
    label_image,
    labels,
    link,
    picture,
    pipe,
    png,
    saved,
    write,
)

_TRUTH = write("t.tif", saved(label_image()))
PICTURE = write("a.png", png())
_EVALUATE = ("evaluate", "{}", "t.tif", "--json", "--resamples", "0")
_NO = "cannot read|no label image|differ|of shape|could not be compared|neither"


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _label_images()
    yield from _classes()
    yield from _regions()
    yield from _corrections()


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
    yield from _evaluated(
        "each pixel a nucleus", "p.tif", saved(np.arange(1, 6145, dtype=np.int32).reshape(SHAPE)), scored
    )
    noise = np.random.default_rng(0).integers(0, 2**31 - 1, SHAPE).astype(np.int32)
    yield from _evaluated("noise", "p.tif", saved(noise), scored)
    for name, content in {"empty": b"", "text": b"labels\n", "cut": saved(values)[:900]}.items():
        yield from _evaluated(name, "p.tif", content)
        yield from _evaluated(
            f"PNG, {name}", "p.png", content[:900] if name != "cut" else png(values.astype(np.uint8))[:70]
        )
    jpeg = both(_TRUTH, write("p.jpg", b"\xff\xd8\xff\xe0" + bytes(100)))
    yield fails("labels/JPEG", "evaluate p.jpg t.tif --resamples 0", jpeg, "cannot|no label|compared")
    yield fails("labels/missing", "evaluate p.tif t.tif", _TRUTH, "neither|cannot")
    yield fails("labels/missing truth", "evaluate t.tif p.tif", _TRUTH, "neither|cannot")
    yield fails(
        "labels/empty folder",
        "evaluate in t.tif",
        both(_TRUTH, lambda folder: (folder / "in").mkdir()),
        "no label images",
    )
    yield fails("labels/a pipe", "evaluate p.tif t.tif", both(_TRUTH, pipe("p.tif")), "pipe|neither")
    for device in ("zero", "full"):
        yield fails(
            f"labels/a link to /dev/{device}",
            "evaluate p.tif t.tif",
            both(_TRUTH, link("p.tif", f"/dev/{device}")),
            "device|neither",
        )
    for command in ("masks -o out --like p.tif", "synthesize p.tif -o out"):
        for name, array in {
            "0 and 255": wrong["0 and 255"],
            "colours": picture(),
            "NaN": wrong["float64 with NaN"],
            "empty": None,
        }.items():
            content = b"" if array is None else saved(array)
            yield fails(f"labels/{name}, for {command.split()[0]}", command, write("p.tif", content), _NO)
    blank = write("p.tif", saved(np.zeros(SHAPE, np.int32)))
    yield fails("labels/no nuclei to learn masks from", "masks -o out --like p.tif", blank, "no nuclei|nuclei|learn")


def _classes() -> Iterator[Case]:
    sound = _geojson()
    truth = write("t.geojson", sound)
    arguments = "evaluate p.geojson t.geojson --by class --mpp 0.25 --json"
    yield answers("classes/sound", arguments, both(truth, write("p.geojson", sound)), in_json())
    for name, content in islice(bad_geojson().items(), 1, None, 2):
        make = both(truth, write("p.geojson", content))
        yield either(f"classes/{name}", arguments, make, "cannot|compared|no |holds", in_json())
    yield fails(
        "classes/tables that are not there",
        "evaluate p.tif t.tif --by class",
        both(_TRUTH, write("p.tif", saved(label_image()))),
        "class",
    )
    for name, table in {
        "empty": "",
        "no class": "label\n1\n",
        "label a text": "label,class\nx,a\n",
        "label 99": "label,class\n99,a\n",
        "label twice": "label,class\n1,a\n1,b\n",
        "label 1e300": "label,class\n1e300,a\n",
        "of Latin-1": "label,class\n1,caf\udce9\n",
        "1 MB class": "label,class\n1," + "x" * 10**6 + "\n",
        "an open quote": 'label,class\n1,"a\n',
    }.items():
        make = both(
            _TRUTH,
            write("t.csv", "label,class\n" + "".join(f"{n},a\n" for n in range(1, 7))),
            write("p.tif", saved(label_image())),
            write("p.csv", table),
        )
        yield either(
            f"classes/table {name}",
            "evaluate p.tif t.tif --by class --json",
            make,
            "cannot|class|compared|label",
            in_json(),
        )


def _geojson(**change: Any) -> str:
    features = []
    for number in range(1, 7):
        rows, columns = np.nonzero(label_image() == number)
        left, top, right, bottom = (
            int(value) for value in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        )
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        properties = {"objectType": "annotation", "classification": {"name": "a" if number % 2 else "b"}}
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": properties,
                **change,
            }
        )
    return json.dumps({"type": "FeatureCollection", "features": features})


def _polygon(*rings: Any) -> str:
    return _geojson(geometry={"type": "Polygon", "coordinates": list(rings)})


def bad_geojson() -> dict[str, Any]:
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


SEGMENT = (
    "segment",
    "a.png",
    "-o",
    "out.tif",
    "--mpp",
    "0.25",
    "--device",
    "cpu",
    "--workers",
    "1",
    "--model",
    "tiny",
)


def _regions() -> Iterator[Case]:
    for name, content in islice(bad_geojson().items(), 0, None, 2):
        make = both(PICTURE, write("r.geojson", content))
        yield either(
            f"region/{name}",
            (*SEGMENT, "--region", "r.geojson"),
            make,
            "cannot|polygon|region|outside|lie",
            labels(0, 6144),
        )
    packed = {
        "a bomb": lambda: gzip.compress(bytes(600_000_000), 1),
        "cut": lambda: gzip.compress(_geojson().encode())[:40],
        "no gzip": lambda: b"x",
    }
    for name, content in packed.items():
        make = both(PICTURE, write("r.geojson.gz", content))
        yield fails(f"region/packed, {name}", (*SEGMENT, "--region", "r.geojson.gz"), make, "cannot read")
    yield misused("region/missing", (*SEGMENT, "--region", "r.geojson"), PICTURE, "does not exist")
    yield misused("region/a folder", (*SEGMENT, "--region", "."), PICTURE, "directory|folder")
    yield fails("region/a pipe", (*SEGMENT, "--region", "r.geojson"), both(PICTURE, pipe("r.geojson")), "pipe")
    yield fails(
        "region/a link to /dev/zero",
        (*SEGMENT, "--region", "r.json"),
        both(PICTURE, link("r.json", "/dev/zero")),
        "device",
    )
    empty = both(PICTURE, write("r.geojson", _polygon([[70, 40], [71, 40], [71, 41], [70, 41]])))
    yield answers("region/without nuclei", (*SEGMENT, "--region", "r.geojson"), empty, labels(0, 6144))


def _corrections() -> Iterator[Case]:
    given = both(PICTURE, _TRUTH)
    base = ("corrections", "a.png", "t.tif", "-o", "out", "--mpp", "0.25")
    boxes = {
        "text": "a,b,c,d",
        "three numbers": "1,2,3",
        "five numbers": "1,2,3,4,5",
        "negative": "-5,0,10,10",
        "empty": "",
        "of 0": "0,0,0,0",
        "NaN": "nan,0,10,10",
        "fractions": "0.5,0,10,10",
        "10**30": "0,0," + "9" * 4400 + ",10",
    }
    for name, box in boxes.items():
        yield misused(f"corrections/a region {name}", (*base, f"--region={box}"), given, "region")
    for name, box in {
        "beyond": "1000,1000,10,10",
        "far beyond": f"{10**15},0,10,10",
        "of 10**18": f"{10**18},{10**18},{10**18},{10**18}",
    }.items():
        yield fails(f"corrections/a region {name}", (*base, "--region", box), given, "region|correct|nothing|empty")
    yield misused("corrections/no region", base, given, "--region")
    for name, content in bad_geojson().items():
        make = both(given, write("r.geojson", content))
        yield either(
            f"corrections/{name}", (*base, "--regions", "r.geojson"), make, "cannot|region|nothing|no ", _written
        )
    for value in ("nan", "inf", "-1", "0", "1e9", "x"):
        yield misused(f"corrections/mpp {value}", (*base[:-1], value, "--region", "0,0,50,50"), given, "mpp")
    small = both(PICTURE, write("t.tif", saved(label_image()[:20, :20])))
    yield fails(
        "corrections/labels of another size", (*base, "--region", "0,0,50,50"), small, "size|shape|differ|large"
    )
    other = both(given, write("r.png", png(np.ones((9, 9), np.uint8))))
    yield fails("corrections/a mask of another size", (*base, "--regions", "r.png"), other, "size|shape|differ|large")
    zero = both(given, write("r.png", png(np.zeros(SHAPE, np.uint8))))
    yield fails("corrections/an empty mask", (*base, "--regions", "r.png"), zero, "region|correct|nothing|no ")


def _written(folder: Path, outcome: Any) -> str | None:
    return None if any((folder / "out" / "images").glob("*")) else "nothing was written"
