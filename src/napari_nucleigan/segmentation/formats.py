"""Formats of results: one entry for each, which plans of files, the command line and forms read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.base.extras import needed
from napari_nucleigan.base.files import atomic_folder, atomic_write, output_error, refuse_foreign, says_so
from napari_nucleigan.base.pixels import mpp_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.image import Segmentation
    from napari_nucleigan.segmentation.slides.nuclei import SlideNuclei
    from napari_nucleigan.segmentation.stores.nuclei import Nuclei

_TIFF_TILE = 512
_STEPS = 1000  # of progress within a file
_TABLE = b"label,"  # begins the table of nuclei
_PYRAMID = ("zarr.json", ".DS_Store")  # beside the levels; macOS adds one where somebody has looked


@dataclass(frozen=True)
class Format:
    """What results can be written as.

    Attributes
    ----------
    suffix : str
        With the dot.
    what : str
        What it holds, in a few words.
    write : callable or None
        Writes the nuclei of an image; None where only those of slides are written so.
    write_slide : callable
        Writes the nuclei of a slide, of which not all are ever in memory; yields which share is written.
    usual : int
        Place among the formats that a folder gets of a slide where none is asked for; 0 for none.
    title, tooltip : str
        Its box in forms; empty where it has none.
    also : str
        Another suffix that means the same.
    is_ours : callable
        Tells whether what is there by that name is a result of this program.
    extra, modules : str, tuple of str
        The extra of this package that it needs, and the modules of it.
    """

    suffix: str
    what: str
    write: Callable[[Path, Segmentation], None] | None
    write_slide: Callable[[Path, SlideNuclei], Iterable[float]]
    usual: int = 0
    title: str = ""
    tooltip: str = ""
    also: str = ""
    is_ours: Callable[[Path], bool] = says_so
    extra: str = ""
    modules: tuple[str, ...] = ()

    def check(self) -> None:
        """Make sure that it can be written here.

        Raises
        ------
        ExtraError
            If a module that it needs is not installed.
        """
        for module in self.modules:
            needed(module, self.extra, f"To write {self.suffix}")


def known_suffix(name: str, known: Sequence[str]) -> str:
    """Bring a suffix or the name of a format to one of the suffixes that can be written.

    Raises
    ------
    OutputError
        If it is none of them.
    """
    suffix = f".{name.lower().removeprefix('.')}"
    suffix = SAME_AS.get(suffix, suffix)
    if suffix not in known:
        what = "Slides" if known == SLIDE_FORMATS else "Results"
        raise OutputError(f"{what} cannot be written as {name!r}; choose one of {', '.join(known)}.")
    return suffix


def format_of(path: Path) -> str:
    """Return the suffix of the format that the name of a file tells; ``""`` if it tells none."""
    name = path.name.lower()
    suffix = next((suffix for suffix in (*SLIDE_FORMATS, *SAME_AS) if name.endswith(suffix)), "")
    return SAME_AS.get(suffix, suffix)


def file_suffix(path: Path, known: Sequence[str]) -> str:
    """Return which of the suffixes that can be written the name of a file tells.

    Raises
    ------
    OutputError
        If it tells none of them.
    """
    suffix = format_of(path)
    return suffix if suffix in known else known_suffix(path.suffix, known)


def check_results(paths: Iterable[Path]) -> None:
    """Make sure, before any work, that results can be written, and over nothing but results of this program.

    Raises
    ------
    OutputError
        If something else is there by one of the names.
    ExtraError
        If a format needs what is not installed.
    """
    for path in paths:
        form = _BY_SUFFIX[format_of(path)]
        form.check()
        refuse_foreign(path, form.is_ours)


def write_result(path: str | Path, segmentation: Segmentation) -> None:
    """Write a segmentation in the format that the suffix tells, one of `IMAGE_FORMATS`.

    Raises
    ------
    OutputError
        If the format is not known, or the file cannot be written.
    ExtraError
        If it needs what is not installed.
    """
    path = Path(path)
    form = _BY_SUFFIX[file_suffix(path, IMAGE_FORMATS)]
    assert form.write is not None
    form.check()
    try:
        form.write(path, segmentation)
    except OSError as error:  # zarr, h5py and pyarrow hand on what the system says
        raise output_error(path, error) from error


def write_slide_results(paths: Sequence[Path], found: SlideNuclei) -> Job[None]:
    """Write the files of a slide, each whole or not at all.

    Parameters
    ----------
    paths : sequence of Path
        Their names tell the formats.
    found : SlideNuclei
        The nuclei.

    Yields
    ------
    Progress

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    for done, path in enumerate(paths):
        text = f"writing {path.name}"
        yield Progress(_STEPS * done, _STEPS * len(paths), text)
        try:
            for share in _BY_SUFFIX[format_of(path)].write_slide(path, found):
                yield Progress(int(_STEPS * (done + share)), _STEPS * len(paths), text)
        except OSError as error:  # zarr and tifffile hand on what the system says
            raise output_error(path, error) from error


def _write_labels(path: Path, found: Segmentation) -> None:
    from napari_nucleigan.data.images.files import write_labels

    write_labels(path, found.labels, found.mpp)


def _write_polygons(path: Path, found: Segmentation) -> None:
    from napari_nucleigan.labels.geojson import write_geojson
    from napari_nucleigan.segmentation.stores.nuclei import ImageNuclei

    write_geojson(path, found.labels, found.features, found.mpp, ImageNuclei(found).classes())


def _write_table(path: Path, found: Nuclei) -> tuple[()]:
    from napari_nucleigan.labels.features import write_csv_parts
    from napari_nucleigan.segmentation.stores.nuclei import plain, with_first

    first, tables = with_first(found)
    write_csv_parts(path, chain([{name: values[:0] for name, values in plain(first).items()}], map(plain, tables)))
    return ()


def _write_density(path: Path, found: SlideNuclei) -> tuple[()]:
    from napari_nucleigan.data.images.files import write_tiff
    from napari_nucleigan.segmentation.slides.nuclei import DENSITY_PIXEL

    classes = list(found.classes())
    planes = found.density(classes)
    # One plane more for each class, which QuPath and napari show as channels.
    write_tiff(path, planes if classes else planes[0], DENSITY_PIXEL, channels=("all", *classes) if classes else ())
    return ()


def _write_pyramid(path: Path, found: SlideNuclei) -> Iterator[float]:
    from napari_nucleigan.data.slides.label_pyramids import LabelPyramid
    from napari_nucleigan.segmentation.stores.nuclei import label_properties

    extra = {"provenance": found.provenance, "nuclei": found.count}
    with atomic_folder(path, is_own_pyramid) as folder:
        pyramid = LabelPyramid(folder, found.shape, found.pixel, extra, found.place)
        pyramid.describe(*label_properties(found))
        yield from pyramid.fill(found.paint)


def _write_slide_polygons(path: Path, found: SlideNuclei) -> tuple[()]:
    from napari_nucleigan.labels.geojson import write_geojson_parts
    from napari_nucleigan.segmentation.stores.nuclei import plain

    parts = (part._replace(features=plain(part.features)) for part in found.parts())
    write_geojson_parts(path, parts, found.view.slide.shape, found.mpp, found.view.factors, found.classes())
    return ()


def _write_slide_labels(path: Path, found: SlideNuclei) -> tuple[()]:
    import numpy as np
    import tifffile

    from napari_nucleigan.data.images.files import SOFTWARE, density_tags

    height, width = found.view.shape
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


def _write_parquet(path: Path, found: Nuclei) -> Iterator[float]:
    from napari_nucleigan.segmentation.stores.parquet import write_parquet

    return write_parquet(path, found)


def _write_h5ad(path: Path, found: Nuclei) -> Iterator[float]:
    from napari_nucleigan.segmentation.stores.annotated import write_h5ad

    return write_h5ad(path, found)


def _write_spatialdata(path: Path, found: Nuclei) -> Iterator[float]:
    from napari_nucleigan.segmentation.stores.spatial import write_spatialdata

    return write_spatialdata(path, found)


def _is_own_spatialdata(path: Path) -> bool:
    from napari_nucleigan.segmentation.stores.spatial import is_own_spatialdata

    return is_own_spatialdata(path)


def _of_image(write: Callable[[Path, Nuclei], Iterable[float]]) -> Callable[[Path, Segmentation], None]:
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


def _is_own_table(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        return handle.read(len(_TABLE)) == _TABLE


FORMATS = (
    Format(
        ".tif",
        "label image",
        _write_labels,
        _write_slide_labels,
        title="Labels",
        tooltip="A label image (.tif) for each image: 0 is background, each nucleus has a number of its own.",
        also=".tiff",
    ),
    Format(
        ".geojson",
        "polygons for QuPath",
        _write_polygons,
        _write_slide_polygons,
        title="Polygons",
        tooltip="The outlines of the nuclei (.geojson), which QuPath imports.",
        also=".json",
    ),
    Format(
        ".csv",
        "a row of measurements for each nucleus",
        _of_image(_write_table),
        _write_table,
        usual=3,
        is_ours=_is_own_table,
        title="Table",
        tooltip="A row of measurements for each nucleus (.csv).",
    ),
    Format(
        ".ome.zarr",
        "a pyramid of labels",
        None,
        _write_pyramid,
        usual=1,
        title="Pyramid",
        tooltip="Of whole slides: labels that are read where they are looked at (.ome.zarr).",
        also=".zarr",
        is_ours=is_own_pyramid,
    ),
    Format(
        ".parquet",
        "the same table in columns, for data frames",
        _of_image(_write_parquet),
        _write_parquet,
        extra="parquet",
        modules=("pyarrow",),
    ),
    Format(
        ".h5ad",
        "AnnData, for scanpy and squidpy",
        _of_image(_write_h5ad),
        _write_h5ad,
        extra="spatial",
        modules=("h5py",),
    ),
    Format(
        ".spatialdata.zarr",
        "SpatialData: image, labels, outlines and table in one coordinate system",
        _of_image(_write_spatialdata),
        _write_spatialdata,
        also=".spatialdata",
        is_ours=_is_own_spatialdata,
        extra="spatial",
        modules=("pyarrow", "shapely"),
    ),
    Format(".geojson.gz", "compressed polygons", None, _write_slide_polygons, usual=2),
    Format(".density.tif", "nuclei per square millimetre", None, _write_density, usual=4, also=".density"),
)
"""What can be written, in the order in which people see it."""

IMAGE_FORMATS = tuple(each.suffix for each in FORMATS if each.write is not None)
"""Suffixes of what images can be written as; the first is the default in folders."""

SLIDE_FORMATS = tuple(each.suffix for each in sorted(FORMATS, key=lambda each: each.usual or len(FORMATS)))
"""Suffixes of what slides can be written as; the usual ones come first."""

USUAL = SLIDE_FORMATS[: sum(each.usual > 0 for each in FORMATS)]
"""Suffixes of what a folder gets of a slide by default."""

SAME_AS = {each.also: each.suffix for each in FORMATS if each.also}
"""Other suffixes that mean one of these."""

_BY_SUFFIX = {each.suffix: each for each in FORMATS}
