from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from classed_nuclei import image_nuclei, slide_nuclei
from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.segmentation import formats
from napari_nucleigan.segmentation.formats import check_results, write_result

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pyarrow")


@pytest.fixture(params=["image", "slide"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "x.spatialdata.zarr"
    if request.param == "image":
        write_result(path, image_nuclei(vectors=2))
    else:
        shares = list(formats._BY_SUFFIX[".spatialdata.zarr"].write_slide(path, slide_nuclei(vectors=2)))
        assert shares == sorted(shares)
        assert shares[-1] == 1
    return path


@pytest.mark.filterwarnings("ignore")  # of the packages that spatialdata imports
def test_spatialdata_reads_it_back(store: Path) -> None:
    spatialdata: Any = pytest.importorskip("spatialdata")
    known = image_nuclei()

    found = spatialdata.read_zarr(store)

    assert found.coordinate_systems == ["global"]
    labels, shapes, table = found["nuclei_labels"], found["nuclei"], found["table"]
    assert np.array_equal(np.asarray(labels.data), known.labels)
    for element in ("image", "nuclei_labels"):
        extent = spatialdata.get_extent(found[element])
        assert extent["y"] == pytest.approx((-0.125, 49.875))
        assert extent["x"] == pytest.approx((-0.125, 59.875))
    assert found["image"].shape == (3, 200, 240)
    # Every outline is that of its row: its area and its centre are those in the table.
    _, joined = spatialdata.join_spatialelement_table(
        sdata=found, spatial_element_names="nuclei", table_name="table", match_rows="left"
    )
    assert joined.obs["label"].tolist() == shapes.index.tolist()
    assert sorted(shapes.index) == known.features["label"].tolist()
    assert np.allclose(shapes.area, joined[:, "area_um2"].X[:, 0], rtol=1e-6)
    assert np.allclose(np.stack([shapes.centroid.x, shapes.centroid.y], axis=1), joined.obsm["spatial"])
    assert shapes.is_valid.all()
    assert joined.obs["class"].cat.categories.tolist() == ['=cmd, "x"', "Fibroblast", "epithelial"]
    assert table.uns["spatialdata_attrs"]["region"] == "nuclei"
    assert table.obsm["X_embedding"].shape == (table.n_obs, 2)
    near = spatialdata.bounding_box_query(
        found, axes=("x", "y"), min_coordinate=[0, 0], max_coordinate=[20, 20], target_coordinate_system="global"
    )
    assert 0 < near["table"].n_obs < table.n_obs


def test_own_stores_are_replaced_and_others_refused(store: Path) -> None:
    check_results([store])
    write_result(store, image_nuclei())
    zarr.open_group(store / "points", mode="w")
    with pytest.raises(OutputError, match="not made by this program"):
        check_results([store])
