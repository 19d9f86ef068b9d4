"""Tables of finished results, read back: CSV, and Parquet with its vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.extras import needed
from napari_nucleigan.base.text import uncell
from napari_nucleigan.labels.classes import CLASS
from napari_nucleigan.segmentation.artefacts import ARTEFACT

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.stores.nuclei import Table

TEXTS = (CLASS, ARTEFACT)
"""Columns that hold texts."""

_ROWS = 1 << 14  # vectors that are read together


def read_csv(path: Path, columns: Collection[str] | None = None) -> Table:
    """Read a table of nuclei in CSV, all columns or some."""
    import pandas as pd

    frame = pd.read_csv(
        path,
        usecols=None if columns is None else lambda name: name in columns,
        dtype=dict.fromkeys(TEXTS, str),
        keep_default_na=False,
        na_values={name: [""] for name in pd.read_csv(path, nrows=0).columns if name not in TEXTS},
    )
    table = {str(name): frame[name].to_numpy() for name in frame}
    for text in table.keys() & set(TEXTS):
        names, places = np.unique(table[text].astype(str), return_inverse=True)
        table[text] = np.array([uncell(name) for name in names.tolist()], dtype=str)[places]
    return table


def read_parquet(path: Path, columns: Collection[str] | None = None) -> Table:
    """Read a table of nuclei in Parquet, all columns or some; raises `ExtraError` where pyarrow is not installed."""
    pq: Any = needed("pyarrow.parquet", "parquet", f"To read {path.name}")
    file = pq.ParquetFile(path)
    names = [name for name in file.schema_arrow.names if columns is None or name in columns]
    table: Table = {}
    for name in names:
        kind = file.schema_arrow.field(name).type
        if hasattr(kind, "list_size"):
            table[name] = _read_vectors(file, name, kind.list_size)
            continue
        values = file.read([name]).column(0).combine_chunks()
        if name in TEXTS:
            table[name] = np.array(values.to_pylist(), dtype=str)
        else:
            table[name] = values.to_numpy(zero_copy_only=False)
    return table


def _read_vectors(file: Any, name: str, length: int) -> NDArray[np.float32]:
    """Read a column of vectors part by part: of a slide they take a gigabyte, and as a whole several times as much."""
    vectors = np.empty((file.metadata.num_rows, length), np.float32)
    at = 0
    for batch in file.iter_batches(_ROWS, columns=[name]):
        vectors[at : at + len(batch)] = batch.column(0).flatten().to_numpy().reshape(-1, length)
        at += len(batch)
    return vectors
