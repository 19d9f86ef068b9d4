from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from napari_nucleigan.labels import neighbourhood as module
from napari_nucleigan.labels.neighbourhood import COLUMNS, neighbourhood


@pytest.mark.parametrize("band", [20, 20_000])
def test_neighbours_are_those_of_all_pairs(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MANY", band)
    centres = np.random.default_rng(0).random((200, 2)) * (150, 300)
    found = neighbourhood(centres, (150, 300))
    far = cdist(centres, centres) + np.diag(np.full(200, np.inf))
    np.testing.assert_allclose(found["nearest_um"], far.min(axis=1))
    for radius in (10, 25, 50):
        assert found[f"neighbours_{radius}um"].tolist() == (far <= radius).sum(axis=1).tolist()
    assert tuple(found) == COLUMNS


def test_density_counts_what_the_image_shows_of_the_disc() -> None:
    centres = np.array([[0.0, 0.0], [200.0, 200.0], [0.0, 200.0]])
    inner = 1e6 / (np.pi * 50**2)
    found = neighbourhood(centres, (400, 400))["density_per_mm2"]
    np.testing.assert_allclose(found, [4 * inner, inner, 2 * inner], rtol=0.03)
    assert neighbourhood(centres)["density_per_mm2"].tolist() == pytest.approx([inner] * 3)


@pytest.mark.parametrize("count", [0, 1])
def test_alone(count: int) -> None:
    found = neighbourhood(np.zeros((count, 2)), (10, 10))
    assert np.isnan(found["nearest_um"]).tolist() == [True] * count
    assert found["neighbours_50um"].tolist() == [0] * count
