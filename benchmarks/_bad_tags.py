"""Bad tags and metadata of TIFF: orientations, resolutions and descriptions that cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _bad_case import Case, either, fails
from _bad_files import ASCII, RATIONAL, SHAPE, SHORT, looks_right, picture, saved, sized, tiff, write
from _bad_pictures import normalize
from _bad_tiffs import either_tiff, read_tiff

_GOOD, _ANY = looks_right(), sized()


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _orientations()
    yield from _scales()
    yield from _described()


def _orientations() -> Iterator[Case]:
    for turn in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65_535):
        check = looks_right(SHAPE[::-1] if 5 <= turn <= 8 else SHAPE)
        yield read_tiff(f"turned by {turn}", tiff({274: (SHORT, [turn])}), check)


def _scales() -> Iterator[Case]:
    """Resolutions that cannot be: with a scale given they are read, without one it is asked for."""
    for name, (value, unit) in {
        "0 over 0": ((0, 0), 3),
        "1 over 0": ((1, 0), 3),
        "0 over 1": ((0, 1), 3),
        "1 over 4 billion": ((1, 2**32 - 1), 3),
        "4 billion": ((2**32 - 1, 1), 3),
        "40 000 of no unit": ((40_000, 1), 1),
        "40 000 of unit 9": ((40_000, 1), 9),
        "72 an inch": ((72, 1), 2),
    }.items():
        content = tiff({282: (RATIONAL, [value]), 283: (RATIONAL, [value]), 296: (SHORT, [unit])})
        yield read_tiff(f"resolution {name}", content)
        unknown = ("segment", "a.tif", "-o", "out.tif", "--device", "cpu")
        yield fails(
            f"tiff/resolution {name}, and none given", unknown, write("a.tif", content), "microns per pixel|mpp|scale"
        )
    for name, values in {"of one axis": ([(40_000, 1)], None), "very unlike": ([(40_000, 1)], [(1, 1)])}.items():
        tags: dict[int, Any] = {282: (RATIONAL, values[0]), 296: (SHORT, [3])}
        if values[1]:
            tags[283] = (RATIONAL, values[1])
        yield fails(
            f"tiff/resolution {name}",
            "segment a.tif -o out.tif --device cpu",
            write("a.tif", tiff(tags)),
            "microns|mpp|scale",
        )


def _described() -> Iterator[Case]:
    ome = (
        '<?xml version="1.0" encoding="UTF-8"?>{doctype}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels BigEndian="false" DimensionOrder="XYCZT" ID="Pixels:0" SizeC="{c}" SizeT="{t}" '
        'SizeX="{x}" SizeY="64" SizeZ="1" Type="uint8" {scale}><Channel ID="Channel:0:0" SamplesPerPixel="3"/>{data}'
        "</Pixels></Image></OME>"
    )
    usual = {"doctype": "", "c": "3", "t": "1", "x": "96", "scale": "", "data": '<TiffData IFD="0" PlaneCount="1"/>'}
    laughs = (
        '<!DOCTYPE x [<!ENTITY a "ha">'
        + "".join(
            f'<!ENTITY {chr(98 + n)} "{"&" + chr(97 + n) + ";" * 1}{("&" + chr(97 + n) + ";") * 9}">' for n in range(12)
        )
        + "]>"
    )
    for name, change in {
        "no XML at all": None,
        "cut": "cut",
        "an entity of ten billion laughs": {"doctype": laughs, "scale": 'PhysicalSizeXUnit="&m;"'},
        "an entity of a file": {
            "doctype": '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>',
            "scale": 'PhysicalSizeXUnit="&f;"',
        },
        "SizeX 0": {"x": "0"},
        "SizeX 10**12": {"x": str(10**12)},
        "SizeX that is text": {"x": "wide"},
        "SizeT 10**9": {"t": str(10**9)},
        "SizeC 7": {"c": "7"},
        "another file": {"data": '<TiffData IFD="0"><UUID FileName="../../../etc/passwd">urn:uuid:0</UUID></TiffData>'},
        "a page that is not there": {"data": '<TiffData IFD="99999" PlaneCount="1"/>'},
        "10**9 planes": {"data": '<TiffData IFD="0" PlaneCount="1000000000"/>'},
    }.items():
        text = ome.format(**{**usual, **(change if isinstance(change, dict) else {})})
        text = "OME but no XML" if change is None else text[: len(text) // 2] if change == "cut" else text
        content = tiff({270: (ASCII, text.encode() + b"\0")})
        yield either_tiff(f"OME: {name}", content, _GOOD, file="a.ome.tif")
    for name, scale in {
        "0": 'PhysicalSizeX="0" PhysicalSizeY="0"',
        "negative": 'PhysicalSizeX="-0.25" PhysicalSizeY="-0.25"',
        "NaN": 'PhysicalSizeX="NaN" PhysicalSizeY="NaN"',
        "infinite": 'PhysicalSizeX="INF" PhysicalSizeY="INF"',
        "text": 'PhysicalSizeX="small" PhysicalSizeY="small"',
        "1e300": 'PhysicalSizeX="1e300" PhysicalSizeY="1e300"',
        "1e-300": 'PhysicalSizeX="1e-300" PhysicalSizeY="1e-300"',
        "in parsecs": 'PhysicalSizeX="0.25" PhysicalSizeXUnit="pc" PhysicalSizeY="0.25" PhysicalSizeYUnit="pc"',
        "in a unit of markup": 'PhysicalSizeX="0.25" PhysicalSizeXUnit="[red]" PhysicalSizeY="0.25"',
    }.items():
        content = tiff({270: (ASCII, ome.format(**{**usual, "scale": scale}).encode() + b"\0")})
        yield fails(
            f"tiff/OME: a scale that is {name}",
            "segment a.ome.tif -o out.tif --device cpu",
            write("a.ome.tif", content),
            "microns|mpp|scale",
        )
    for name, text in {
        "MPP nan": "Aperio Image Library v12|AppMag = x|MPP = nan",
        "MPP 0": "Aperio Image Library v12|AppMag = 0|MPP = 0",
        "MPP 1e9": "Aperio Image Library v12|MPP = 1e9",
        "MPP of 10 MB": "Aperio Image Library v12|MPP = " + "9" * 10**7,
        "ImageJ, 10**9 images": "ImageJ=1.53\nimages=1000000000\nslices=1000000000\n",
        "ImageJ, unit of 1 MB": "ImageJ=1.53\nunit=" + "u" * 10**6 + "\n",
        "ImageJ, spacing nan": "ImageJ=1.53\nspacing=nan\nunit=micron\n",
        "shape of tifffile": '{"shape": [1000000, 1000000, 3]}',
        "shape of tifffile, negative": '{"shape": [-1, 96, 3]}',
        "JSON that is deep": '{"shape": ' + "[" * 50_000 + "]" * 50_000 + "}",
        "MetaMorph": "<MetaData><prop id='spatial-calibration-x' value='nan'/></MetaData>",
        "of Latin-1": "caf\xe9 \xb5m",
    }.items():
        yield either_tiff(f"description: {name}", tiff({270: (ASCII, text.encode("latin-1") + b"\0")}), _GOOD)
    yield either("tiff/pixels of another file", normalize("a.tif"), _external, "cannot read", _ANY)


def _external(folder: Path) -> None:
    content = saved(picture(), tile=(32, 32))
    (folder / "a.tif").write_bytes(content[: len(content) - 100])
