"""GeoJSON as QuPath exports it: polygons in pixels, with the corner of the first pixel at (0, 0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nucleigan.data.datasets.formats.entries import Canvas, ImportedImage
from napari_nucleigan.data.images.files import read_image, write_image
from napari_nucleigan.labels.geojson import read_mpp, read_polygons, write_geojson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_nucleigan.data.datasets.formats import Pairs


def read(image: Path, annotation: Path) -> ImportedImage:
    """Read an image and its polygons; their names are their numbers, as in `read_geojson`.

    Raises
    ------
    ImageError, LabelsError
        If a file cannot be read.
    """
    picture = read_image(image)
    canvas = Canvas((picture.pixels.shape[0], picture.pixels.shape[1]))
    nuclei, ids = read_polygons(annotation)
    canvas.draw(nuclei, ids)
    return ImportedImage(
        picture.pixels,
        canvas.finish(renumber=False),
        read_mpp(annotation) or picture.mpp,
        canvas.tally,
        picture.notes,
    )


def write(folder: Path, pairs: Pairs) -> Iterator[str]:
    """Write ``images/NAME.png`` and ``geojson/NAME.geojson``."""
    for name, image, labels in pairs:
        write_image(folder / "images" / f"{name}.png", image.pixels, image.mpp)
        write_geojson(folder / "geojson" / f"{name}.geojson", labels, mpp=image.mpp)
        yield name
