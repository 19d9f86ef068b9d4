"""The page "From slide to squidpy": its code runs, as far as it needs neither scanpy nor squidpy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from classed_nuclei import slide_nuclei
from napari_nucleigan.base.events import run
from napari_nucleigan.segmentation.formats import write_slide_results

PAGE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "spatial.md"


@pytest.mark.filterwarnings("ignore")  # of the packages that anndata and spatialdata import
def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for module in ("anndata", "pyarrow", "spatialdata"):
        pytest.importorskip(module)
    names = [tmp_path / f"slide.{suffix}" for suffix in ("parquet", "h5ad", "spatialdata.zarr")]
    run(write_slide_results(names, slide_nuclei(vectors=4)))
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    here = [block for block in blocks if "squidpy" not in block]

    for block in here:
        exec(block, known)

    assert len(here) == len(blocks) - 1 == 3
    assert 0 < known["large"].n_obs < known["nuclei"].n_obs
    assert known["counts"].sum() < known["nuclei"].n_obs  # some have no class
    assert "nuclei in the corner" in capsys.readouterr().out
    assert len(known["table"]) == known["nuclei"].n_obs
