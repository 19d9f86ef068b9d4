from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from classed_nuclei import image_nuclei, slide_nuclei
from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.files import refuse_foreign
from napari_nucleigan.segmentation import formats
from napari_nucleigan.segmentation.formats import write_result
from napari_nucleigan.segmentation.stores import annotated

if TYPE_CHECKING:
    from pathlib import Path

h5py = pytest.importorskip("h5py")
anndata = pytest.importorskip("anndata")
pytestmark = pytest.mark.filterwarnings("ignore")  # anndata and pandas warn of each other

MEASURED = [
    "area_px",
    "area_um2",
    "equivalent_diameter_px",
    "equivalent_diameter_um",
    "perimeter_px",
    "perimeter_um",
    "eccentricity",
    "solidity",
    "haematoxylin_mean_od",
    "eosin_mean_od",
]


@pytest.mark.parametrize("of", ["image", "slide"])
def test_anndata_reads_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    monkeypatch.setattr(annotated, "_ROWS", 16)
    known = image_nuclei().features
    if of == "image":
        write_result(tmp_path / "x.h5ad", image_nuclei(vectors=3))
    else:
        shares = list(formats._BY_SUFFIX[".h5ad"].write_slide(tmp_path / "x.h5ad", slide_nuclei(vectors=3)))
        assert shares[-1] == 1

    found = anndata.read_h5ad(tmp_path / "x.h5ad")

    found = found[np.argsort(found.obs["label"].to_numpy())]
    assert found.var_names.tolist() == MEASURED
    assert found.X.dtype == np.float32
    assert np.allclose(found.X, np.stack([known[name] for name in MEASURED], axis=1), rtol=1e-6)
    assert found.obs_names.tolist() == list(map(str, known["label"]))
    assert np.allclose(found.obsm["spatial"], np.stack([known["centroid_x_um"], known["centroid_y_um"]], axis=1))
    assert np.array_equal(found.obsm["X_embedding"], np.outer(known["area_px"], [1, 2, 3]))
    classes = found.obs["class"]
    assert classes.cat.categories.tolist() == ['=cmd, "x"', "Fibroblast", "epithelial"]
    assert classes.astype(object).where(classes.notna(), "").tolist() == known["class"].tolist()
    assert np.allclose(found.obs["class_probability"], known["class_probability"], equal_nan=True)
    assert np.allclose(found.obs["confidence"], known["confidence"])
    assert found.uns["class_colors"].tolist() == ["#e63c3c", "#286edc", "#28a046"]
    assert json.loads(found.uns["nucleigan"]["provenance"]) == {"model": "oracle"}
    assert found.uns["nucleigan"]["mpp"] == 0.25


def test_nothing_is_a_file_too(tmp_path: Path) -> None:
    found = image_nuclei()
    object.__setattr__(found, "features", {name: values[:0] for name, values in found.features.items()})
    write_result(tmp_path / "x.h5ad", found)
    back = anndata.read_h5ad(tmp_path / "x.h5ad")
    assert back.shape == (0, len(MEASURED))
    assert back.obsm["spatial"].shape == (0, 2)


def test_own_files_are_replaced_and_others_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    write_result(path, image_nuclei())
    refuse_foreign(path)
    with h5py.File(path, "w") as file:
        file["somebody's"] = np.zeros(3)
    with pytest.raises(OutputError, match="not made by this program"):
        refuse_foreign(path)
