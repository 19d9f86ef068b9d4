"""A small sound file of every kind that is read, and what reads it; and the ways in which files get damaged."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from napari_nucleigan.base.events import run
from napari_nucleigan.contributions.readers import get_reader
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.datasets.formats.exchange import import_dataset
from napari_nucleigan.data.images.files import (
    read_image,
    read_labels,
    read_mask,
    read_mpp,
    write_image,
    write_labels,
)
from napari_nucleigan.data.slides import open_slide
from napari_nucleigan.data.slides.label_pyramids import open_label_pyramid
from napari_nucleigan.labels import geojson
from napari_nucleigan.masks.polygons import open_statistics, preset, save
from napari_nucleigan.models import ModelCard, load_model, save_model
from napari_nucleigan.models.registry import KEY, read_card
from napari_nucleigan.networks import build
from napari_nucleigan.training.recipe_files import read_recipe
from napari_nucleigan.training.recipes import RECIPES
from napari_nucleigan.training.runs.run_folder import RunFolder, summary_of
from napari_nucleigan.training.runs.run_library import list_runs
from napari_nucleigan.training.runs.status import log_tail, state_of
from run_folders import make_run
from slide_files import write_label_zarr, write_pyramid, write_svs, write_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SHAPE = (40, 48)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes
    ----------
    make : callable
        Writes a sound one, and what belongs to it, into an empty folder.
    readers : sequence of callable
        All that read it, given the folder; each returns something or raises a `NucleiganError`.
    names : tuple of str
        Patterns of the files that are damaged.
    fields : callable, optional
        Takes the bytes of a file apart into what JSON can hold, and a function that puts it together again.
    """

    make: Callable[[Path], object]
    readers: Sequence[Callable[[Path], object]]
    names: tuple[str, ...] = ("*",)
    fields: Callable[[bytes], tuple[Any, Callable[[Any], bytes]]] | None = None


def _labels() -> np.ndarray:
    labels = np.zeros(_SHAPE, np.int32)
    for number in range(12):
        row, column = 3 + 12 * (number // 4), 3 + 11 * (number % 4)
        labels[row : row + 7, column : column + 6] = number + 1
    labels[5, 5] = 0  # a hole
    return labels


def _pixels() -> np.ndarray:
    grain = np.random.default_rng(0).integers(0, 30, (*_SHAPE, 3))
    return (np.where(_labels()[..., None] > 0, (90, 60, 140), (220, 170, 200)) + grain).astype(np.uint8)


def _pillow(name: str, **options: Any) -> Callable[[Path], object]:
    return lambda folder: Image.fromarray(_pixels()).save(folder / name, **options)


def _tiff(name: str, **options: Any) -> Callable[[Path], object]:
    options = {"photometric": "rgb", "metadata": None, **options}
    return lambda folder: tifffile.imwrite(folder / name, _pixels(), **options)


def _the(folder: Path) -> Path:
    """The one file or folder that a maker has made."""
    (path,) = folder.iterdir()
    return path


def _opened_by_napari(folder: Path) -> object:
    reader = get_reader(str(_the(folder)))
    return None if reader is None else reader(str(_the(folder)))


def _slide(folder: Path) -> object:
    with open_slide(_the(folder)) as slide:
        return [np.asarray(level) for level in slide.levels], list(slide.associated.values())


def _of_the_file(read: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: read(_the(folder))


_IMAGE = tuple(map(_of_the_file, (read_image, read_labels, read_mask, read_mpp)))


def _imports(form: str, source: str = "") -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        return run(import_dataset(form, folder / source, folder.parent / f"{folder.name}.imported"))

    return read


def _coco(folder: Path) -> None:
    write_image(folder / "a.png", _pixels())
    size = list(_SHAPE)
    outlines: list[Any] = [
        [[3.0, 3.0, 9.0, 3.0, 9.0, 10.0]],
        {"size": size, "counts": [5, 10, 905, 20, 980]},
        {"size": size, "counts": "5:ak1"},
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": size[0], "width": size[1]}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": each}
            for number, each in enumerate(outlines)
        ],
        "categories": [],
    }
    (folder / "a.json").write_text(json.dumps(content))


def _aperio(folder: Path) -> None:
    write_image(folder / "a.png", _pixels())
    corners = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((3, 3), (9.5, 3), (9, 10)))
    region = f'<Region Id="1" NegativeROA="0"><Vertices>{corners}</Vertices></Region>'
    (folder / "a.xml").write_text(
        f'<?xml version="1.0"?><Annotations MicronsPerPixel="0.25"><Annotation Name="x"><Regions>{region}'
        "</Regions></Annotation></Annotations>"
    )


def _hovernet(folder: Path) -> None:
    write_image(folder / "a.png", _pixels())
    savemat(folder / "a.mat", {"inst_map": _labels(), "more": {"a": [1, 2]}}, do_compression=True)


def _pannuke(folder: Path) -> None:
    masks = np.zeros((2, 16, 16, 6))
    masks[:, 2:6, 2:6, 0] = 1
    np.save(folder / "images.npy", np.full((2, 16, 16, 3), 200.0))
    np.save(folder / "masks.npy", masks)
    np.save(folder / "types.npy", np.array(["Breast", "Liver"]))


def _dataset(folder: Path) -> None:
    for name in "ab":
        write_image(folder / "images" / f"{name}.png", _pixels())
        write_labels(folder / "labels" / f"{name}.tif", _labels())
    (folder / "split.csv").write_text("name,organ,split\na,breast,train\nb,liver,test\n")


def _model(folder: Path) -> None:
    architecture = {"name": "compact-unet", "widths": [8, 8, 8, 8, 8]}
    card = ModelCard(name="tiny", kind="segmenter", architecture=architecture, mpp=0.25, styles={})
    save_model(folder / "a.safetensors", build(architecture).state_dict(), card)


def _runs(folder: Path) -> object:
    path = RunFolder(folder / "a")
    log_tail(path)
    return state_of(path), summary_of(path), list_runs(folder)


def _json(content: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    return json.loads(content), lambda value: json.dumps(value).encode()


def _json_lines(content: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    def together(values: Any) -> bytes:
        return b"".join(
            json.dumps(value).encode() + b"\n" for value in (values if isinstance(values, list) else [values])
        )

    return [json.loads(line) for line in content.splitlines()], together


def _any_json(content: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    return (_json if content.lstrip()[:1] in (b"{", b"[") and content.count(b"\n{") < 2 else _json_lines)(content)


def _packed_json(content: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    values, together = _json(gzip.decompress(content))
    return values, lambda value: gzip.compress(together(value), 1)


def _safetensors(content: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"][KEY] = json.loads(header["__metadata__"][KEY])

    def together(value: Any) -> bytes:
        if isinstance(value, dict) and isinstance(about := value.get("__metadata__"), dict):
            value = {**value, "__metadata__": {key: json.dumps(each) for key, each in about.items()}}
        text = json.dumps(value).encode()
        return len(text).to_bytes(8, "little") + text + content[8 + length :]

    return header, together


KINDS = {
    "PNG": Kind(_pillow("a.png", dpi=(9e4, 9e4)), (*_IMAGE, _opened_by_napari)),
    "PNG with a palette": Kind(
        lambda folder: Image.fromarray(_pixels()).quantize(9).save(folder / "a.png"), (*_IMAGE, _opened_by_napari)
    ),
    "JPEG": Kind(_pillow("a.jpg", dpi=(300, 300)), (*_IMAGE, _opened_by_napari)),
    "TIFF": Kind(_tiff("a.tif", compression="lzw", resolution=(4e4, 4e4)), (*_IMAGE, _opened_by_napari)),
    "OME-TIFF": Kind(
        _tiff("a.ome.tif", metadata={"axes": "YXS", "PhysicalSizeX": 0.25}, compression="zlib"),
        (*_IMAGE, _opened_by_napari),
    ),
    "TIFF of labels": Kind(
        lambda folder: write_labels(folder / "a.tif", _labels(), 0.25), (*_IMAGE, _opened_by_napari)
    ),
    "pyramid": Kind(
        lambda folder: write_pyramid(folder / "a.tif", np.tile(_pixels(), (4, 4, 1)), compression="jpeg"), (_slide,)
    ),
    "Aperio slide": Kind(lambda folder: write_svs(folder / "a.svs", np.tile(_pixels(), (4, 4, 1))), (_slide,)),
    "OME-Zarr 0.4": Kind(
        lambda folder: write_zarr(folder / "a.ome.zarr", _pixels(), "0.4"), (_slide, _opened_by_napari), fields=_json
    ),
    "OME-Zarr 0.5": Kind(
        lambda folder: write_zarr(folder / "a.ome.zarr", _pixels(), "0.5"), (_slide, _opened_by_napari), fields=_json
    ),
    "OME-Zarr of labels": Kind(
        lambda folder: write_label_zarr(folder / "a.ome.zarr", _labels(), software="napari-nucleigan"),
        (lambda folder: [np.asarray(each) for each in open_label_pyramid(_the(folder)).levels], _opened_by_napari),
        fields=_json,
    ),
    "GeoJSON": Kind(
        lambda folder: geojson.write_geojson(folder / "a.geojson", _labels(), mpp=0.25),
        (
            lambda folder: geojson.read_geojson(_the(folder)),
            lambda folder: geojson.read_geojson(_the(folder), _SHAPE),
            lambda folder: geojson.read_mpp(_the(folder)),
            _opened_by_napari,
        ),
        fields=_json,
    ),
    "packed GeoJSON": Kind(
        lambda folder: geojson.write_geojson_parts(
            folder / "a.geojson.gz", [geojson.GeoJSONPart(_labels(), {}, (5, 5))], (90, 90)
        ),
        (lambda folder: geojson.read_geojson(_the(folder)),),
        fields=_packed_json,
    ),
    "COCO": Kind(_coco, (_imports("coco"),), ("*.json",), _json),
    "Aperio XML": Kind(_aperio, (_imports("kumar"),), ("*.xml",)),
    "MATLAB": Kind(_hovernet, (_imports("hovernet"),), ("*.mat",)),
    "NumPy": Kind(_pannuke, (_imports("pannuke"),)),
    "split.csv": Kind(_dataset, (Dataset.open,), ("split.csv",)),
    "data set": Kind(_dataset, (lambda folder: Dataset.open(folder).pair("a"),)),
    "model": Kind(
        _model,
        (lambda folder: read_card(_the(folder)), lambda folder: load_model(_the(folder))),
        fields=_safetensors,
    ),
    "recipe": Kind(
        lambda folder: (folder / "a.json").write_text(RECIPES["compact-segmenter"].model_dump_json()),
        (lambda folder: read_recipe(_the(folder)),),
        fields=_json,
    ),
    "run": Kind(lambda folder: make_run(folder, "a"), (_runs,), fields=_any_json),
    "statistics": Kind(
        lambda folder: save(preset("liver"), folder / "a.json"),
        (lambda folder: open_statistics(_the(folder)),),
        fields=_json,
    ),
}
"""All of them by name."""

_ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    0.5,
    1e-300,
    1e300,
    float("nan"),
    float("inf"),
    2**31,
    2**63,
    10**40,
    "",
    "..",
    "/etc/passwd",
    "\x1b[31m[/red]\ud800",
    "x" * 10_000,
    [],
    {},
    [[]],
    [1] * 50,
    {"a": {"b": []}},
)
_NUMBERS = (b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\1\0\0", b"\0\0\1\0")


@st.composite
def damaged(draw: st.DrawFn, content: bytes, fields: Callable[[bytes], Any] | None = None) -> bytes:
    """Draw a damaged form of a file: bytes changed, cut, emptied, doubled; or a field replaced."""
    if fields is not None and draw(st.booleans()):
        try:
            values, together = fields(content)
        except ValueError:
            pass  # what holds no fields is damaged as bytes
        else:
            for _ in range(draw(st.integers(1, 2))):
                values = _replaced(draw, values)
            return bytes(together(values))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        end = at + draw(st.sampled_from((1, 4, 16, 256)))
        how = draw(st.sampled_from(("byte", "number", "number", "cut", "empty", "out", "double")))
        if how == "byte":
            content = content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
        elif how == "number":
            content = content[:at] + draw(st.sampled_from(_NUMBERS)) + content[at + 4 :]
        elif how == "cut":
            content = content[:at]
        elif how == "empty":
            content = content[:at] + bytes(len(content[at:end])) + content[end:]
        else:
            content = content[:at] + (content[at:end] * 2 if how == "double" else b"") + content[end:]
    return _checked_png(content) if draw(st.booleans()) else content


def _replaced(draw: st.DrawFn, values: Any) -> Any:
    """Replace or leave out a field somewhere in a value of JSON."""
    if not isinstance(values, dict | list) or not values or draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(_ODD))
    key = draw(st.sampled_from(list(values) if isinstance(values, dict) else range(len(values))))
    changed = values.copy()
    if draw(st.integers(0, 5)):
        changed[key] = _replaced(draw, values[key])
    else:
        del changed[key]
    return changed


def _checked_png(content: bytes) -> bytes:
    """Make the checksums of a PNG right again, so that what was damaged is looked at."""
    if not content.startswith(b"\x89PNG"):
        return content
    parts, place = [content[:8]], 8
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        parts.append(content[place:end] + struct.pack(">I", zlib.crc32(content[place + 4 : end])))
        place = end + 4
    return b"".join(parts)
