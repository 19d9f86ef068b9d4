"""The nuclei of a slide as files: none of them is ever held in memory as a whole."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.base.files import atomic_folder, atomic_write, output_error
from napari_nucleigan.tiling.tiles import Box

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.slides.assembly import Assembly
    from napari_nucleigan.segmentation.slides.worker import ModelView

FORMATS = (".ome.zarr", ".geojson.gz", ".csv", ".density.tif", ".tif", ".geojson")
"""What can be written: a pyramid of labels, polygons for QuPath, a row for each nucleus, a map of density, one label
image. The first four are what a folder gets by default."""

USUAL = FORMATS[:4]

DENSITY_PIXEL = 64.0
"""Microns that a pixel of the map of density is long."""

_TIFF_TILE = 512
_SAME_AS = {".zarr": ".ome.zarr", ".density": ".density.tif", ".tiff": ".tif", ".json": ".geojson"}


@dataclass(frozen=True, eq=False)
class Findings:
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
    numbers : ndarray of uint32, shape (n,)
        The labels.
    """

    view: ModelView
    assembly: Assembly
    mpp: float
    provenance: dict[str, Any]
    numbers: NDArray[np.uint32] = field(init=False)

    def __post_init__(self) -> None:
        """Give the nuclei their numbers."""
        object.__setattr__(self, "numbers", self.assembly.numbers())

    @property
    def pixel(self) -> tuple[float, float]:
        """Microns that a pixel at the model's scale is high and wide."""
        return self.mpp * self.view.factors[0], self.mpp * self.view.factors[1]

    def paint(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.uint32]:
        """Draw a part of the labels, in pixels at the model's scale."""
        return self.assembly.paint(Box(top, bottom, left, right), self.numbers)

    def tables(self) -> Iterator[dict[str, NDArray[Any]]]:
        """Return the measurements of the nuclei, tile by tile."""
        for number in self.assembly.tiles():
            record, kept, place, _ = self.assembly.nuclei(number)
            if record.features:
                columns = {name: values[kept] for name, values in record.features.items()}
                yield {"label": self.numbers[place], **columns}

    def density(self) -> NDArray[np.float32]:
        """Count nuclei per square millimetre in squares of `DENSITY_PIXEL` microns."""
        height, width = self.view.slide.shape
        shape = (int(np.ceil(height * self.mpp / DENSITY_PIXEL)), int(np.ceil(width * self.mpp / DENSITY_PIXEL)))
        count = np.zeros(shape, np.float32)
        for table in self.tables():
            rows, columns = (
                (table[f"centroid_{axis}_um"] / DENSITY_PIXEL).astype(np.intp).clip(0, length - 1)
                for axis, length in zip("yx", shape, strict=True)
            )
            np.add.at(count, (rows, columns), 1)
        # Squares at the lower and right border are smaller.
        sides = [
            np.minimum(DENSITY_PIXEL, length * self.mpp - DENSITY_PIXEL * np.arange(inner))
            for length, inner in zip((height, width), shape, strict=True)
        ]
        found: NDArray[np.float32] = (count / (np.outer(*sides) / 1e6)).astype(np.float32)
        return found


def plan_outputs(name: str, out: str | Path, formats: Sequence[str] = ()) -> tuple[Path, ...]:
    """Decide which files are made of a slide.

    Parameters
    ----------
    name : str
        Name of the slide.
    out : str or Path
        A file, its format told by the suffix, or a folder.
    formats : sequence of str
        Formats, with or without the dot; beside `out` where that is a file. By default, in a folder, `USUAL`.

    Returns
    -------
    tuple of Path

    Raises
    ------
    OutputError
        If a format is not known.
    """
    target = Path(out)
    wanted = [known_format(one) for one in formats]
    suffix = next((one for one in FORMATS if target.name.lower().endswith(one) and not _is_folder(target, one)), None)
    if suffix is None:
        return tuple(target / f"{name}{one}" for one in wanted or USUAL)
    stem = target.name[: -len(suffix)]
    return target, *(target.with_name(stem + one) for one in wanted if one != suffix)


def known_format(name: str) -> str:
    """Bring the name of a format to one of `FORMATS`.

    Raises
    ------
    OutputError
        If it is none of them.
    """
    suffix = "." + name.lower().removeprefix(".")
    suffix = {".zarr": ".ome.zarr", ".density": ".density.tif", ".tiff": ".tif", ".json": ".geojson"}.get(
        suffix, suffix
    )
    if suffix not in FORMATS:
        raise OutputError(f"Slides cannot be written as {name!r}; choose one of {', '.join(FORMATS)}.")
    return suffix


def format_of(path: Path) -> str:
    """Return the format that the name of a file tells."""
    return next(suffix for suffix in FORMATS if path.name.lower().endswith(suffix))


def write_findings(path: Path, found: Findings, done: int, total: int) -> Job[None]:
    """Write one file, whole or not at all.

    Parameters
    ----------
    path : Path
        Its name tells the format.
    found : Findings
        The nuclei.
    done, total : int
        Files that are written already, and all.

    Yields
    ------
    Progress

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    yield Progress(done, total, f"writing {path.name}")
    suffix = format_of(path)
    with _explained(path):
        if suffix == ".ome.zarr":
            yield from _write_zarr(path, found, done, total)
        elif suffix == ".csv":
            from napari_nucleigan.labels.features import write_csv_parts

            write_csv_parts(path, found.tables())
        elif suffix == ".density.tif":
            from napari_nucleigan.data.images.files import write_map

            write_map(path, found.density(), DENSITY_PIXEL)
        elif suffix == ".tif":
            _write_tiff(path, found)
        else:
            _write_geojson(path, found)


def _write_zarr(path: Path, found: Findings, done: int, total: int) -> Job[None]:
    from napari_nucleigan.data.slides.pyramid_writer import LabelPyramid

    extra = {"provenance": found.provenance, "nuclei": int(found.numbers.size)}
    with atomic_folder(path) as folder:
        pyramid = LabelPyramid(folder, found.view.shape, found.pixel, extra)
        chunks = pyramid.chunks
        for count, chunk in enumerate(chunks):
            pyramid.write(chunk[0], chunk[2], found.paint(*chunk))
            if count % 16 == 0:
                yield Progress(done * len(chunks) + count, total * len(chunks), f"writing {path.name}")
        for level in range(1, len(pyramid.levels)):
            pyramid.downsample(level)
            yield Progress(done + 1, total, f"writing {path.name}")


def _write_geojson(path: Path, found: Findings) -> None:
    from napari_nucleigan.labels.geojson import GeoJSONPart, write_geojson_parts

    def parts() -> Iterator[GeoJSONPart]:
        for number in found.assembly.tiles():
            record, kept, place, masks = found.assembly.nuclei(number)
            if not masks:
                continue
            top, bottom, left, right = found.assembly.extents[number].tolist()
            labels = np.zeros((bottom - top, right - left), np.int64)
            for value, (row, column, mask) in zip(found.numbers[place].tolist(), masks, strict=True):
                labels[row - top : row - top + mask.shape[0], column - left : column - left + mask.shape[1]][mask] = (
                    value
                )
            columns = {name: values[kept] for name, values in record.features.items()}
            yield GeoJSONPart(labels, {"label": found.numbers[place], **columns}, (top, left))

    write_geojson_parts(path, parts(), found.view.slide.shape, found.mpp, found.view.factors)


def _write_tiff(path: Path, found: Findings) -> None:
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
            **density_tags(float(np.sqrt(found.pixel[0] * found.pixel[1]))),
        )


def _is_folder(path: Path, suffix: str) -> bool:
    return path.is_dir() and suffix != ".ome.zarr"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    # zarr and tifffile hand on what the system says.
    try:
        yield
    except OSError as error:
        raise output_error(path, error) from error
