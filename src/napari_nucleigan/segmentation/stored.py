"""Stored results: the nuclei of a finished result, read from its labels and its table, those that a filter leaves."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import ImageError, LabelsError
from napari_nucleigan.base.extras import needed
from napari_nucleigan.base.pixels import sides
from napari_nucleigan.base.reading import reading
from napari_nucleigan.base.text import printable
from napari_nucleigan.labels.classes import Colour, class_colours
from napari_nucleigan.labels.geojson import GeoJSONPart
from napari_nucleigan.segmentation.embedding import EMBEDDING
from napari_nucleigan.segmentation.filters import kept
from napari_nucleigan.segmentation.formats import format_of
from napari_nucleigan.segmentation.settings import NucleiFilter
from napari_nucleigan.segmentation.slides.nuclei import overview
from napari_nucleigan.segmentation.stored_tables import read_csv, read_parquet
from napari_nucleigan.segmentation.writers import is_own_pyramid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from napari_nucleigan.classification import Classifier
    from napari_nucleigan.data.slides.slide import Level
    from napari_nucleigan.segmentation.stores.nuclei import Table

_LABELS = (".ome.zarr", ".tif")
TABLES = (".parquet", ".csv")
"""Tables of a result; the first keeps what was measured to the last digit, and embeddings."""

_ROWS = 1 << 14  # nuclei that are classified together
_BLOCK = 2048  # pixels: side of the squares whose nuclei are outlined together
_MARGIN = 128  # pixels around them at first, which most nuclei do not reach beyond


def read_table(labels: Path, columns: Collection[str] | None = None) -> Table:
    """Read the table that lies beside the labels of a result.

    Parameters
    ----------
    labels : Path
        The labels, by whose name the table is found.
    columns : collection of str, optional
        Those to read, where there are some; by default all.

    Returns
    -------
    dict of str to ndarray, shape (n,) or (n, d)

    Raises
    ------
    LabelsError
        If there is none, or it has no labels.
    ExtraError
        If it is Parquet, and pyarrow is not installed.
    """
    stem = result_name(labels)
    path = next((path for end in TABLES if (path := labels.parent / f"{stem}{end}").is_file()), None)
    if path is None:
        raise LabelsError(
            f"The table of {labels.name} ({stem}.csv or {stem}.parquet) is not beside it; segment again with "
            "the format csv, which measures the nuclei."
        )
    with reading(path, LabelsError, "a table of nuclei"):
        table = read_parquet(path, columns) if path.suffix == ".parquet" else read_csv(path, columns)
    if "label" not in table:
        raise LabelsError(f"{path} is no table of nuclei: it has no column 'label'.")
    return table


def _taken(values: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
    """Take rows of a column; all of them are put in another order in place, where they are vectors."""
    if values.ndim == 1 or len(rows) < len(values):
        taken: NDArray[Any] = values[rows]
        return taken
    for column in range(values.shape[1]):
        values[:, column] = values[rows, column]
    return values


@dataclass(frozen=True, eq=False)
class StoredLabels:
    """Labels of a result, and where they lie: see `napari_nucleigan.segmentation.stores.nuclei.Nuclei`."""

    plane: Level
    mpp: float
    pixel: tuple[float, float]
    place: tuple[float, float]
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def extent_um(self) -> tuple[float, float]:
        """Microns that the image is high and wide."""
        height, width = (count * length for count, length in zip(self.plane.shape[:2], self.pixel, strict=True))
        return height, width


def open_labels(path: Path) -> StoredLabels:
    """Open the labels of a result, those of slides without reading them.

    Raises
    ------
    LabelsError
        If they cannot be read, or do not say where nuclei lie.
    """
    if path.suffix == ".zarr":
        return _open_pyramid(path)
    from napari_nucleigan.data.images.files import read_labels, read_mpp
    from napari_nucleigan.data.slides.slide import ArrayLevel

    mpp = read_mpp(path)
    if mpp is None:
        raise LabelsError(
            f"{path.name} does not say its microns per pixel; segment the image again with them, as by --mpp 0.25."
        )
    return StoredLabels(ArrayLevel(path.name, read_labels(path)), mpp, sides(mpp), (0.0, 0.0))


def _open_pyramid(path: Path) -> StoredLabels:
    from napari_nucleigan.data.slides.label_pyramids import open_label_pyramid
    from napari_nucleigan.data.slides.zarr import attributes

    pyramid = open_label_pyramid(path)
    try:
        mpp = float(pyramid.provenance["mpp"])
        changes = attributes(path)["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
        height, width = map(float, changes[0]["scale"])
        top, left = map(float, changes[1]["translation"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise LabelsError(
            f"{path.name} is no result of this program: it does not say of which slide it is; segment the slide again."
        ) from error
    return StoredLabels(pyramid.planes[0], mpp, (height, width), (top, left), dict(pyramid.provenance))


class StoredNuclei:
    """Those nuclei of a finished result that a filter leaves; as `napari_nucleigan.segmentation.stores.nuclei.Nuclei`.

    The table is held in memory, the labels are read where they are wanted.

    Parameters
    ----------
    path : Path
        Labels of a result, in OME-Zarr or TIFF.
    wanted : NucleiFilter, optional
        Which nuclei count; by default all.
    classifier : Classifier, optional
        Gives the nuclei classes, in the place of those that they have.

    Attributes
    ----------
    hidden : int
        How many do not count.

    Raises
    ------
    LabelsError
        If labels or table cannot be read, are not of this program, or do not say what the filter asks about, or the
        classifier looks at.
    ModelError
        If the classifier belongs to another model.
    """

    def __init__(self, path: Path, wanted: NucleiFilter | None = None, classifier: Classifier | None = None) -> None:
        self._path, self.name = path, result_name(path)
        self.source: Path | None = None  # a result does not say where its slide lies
        self._labels = labels = open_labels(path)
        self.mpp, self.pixel, self.place = labels.mpp, labels.pixel, labels.place
        self.shape = labels.plane.shape[0], labels.plane.shape[1]
        vertical, horizontal = (
            round(n * a / b) for n, a, b in zip(self.shape, self.pixel, sides(self.mpp), strict=True)
        )
        self.extent = vertical, horizontal
        wanted = wanted or NucleiFilter()
        table = read_table(path)
        self.provenance = labels.provenance
        if classifier is not None:
            _classify(table, classifier, path, self.provenance)
        # Of all nuclei, so that the colours do not depend on the filter.
        self._classes = class_colours([table], labels.provenance.get("classes"))
        keep = kept(wanted, table, self.name, self._classes)
        self.hidden = int(len(keep) - keep.sum())
        rows, self._starts = self._ordered(table, np.flatnonzero(keep))
        self._table = {name: _taken(values, rows) for name, values in table.items()}
        self.count = len(rows)
        self._kept = np.zeros(int(table["label"].max(initial=0)) + 2, bool)  # the last stands for all without a row
        self._kept[self._table["label"]] = True
        if not wanted.idle:
            self.provenance |= {"filters": wanted.model_dump(mode="json", exclude_defaults=True), "hidden": self.hidden}

    def tables(self) -> Iterator[Table]:
        """Return their measurements, those of a square of the image after the other; one table at least."""
        spans = list(self._spans()) or [slice(0)]
        for span in spans:
            yield {name: values[span] for name, values in self._table.items()}

    def parts(self) -> Iterator[GeoJSONPart]:
        """Return them drawn, with their measurements, in the order of `tables`.

        Raises
        ------
        LabelsError
            If labels and table do not belong together.
        """
        for span, table in zip(self._spans(), self.tables(), strict=False):
            square = self._squares[span.start]
            drawn, origin = self._drawn(divmod(int(square), self._across), table["label"])
            yield GeoJSONPart(drawn, table, origin)

    def paint(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.uint32]:
        """Draw a part of the labels; beyond the image there is nothing."""
        canvas = np.zeros((bottom - top, right - left), np.uint32)
        found = self._read(top, min(bottom, self.shape[0]), left, min(right, self.shape[1]))
        canvas[: found.shape[0], : found.shape[1]] = found * self._kept[np.minimum(found, len(self._kept) - 1)]
        return canvas

    def classes(self) -> dict[str, Colour]:
        """Return the classes that nuclei of the result have, and their colours, whether they are left or not."""
        return self._classes

    def picture(self, most: int) -> NDArray[np.uint8]:
        """Return the whole image in RGB, as the store of the result has it, or from the slide itself.

        Raises
        ------
        ImageError
            If neither is there.
        """
        import zarr

        from napari_nucleigan.data.slides import open_slide

        store = self._path.parent / f"{self.name}.spatialdata.zarr" / "images" / "image"
        if store.is_dir():
            with reading(store, ImageError, "the image of a store"):
                return np.asarray(zarr.open_array(store / "0", mode="r")[:]).transpose(1, 2, 0)
        slide = self.provenance.get("slide")
        if not slide:
            raise ImageError(f"A SpatialData store needs the image of {self.name}, and it is not known where that is.")
        with open_slide(slide) as opened:
            return overview(opened, most)

    @cached_property
    def _across(self) -> int:
        return -(-self.shape[1] // _BLOCK)

    def _ordered(self, table: Table, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Order rows by the square that their nuclei lie in, then by label, and tell where the next square begins."""
        places = []
        for axis, inner, outer, length in zip("yx", self.pixel, sides(self.mpp), self.shape, strict=True):
            if f"centroid_{axis}_px" not in table:
                raise LabelsError(
                    f"The table of {self.name} does not say where nuclei are: centroid_{axis}_px is missing."
                )
            centre = (np.asarray(table[f"centroid_{axis}_px"][rows], float) + 0.5) * outer / inner
            places.append(np.clip(np.nan_to_num(centre), 0, length - 1).astype(np.intp) // _BLOCK)
        squares = places[0] * self._across + places[1]
        order = np.lexsort((table["label"][rows], squares))
        self._squares = squares[order]
        return rows[order], np.flatnonzero(np.diff(self._squares, prepend=-1))

    def _spans(self) -> Iterator[slice]:
        starts = self._starts.tolist()
        for start, end in zip(starts, [*starts, self.count][1:], strict=True):
            yield slice(start, end)

    def _drawn(
        self, square: tuple[int, int], labels: NDArray[np.integer]
    ) -> tuple[NDArray[np.uint32], tuple[int, int]]:
        """Draw some nuclei, whole, whose centroids lie in a square; return where the drawing begins, too."""
        mine = np.zeros(len(self._kept), bool)
        mine[labels] = True
        margin = _MARGIN
        while True:
            top, left = (max(0, place * _BLOCK - margin) for place in square)
            bottom, right = (
                min(length, (place + 1) * _BLOCK + margin) for place, length in zip(square, self.shape, strict=True)
            )
            found = self._read(top, bottom, left, right)
            found = found * mine[np.minimum(found, len(mine) - 1)]
            inner = top > 0, bottom < self.shape[0], left > 0, right < self.shape[1]
            rims = found[0], found[-1], found[:, 0], found[:, -1]
            if not any(cut and rim.any() for cut, rim in zip(inner, rims, strict=True)):
                break
            margin *= 2
        seen = np.zeros(len(mine), bool)
        seen[found.ravel()] = True
        if not seen[labels].all():
            raise LabelsError(
                f"{self._path.name} and its table do not belong together: nucleus {labels[~seen[labels]][0]} is in the "
                "table only; segment again."
            )
        return found, (top, left)

    def _read(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.uint32]:
        found = self._labels.plane.read((top, bottom, left, right))
        return found.astype(np.uint32, copy=False)


def _classify(table: Table, classifier: Classifier, path: Path, provenance: dict[str, Any]) -> None:
    """Put the classes that a classifier gives into a table and its provenance."""
    if classifier.card.embedding:
        if EMBEDDING not in table:
            raise LabelsError(
                f"The classifier {printable(classifier.card.name)!r} looks at embeddings, which a table in Parquet "
                f"keeps, and there is none beside {path.name}: segment with -f parquet --measurements full, or train "
                "the classifier with --no-embedding."
            )
        known = _table_record(path) | provenance
        classifier.check_segmenter(str(known.get("model", "")), str(known.get("sha256", "")))
    elif any(name not in table for name in classifier.card.columns):
        raise LabelsError(
            f"The classifier {printable(classifier.card.name)!r} looks at measurements that the table of {path.name} "
            "does not have; segment with --measurements full."
        )
    parts = [
        classifier.columns({name: table[name][some] for name in classifier.card.columns}, _part(table, some))
        for some in (slice(at, at + _ROWS) for at in range(0, max(1, len(table["label"])), _ROWS))
    ]
    table |= {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    provenance |= {"classes": classifier.colours, "classifier_sha256": classifier.card.sha256}


def _part(table: Table, some: slice) -> NDArray[Any] | None:
    return table[EMBEDDING][some] if EMBEDDING in table else None


def _table_record(labels: Path) -> dict[str, Any]:
    """Return what the table of a result in Parquet says of where it came from."""
    path = labels.parent / f"{result_name(labels)}.parquet"
    pq: Any = needed("pyarrow.parquet", "parquet", f"To read {path.name}")
    with reading(path, LabelsError, "a table of nuclei"):
        said = (pq.read_schema(path).metadata or {}).get(b"nucleigan")
        record = json.loads(said).get("provenance") if said else None
    return record if isinstance(record, dict) else {}


def labels_of(folder: Path, stem: str) -> Path | None:
    """Find the labels of a result by its name; None where there are none."""
    pyramid, image = (folder / f"{stem}{end}" for end in _LABELS)
    with suppress(OSError):
        return pyramid if is_own_pyramid(pyramid) else image if image.is_file() else None
    return None


def result_name(path: Path) -> str:
    """Return the name of a result by one of its files."""
    end = format_of(path)
    return path.name[: -len(end)] if end and path.name.lower().endswith(end) else path.stem
