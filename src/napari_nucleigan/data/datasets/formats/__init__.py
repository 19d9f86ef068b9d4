"""Data sets as others publish them, in and out: formats of outlines, and formats of label images.

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
    module, ending : str
        Module of this package with ``find_ENDING(source) -> Found`` and, for exports, ``write_ENDING(folder, pairs)``.
    suffix : str
        Of annotations that belong to images of the same names; the module then has ``read_ENDING(image, annotation)``
        in place of ``find_ENDING``.
    """

    name: str
    source: str
    target: str | None
    module: str
    ending: str
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

    def _get(self, action: str) -> Any:
        module = import_module(f"napari_nucleigan.data.datasets.formats.{self.module}")
        return getattr(module, f"{action}_{self.ending}")


FORMATS = {
    each.name: each
    for each in (
        Format(
            "kumar",
            "Kumar, MoNuSeg, MoNuSAC: images and Aperio XML of the same names",
            "Tissue Images/NAME.tif and Annotations/NAME.xml",
            "outlines",
            "aperio",
            ".xml",
        ),
        Format(
            "png-folders",
            "Data Science Bowl 2018: a folder for each image, with images/ and masks/ (one PNG for each nucleus)",
            "NAME/images/NAME.png and NAME/masks/NUMBER.png",
            "label_images",
            "dsb2018",
        ),
        Format(
            "hovernet",
            "HoVer-Net's Kumar, CPM-17, CoNSeP: images and .mat files of the same names, with inst_map",
            "Images/NAME.png and Labels/NAME.mat",
            "label_images",
            "hovernet",
            ".mat",
        ),
        Format("pannuke", "PanNuke: folds of images.npy, masks.npy and types.npy", None, "label_images", "pannuke"),
        Format(
            "geojson",
            "images and GeoJSON of the same names, in pixels, as QuPath exports it",
            "images/NAME.png and geojson/NAME.geojson",
            "outlines",
            "qupath",
            ".geojson",
        ),
        Format(
            "coco",
            "a COCO JSON file of polygons or run lengths, or a folder that holds one, and the images it names",
            "images/NAME.png and annotations.json",
            "outlines",
            "coco",
        ),
    )
}
"""By name, as the command line has them."""

EXPORTS = tuple(name for name, form in FORMATS.items() if form.target)
"""Names of the formats that data sets can be exported to."""
