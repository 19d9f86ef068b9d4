from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.data.images.files import write_labels

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folders(tmp_path, tiny_he) -> tuple[Path, Path, list]:
    """Three images; the first predicted exactly, the second badly, the third not at all."""
    labels = [tiny_he(64, 64, nuclei=6, seed=seed)[1] for seed in range(3)]
    for name, truth in zip("abc", labels, strict=True):
        write_labels(tmp_path / "truth" / "labels" / f"{name}.tif", truth)
    (tmp_path / "truth" / "split.csv").write_text("name,organ,split\na,liver,train\nb,liver,test\nc,colon,test\n")
    write_labels(tmp_path / "pred" / "a.tif", labels[0])
    write_labels(tmp_path / "pred" / "b.tif", np.where(labels[1] > 2, 3 + labels[1] % 2, 0).astype(np.int32))
    return tmp_path / "pred", tmp_path / "truth", labels


@pytest.fixture
def many(tmp_path, tiny_he) -> tuple[Path, Path]:
    """Eight images of three organs and one of none, each predicted somehow."""
    organs = ["liver", "colon", "", "breast"] * 2
    rows = ["name,organ,split"]
    for place, organ in enumerate(organs):
        name = f"tile{place}"
        truth, pred = (tiny_he(48, 48, nuclei=5, seed=seed)[1] for seed in (place, place + 100))
        write_labels(tmp_path / "truth" / "labels" / f"{name}.tif", truth)
        write_labels(tmp_path / "pred" / f"{name}.tif", np.where(pred % 2, pred, truth).astype(np.int32))
        rows.append(f"{name},{organ},test")
    (tmp_path / "truth" / "split.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "pred", tmp_path / "truth"
