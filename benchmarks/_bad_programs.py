"""Files as other programs write them: ImageJ, QuPath, ImageScope, MATLAB, annotators, bioformats2raw, spreadsheets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from _bad_case import Case, Make, answers, fails
from _bad_files import (
    ASCII,
    RATIONAL,
    SHAPE,
    SHORT,
    both,
    in_json,
    label_image,
    labels,
    looks_right,
    picture,
    png,
    saved,
    says,
    tiff,
    write,
)
from _bad_labels import PICTURE
from _bad_pictures import normalize, read, refused

_PICTURE = write("in/a.png", png())
_SEGMENT = ("segment", "{}", "-o", "out.tif", "--device", "cpu", "--tta", "1")


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _scales()
    yield from _imagej()
    yield from _labels()
    yield from _geojson()
    yield from _imagescope()
    yield from _annotators()
    yield from _tables()
    yield from _folders()


def _segment(name: str) -> tuple[str, ...]:
    return tuple(part.format(name) for part in _SEGMENT)


def _scales() -> Iterator[Case]:
    """Pixels of a quarter micron, said in many ways."""
    ome = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYCZT" Type="uint8" SizeX="96" SizeY="64" SizeC="3" SizeZ="1" SizeT="1" '
        'PhysicalSizeX="{size}" PhysicalSizeXUnit="{unit}" PhysicalSizeY="{size}" PhysicalSizeYUnit="{unit}">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
    )

    def density(count: int, unit: int, text: str = "") -> bytes:
        found: dict[int, Any] = {282: (RATIONAL, [(count, 1)]), 283: (RATIONAL, [(count, 1)]), 296: (SHORT, [unit])}
        return tiff({**found, **({270: (ASCII, text.encode() + b"\0")} if text else {})})

    def described(text: str) -> bytes:
        return tiff({270: (ASCII, text.encode() + b"\0")})

    right = says("0.25 µm per pixel")
    for name, content in {
        "OME, 250 nm": described(ome.format(size=250, unit="nm")),
        "OME, 0.00025 mm": described(ome.format(size=0.00025, unit="mm")),
        "OME, a decimal comma": described(ome.format(size="0,25", unit="µm")),
        "OME, the Greek letter": described(ome.format(size=0.25, unit="\u03bcm")),
        "Aperio, MPP of nanometres and AppMag": described("Aperio Image Library|AppMag = 40|MPP = 250.0"),
        "ImageJ, the escaped sign": density(4, 1, "ImageJ=1.54f\nunit=\\u00B5m\n"),
        "ImageJ, mm": density(4000, 1, "ImageJ=1.54f\nunit=mm\n"),
        "ImageJ, a unit and inches": density(4, 2, "ImageJ=1.54f\nunit=um\n"),
        "resolution of short numbers": tiff({282: (SHORT, [40_000]), 283: (SHORT, [40_000]), 296: (SHORT, [3])}),
        "resolution of floats": tiff({282: (11, [4e4]), 283: (11, [4e4]), 296: (SHORT, [3])}),
    }.items():
        yield answers(f"programs/scale: {name}", _segment("a.tif"), write("a.tif", content), right)
    for name, content in {
        "OME, pixel": described(ome.format(size=1, unit="pixel")),
        "OME, reference frame": described(ome.format(size=1, unit="reference frame")),
        "ImageJ, pixels": density(4, 1, "ImageJ=1.54f\nunit=pixels\n"),
        "Photoshop, 300 an inch": density(300, 2),
        "a unit that is a text": tiff(
            {282: (RATIONAL, [(40_000, 1)]), 283: (RATIONAL, [(40_000, 1)]), 296: (ASCII, b"cm\0")}
        ),
    }.items():
        make = write("a.tif", content)
        yield fails(f"programs/no scale: {name}", _segment("a.tif"), make, "no pixel size, .* give its microns")


def _imagej() -> Iterator[Case]:
    planes = np.moveaxis(picture(), 2, 0)

    def stack(values: np.ndarray, axes: str) -> Make:
        stream = BytesIO()
        tifffile.imwrite(stream, values, imagej=True, metadata={"axes": axes})
        return write("a.tif", stream.getvalue())

    yield read("programs/ImageJ, a composite of three", stack(planes, "CYX"), "a.tif", looks_right())
    yield refused("programs/ImageJ, three slices", stack(planes, "ZYX"), "a.tif", "z-stack of 3 planes")
    yield refused("programs/ImageJ, three times", stack(planes, "TYX"), "a.tif", "time series of 3 planes")
    yield refused("programs/ImageJ, a composite of four", stack(planes[[0, 1, 2, 0]], "CYX"), "a.tif", "4 channels")
    aperio = saved(picture(), photometric="rgb", compression=33003, tile=(32, 32))
    yield fails("programs/Aperio, YCbCr in JPEG 2000", normalize("a.tif"), write("a.tif", aperio), "YCbCr in JPEG 2000")


def _labels() -> Iterator[Case]:
    values = label_image()
    truth = write("t.tif", saved(values))
    evaluate = "evaluate p.tif t.tif --json --resamples 0"
    inverted = saved(values.astype(np.uint8), photometric="miniswhite")
    for name, content in {
        "an inverted table of colours": inverted,
        "one plane of a stack": saved(values[None].astype(np.uint16)),
    }.items():
        make = both(truth, write("p.tif", content))
        yield answers(f"programs/labels: {name}", evaluate, make, in_json(images__0__aji=1.0))
    for name, (content, reason) in {
        "background 1": (saved(values + 1), "no pixel of it is 0, .* and 1 reaches all four sides; set 1 to 0"),
        "background 255": (saved(np.where(values, values, 255).astype(np.uint8)), "and 255 reaches all four sides"),
        "background -1": (saved(np.where(values, values, -1)), "negative numbers, -1 the lowest"),
        "of 32-bit floats": (saved(values.astype(np.float32)), "float32; labels are integers, so save it with 16 or"),
        "through JPEG": (saved((values * 40).astype(np.uint8), compression="jpeg"), "JPEG changes numbers"),
        "a mask for each nucleus": (saved(np.stack([values == n for n in range(1, 7)])), "a stack of 6 planes"),
        "inside 1 and border 2": (saved(np.where(values, 1 + (np.indices(SHAPE).sum(0) % 9 < 2), 0)), "only tells"),
    }.items():
        yield fails(f"programs/labels: {name}", evaluate, both(truth, write("p.tif", content)), reason)


def _square(x: float, y: float, side: float = 20) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def _feature(ring: list[list[float]], kind: str = "annotation", **more: Any) -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": {"objectType": kind}, **more}


def _geojson() -> Iterator[Case]:
    small = {"type": "Polygon", "coordinates": [_square(10, 10, 9)]}
    for name, (objects, count) in {
        "detections within an annotation": (
            [_feature(_square(0, 0, 60)), _feature(_square(3, 3), "detection"), _feature(_square(30, 30), "detection")],
            2,
        ),
        "cells within a core": ([_feature(_square(0, 0, 60), "tma_core"), _feature(_square(3, 3), "cell")], 1),
        "cells with their nuclei": ([_feature(_square(0, 0, 40), "cell", nucleusGeometry=small)], 1),
        "annotations alone": ([_feature(_square(3, 3)), _feature(_square(30, 30))], 2),
        "corners with a height": ([_feature([[*corner, 0] for corner in _square(3, 3)])], 1),
    }.items():
        make = both(_PICTURE, write("in/a.geojson", json.dumps({"type": "FeatureCollection", "features": objects})))
        yield answers(f"programs/QuPath, {name}", "import geojson in out --json", make, in_json(images=1, nuclei=count))
    points = [(x, y) for y in (16, 48) for x in (16, 48, 80)]
    for name, named in {"a text": str, "names": lambda kind: {"names": [kind, "Positive"]}}.items():
        content = [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": place},
                "properties": {"classification": named("ab"[number % 2])},
            }
            for number, place in enumerate(points)
        ]
        learn = "classify train a.png -p a.geojson -o c.safetensors --mpp 0.25 --device cpu --tta 1 --no-embedding"
        make = both(PICTURE, write("a.geojson", json.dumps(content)))
        yield answers(f"programs/QuPath, classes as {name}", learn, make, says("F1"))


def _imagescope() -> Iterator[Case]:
    def xml(number: Any, mpp: str = "0.25", kind: int = 0) -> str:
        corners = "".join(f'<Vertex X="{number(x)}" Y="{number(y)}"/>' for x, y in _square(3.5, 3.5)[:-1])
        region = f'<Region Id="1" Type="{kind}" NegativeROA="0"><Vertices>{corners}</Vertices></Region>'
        return (
            f'<Annotations MicronsPerPixel="{mpp}"><Annotation><Regions>{region}</Regions></Annotation></Annotations>'
        )

    def comma(value: float) -> str:
        return str(value).replace(".", ",")

    for name, text in {
        "decimal commas": xml(comma, "0,25"),
        "a rectangle": xml(str, kind=1),
        "UTF-16": '<?xml version="1.0" encoding="UTF-16"?>' + xml(str),
    }.items():
        content: Any = text.encode("utf-16") if name == "UTF-16" else text
        make = both(_PICTURE, write("in/a.xml", content))
        yield answers(f"programs/ImageScope, {name}", "import kumar in out --json", make, _quarter)


def _quarter(folder: Path, outcome: Any) -> str | None:
    with tifffile.TiffFile(folder / "out" / "labels" / "a.tif") as tif:
        density = tif.pages[0].tags["XResolution"].value if "XResolution" in tif.pages[0].tags else (0, 1)
        nuclei = tif.pages[0].asarray().max()
    return None if nuclei == 1 and density[0] / density[1] == 4e4 else f"{nuclei} nuclei at {density} an unit"


def _annotators() -> Iterator[Case]:
    flat = [3, 3, 19, 3, 19, 20]
    for name, outline in {
        "a list too few": flat,
        "pairs": [[[3, 3], [19, 3], [19, 20]]],
        "texts": [[str(value) for value in flat]],
    }.items():
        content = {
            "images": [{"id": 1, "file_name": "C:\\data\\a.png", "height": SHAPE[0], "width": SHAPE[1]}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": outline}],
        }
        make = both(_PICTURE, write("in/a.json", json.dumps(content)))
        yield answers(f"programs/COCO, {name}", "import coco in out --json", make, in_json(images=1, nuclei=1))
    both_of = both(write("in/x/images/a.png", png()), write("in/x/masks/1.bmp", b"BM" + bytes(99)))
    yield fails("programs/masks of BMP", "import png-folders in out", both_of, "holds no PNG or TIFF, but 1.bmp")
    arrays = {"images": np.full((2, 32, 32, 3), 0.8), "masks": np.zeros((2, 32, 32, 6))}
    arrays["masks"][:, 4:12, 4:12, 0] = 1
    fractions = both(*(_npy(name, values) for name, values in arrays.items()))
    yield fails("programs/PanNuke of fractions", "import pannuke in out", fractions, "fractions up to 1, not colours")
    fortran = both(_npy("images", np.asfortranarray(255 * arrays["images"])), _npy("masks", arrays["masks"]))
    yield answers("programs/PanNuke of Fortran", "import pannuke in out --json", fortran, in_json(images=2, nuclei=2))


def _npy(name: str, values: np.ndarray) -> Make:
    stream = BytesIO()
    np.save(stream, values)
    return write(f"in/{name}.npy", stream.getvalue())


def _tables() -> Iterator[Case]:
    sound = "label,class\n" + "".join(f"{number},{'ab'[number % 2]}\n" for number in range(1, 7))
    for name, text in {
        "semicolons": sound.replace(",", ";"),
        "tabs": sound.replace(",", "\t"),
        "spaces": sound.replace(",", ", "),
        "a byte order mark": "\ufeff" + sound,
    }.items():
        make = both(*(write(f"{part}.tif", saved(label_image())) for part in "pt"), write("t.csv", sound))
        yield answers(
            f"programs/table of classes, {name}",
            "evaluate p.tif t.tif --by class --json",
            both(make, write("p.csv", text)),
            in_json(classes=lambda found: len(found) == 2),
        )


def _folders() -> Iterator[Case]:
    """Folders as people have them; each has one image, and what else there is changes nothing."""
    segment = ("segment", "in", "-o", "out", "--device", "cpu", "--mpp", "0.25", "--model", "tiny")
    rest = ("Thumbs.db", ".DS_Store", "._a.png", "desktop.ini", "notes.xlsx")
    for name, make in {
        "of a Mac and of Windows": both(_PICTURE, *(write(f"in/{each}", b"x" * 50) for each in rest)),
        "a loop of links": both(_PICTURE, lambda folder: (folder / "in" / "loop").symlink_to("..")),
        "an image twice by a link": both(_PICTURE, lambda folder: (folder / "in" / "b.png").symlink_to("a.png")),
    }.items():
        yield answers(f"programs/folder {name}", (*segment, "-r"), make, labels(0, 6144, name="out/a.tif"))
    foreign = both(_PICTURE, write("out/nucleigan-segment.csv", "my,table\n"))
    right = labels(0, 6144, name="out/a.tif")
    yield answers("programs/folder with a report of another", segment, foreign, right)
    for name, make in {
        "empty": lambda folder: (folder / "in").mkdir(),
        "of subfolders": write("in/s/a.png", png()),
    }.items():
        yield fails(f"programs/folder {name}", segment, make, "There are no images in in")
