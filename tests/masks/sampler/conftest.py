from __future__ import annotations

import pytest

from napari_nucleigan.masks.polygons import PolygonMasks, fit_tissue
from tissue_pictures import tissue_picture


@pytest.fixture(scope="session")
def tissue_statistics() -> PolygonMasks:
    """Statistics of two tiles with a gland in the middle of each."""
    tiles = [tissue_picture(seed=seed) for seed in range(2)]
    return fit_tissue([tile[0] for tile in tiles], [tile[1] for tile in tiles], count=4)
