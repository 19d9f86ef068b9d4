"""Formats of outlines: Aperio's XML, GeoJSON of QuPath, COCO JSON.

**Aperio** (Kumar, MoNuSeg, MoNuSAC): corners are given in pixels with the centre of the first pixel at (0, 0); this is
how the published label images of these sets come about, to the pixel along most outlines. They may be fractions and may
lie outside the image.

**GeoJSON and COCO**: coordinates are pixels with the corner of the first pixel at (0, 0). In COCO all images share one
file; several polygons of a nucleus are its parts; run lengths go down the columns, and begin with the background.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
from scipy.ndimage import find_objects

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.files import RECORD, atomic_write, write_text
from napari_nucleigan.base.reading import LARGEST_TEXT, FileFault, check_memory, read_bytes, read_json, reading
from napari_nucleigan.base.text import same_name
from napari_nucleigan.data.datasets.formats.entries import Canvas, Entry, Found, ImportedImage, files_below, split_of
from napari_nucleigan.data.datasets.splits import name_of
from napari_nucleigan.data.images.files import read_image, write_image
from napari_nucleigan.data.images.headers import check_pixel_size, number
from napari_nucleigan.labels.geojson import read_annotations, write_geojson
from napari_nucleigan.labels.outlines import outlines
from napari_nucleigan.labels.polygons import labels_to_polygons
from napari_nucleigan.labels.regions import numbered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from napari_nucleigan.data.datasets.formats import Pairs
    from napari_nucleigan.labels.geojson import Rings
    from napari_nucleigan.labels.outlines import Polygon
    from napari_nucleigan.labels.tracing import Ints

_ELEMENT = 500.0  # bytes of memory that an element of XML takes, with three attributes
_BITS = 60  # of a number in COCO's compressed text
_AMBIGUOUS = "ambiguous"  # MoNuSAC's name of regions in which the annotators were not sure


def read_aperio(image: Path, annotation: Path) -> ImportedImage:
    """Read an image and the regions of its XML file.

    Raises
    ------
    ImageError
        If the image cannot be read.
    FileFault, ValueError, KeyError, ElementTree.ParseError
        If the XML is damaged or of another kind.
    """
    root = _xml(read_bytes(annotation, LARGEST_TEXT))
    if root.tag != "Annotations":
        raise FileFault(f"its root is {root.tag!r}, not Aperio's 'Annotations'")
    picture = read_image(image)
    canvas = Canvas((picture.pixels.shape[0], picture.pixels.shape[1]))
    nuclei: list[list[list[npt.NDArray[np.float64]]]] = []
    ids: list[int] = []
    for layer in root.iter("Annotation"):
        unsure = any(_AMBIGUOUS in (each.get("Name") or "").lower() for each in layer.findall("Attributes/Attribute"))
        for region in layer.iter("Region"):
            corners = [(number(each.attrib["X"]), number(each.attrib["Y"])) for each in region.iter("Vertex")]
            if unsure:
                canvas.tally["ambiguous"] += 1
            elif len(corners) < 3:
                canvas.tally["short"] += 1
            else:
                negative = region.get("NegativeROA") == "1"
                canvas.tally["cut"] += negative
                nuclei.append([[np.array(corners) + 0.5]])
                ids.append(0 if negative else len(ids) + 1)
    canvas.draw(nuclei, ids)
    mpp, notes = _aperio_mpp(root)
    return ImportedImage(picture.pixels, canvas.finish(), mpp or picture.mpp, canvas.tally, (*picture.notes, *notes))


def _xml(content: bytes) -> ElementTree.Element:
    """Parse XML that has no entities of its own, of which a few lines can make gigabytes."""

    def refuse(*_: object) -> None:
        raise FileFault("it defines entities, which no Aperio file does")

    check_memory(_ELEMENT * content.count(b"<"))
    tree = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = tree.start, tree.end
    parser.Parse(content, True)
    return tree.close()


def _aperio_mpp(root: ElementTree.Element) -> tuple[float | None, tuple[str, ...]]:
    try:
        value = number(root.get("MicronsPerPixel") or "0")
    except ValueError:
        return None, ()
    return check_pixel_size(value, value, "Aperio annotations")


def write_aperio(folder: Path, pairs: Pairs) -> Iterator[str]:
    """Write ``Tissue Images/NAME.tif`` and ``Annotations/NAME.xml``.

    Holes, and the parts of a nucleus that is in several, are joined to its outline by lines that enclose nothing, since
    a region is one polygon.
    """
    for name, image, labels in pairs:
        write_image(folder / "Tissue Images" / f"{name}.tif", image.pixels, image.mpp)
        root = ElementTree.Element("Annotations")
        if image.mpp:
            root.set("MicronsPerPixel", f"{image.mpp:.6f}")
        layer = ElementTree.SubElement(root, "Annotation", Id="1", Name="", Type="4", LineColor="65280", Visible="1")
        regions = ElementTree.SubElement(layer, "Regions")
        make = partial(ElementTree.SubElement, regions, "Region", Type="0", NegativeROA="0")
        for place, polygon in enumerate(labels_to_polygons(labels)[0], 1):
            region = make(Id=str(place), DisplayId=str(place))
            vertices = ElementTree.SubElement(region, "Vertices")
            for row, column in polygon.tolist():
                ElementTree.SubElement(vertices, "Vertex", X=f"{column:g}", Y=f"{row:g}", Z="0")
        with atomic_write(folder / "Annotations" / f"{name}.xml") as path:
            ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
        yield name


def read_qupath(image: Path, annotation: Path) -> ImportedImage:
    """Read an image and its polygons; their names are their numbers, as in `read_geojson`.

    Raises
    ------
    ImageError, LabelsError
        If a file cannot be read.
    """
    picture = read_image(image)
    canvas = Canvas((picture.pixels.shape[0], picture.pixels.shape[1]))
    known = read_annotations(annotation, nuclei_only=True)
    canvas.draw(known.nuclei, known.labels)
    return ImportedImage(
        picture.pixels,
        canvas.finish(renumber=False),
        known.mpp or picture.mpp,
        canvas.tally,
        (*picture.notes, *known.notes),
    )


def write_qupath(folder: Path, pairs: Pairs) -> Iterator[str]:
    """Write ``images/NAME.png`` and ``geojson/NAME.geojson``."""
    for name, image, labels in pairs:
        write_image(folder / "images" / f"{name}.png", image.pixels, image.mpp)
        write_geojson(folder / "geojson" / f"{name}.geojson", labels, mpp=image.mpp)
        yield name


def find_coco(source: Path) -> Found:
    """List the images of a COCO file.

    Parameters
    ----------
    source : Path
        The file, with the images somewhere in its folder, or a folder that holds one such file.

    Raises
    ------
    DatasetError
        If there is no such file, or it is damaged.
    """
    path, files = _coco_file(source)
    with reading(path, DatasetError, "COCO JSON of instances"):
        content = read_json(path)
        images, annotations = content["images"], content["annotations"]
        grouped: dict[Any, list[dict[str, Any]]] = {each["id"]: [] for each in images}
        if len(grouped) != len(images):
            raise FileFault("two of its images have the same id")
        for annotation in annotations:
            if annotation["image_id"] not in grouped:
                raise FileFault(f"an annotation is of the image {annotation['image_id']!r}, which is not listed")
            grouped[annotation["image_id"]].append(annotation)
        wanted = [(str(each["file_name"]).replace("\\", "/"), each) for each in images]
        if not all(PurePosixPath(name).name for name, _ in wanted):
            raise FileFault("an image has no file name")
    known: dict[str, list[Path]] = {}
    for file in files:
        known.setdefault(same_name(file.name), []).append(file)
    entries: list[Entry] = []
    broken: dict[str, str] = {}
    for name, record in wanted:
        found = _coco_image(path.parent, name, known)
        if found is None:
            broken[name] = "there is no such image below the folder of the file"
            continue
        parts = PurePosixPath(name).parts
        entries.append(
            Entry(
                name=str(PurePosixPath(*parts[:-1], name_of(Path(parts[-1])))).lstrip("/"),
                read=partial(read_coco, found, record, grouped[record["id"]]),
                files=(found, path),
                split=split_of(parts[:-1]),
            )
        )
    return Found(tuple(entries), broken)


def _coco_file(source: Path) -> tuple[Path, list[Path]]:
    if source.is_file():
        return source, files_below(source.parent)
    files = files_below(source)
    found = [path for path in files if path.suffix.lower() == ".json" and path.name != RECORD]
    if len(found) != 1:
        raise DatasetError(
            f"{source} holds {len(found)} .json files; give the path of the one that has the annotations."
        )
    return found[0], files


def _coco_image(folder: Path, name: str, known: Mapping[str, Sequence[Path]]) -> Path | None:
    """Find the image of a name: where it says, else the only one that is called so below the folder."""
    same = known.get(same_name(PurePosixPath(name).name), ())
    wanted = {same_name(str(place)) for place in (folder / name, folder / "images" / name)}
    there = [path for path in same if same_name(str(path)) in wanted]
    return (there or same)[0] if there or len(same) == 1 else None


def read_coco(image: Path, record: dict[str, Any], annotations: Sequence[dict[str, Any]]) -> ImportedImage:
    """Read an image and the annotations that belong to it.

    Raises
    ------
    ImageError
        If the image cannot be read.
    FileFault, ValueError, TypeError, KeyError
        If an annotation is damaged, or the image has another size than the file says.
    """
    picture = read_image(image)
    shape = (picture.pixels.shape[0], picture.pixels.shape[1])
    said = (record.get("height", shape[0]), record.get("width", shape[1]))
    if said != shape:
        raise FileFault(f"it says that {image.name} has {said} pixels (height, width), and the image has {shape}")
    canvas = Canvas(shape)
    waiting: dict[int, list[Rings]] = {}

    def draw() -> None:
        canvas.draw(list(waiting.values()), list(waiting))
        waiting.clear()

    for place, annotation in enumerate(annotations, 1):
        outline = annotation.get("segmentation")
        if annotation.get("iscrowd"):
            canvas.tally["crowd"] += 1
        elif not outline:
            canvas.tally["bare"] += 1
        elif isinstance(outline, dict):
            draw()
            canvas.fill(_places(outline, shape), place, "empty")
        else:
            # One polygon may come without the list around it, and its corners as pairs.
            listed = outline if isinstance(outline[0], list) else [outline]
            rings = [np.array(flat, np.float64).reshape(-1, 2) for flat in listed]
            polygons = [[ring] for ring in rings if len(ring) > 2]
            canvas.tally["short"] += len(rings) - len(polygons)
            if polygons:
                waiting[place] = polygons
    draw()
    return ImportedImage(picture.pixels, canvas.finish(), picture.mpp, canvas.tally, picture.notes)


def _places(runs: dict[str, Any], shape: tuple[int, int]) -> Ints:
    """Flat indices of the pixels that run lengths tell."""
    counts = runs["counts"]
    lengths = unpacked(counts) if isinstance(counts, str) else counts
    # Summed up as Python's integers, which do not wrap around.
    if (
        tuple(runs["size"]) != shape
        or not all(type(length) is int and length >= 0 for length in lengths)
        or sum(lengths) != shape[0] * shape[1]
    ):
        raise FileFault("run lengths of a nucleus do not fit the size of the image")
    ends = np.cumsum(np.array(lengths, np.int64))
    starts, ends = ends[:-1:2], ends[1::2]
    # Memory as the nucleus has pixels, not as the image has.
    sizes = ends - starts
    places = np.arange(int(sizes.sum())) + np.repeat(starts - np.cumsum(sizes) + sizes, sizes)
    column, row = np.divmod(places, shape[0])
    flat: Ints = row * shape[1] + column
    return flat


def unpacked(text: str) -> list[int]:
    """Read run lengths from COCO's compressed text.

    Every character holds six bits above the code 48: five of a number, lowest first, and whether more follow. The
    highest bit that is given is the sign. From the fourth on, a number is the difference to the one before the last.

    Parameters
    ----------
    text : str
        ``counts`` of a run-length encoding.

    Returns
    -------
    list of int

    Raises
    ------
    FileFault
        If it is not such a text.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > _BITS:
            raise FileFault("run lengths hold characters that do not belong there")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise FileFault("run lengths are cut short")
    return lengths


def write_coco(folder: Path, pairs: Pairs) -> Iterator[str]:
    """Write ``images/NAME.png`` and ``annotations.json``: polygons, or run lengths of nuclei with holes."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for name, image, labels in pairs:
        write_image(folder / "images" / f"{name}.png", image.pixels, image.mpp)
        numbers = numbered(labels)[1]
        height, width = numbers.shape
        images.append({"id": len(images) + 1, "file_name": f"{name}.png", "height": height, "width": width})
        boxes = find_objects(numbers)
        for label, polygons in outlines(numbers).items():
            rows, columns = box = boxes[label - 1]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": 1,
                    "iscrowd": 0,
                    "area": int((numbers[box] == label).sum()),
                    "bbox": [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
                    "segmentation": _segmentation(polygons, numbers, label, box),
                }
            )
        yield name
    content = {
        "info": {"description": "Nuclei, exported by napari-nucleigan"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "nucleus", "supercategory": "cell"}],
    }
    write_text(folder / "annotations.json", json.dumps(content, separators=(",", ":")) + "\n")


def _segmentation(
    polygons: list[Polygon], labels: npt.NDArray[Any], label: int, box: tuple[slice, slice]
) -> list[list[int]] | dict[str, Any]:
    if all(len(polygon) == 1 for polygon in polygons):
        return [[value for corner in ring for value in corner] for (ring,) in polygons]
    height, width = labels.shape
    row, column = np.nonzero(labels[box] == label)
    places = np.sort((column + box[1].start) * height + row + box[0].start)
    # Runs begin where the pixel before is missing, and end before the next one that does.
    first = np.flatnonzero(np.diff(places, prepend=-2) > 1)
    starts, ends = places[first], places[np.append(first[1:], len(places)) - 1] + 1
    edges = np.column_stack([starts, ends]).reshape(-1)
    counts = np.diff(edges, prepend=0, append=height * width)
    return {"size": [height, width], "counts": counts.tolist()}
