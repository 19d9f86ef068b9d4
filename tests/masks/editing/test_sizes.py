from __future__ import annotations

import numpy as np
import pytest

from napari_nucleigan.masks.editing.sizes import bin_edges, mask_sizes, tissue_sizes
from napari_nucleigan.masks.sampler.sample import PolygonMasks, fit, preset, sample


def test_figures_are_physical() -> None:
    sizes = mask_sizes(np.array([400, 100, 160]), (1000, 2000), 0.5)
    assert sizes.count == 3
    assert sizes.density == pytest.approx(3 / 0.5)  # 0.5 mm x 1 mm
    assert sizes.median == 40
    assert sizes.histogram(np.array([0, 30, 50, 200.0])).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3], abs=0.2)


def test_shares_add_up_to_one() -> None:
    for sizes in (mask_sizes(np.arange(1, 300), (100, 100), 0.25), tissue_sizes(preset("liver"))):
        assert sizes is not None
        assert sizes.histogram(bin_edges(sizes)).sum() == pytest.approx(1)


def test_an_empty_mask() -> None:
    sizes = mask_sizes(np.array([], int), (10, 10), 0.25)
    assert (sizes.count, sizes.density) == (0, 0)
    assert np.isnan(sizes.median)
    assert not sizes.histogram(bin_edges(sizes)).any()
    assert tissue_sizes(PolygonMasks()) is None


def test_a_tissue_looks_like_the_mask_that_it_was_fitted_to() -> None:
    labels = sample(PolygonMasks(density=6000, area=40, area_spread=0.4), (700, 700), seed=3)
    tissue = tissue_sizes(fit([labels]))
    own = mask_sizes(np.bincount(labels.ravel())[1:], labels.shape, 0.25)
    assert tissue is not None
    assert tissue.median == pytest.approx(own.median, rel=0.1)
    assert tissue.density == pytest.approx(own.density, rel=0.15)
    edges = bin_edges(tissue, own)
    assert np.abs(np.cumsum(tissue.histogram(edges)) - np.cumsum(own.histogram(edges))).max() < 0.12
