"""Bad data sets of others: XML, MATLAB, NumPy, GeoJSON, COCO, folders of masks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np

from _bad_case import Case, Make, answers, either, fails, misused
from _bad_files import SHAPE, both, deep, in_json, json_text, label_image, link, nothing, pipe, png, write
from _bad_labels import bad_geojson

_PICTURE = write("in/a.png", png())
_NO = "cannot|holds|array of|no folder|no image|none of|not |is no|must|could"


def cases() -> Iterator[Case]:
    """All of them."""
    for form in ("kumar", "png-folders", "hovernet", "pannuke", "geojson", "coco"):
        for name, make in {
            "missing": nothing,
            "a file": write("in", b"x"),
            "an empty folder": lambda folder: (folder / "in").mkdir(),
            "other files": write("in/readme.txt", b"x"),
        }.items():
            yield fails(f"import/{form}, {name}", _import(form), make, _NO)
    yield misused("import/a format that is none", _import("dicom"), nothing, "format|invalid")
    yield from _aperio()
    yield from _hovernet()
    yield from _pannuke()
    yield from _outlines()
    yield from _coco()
    yield from _folders()


def _import(form: str) -> tuple[str, ...]:
    return ("import", form, "in", "out", "--json")


def _case(form: str, name: str, make: Make, least: int = 0) -> Case:
    """Make a case of what is damaged: it is refused, or read with as many nuclei as there are at least."""
    found = in_json(images=lambda count: count >= 1, nuclei=lambda count: count >= least)
    return either(f"{form}/{name}", _import(form), both(_PICTURE, make), _NO, found, notes=True)


def _aperio() -> Iterator[Case]:
    corners = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((3, 3), (19.5, 3), (19, 20)))
    region = f'<Region Id="1" NegativeROA="0"><Vertices>{corners}</Vertices></Region>'
    sound = (
        '<?xml version="1.0"?><Annotations MicronsPerPixel="0.25"><Annotation><Regions>'
        f"{region}</Regions></Annotation></Annotations>"
    )
    laughs = (
        "<!DOCTYPE x ["
        + '<!ENTITY a "ha">'
        + "".join(f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(10))
        + "]>"
    )
    texts: dict[str, Any] = {
        "empty": "",
        "text": "annotations",
        "cut": sound[:150],
        "another root": "<x/>",
        "nothing in it": "<Annotations/>",
        "of Latin-1": sound.replace("Annotation>", "Annotation Name='\udce9'>", 1),
        "ten billion laughs": sound.replace("<Annotations", laughs + "<Annotations", 1).replace('"0.25"', '"&k;"'),
        "an entity of a file": sound.replace(
            "<Annotations", '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><Annotations', 1
        ).replace('"0.25"', '"&f;"'),
        "100 000 elements deep": lambda: "<Annotations>" + "<x>" * 100_000 + "</x>" * 100_000 + "</Annotations>",
        "corners NaN": sound.replace('X="3"', 'X="nan"'),
        "corners infinite": sound.replace('X="3"', 'X="inf"'),
        "corners of text": sound.replace('X="3"', 'X="three"'),
        "corners at 1e300": sound.replace('X="3"', 'X="1e300"'),
        "corners at 1e5": sound.replace('X="3"', 'X="1e5"').replace('Y="20"', 'Y="1e5"'),
        "no X": sound.replace('X="3" ', ""),
        "two corners": sound.replace('<Vertex X="19" Y="20"/>', ""),
        "no corners": sound.replace(corners, ""),
        "mpp NaN": sound.replace('"0.25"', '"nan"'),
        "mpp 0": sound.replace('"0.25"', '"0"'),
        "mpp -1": sound.replace('"0.25"', '"-1"'),
        "mpp of text": sound.replace('"0.25"', '"x"'),
        "mpp 1e300": sound.replace('"0.25"', '"1e300"'),
        "an Id of text": sound.replace('Id="1"', 'Id="x"'),
        "NUL": sound.replace("<Regions>", "<Regions>\0"),
        "30 000 regions": lambda: sound.replace(region, region * 30_000),
        "200 regions of the whole image 100 000 wide": sound.replace(
            region, region.replace('X="19.5"', 'X="99999"') * 200
        ),
    }
    for name, content in texts.items():
        yield _case("kumar", name, write("in/a.xml", content))
    yield answers(
        "kumar/sound", _import("kumar"), both(_PICTURE, write("in/a.xml", sound)), in_json(images=1, nuclei=1)
    )
    yield fails("kumar/a pipe", _import("kumar"), both(_PICTURE, pipe("in/a.xml")), "pipe")
    yield fails("kumar/a link to /dev/zero", _import("kumar"), both(_PICTURE, link("in/a.xml", "/dev/zero")), "device")
    yield fails("kumar/no picture", _import("kumar"), write("in/a.xml", sound), _NO)
    yield fails(
        "kumar/an empty picture",
        _import("kumar"),
        both(write("in/a.png", b""), write("in/a.xml", sound)),
        "cannot|none",
    )
    for value in ("nan", "inf", "0", "-1", "1e9", "x"):
        make = both(_PICTURE, write("in/a.xml", sound))
        says = "microns|mpp|scale|pixel"
        right = misused if value == "x" else fails
        yield right(f"kumar/--mpp {value}", (*_import("kumar"), "--mpp", value), make, says)
    for name, table in {"empty": "", "of noise": bytes(range(256)), "no name": "x,y\n1,2\n"}.items():
        make = both(_PICTURE, write("in/a.xml", sound), write("s.csv", table))
        yield fails(f"kumar/a table {name}", (*_import("kumar"), "--table", "s.csv"), make, "s.csv")
    yield fails(
        "kumar/a table that is missing",
        (*_import("kumar"), "--table", "s.csv"),
        both(_PICTURE, write("in/a.xml", sound)),
        "s.csv",
    )
    yield fails(
        "kumar/into a folder of others",
        _import("kumar"),
        both(_PICTURE, write("in/a.xml", sound), write("out/mine.txt", b"mine")),
        "holds something",
    )
    yield fails(
        "kumar/into a file",
        _import("kumar"),
        both(_PICTURE, write("in/a.xml", sound), write("out", b"mine")),
        "holds something|in the way",
    )


def _mat(**variables: Any) -> bytes:
    from scipy.io import savemat

    stream = BytesIO()
    savemat(stream, variables, do_compression=True)
    return stream.getvalue()


def _hovernet() -> Iterator[Case]:
    values = label_image()
    contents: dict[str, Any] = {
        "empty": b"",
        "text": b"hello" * 50,
        "cut": lambda: _mat(inst_map=values)[:300],
        "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(600),
        "of version 7.3": b"MATLAB 7.3 MAT-file" + b" " * 97 + bytes(8) + b"\0\2IM" + bytes(400),
        "no inst_map": lambda: _mat(other=values),
        "a text": lambda: _mat(inst_map="labels"),
        "a struct": lambda: _mat(inst_map={"a": 1}),
        "cells": lambda: _mat(inst_map=np.array([1, "a"], object)),
        "fractions": lambda: _mat(inst_map=values / 2),
        "NaN": lambda: _mat(inst_map=np.full(SHAPE, np.nan)),
        "infinite": lambda: _mat(inst_map=np.full(SHAPE, np.inf)),
        "negative": lambda: _mat(inst_map=-values),
        "complex": lambda: _mat(inst_map=values * 1j),
        "1e300": lambda: _mat(inst_map=np.full(SHAPE, 1e300)),
        "of another size": lambda: _mat(inst_map=values[:9, :9]),
        "of three axes": lambda: _mat(inst_map=np.stack([values] * 3)),
        "of no pixels": lambda: _mat(inst_map=np.zeros((0, 0))),
        "0 and 255": lambda: _mat(inst_map=((values > 0) * 255)),
        "a bomb": _mat_bomb,
        "a shape of 2**31": lambda: _mat_shape(2**31 - 1),
        "a shape that is negative": lambda: _mat_shape(-5),
        "zeros in it": lambda: _zeroed(_mat(inst_map=values)),
        "a length of 4 GB": lambda: _mat(inst_map=values)[:132] + b"\xff\xff\xff\xff" + _mat(inst_map=values)[136:],
    }
    for name, content in contents.items():
        yield _case("hovernet", name, write("in/a.mat", content))
    yield answers(
        "hovernet/sound",
        _import("hovernet"),
        both(_PICTURE, write("in/a.mat", lambda: _mat(inst_map=values))),
        in_json(images=1, nuclei=6),
    )


def _zeroed(content: bytes) -> bytes:
    return content[:200] + bytes(100) + content[300:]


def _mat_bomb() -> bytes:
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(10**7)) for _ in range(200)) + packer.flush()
    return _mat(inst_map=label_image())[:128] + struct.pack("<II", 15, len(packed)) + packed


def _mat_shape(rows: int) -> bytes:
    name = b"inst_map"
    body = struct.pack("<IIII", 6, 8, 6, 0) + struct.pack("<IIii", 5, 8, rows, 2**31 - 1 if rows > 0 else rows)
    body += struct.pack("<II", 1, len(name)) + name + struct.pack("<II", 9, 8) + bytes(8)
    return _mat(inst_map=label_image())[:128] + struct.pack("<II", 14, len(body)) + body


def _npy(array: np.ndarray) -> bytes:
    stream = BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _header(text: str) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + bytes(500)


def _pannuke() -> Iterator[Case]:
    masks = np.zeros((2, 32, 32, 6))
    masks[:, 4:12, 4:12, 0] = 1
    images = np.full((2, 32, 32, 3), 200.0)
    sound = {"images": _npy(images), "masks": _npy(masks), "types": _npy(np.array(["Breast", "Liver"]))}

    def made(**change: Any) -> Make:
        return both(
            *(write(f"in/{name}.npy", content) for name, content in {**sound, **change}.items() if content is not None)
        )

    yield answers("pannuke/sound", _import("pannuke"), made(), in_json(images=2, nuclei=2))
    nan = np.where(masks == 1, np.nan, masks)
    wrong = {
        "masks empty": made(masks=b""),
        "masks cut": made(masks=sound["masks"][:5000]),
        "masks of text": made(masks=b"x" * 500),
        "no images": made(images=None),
        "masks NaN": made(masks=_npy(nan)),
        "masks negative": made(masks=_npy(-masks)),
        "masks of fractions": made(masks=_npy(masks / 2)),
        "masks of 4 channels": made(masks=_npy(masks[..., :4])),
        "masks of 2 axes": made(masks=_npy(masks[0, :, :, 0])),
        "masks of another size": made(masks=_npy(masks[:, :9])),
        "one patch less": made(masks=_npy(masks[:1])),
        "masks of objects": made(masks=_npy(masks.astype(object))),
        "images of objects": made(images=_npy(images.astype(object))),
        "images of text": made(images=_npy(images.astype(str))),
        "images NaN": made(images=_npy(images * np.nan)),
        "images of 300": made(images=_npy(images + 100)),
        "images negative": made(images=_npy(-images)),
        "types of numbers": made(types=_npy(np.arange(2))),
        "types of objects": made(types=_npy(np.array(["a", None], object))),
        "types too few": made(types=_npy(np.array(["a"]))),
        "an archive": made(masks=b"PK\3\4" + bytes(100)),
        "a pickle": made(masks=b"\x80\4cos\nsystem\n(S'touch owned'\ntR."),
        "a shape of 10**12": made(
            masks=_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000, 32, 6)}\n")
        ),
        "a shape that is negative": made(
            masks=_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-2, 32, 32, 6)}\n")
        ),
        "a header that is a program": made(masks=_header("__import__('os').system('touch owned')\n")),
        "a header of noise": made(masks=_header("\1\2\3")),
        "a type of 10**9 letters": made(
            types=_header("{'descr': '<U1000000000', 'fortran_order': False, 'shape': (2,)}\n")
        ),
        "complex": made(masks=_npy(masks.astype(complex))),
        "patches of no pixels": made(masks=_npy(masks[:, :0]), images=_npy(images[:, :0])),
        "no patches": made(masks=_npy(masks[:0]), images=_npy(images[:0])),
        "a pipe": both(made(masks=None), pipe("in/masks.npy")),
    }
    for name, make in wrong.items():
        yield fails(f"pannuke/{name}", _import("pannuke"), make, _NO + "|pipe|colours|labels|differ", notes=True)


def _outlines() -> Iterator[Case]:
    for name, content in bad_geojson().items():
        yield _case("geojson", name, write("in/a.geojson", content))


def _coco() -> Iterator[Case]:
    def text(image: dict[str, Any] | None = None, note: dict[str, Any] | None = None, **change: Any) -> str:
        first = {"id": 1, "file_name": "a.png", "height": SHAPE[0], "width": SHAPE[1], **(image or {})}
        one = {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            "segmentation": [[3, 3, 19, 3, 19, 20]],
            **(note or {}),
        }
        return json_text({"images": [first], "annotations": [one], "categories": [], **change})

    size = list(SHAPE)
    texts: dict[str, Any] = {
        "empty": "",
        "text": "coco",
        "null": "null",
        "a list": "[]",
        "cut": text()[:80],
        "nested deeply": deep(),
        "no images": text(images=[]),
        "images null": text(images=None),
        "annotations null": text(annotations=None),
        "annotations of numbers": text(annotations=[1, 2]),
        "no annotations": text(annotations=[]),
        "a file outside": text({"file_name": "../../../etc/passwd"}),
        "a file that is absolute": text({"file_name": "/etc/passwd"}),
        "a file that is missing": text({"file_name": "b.png"}),
        "a file that is a number": text({"file_name": 5}),
        "a file of no name": text({"file_name": ""}),
        "a height of 0": text({"height": 0}),
        "a height of 10**9": text({"height": 10**9}),
        "a height of text": text({"height": "x"}),
        "an id of text": text({"id": "x"}),
        "an image that is none": text(note={"image_id": 99}),
        "no segmentation": text(note={"segmentation": None}),
        "a segmentation of text": text(note={"segmentation": "x"}),
        "3 numbers": text(note={"segmentation": [[1, 2, 3]]}),
        "4 numbers": text(note={"segmentation": [[1, 2, 3, 4]]}),
        "7 numbers": text(note={"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}),
        "corners NaN": text(note={"segmentation": [[float("nan")] * 6]}),
        "corners infinite": text(note={"segmentation": [[float("inf")] * 6]}),
        "corners at 1e300": text(note={"segmentation": [[0, 0, 1e300, 0, 0, 1e300]]}),
        "corners of text": text(note={"segmentation": [["a"] * 6]}),
        "run lengths too long": text(note={"segmentation": {"size": size, "counts": [0, 10**9]}}),
        "run lengths too short": text(note={"segmentation": {"size": size, "counts": [5, 5]}}),
        "run lengths negative": text(note={"segmentation": {"size": size, "counts": [10, -5, 6139]}}),
        "run lengths that wrap": text(note={"segmentation": {"size": size, "counts": [2**63, 2**63, 6144]}}),
        "run lengths of text": text(note={"segmentation": {"size": size, "counts": ["a"]}}),
        "packed run lengths of noise": text(note={"segmentation": {"size": size, "counts": "\x7f~~~~"}}),
        "packed run lengths that are endless": text(note={"segmentation": {"size": size, "counts": "o" * 10_000}}),
        "packed run lengths of emoji": text(note={"segmentation": {"size": size, "counts": "\U0001f52c"}}),
        "packed run lengths, cut": text(note={"segmentation": {"size": size, "counts": "5:a"}}),
        "run lengths of another size": text(note={"segmentation": {"size": [9, 9], "counts": [5, 76]}}),
        "run lengths of no size": text(note={"segmentation": {"counts": [5, 76]}}),
        "a size of 10**9": text(note={"segmentation": {"size": [10**9, 10**9], "counts": [10**18]}}),
        "a million run lengths": lambda: text(note={"segmentation": {"size": size, "counts": [0] * 10**6}}),
        "10**6 crowds": lambda: text(annotations=[{"iscrowd": 1}] * 10**6),
    }
    for name, content in texts.items():
        yield _case("coco", name, write("in/a.json", content))
    yield answers(
        "coco/sound", _import("coco"), both(_PICTURE, write("in/a.json", text())), in_json(images=1, nuclei=1)
    )
    yield fails("coco/a pipe", _import("coco"), both(_PICTURE, pipe("in/a.json")), "pipe|coco|cannot|holds no")
    yield fails(
        "coco/two texts",
        _import("coco"),
        both(_PICTURE, write("in/a.json", text()), write("in/b.json", text())),
        "two|several|json|one",
    )


def _folders() -> Iterator[Case]:
    mask = png(((label_image() == 1) * 255).astype(np.uint8))
    picture = write("in/x/images/a.png", png())
    wrong: dict[str, Make] = {
        "a mask of another size": both(picture, write("in/x/masks/1.png", png(np.zeros((9, 9), np.uint8)))),
        "a mask empty": both(picture, write("in/x/masks/1.png", b"")),
        "a mask of text": both(picture, write("in/x/masks/1.png", b"x" * 99)),
        "a mask that is a pipe": both(picture, write("in/x/masks/1.png", mask), pipe("in/x/masks/2.png")),
        "a mask that is /dev/zero": both(
            picture, write("in/x/masks/1.png", mask), link("in/x/masks/2.png", "/dev/zero")
        ),
        "two pictures": both(picture, write("in/x/images/b.png", png()), write("in/x/masks/1.png", mask)),
        "no picture": write("in/x/masks/1.png", mask),
        "an empty picture": both(write("in/x/images/a.png", b""), write("in/x/masks/1.png", mask)),
    }
    for name, make in wrong.items():
        yield fails(f"png-folders/{name}", _import("png-folders"), make, _NO + "|pixels|pipe|device", notes=True)
    blank = both(picture, write("in/x/masks/1.png", png(np.zeros(SHAPE, np.uint8))))
    yield answers("png-folders/a blank mask", _import("png-folders"), blank, in_json(images=1, nuclei=0))
    left_out = ("import", "png-folders", "in", "out", "--json", "--skip-broken")
    some = both(
        picture, write("in/x/masks/1.png", mask), write("in/y/images/b.png", b""), write("in/y/masks/1.png", mask)
    )
    yield answers("png-folders/one broken, left out", left_out, some, in_json(images=1, nuclei=1))
