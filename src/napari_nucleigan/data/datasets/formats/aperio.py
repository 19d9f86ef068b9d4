"""Kumar, MoNuSeg and MoNuSAC: images and the XML of Aperio ImageScope.

Corners are given in pixels with the centre of the first pixel at (0, 0); this is how the published label images of
these sets come about, to the pixel along most outlines. They may be fractions and may lie outside the image.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

from napari_nucleigan.base.files import atomic_write
from napari_nucleigan.data.datasets.formats.entries import Canvas, ImportedImage
from napari_nucleigan.data.images.files import read_image, write_image
from napari_nucleigan.data.images.headers import check_pixel_size
from napari_nucleigan.labels.polygons import labels_to_polygons

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from napari_nucleigan.data.datasets.formats import Pairs

_AMBIGUOUS = "ambiguous"  # MoNuSAC's name of regions in which the annotators were not sure


def read(image: Path, annotation: Path) -> ImportedImage:
    """Read an image and the regions of its XML file.

    Raises
    ------
    ImageError
        If the image cannot be read.
    ValueError, ElementTree.ParseError
        If the XML is damaged or of another kind.
    """
    root = ElementTree.parse(annotation).getroot()
    if root.tag != "Annotations":
        raise ValueError(f"its root is {root.tag!r}, not Aperio's 'Annotations'")
    picture = read_image(image)
    canvas = Canvas((picture.pixels.shape[0], picture.pixels.shape[1]))
    nuclei: list[list[list[npt.NDArray[np.float64]]]] = []
    ids: list[int] = []
    for layer in root.iter("Annotation"):
        unsure = any(_AMBIGUOUS in (each.get("Name") or "").lower() for each in layer.findall("Attributes/Attribute"))
        for region in layer.iter("Region"):
            corners = [(float(each.attrib["X"]), float(each.attrib["Y"])) for each in region.iter("Vertex")]
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
    mpp, notes = _resolution(root)
    return ImportedImage(picture.pixels, canvas.finish(), mpp or picture.mpp, canvas.tally, (*picture.notes, *notes))


def _resolution(root: ElementTree.Element) -> tuple[float | None, tuple[str, ...]]:
    try:
        value = float(root.get("MicronsPerPixel") or 0)
    except ValueError:
        return None, ()
    return check_pixel_size(value, value, "Aperio annotations")


def write(folder: Path, pairs: Pairs) -> Iterator[str]:
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
        for number, polygon in enumerate(labels_to_polygons(labels)[0], 1):
            region = make(Id=str(number), DisplayId=str(number))
            vertices = ElementTree.SubElement(region, "Vertices")
            for row, column in polygon.tolist():
                ElementTree.SubElement(vertices, "Vertex", X=f"{column:g}", Y=f"{row:g}", Z="0")
        with atomic_write(folder / "Annotations" / f"{name}.xml") as path:
            ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
        yield name
