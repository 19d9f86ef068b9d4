"""Writers of the formats of results: each takes nuclei, and imports what it needs when it runs."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from napari_nucleigan.base.files import atomic_folder, atomic_write
from napari_nucleigan.base.pixels import mpp_of, sides

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.artefacts import ArtefactMap
    from napari_nucleigan.segmentation.image import Segmentation
    from napari_nucleigan.segmentation.stores.nuclei import Nuclei

_TIFF_TILE = 512
_TABLE = b"label,"  # begins the table of nuclei
_PYRAMID = ("zarr.json", ".DS_Store")  # beside the levels; macOS adds one where somebody has looked


def image_labels(path: Path, found: Segmentation) -> None:
    """Write the labels of an image."""
    from napari_nucleigan.data.images.files import write_labels

    write_labels(path, found.labels, found.mpp)


def image_polygons(path: Path, found: Segmentation) -> None:
    """Write the outlines of the nuclei of an image."""
    from napari_nucleigan.labels.geojson import write_geojson
    from napari_nucleigan.segmentation.stores.nuclei import ImageNuclei

    write_geojson(path, found.labels, found.features, found.mpp, ImageNuclei(found).classes())


def table(path: Path, found: Nuclei) -> tuple[()]:
    """Write a row for each nucleus."""
    from napari_nucleigan.labels.features import write_csv_parts
    from napari_nucleigan.segmentation.stores.nuclei import plain, with_first

    first, tables = with_first(found)
    write_csv_parts(path, chain([{name: values[:0] for name, values in plain(first).items()}], map(plain, tables)))
    return ()


def density(path: Path, found: Nuclei) -> tuple[()]:
    """Write how many nuclei there are per square millimetre; one plane more for each class."""
    from napari_nucleigan.data.images.files import write_tiff
    from napari_nucleigan.segmentation.density import DENSITY_PIXEL, density_map

    classes = list(found.classes())
    planes = density_map(found, classes)
    # QuPath and napari show the planes as channels.
    write_tiff(path, planes if classes else planes[0], DENSITY_PIXEL, channels=("all", *classes) if classes else ())
    return ()


def artefacts(path: Path, found: Nuclei) -> tuple[()]:
    """Write the map of artefacts: 0, or 1 to 4 for blur, fold, pen and air."""
    from napari_nucleigan.data.images.files import write_tiff

    seen: ArtefactMap | None = cast("Any", found).artefacts  # only the nuclei of a slide that was segmented just now
    assert seen is not None
    lengths = (length * side for length, side in zip(seen.square, sides(found.mpp), strict=True))
    write_tiff(path, seen.kinds, mpp_of(*lengths))
    return ()


def pyramid(path: Path, found: Nuclei) -> Iterator[float]:
    """Write labels as a pyramid in OME-Zarr; yields which share is written."""
    from napari_nucleigan.data.slides.label_pyramids import LabelPyramid
    from napari_nucleigan.segmentation.stores.nuclei import label_properties

    extra = {"provenance": found.provenance, "nuclei": found.count}
    with atomic_folder(path, is_own_pyramid) as folder:
        pyramid = LabelPyramid(folder, found.shape, found.pixel, extra, found.place)
        pyramid.describe(*label_properties(found))
        yield from pyramid.fill(found.paint)


def polygons(path: Path, found: Nuclei) -> tuple[()]:
    """Write the outlines of nuclei part by part, in pixels of the image."""
    from napari_nucleigan.labels.geojson import write_geojson_parts
    from napari_nucleigan.segmentation.stores.nuclei import plain

    parts = (part._replace(features=plain(part.features)) for part in found.parts())
    vertical, horizontal = (inner / outer for inner, outer in zip(found.pixel, sides(found.mpp), strict=True))
    write_geojson_parts(path, parts, found.extent, found.mpp, (vertical, horizontal), found.classes())
    return ()


def labels(path: Path, found: Nuclei) -> tuple[()]:
    """Write labels as one tiled TIFF, of which a tile is in memory at a time."""
    import numpy as np
    import tifffile

    from napari_nucleigan.data.images.files import SOFTWARE, density_tags

    height, width = found.shape
    side = _TIFF_TILE

    def tiles() -> Iterator[NDArray[np.int32]]:
        for top in range(0, height, side):
            for left in range(0, width, side):
                yield found.paint(top, top + side, left, left + side).astype(np.int32)

    with atomic_write(path) as temporary:
        tifffile.imwrite(
            temporary,
            tiles(),
            shape=(height, width),
            dtype=np.int32,
            tile=(side, side),
            bigtiff=height * width > 2**28,
            photometric="minisblack",
            compression="zlib",
            predictor=True,
            software=SOFTWARE,
            metadata=None,
            **density_tags(mpp_of(*found.pixel)),
        )
    return ()


def parquet(path: Path, found: Nuclei) -> Iterator[float]:
    """Write the table in columns; yields which share is written."""
    from napari_nucleigan.segmentation.stores.parquet import write_parquet

    return write_parquet(path, found)


def dicom(path: Path, found: Nuclei) -> Iterator[float]:
    """Write annotations in DICOM; yields which share is written."""
    from napari_nucleigan.segmentation.stores.dicom import write_annotations

    return write_annotations(path, found)


def h5ad(path: Path, found: Nuclei) -> Iterator[float]:
    """Write AnnData; yields which share is written."""
    from napari_nucleigan.segmentation.stores.annotated import write_h5ad

    return write_h5ad(path, found)


def spatialdata(path: Path, found: Nuclei) -> Iterator[float]:
    """Write SpatialData; yields which share is written."""
    from napari_nucleigan.segmentation.stores.spatial import write_spatialdata

    return write_spatialdata(path, found)


def is_own_spatialdata(path: Path) -> bool:
    """Tell whether a folder is a SpatialData store of this program."""
    from napari_nucleigan.segmentation.stores.spatial import is_own_spatialdata

    return is_own_spatialdata(path)


def of_image(write: Callable[[Path, Nuclei], Iterable[float]]) -> Callable[[Path, Segmentation], None]:
    """Write the nuclei of an image as those of a slide are written, at one go."""

    def write_whole(path: Path, found: Segmentation) -> None:
        from napari_nucleigan.segmentation.stores.nuclei import ImageNuclei

        for _ in write(path, ImageNuclei(found)):
            pass

    return write_whole


def is_own_pyramid(path: Path) -> bool:
    """Tell whether a folder holds labels of this program in OME-Zarr, and nothing beside them."""
    from napari_nucleigan.data.slides.label_pyramids import OWN, is_label_pyramid
    from napari_nucleigan.data.slides.zarr import attributes

    if not path.is_dir() or not is_label_pyramid(path) or OWN not in attributes(path):
        return False
    return all(part.name in _PYRAMID or (part.is_dir() and part.name.isdecimal()) for part in path.iterdir())


def is_own_table(path: Path) -> bool:
    """Tell whether a file begins as a table of nuclei does."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        return handle.read(len(_TABLE)) == _TABLE
