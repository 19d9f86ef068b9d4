from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from classed_nuclei import image_nuclei, slide_nuclei
from napari_nucleigan.base.errors import ExtraError
from napari_nucleigan.segmentation import formats
from napari_nucleigan.segmentation.formats import check_results, write_result
from napari_nucleigan.segmentation.stores import parquet
from napari_nucleigan.segmentation.stores.nuclei import ImageNuclei

if TYPE_CHECKING:
    from pathlib import Path

pq = pytest.importorskip("pyarrow.parquet")


def test_pandas_reads_the_columns_of_an_image_back(tmp_path: Path) -> None:
    found = image_nuclei()
    write_result(tmp_path / "x.parquet", found)
    table = pd.read_parquet(tmp_path / "x.parquet")
    assert list(table) == list(found.features)
    for name, values in found.features.items():
        assert (
            table[name].tolist() == pytest.approx(values.tolist(), nan_ok=True)
            if values.dtype.kind == "f"
            else (table[name].tolist() == values.tolist())
        )


def test_a_slide_has_the_same_rows_as_its_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS", 7)  # rows of several tiles come together, those of one are cut
    slide = slide_nuclei(vectors=3)
    shares = list(formats._BY_SUFFIX[".parquet"].write_slide(tmp_path / "x.parquet", slide))
    assert shares[-1] == 1
    table = pd.read_parquet(tmp_path / "x.parquet").sort_values("label", ignore_index=True)
    known = pd.DataFrame(dict(image_nuclei().features))
    pd.testing.assert_frame_equal(table[list(known)], known, check_dtype=False)
    assert np.stack(table["embedding"].tolist()).tolist() == np.outer(known["area_px"], [1, 2, 3]).tolist()
    file = pq.ParquetFile(tmp_path / "x.parquet")
    assert file.num_row_groups == -(-len(known) // 7)
    about = json.loads(file.schema_arrow.metadata[b"nucleigan"])
    assert about["provenance"] == {"model": "oracle"}
    assert list(about["classes"]) == ['=cmd, "x"', "Fibroblast", "epithelial"]


def test_a_tile_of_an_earlier_run_has_no_embeddings(tmp_path: Path) -> None:
    slide = slide_nuclei(vectors=3)
    first = slide.assembly.tiles()[0]
    record = slide.assembly.nuclei(first)[0]
    del record.features["embedding"]
    list(parquet.write_parquet(tmp_path / "x.parquet", slide))
    found = pd.read_parquet(tmp_path / "x.parquet")
    without = np.isnan(np.stack(found["embedding"].tolist())).all(axis=1)
    assert without.sum() == len(slide.assembly.nuclei(first)[1])
    assert 0 < without.sum() < len(found)


def test_nothing_is_a_table_too(tmp_path: Path) -> None:
    found = image_nuclei()
    nothing = {name: values[:0] for name, values in found.features.items()}
    object.__setattr__(found, "features", nothing)
    list(parquet.write_parquet(tmp_path / "x.parquet", ImageNuclei(found)))
    table = pd.read_parquet(tmp_path / "x.parquet")
    assert list(table) == list(nothing)
    assert len(table) == 0


def test_without_pyarrow_it_is_said_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(
        ExtraError, match=r'needs pyarrow, which is not installed; run: pip install "napari-nucleigan\[parquet\]"'
    ):
        check_results([tmp_path / "x.parquet"])
