"""Data sets as others publish them, in and out: one module for each format.

It imports `data.images`, `data.datasets.dataset` and what is below them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from napari_nucleigan.data.datasets.formats.entries import Found
    from napari_nucleigan.data.images.files import HEImage

    Pairs = Iterator[tuple[str, HEImage, npt.NDArray[Any]]]
    """Name, image and labels of each pair of a data set."""


@dataclass(frozen=True)
class Format:
    """A way to publish images and their nuclei.

    Attributes
    ----------
    name : str
        What users type.
    source : str
        What is imported: the layout, for people.
    target : str or None
        What is exported; None where that makes no sense.
    module : str
        Module of this package with ``find(source) -> Found`` and, for exports, ``write(folder, pairs)``.
    suffix : str
        Of annotations that belong to images of the same names; the module then has ``read(image, annotation)`` in place
        of ``find``.
    """

    name: str
    source: str
    target: str | None
    module: str
    suffix: str = ""

    def find(self, source: Path) -> Found:
        """List what a folder or file holds in this format."""
        if self.suffix:
            from napari_nucleigan.data.datasets.formats.entries import find_pairs

            return find_pairs(source, self.suffix, self._get("read"))
        find: Callable[[Path], Found] = self._get("find")
        return find(source)

    def write(self, folder: Path, pairs: Pairs) -> Iterator[str]:
        """Write pairs to an empty folder; yields the name of each one that is written."""
        write: Callable[[Path, Pairs], Iterator[str]] = self._get("write")
        return write(folder, pairs)

    def _get(self, name: str) -> Any:
        return getattr(import_module(f"napari_nucleigan.data.datasets.formats.{self.module}"), name)


FORMATS = {
    each.name: each
    for each in (
        Format(
            "kumar",
            "Kumar, MoNuSeg, MoNuSAC: images and Aperio XML of the same names",
            "Tissue Images/NAME.tif and Annotations/NAME.xml",
            "aperio",
            ".xml",
        ),
        Format(
            "png-folders",
            "Data Science Bowl 2018: a folder for each image, with images/ and masks/ (one PNG for each nucleus)",
            "NAME/images/NAME.png and NAME/masks/NUMBER.png",
            "dsb2018",
        ),
        Format(
            "hovernet",
            "HoVer-Net's Kumar, CPM-17, CoNSeP: images and .mat files of the same names, with inst_map",
            "Images/NAME.png and Labels/NAME.mat",
            "hovernet",
            ".mat",
        ),
        Format("pannuke", "PanNuke: folds of images.npy, masks.npy and types.npy", None, "pannuke"),
        Format(
            "geojson",
            "images and GeoJSON of the same names, in pixels, as QuPath exports it",
            "images/NAME.png and geojson/NAME.geojson",
            "qupath",
            ".geojson",
        ),
        Format(
            "coco",
            "a COCO JSON file of polygons or run lengths, or a folder that holds one, and the images it names",
            "images/NAME.png and annotations.json",
            "coco",
        ),
    )
}
"""By name, as the command line has them."""

EXPORTS = tuple(name for name, form in FORMATS.items() if form.target)
"""Names of the formats that data sets can be exported to."""
