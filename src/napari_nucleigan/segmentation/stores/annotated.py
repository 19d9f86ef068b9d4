"""AnnData: a matrix of measurements with annotations, in HDF5 (``.h5ad``) or in Zarr.

The layout is that of AnnData's specification of files, version 0.1.0 (anndata.readthedocs.io, "On-disk format"). It is
written piece by piece, which anndata's own writer does not do, so that nuclei without number need little memory.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.extras import needed
from napari_nucleigan.base.files import atomic_write
from napari_nucleigan.base.version import __version__
from napari_nucleigan.labels.classes import CLASS
from napari_nucleigan.segmentation.embedding import EMBEDDING
from napari_nucleigan.segmentation.stores.nuclei import blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.stores.nuclei import Nuclei, Table

LABEL = "label"

_ROWS = 1 << 16
_OBSERVED = (CLASS, "class_probability", "confidence")
"""What is said of a nucleus beside its measurements; so is where it lies."""


def write_h5ad(path: Path, nuclei: Nuclei) -> Iterator[float]:
    """Write an AnnData file; yields which share is written.

    Parameters
    ----------
    path : Path
        The file.
    nuclei : Nuclei
        What to write, as `fill` says.

    Raises
    ------
    ExtraError
        If h5py is not installed.
    OutputError
        If the file cannot be written.
    """
    h5py = needed("h5py", "spatial", "AnnData")
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["nucleigan"] = __version__  # within the first bytes, where `says_so` looks
        yield from fill(_Hdf5(file), nuclei, nuclei.tables())


class _Group:
    """A group of HDF5 or Zarr, filled with elements that say how they are encoded."""

    def __init__(self, group: Any) -> None:
        self.group = group

    def mark(self, kind: str, edition: str, element: Any = None, **more: Any) -> None:
        """Say how an element, by default the group itself, is encoded."""
        attributes = (self.group if element is None else element).attrs
        for name, value in {"encoding-type": kind, "encoding-version": edition, **more}.items():
            attributes[name] = value

    def mapping(self, name: str, kind: str = "dict", edition: str = "0.1.0", **more: Any) -> _Group:
        """Make a group."""
        inner = type(self)(self.group.create_group(name))
        inner.mark(kind, edition, **more)
        return inner

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """Make an array of numbers, to be filled."""
        element = self._create(name, shape, dtype)
        self.mark("array", "0.2.0", element)
        return element

    def strings(self, name: str, values: Sequence[str] | int) -> Any:
        """Make an array of texts: these, or so many to be filled."""
        count = values if isinstance(values, int) else len(values)
        element = self._create(name, (count,), str)
        self.mark("string-array", "0.2.0", element)
        if not isinstance(values, int) and count:
            element[:] = np.array(values, dtype=object)
        return element

    def scalar(self, name: str, value: str | float) -> None:
        """Write one text or number."""
        self.mark("string" if isinstance(value, str) else "numeric-scalar", "0.2.0", self._scalar(name, value))

    def _create(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        raise NotImplementedError

    def _scalar(self, name: str, value: str | float) -> Any:
        raise NotImplementedError


class _Hdf5(_Group):
    def _create(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        import h5py

        if 0 in shape:
            return self.group.create_dataset(name, shape, h5py.string_dtype() if dtype is str else dtype)
        packed = {} if dtype is str or len(shape) > 1 else {"compression": "gzip", "compression_opts": 1}
        chunks = (min(shape[0], _ROWS), *shape[1:])
        return self.group.create_dataset(
            name, shape, h5py.string_dtype() if dtype is str else dtype, chunks=chunks, **packed
        )

    def _scalar(self, name: str, value: str | float) -> Any:
        return self.group.create_dataset(name, data=value)


class ZarrGroup(_Group):
    """A group of Zarr; as `_Group`."""

    def _create(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        chunks = tuple(max(1, length) for length in (min(shape[0], _ROWS), *shape[1:]))
        return self.group.create_array(name, shape=shape, dtype=dtype, chunks=chunks)

    def _scalar(self, name: str, value: str | float) -> Any:
        if isinstance(value, str):
            element = self.group.create_array(name, shape=(), dtype=str)
            element[...] = np.array(value, dtype=object)
            return element
        return self.group.create_array(name, data=np.array(value))


def fill(root: _Group, nuclei: Nuclei, tables: Iterable[Table], region: str = "") -> Iterator[float]:
    """Write nuclei as AnnData; yields which share is written.

    Parameters
    ----------
    root : _Group
        An empty group.
    nuclei : Nuclei
        Measurements become ``X``. Labels, centroids, classes with their probability, and confidence become columns of
        ``obs``, whose index is the label as a text; centroids in microns, (x, y), also ``obsm["spatial"]``, and vectors
        ``obsm["X_embedding"]``. ``uns["class_colors"]`` has the colours as scanpy takes them.
    tables : iterable of Table
        Those of the nuclei, which are gone through to the end.
    region : str
        Of SpatialData: the element that has the nuclei's shapes; then ``obs["region"]`` names it.
    """
    first = next(nuclei.tables())
    count = nuclei.count
    measured = [name for name in first if _is_measured(name, first[name])]
    observed = [name for name in first if name not in measured and name != EMBEDDING]
    classes = nuclei.classes() if CLASS in first else {}
    root.mark("anndata", "0.1.0")
    matrix = root.array("X", (count, len(measured)), np.float32)
    index, columns = _observations(root, first, observed, list(classes), count, region)
    var = root.mapping("var", "dataframe", "0.2.0", **{"_index": "_index", "column-order": []})
    var.strings("_index", measured)
    obsm = root.mapping("obsm")
    spatial = obsm.array("spatial", (count, 2), np.float64)
    vectors = first.get(EMBEDDING)
    embedding = None if vectors is None else obsm.array("X_embedding", (count, vectors.shape[1]), np.float32)
    for name in ("varm", "obsp", "varp", "layers"):
        root.mapping(name)
    _unstructured(root, nuclei, classes, region)
    codes = {name: code for code, name in enumerate(classes)}
    start = 0
    for table in blocks(tables, _ROWS):
        rows = slice(start, start + len(table[LABEL]))
        start = rows.stop
        matrix[rows] = np.stack([table[name].astype(np.float32) for name in measured], axis=1)
        index[rows] = np.array(list(map(str, table[LABEL].tolist())), dtype=object)
        for name in observed:
            columns[name][rows] = _coded(table[name], codes) if name == CLASS else _stored(table[name])
        spatial[rows] = np.stack([table["centroid_x_um"], table["centroid_y_um"]], axis=1)
        if embedding is not None:
            embedding[rows] = table[EMBEDDING]
        yield start / count


def _is_measured(name: str, values: NDArray[Any]) -> bool:
    numeric = values.ndim == 1 and values.dtype.kind in "iufb"
    return numeric and name != LABEL and name not in _OBSERVED and not name.startswith("centroid_")


def _observations(
    root: _Group, first: Table, names: Sequence[str], classes: Sequence[str], count: int, region: str
) -> tuple[Any, dict[str, Any]]:
    order = [*names, *(["region"] if region else [])]
    obs = root.mapping("obs", "dataframe", "0.2.0", **{"_index": "_index", "column-order": order})
    columns: dict[str, Any] = {}
    for name in names:
        if name == CLASS:
            columns[name] = _categorical(obs, name, classes, count)
        elif first[name].dtype.kind in "UO":
            columns[name] = obs.strings(name, count)
        else:
            columns[name] = obs.array(name, (count,), _stored(first[name]).dtype)
    if region:
        _categorical(obs, "region", [region], count)  # filled with 0, the first
    return obs.strings("_index", count), columns


def _categorical(frame: _Group, name: str, categories: Sequence[str], count: int) -> Any:
    inner = frame.mapping(name, "categorical", "0.2.0", ordered=False)
    inner.strings("categories", categories)
    return inner.array("codes", (count,), np.int8 if len(categories) < 128 else np.int32)


def _coded(values: NDArray[Any], codes: Mapping[str, int]) -> NDArray[np.int32]:
    names, places = np.unique(values.astype(str), return_inverse=True)
    found: NDArray[np.int32] = np.array([codes.get(name, -1) for name in names.tolist()], np.int32)[places]
    return found


def _stored(values: NDArray[Any]) -> NDArray[Any]:
    """Texts as objects, which both stores take; labels in a type that SpatialData joins by."""
    if values.dtype.kind in "UO":
        return values.astype(object)
    return values.astype(np.int64) if values.dtype.kind in "iu" else values


def _unstructured(root: _Group, nuclei: Nuclei, classes: Mapping[str, Sequence[int]], region: str) -> None:
    uns = root.mapping("uns")
    about = uns.mapping("nucleigan")
    about.scalar("image", nuclei.name)
    about.scalar("mpp", float(nuclei.mpp))
    about.scalar("provenance", json.dumps(nuclei.provenance))
    if classes:
        uns.strings("class_colors", ["#{:02x}{:02x}{:02x}".format(*colour) for colour in classes.values()])
    if region:
        joined = uns.mapping("spatialdata_attrs")
        for name, value in {"region": region, "region_key": "region", "instance_key": LABEL}.items():
            joined.scalar(name, value)
