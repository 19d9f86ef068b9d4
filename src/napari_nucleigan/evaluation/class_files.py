"""Files of nuclei with classes: GeoJSON, label images with a table beside them, and tables of points."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.reading import FileFault, reading
from napari_nucleigan.base.tables import TextTable, read_csv
from napari_nucleigan.base.text import same_name
from napari_nucleigan.data.datasets.splits import plain_name
from napari_nucleigan.labels.regions import Regions, numbered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

_CLASS = ("class", "type", "classification")
_NAME = ("name", "image")
_PLACE = (("centroid_x_px", "centroid_y_px"), ("x", "y"))
_LARGEST = 1 << 30  # bytes of a table
_IMAGES = (".tif", ".tiff", ".png")
_POLYGONS = (".geojson", ".geojson.gz", ".json")


@dataclass(frozen=True, eq=False)
class ClassedNuclei:
    """The nuclei of an image, and the class of each.

    Attributes
    ----------
    classes : list of str
        Empty texts where they have none.
    places : ndarray of float64, shape (n, 2)
        Centre (x, y) of each in pixels; the centre of the first pixel is (0, 0).
    labels : ndarray of int32, shape (H, W), or None
        Label image, of which `values` are the labels in the same order; None where only points are known.
    values : ndarray of int64, shape (n,)
    mpp : float or None
        Microns per pixel, where the file says them.
    whole : bool
        Whether the label image has the size of the image; else it ends where the nuclei do.
    """

    classes: list[str]
    places: NDArray[np.float64]
    labels: NDArray[np.int32] | None
    values: NDArray[np.int64]
    mpp: float | None
    whole: bool = True


def find_classed(path: Path) -> dict[str, Callable[[], ClassedNuclei]]:
    """List the images whose nuclei have classes.

    Parameters
    ----------
    path : Path
        A file, or a folder of files, or a data set with ``labels/``. ``NAME.geojson`` has areas or points with
        classifications, as QuPath exports them; ``NAME.tif`` or ``.png`` is a label image, with ``NAME.csv`` beside it,
        which has the columns ``label`` and ``class``; ``NAME.csv`` alone has points: ``x`` and ``y`` (or
        ``centroid_x_px`` and ``centroid_y_px``) in pixels, and ``class`` or ``type``. A table with a column ``name`` or
        ``image`` holds the points of several images.

    Returns
    -------
    dict of str to callable
        By name of the image, what reads it.

    Raises
    ------
    DatasetError
        If there is nothing, or no classes.
    """
    folder = path / "labels" if (path / "labels").is_dir() else path
    if not path.exists():
        raise DatasetError(f"There is no file or folder {path}.")
    files = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    found: dict[str, Callable[[], ClassedNuclei]] = {}
    # Of several files of one image the one that tells most counts: areas before points.
    for file in files:
        if file.suffix.lower() in _IMAGES and file.with_suffix(".csv").is_file():
            found.setdefault(_name(file, file.suffix), partial(_of_labels, file))
    for file in files:
        if suffix := next((each for each in _POLYGONS if file.name.lower().endswith(each)), ""):
            found.setdefault(_name(file, suffix), partial(_of_geojson, file))
    for file in files:
        if file.suffix.lower() == ".csv":
            for name, loader in _of_tables(file, alone=len(files) == 1).items():
                found.setdefault(name, loader)
    if not found:
        raise DatasetError(
            f"{path} holds no classes of nuclei: give GeoJSON with classifications, label images with tables that have "
            "a column 'class' beside them, or tables of points (x, y, class)."
        )
    return found


def _name(file: Path, suffix: str) -> str:
    return same_name(file.name[: -len(suffix)].removesuffix(".ome"))


def _of_geojson(path: Path) -> ClassedNuclei:
    from napari_nucleigan.base.errors import LabelsError
    from napari_nucleigan.labels.geojson import read_annotations, read_points

    try:
        known = read_annotations(path, nuclei_only=True)
    except LabelsError as reason:
        known = None
        why = reason
    if known is None or not known.nuclei:
        try:
            points = read_points(path)
        except LabelsError:
            if known is None:
                raise why from None
            raise
        # QuPath counts from the corner of the first pixel.
        return ClassedNuclei(points.classes, points.places - 0.5, None, np.arange(len(points.classes)), None)
    classes = dict(zip(known.labels, known.classes, strict=True))
    return replace(_of_image(known.draw(), classes, known.mpp), whole=known.shape is not None)


def _of_labels(path: Path) -> ClassedNuclei:
    from napari_nucleigan.data.datasets.dataset import read_nuclei
    from napari_nucleigan.data.images.files import read_mpp

    table = path.with_suffix(".csv")
    rows = _rows(table)
    with reading(table, DatasetError, "table of nuclei"):
        column = rows.column(*_CLASS)
        if "label" not in rows.header:
            raise FileFault("it has no column 'label'")
        classes = {int(row["label"]): row[column] for _, row in rows.rows} if column else {}
    return _of_image(read_nuclei(path), classes, read_mpp(path))


def _of_image(labels: NDArray[np.int32], classes: dict[int, str], mpp: float | None) -> ClassedNuclei:
    values, index = numbered(labels)
    centres = Regions.of(index, len(values)).centres[:, ::-1]
    named = [classes.get(value, "") for value in values.tolist()]
    return ClassedNuclei(named, centres, labels, values.astype(np.int64), mpp)


def _of_tables(path: Path, alone: bool) -> dict[str, Callable[[], ClassedNuclei]]:
    """Find the images of a table; none where it is a table of something else, unless it is the one that was named."""
    table = _rows(path)
    column, name = table.column(*_CLASS), table.column(*_NAME)
    place = next((pair for pair in _PLACE if set(pair) <= set(table.header)), None)
    if column is None or place is None:
        if alone and table.rows:
            raise DatasetError(
                f"{path} has no columns for a class ({', '.join(_CLASS)}) and a place (x and y); it has "
                f"{', '.join(table.header)}."
            )
        return {}
    groups: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for row in table.rows:
        groups.setdefault(plain_name(row[1][name]) if name else _name(path, path.suffix), []).append(row)
    return {
        image: partial(_of_points, path, replace(table, rows=group), column, place) for image, group in groups.items()
    }


def _of_points(path: Path, table: TextTable, column: str, place: tuple[str, str]) -> ClassedNuclei:
    def numbers(*names: str) -> NDArray[np.float64]:
        cells = [[table.number(row[name]) for name in names] for _, row in table.rows]
        return np.array(cells, np.float64).reshape(-1, len(names))

    with reading(path, DatasetError, "table of nuclei"):
        places = numbers(*place)
        if not np.isfinite(places).all():
            raise FileFault("a place in it is no finite number")
        mpp, right = None, places[:, 0] > 1
        if {"centroid_x_um", "centroid_x_px"} <= set(table.header) and right.any():
            mpp = float(np.median((numbers("centroid_x_um")[:, 0] / places[:, 0])[right]))
    classes = [row[column] for _, row in table.rows]
    return ClassedNuclei(classes, places, None, np.arange(len(classes)), mpp)


def _rows(path: Path) -> TextTable:
    with reading(path, DatasetError, "table of nuclei"):
        return read_csv(path, _LARGEST)
