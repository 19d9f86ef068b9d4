"""Nuclei of an image or a slide, as the writers of stores see them: one after the other, never all at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_nucleigan.base.pixels import sides
from napari_nucleigan.labels.classes import CLASS, Colour, class_colours
from napari_nucleigan.labels.geojson import GeoJSONPart
from napari_nucleigan.segmentation.artefacts import ARTEFACT
from napari_nucleigan.segmentation.embedding import EMBEDDING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.image import Segmentation

MOST_PROPERTIES = 25_000
"""Nuclei up to which each has its class in the metadata of a label image in OME-Zarr: up to 600 bytes each.

More would make them larger than `napari_nucleigan.data.slides.zarr_arrays.METADATA`, which is refused on reading.
"""

_PROPERTIES = (CLASS, "class_probability", "confidence", ARTEFACT)

Table = dict[str, "NDArray[Any]"]


class Nuclei(Protocol):
    """Nuclei that are ready to be written. Lengths in microns are from the middle of the image's first pixel.

    Attributes
    ----------
    name : str
        Name of the image.
    shape, extent : (int, int)
        Height and width in pixels of the labels, and of the image.
    count : int
        Number of nuclei.
    mpp : float
        Microns per pixel of the image.
    pixel, place : (float, float)
        Microns that a pixel of the labels is high and wide, and those to the middle of their first pixel.
    provenance : mapping
        Ready for JSON.
    source : Path or None
        The file of the image.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def shape(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def extent(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def count(self) -> int: ...  # noqa: D102
    @property
    def mpp(self) -> float: ...  # noqa: D102
    @property
    def pixel(self) -> tuple[float, float]: ...  # noqa: D102
    @property
    def place(self) -> tuple[float, float]: ...  # noqa: D102
    @property
    def provenance(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def source(self) -> Path | None: ...  # noqa: D102

    def tables(self) -> Iterator[Table]:
        """Return their measurements, part by part, with the same columns in each; one part at least.

        The column `EMBEDDING` holds a vector, (n, d), for each nucleus; all others a number or a text.
        """
        ...

    def parts(self) -> Iterator[GeoJSONPart]:
        """Return them drawn, with their measurements, in the order of `tables`."""
        ...

    def paint(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.uint32]:
        """Draw a part of the labels."""
        ...

    def classes(self) -> dict[str, Colour]:
        """Return the classes that they have, and their colours."""
        ...

    def picture(self, most: int) -> NDArray[np.uint8]:
        """Return the whole image in RGB, (h, w, 3), with at most so many pixels on its longer side, or a few more."""
        ...


@dataclass(frozen=True, eq=False)
class ImageNuclei:
    """The nuclei of an image; as `Nuclei`."""

    found: Segmentation

    @property
    def name(self) -> str:
        """Name of the image."""
        return self.found.image.name

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the labels in pixels."""
        height, width = self.found.labels.shape
        return height, width

    extent = shape

    @property
    def count(self) -> int:
        """Number of nuclei."""
        return len(self.found.features["label"])

    @property
    def mpp(self) -> float:
        """Microns per pixel."""
        return self.found.mpp

    @property
    def pixel(self) -> tuple[float, float]:
        """Microns that a pixel is high and wide."""
        return sides(self.found.mpp)

    @property
    def place(self) -> tuple[float, float]:
        """The labels have the image's own pixels."""
        return 0.0, 0.0

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Model, parameters and version."""
        return self.found.provenance

    @property
    def source(self) -> Path | None:
        """The file of the image."""
        return self.found.image.path

    def tables(self) -> Iterator[Table]:
        """Return their measurements."""
        vectors = self.found.embeddings
        yield {**self.found.features, **({} if vectors is None else {EMBEDDING: vectors})}

    def parts(self) -> Iterator[GeoJSONPart]:
        """Return them drawn, with their measurements."""
        for table in self.tables():
            yield GeoJSONPart(self.found.labels, table, (0, 0))

    def paint(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.uint32]:
        """Draw a part of the labels."""
        return self.found.labels[top:bottom, left:right].astype(np.uint32)

    def classes(self) -> dict[str, Colour]:
        """Return the classes that they have, and their colours."""
        return class_colours(self.tables(), self.found.provenance.get("classes"))

    def picture(self, most: int) -> NDArray[np.uint8]:
        """Return the image, or every so many of its pixels."""
        pixels = self.found.image.pixels
        step = -(-max(pixels.shape[:2]) // most)
        return pixels[::step, ::step]


def plain(table: Mapping[str, NDArray[Any]]) -> Table:
    """Return the columns of a table that hold a number or a text for each nucleus."""
    return {name: values for name, values in table.items() if values.ndim == 1}


def with_first(nuclei: Nuclei) -> tuple[Table, Iterator[Table]]:
    """Return the first table, which tells the columns and may be empty, and all tables."""
    tables = nuclei.tables()
    first = next(tables)
    return first, chain([first], tables)


def label_properties(nuclei: Nuclei) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the colours and properties of labels for OME-NGFF: classes, probability, confidence, and artefacts.

    Readers take them whole into memory, so there are none for more nuclei than `MOST_PROPERTIES`; tables have all.
    """
    colours: list[dict[str, Any]] = []
    properties: list[dict[str, Any]] = []
    if nuclei.count > MOST_PROPERTIES:
        return colours, properties
    classes = nuclei.classes()
    for table in nuclei.tables():
        labels = table["label"].tolist()
        known = {name: table[name].tolist() for name in _PROPERTIES if name in table}
        for row, label in enumerate(labels if known else ()):
            said = {name: values[row] for name, values in known.items() if values[row] == values[row]}  # without NaN
            if not said.get(ARTEFACT):
                said.pop(ARTEFACT, None)
            if said:
                properties.append({"label-value": label, **said})
            if colour := classes.get(said.get(CLASS, "")):
                colours.append({"label-value": label, "rgba": [*colour, 255]})
    return colours, properties


def blocks(tables: Iterable[Table], rows: int) -> Iterator[Table]:
    """Cut tables, one below the other, into tables of so many rows; the last may have fewer."""
    waiting: list[Table] = []
    length = 0
    for table in tables:
        waiting.append(table)
        length += len(table["label"])
        if length >= rows:
            whole = joined(waiting)
            for start in range(0, length - rows + 1, rows):
                yield {name: values[start : start + rows] for name, values in whole.items()}
            rest = length % rows
            waiting = [{name: values[length - rest :] for name, values in whole.items()}]
            length = rest
    if length:
        yield joined(waiting)


def joined(tables: Sequence[Table]) -> Table:
    """Put tables with the same columns below each other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
