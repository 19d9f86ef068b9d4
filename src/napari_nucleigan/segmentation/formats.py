"""Formats of results: one entry for each, which plans of files, the command line and forms read."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.base.extras import needed
from napari_nucleigan.base.files import output_error, refuse_foreign, says_so
from napari_nucleigan.segmentation import writers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_nucleigan.segmentation.image import Segmentation
    from napari_nucleigan.segmentation.stores.nuclei import Nuclei

_STEPS = 1000  # of progress within a file


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
    of_nuclei : bool
        Whether it tells of nuclei; what does not is no part of a filtered result.
    """

    suffix: str
    what: str
    write: Callable[[Path, Segmentation], None] | None
    write_slide: Callable[[Path, Nuclei], Iterable[float]]
    usual: int = 0
    title: str = ""
    tooltip: str = ""
    also: str = ""
    is_ours: Callable[[Path], bool] = says_so
    extra: str = ""
    modules: tuple[str, ...] = ()
    of_nuclei: bool = True

    def check(self) -> None:
        """Make sure that it can be written here.

        Raises
        ------
        ExtraError
            If a module that it needs is not installed.
        """
        for module in self.modules:
            needed(module, self.extra, f"To write {self.suffix}")

    @property
    def missing(self) -> str:
        """What must be installed before it can be written here, without importing anything; empty for nothing."""
        if all(find_spec(module) for module in self.modules):
            return ""
        return f'Not installed here; run: pip install "napari-nucleigan[{self.extra}]"'


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
        raise OutputError(f"{what} cannot be written as {str(name)!r}; choose one of {', '.join(known)}.")
    return suffix


def format_of(path: Path) -> str:
    """Return the suffix of the format that the name of a file tells; ``""`` if it tells none."""
    name = path.name.lower()
    suffix = max((suffix for suffix in (*SLIDE_FORMATS, *SAME_AS) if name.endswith(suffix)), key=len, default="")
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


def files_of(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return all files that belong to results: GeoJSON of many nuclei takes several."""
    from napari_nucleigan.labels.geojson import part_files

    return tuple(chain.from_iterable(part_files(path) if ".geojson" in format_of(path) else (path,) for path in paths))


def write_slide_results(paths: Sequence[Path], found: Nuclei) -> Job[None]:
    """Write the files of a slide, each whole or not at all.

    Parameters
    ----------
    paths : sequence of Path
        Their names tell the formats.
    found : Nuclei
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


FORMATS = (
    Format(
        ".tif",
        "label image",
        writers.image_labels,
        writers.labels,
        title="Labels",
        tooltip="A label image (.tif) for each image: 0 is background, each nucleus has a number of its own.",
        also=".tiff",
    ),
    Format(
        ".geojson",
        "polygons for QuPath",
        writers.image_polygons,
        writers.polygons,
        title="Polygons",
        tooltip="The outlines of the nuclei (.geojson), which QuPath imports.",
        also=".json",
    ),
    Format(
        ".csv",
        "a row of measurements for each nucleus",
        writers.of_image(writers.table),
        writers.table,
        usual=3,
        is_ours=writers.is_own_table,
        title="Table",
        tooltip="A row of measurements for each nucleus (.csv).",
    ),
    Format(
        ".ome.zarr",
        "a pyramid of labels",
        None,
        writers.pyramid,
        usual=1,
        title="Pyramid",
        tooltip="Of whole slides: labels that are read where they are looked at (.ome.zarr).",
        also=".zarr",
        is_ours=writers.is_own_pyramid,
    ),
    Format(
        ".parquet",
        "the same table in columns, for data frames",
        writers.of_image(writers.parquet),
        writers.parquet,
        title="Parquet",
        tooltip="The table in columns, with embeddings, for pandas, polars and R (.parquet).",
        extra="parquet",
        modules=("pyarrow",),
    ),
    Format(
        ".ann.dcm",
        "DICOM Microscopy Bulk Simple Annotations",
        writers.of_image(writers.dicom),
        writers.dicom,
        title="DICOM",
        tooltip="The outlines as annotations that belong to the slide in an image archive (.ann.dcm).",
        also=".dcm",
        extra="dicom",
        modules=("highdicom",),
    ),
    Format(
        ".h5ad",
        "AnnData, for scanpy and squidpy",
        writers.of_image(writers.h5ad),
        writers.h5ad,
        title="AnnData",
        tooltip="Measurements and places of the nuclei for scanpy and squidpy (.h5ad).",
        extra="spatial",
        modules=("h5py",),
    ),
    Format(
        ".spatialdata.zarr",
        "SpatialData: image, labels, outlines and table in one coordinate system",
        writers.of_image(writers.spatialdata),
        writers.spatialdata,
        title="SpatialData",
        tooltip="Image, labels, outlines and table in one coordinate system (.spatialdata.zarr).",
        also=".spatialdata",
        is_ours=writers.is_own_spatialdata,
        extra="spatial",
        modules=("pyarrow", "shapely"),
    ),
    Format(".geojson.gz", "compressed polygons", None, writers.polygons, usual=2),
    Format(".density.tif", "nuclei per square millimetre", None, writers.density, usual=4, also=".density"),
    Format(
        ".artefacts.tif",
        "map of blur, folds, pen and air",
        None,
        writers.artefacts,
        also=".artefacts",
        of_nuclei=False,
    ),
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

OF_NUCLEI = tuple(each.suffix for each in FORMATS if each.of_nuclei)
"""Suffixes of what tells of nuclei."""

_BY_SUFFIX = {each.suffix: each for each in FORMATS}
