"""Parquet: a row of measurements for each nucleus, in columns that keep their types."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.extras import needed
from napari_nucleigan.base.files import atomic_write
from napari_nucleigan.labels.classes import CLASS
from napari_nucleigan.segmentation.stores.nuclei import blocks, with_first

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.stores.nuclei import Nuclei, Table

ROWS = 1 << 16
"""Rows that are written together; a reader takes them one such group at a time."""


def write_parquet(path: Path, nuclei: Nuclei) -> Iterator[float]:
    """Write the table of nuclei; yields which share is written.

    Parameters
    ----------
    path : Path
        The file.
    nuclei : Nuclei
        What to write. Vectors become a column of lists of one length; where the table came from stands in the metadata
        of the file under ``nucleigan``, as JSON.

    Raises
    ------
    ExtraError
        If pyarrow is not installed.
    OutputError
        If the file cannot be written.
    """
    needed("pyarrow", "parquet", "Parquet")
    first, tables = with_first(nuclei)
    about = {
        "image": nuclei.name,
        "mpp": float(nuclei.mpp),
        "classes": {name: list(colour) for name, colour in nuclei.classes().items()} if CLASS in first else {},
        "provenance": nuclei.provenance,
    }
    with atomic_write(path) as temporary:
        yield from write_batches(temporary, first, tables, nuclei.count, {"nucleigan": json.dumps(about)})


def write_table(path: Path, table: Table, about: Mapping[str, Any]) -> None:
    """Write one table, with what is said about it in the metadata; raises as `write_parquet`."""
    needed("pyarrow", "parquet", "Parquet")
    with atomic_write(path) as temporary:
        count = len(table["label"])
        for _ in write_batches(temporary, table, [table], count, {"nucleigan": json.dumps(dict(about))}):
            pass


def write_batches(
    path: Path,
    first: Mapping[str, NDArray[Any]],
    tables: Iterable[Table],
    count: int,
    metadata: Mapping[str, str],
) -> Iterator[float]:
    """Write tables of `count` rows in all, with the columns of the first, below each other."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def batch(table: Mapping[str, NDArray[Any]]) -> Any:
        return pa.table({name: _column(pa, table[name]) for name in first})

    schema = batch({name: values[:0] for name, values in first.items()}).schema.with_metadata(dict(metadata))
    done = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for table in blocks(tables, ROWS):
            rows = batch(table).cast(schema)
            writer.write_table(rows, row_group_size=ROWS)
            done += rows.num_rows
            yield done / count


def _column(pa: Any, values: NDArray[Any]) -> Any:
    if values.ndim == 2:
        flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).ravel())
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    if values.dtype.kind in "UO":
        # Parquet keeps each different text once.
        return pa.array(values.astype(str).tolist(), pa.string())
    return pa.array(np.ascontiguousarray(values))
