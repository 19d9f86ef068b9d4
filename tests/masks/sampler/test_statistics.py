from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import cKDTree
from skimage.measure import regionprops_table

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.masks.polygons import PolygonMasks, fit, preset, sample
from napari_nucleigan.masks.sampler.statistics import (
    LayoutStatistics,
    bin_edges,
    describe,
    find_ellipses,
    mask_sizes,
    tissue_sizes,
    touching_pairs,
)

label_images = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 4))


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return sample(PolygonMasks(), (300, 220), seed=3)


def test_agrees_with_scikit_image(labels: np.ndarray) -> None:
    names = ("label", "area", "eccentricity", "solidity", "centroid", "axis_major_length", "axis_minor_length", "bbox")
    table = regionprops_table(labels, properties=names)
    box = np.stack([table[f"bbox-{i}"] for i in range(4)], 1)
    whole = (box[:, :2] > 0).all(1) & (box[:, 2:] < labels.shape).all(1)
    found = describe(labels, 0.5, solidity=True)
    assert found.area == pytest.approx(table["area"][whole] * 0.25)
    assert found.eccentricity == pytest.approx(table["eccentricity"][whole])
    assert found.elongation == pytest.approx((table["axis_major_length"] / table["axis_minor_length"])[whole])
    # scikit-image counts the pixels whose centres the hull holds, not its area.
    assert found.solidity == pytest.approx(table["solidity"][whole], abs=0.12)
    centres = np.stack([table["centroid-0"], table["centroid-1"]], 1) * 0.5
    assert found.neighbour_distance == pytest.approx(cKDTree(centres).query(centres, 2)[0][whole, 1])
    ellipses = find_ellipses(labels, 0.5)
    assert ellipses.centres == pytest.approx(centres)
    assert ellipses.extent == pytest.approx((box[:, 2:] - box[:, :2]) * 0.5)


def test_direction_of_a_slanted_bar() -> None:
    rows, columns = np.mgrid[:60, :60]
    bar = (np.abs((rows - 30) * np.cos(0.5) - (columns - 30) * np.sin(0.5)) < 3) & (
        np.hypot(rows - 30, columns - 30) < 25
    )
    found = describe(bar.astype(np.int32), 1)
    assert found.angle[0] == pytest.approx(0.5, abs=0.02)
    assert found.solidity.size == 0
    assert found.neighbour_distance.size == 0


@given(label_images)
def test_touching_as_a_loop_finds_it(labels: np.ndarray) -> None:
    expected = set()
    height, width = labels.shape
    for row in range(height):
        for column in range(width):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                if 0 <= row + down < height and 0 <= column + right < width:
                    pair = sorted((int(labels[row, column]), int(labels[row + down, column + right])))
                    if pair[0] and pair[0] != pair[1]:
                        expected.add(tuple(pair))
    assert {tuple(pair) for pair in touching_pairs(labels).tolist()} == expected
    found = find_ellipses(labels, 1)
    assert set(found.ids[found.touching].tolist()) == {each for pair in expected for each in pair}


def test_the_border_cuts_neither_sizes_nor_counts(labels: np.ndarray) -> None:
    framed = labels.copy()
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    whole = np.setdiff1d(np.unique(labels), edge)
    assert describe(framed).area.size == whole.size
    # Cut in tiles, an image has as many nuclei as before.
    tiles = [labels[r : r + 100, c : c + 110] for r in range(0, 300, 100) for c in range(0, 220, 110)]
    in_tiles = sum(describe(tile).count for tile in tiles)
    assert in_tiles == pytest.approx(describe(labels).count, rel=0.1)


def test_pooled_statistics_join(labels: np.ndarray) -> None:
    one = describe(labels)
    two = LayoutStatistics.pooled([one, one])
    assert two.area.size == 2 * one.area.size
    assert two.density == pytest.approx(one.density)
    assert two.touching_share == pytest.approx(one.touching_share)


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (7, 9)])
def test_no_nuclei(shape: tuple[int, int]) -> None:
    found = describe(np.zeros(shape, np.uint8), solidity=True)
    assert (found.count, found.density, found.touching_share) == (0, 0, 0)


def test_odd_nuclei() -> None:
    labels = np.zeros((9, 12), np.uint16)
    labels[4, 4] = 700
    labels[2, 6:10] = 9
    found = describe(labels, 1, solidity=True)
    assert found.area.tolist() == [4, 1]
    assert found.solidity.tolist() == [1, 1]
    assert np.isfinite(found.eccentricity).all()
    assert np.isfinite(found.fullness).all()


@pytest.mark.parametrize("labels", [np.zeros((3, 3)), np.zeros((3, 3, 3), int)])
def test_what_is_no_label_image(labels: np.ndarray) -> None:
    with pytest.raises(LabelsError, match="2-D array of integers"):
        describe(labels)


@pytest.mark.parametrize("mpp", [0, -1, float("nan")])
def test_bad_pixel_sizes(mpp: float) -> None:
    with pytest.raises(RecipeError, match="above 0"):
        describe(np.zeros((3, 3), int), mpp)


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
