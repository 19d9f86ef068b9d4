"""The nuclei of a slide, ready to be written: their tables, outlines and labels, tile by tile."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.pixels import sides
from napari_nucleigan.labels.classes import Colour, class_colours
from napari_nucleigan.labels.features import measure
from napari_nucleigan.labels.geojson import GeoJSONPart
from napari_nucleigan.segmentation.embedding import EMBEDDING
from napari_nucleigan.segmentation.instances import stamp
from napari_nucleigan.segmentation.slides.neighbours import SlideTable
from napari_nucleigan.tiling import Box

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.classification import Classifier
    from napari_nucleigan.data.slides import Slide
    from napari_nucleigan.segmentation.artefacts import ArtefactMap
    from napari_nucleigan.segmentation.instances import Instances
    from napari_nucleigan.segmentation.slides.assembly import Assembly
    from napari_nucleigan.segmentation.slides.worker import ModelView

_BAND = 256  # rows of a picture that are read at a time


@dataclass(eq=False)
class SlideNuclei:
    """The nuclei of a slide, ready to be written.

    Attributes
    ----------
    view : ModelView
        The slide.
    assembly : Assembly
        Which nuclei count.
    mpp : float
        Microns per pixel of the slide.
    provenance : dict
        Ready for JSON.
    classifier : Classifier, optional
        What gives nuclei their class.
    artefacts : ArtefactMap, optional
        Artefacts of the slide.
    """

    view: ModelView
    assembly: Assembly
    mpp: float
    provenance: dict[str, Any]
    classifier: Classifier | None = None
    artefacts: ArtefactMap | None = None

    @cached_property
    def _table(self) -> SlideTable:
        return SlideTable(self._centres, self.view.slide.shape, self.mpp, self.classifier, self.artefacts)

    def _centres(self) -> NDArray[np.float64]:
        centres = np.empty((self.assembly.count, 2))
        for number in self.assembly.tiles():
            record, kept, place, _ = self.assembly.nuclei(number)
            if len(kept):
                centres[place] = np.stack([record.features[f"centroid_{axis}_px"][kept] for axis in "yx"], axis=1)
        return centres

    def _columns(self, record: Instances, kept: NDArray[np.intp], place: slice) -> dict[str, NDArray[Any]]:
        """Return all measurements of the nuclei of a tile that count, and their embeddings where it has them."""
        table = {name: values[kept] for name, values in record.features.items()}
        vectors = {EMBEDDING: table[EMBEDDING]} if EMBEDDING in table else {}
        return {"label": self.numbers[place], **self._table.completed(table, place), **vectors}

    @cached_property
    def numbers(self) -> NDArray[np.uint32]:
        """Label of each nucleus, shape (n,)."""
        return self.assembly.numbers()

    @property
    def pixel(self) -> tuple[float, float]:
        """Microns that a pixel at the model's scale is high and wide."""
        height, width = sides(self.mpp)
        return height * self.view.factors[0], width * self.view.factors[1]

    @property
    def place(self) -> tuple[float, float]:
        """Microns from the middle of the slide's first pixel to that of the first at the model's scale."""
        height, width = ((inner - outer) / 2 for inner, outer in zip(self.pixel, sides(self.mpp), strict=True))
        return height, width

    @property
    def name(self) -> str:
        """Name of the slide."""
        return self.view.slide.name

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the labels in pixels, at the model's scale."""
        return self.view.shape

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width of the slide in pixels."""
        return self.view.slide.shape

    @property
    def count(self) -> int:
        """Number of nuclei."""
        return self.assembly.count

    @property
    def source(self) -> Path:
        """The file of the slide."""
        return self.view.slide.path

    def paint(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.uint32]:
        """Draw a part of the labels, in pixels at the model's scale."""
        return self.assembly.paint(Box(top, bottom, left, right), self.numbers)

    def tables(self) -> Iterator[dict[str, NDArray[Any]]]:
        """Return the measurements of the nuclei, tile by tile; of no nuclei a table of no rows."""
        none = True
        for number in self.assembly.tiles():
            record, kept, place, _ = self.assembly.nuclei(number)
            if record.features:
                yield self._columns(record, kept, place)
                none = False
        if none:
            nothing = measure(np.zeros((1, 1), np.int32), np.zeros((1, 1, 3), np.uint8), self.mpp)
            yield nothing | self._table.completed(nothing | self.assembly.columns, slice(0))

    def parts(self) -> Iterator[GeoJSONPart]:
        """Return the nuclei drawn, at the model's scale, and their measurements, tile by tile."""
        for number in self.assembly.tiles():
            record, kept, place, masks = self.assembly.nuclei(number)
            if not masks:
                continue
            top, bottom, left, right = self.assembly.extents[number].tolist()
            labels = np.zeros((bottom - top, right - left), np.uint32)
            for value, (row, column, mask) in zip(self.numbers[place].tolist(), masks, strict=True):
                stamp(labels, row - top, column - left, mask, value)
            yield GeoJSONPart(labels, self._columns(record, kept, place), (top, left))

    def classes(self) -> dict[str, Colour]:
        """Return the classes that the nuclei have, and their colours."""
        return class_colours(self.tables(), self.provenance.get("classes"))

    def picture(self, most: int) -> NDArray[np.uint8]:
        """Return the whole slide in RGB, (h, w, 3), with at most `most` pixels on its longer side, or a few more."""
        return overview(self.view.slide, most)


def overview(slide: Slide, most: int) -> NDArray[np.uint8]:
    """Return a slide in RGB, (h, w, 3), with at most `most` pixels on its longer side, or a few more."""
    longest = [max(plane.shape[:2]) for plane in slide.planes]
    level = next((number for number, length in enumerate(longest) if length <= most), len(longest) - 1)
    step = -(-longest[level] // most)
    height, width = slide.planes[level].shape[:2]
    # Band by band: of a slide without small levels only what is kept stays in memory.
    bands = [
        slide.region((top, min(top + step * _BAND, height), 0, width), level)[::step, ::step]
        for top in range(0, height, step * _BAND)
    ]
    return np.concatenate(bands)
