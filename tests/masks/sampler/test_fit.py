from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.masks.polygons import LayoutStatistics, PolygonMasks, describe, sample
from napari_nucleigan.masks.sampler.fit import MOST_TISSUES, fit

TRUE = PolygonMasks(
    density=7000,
    area=25,
    area_spread=0.4,
    elongation=1.5,
    touching=0.3,
    similarity=0.4,
    coherence=0.5,
    clustering=0.3,
    spikiness=0.3,
)


@pytest.fixture(scope="module")
def masks() -> list[np.ndarray]:
    return [sample(TRUE, (800, 800), seed=seed) for seed in range(4)]


@pytest.fixture(scope="module")
def learnt(masks: list[np.ndarray]) -> PolygonMasks:
    return fit(masks)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("density", 700),
        ("area", 2),
        ("area_spread", 0.06),
        ("elongation", 0.06),
        ("elongation_spread", 0.04),
        ("touching", 0.05),
        ("similarity", 0.12),
        ("coherence", 0.12),
        ("clustering", 0.2),
        ("spikiness", 0.07),
    ],
)
def test_learns_again_what_masks_were_drawn_from(learnt: PolygonMasks, name: str, tolerance: float) -> None:
    assert getattr(learnt, name) == pytest.approx(getattr(TRUE, name), abs=tolerance)


def test_masks_of_a_fit_are_like_what_it_learnt_from(masks: list[np.ndarray], learnt: PolygonMasks) -> None:
    drawn = [sample(learnt, (800, 800), seed=seed) for seed in range(4)]
    real, made = (LayoutStatistics.pooled([describe(mask) for mask in images]) for images in (masks, drawn))
    for name in ("area", "eccentricity", "neighbour_distance"):
        assert ks_2samp(getattr(real, name), getattr(made, name)).statistic < 0.07
    assert made.touching_share == pytest.approx(real.touching_share, abs=0.06)


def test_small_windows_tell_the_same_sizes_as_large_ones(masks: list[np.ndarray], learnt: PolygonMasks) -> None:
    # Of small images the border cuts more large nuclei.
    windows = [mask[r : r + 100, c : c + 100] for mask in masks for r in range(0, 701, 100) for c in range(0, 701, 100)]
    found = fit(windows)
    naive = np.mean(LayoutStatistics.pooled([describe(window) for window in windows]).area)
    assert found.area == pytest.approx(learnt.area, rel=0.04)
    assert naive < found.area
    assert found.density == pytest.approx(learnt.density, rel=0.04)
    assert len(found.tissues) == MOST_TISSUES


def test_the_scale_is_known_by_the_pixel_size(masks: list[np.ndarray], learnt: PolygonMasks) -> None:
    twice = fit(masks, 0.5)
    assert twice.area == pytest.approx(4 * learnt.area, rel=0.01)
    assert twice.density == pytest.approx(learnt.density / 4, rel=0.01)
    assert twice.touching == pytest.approx(learnt.touching, abs=0.01)


def test_the_same_labels_give_the_same_fit_whatever_their_numbers(
    masks: list[np.ndarray], learnt: PolygonMasks
) -> None:
    numbers = np.random.default_rng(0).permutation(5000)[: masks[0].max() + 1] + 1
    numbers[0] = 0
    assert fit(iter([numbers[masks[0]].astype(np.uint16)])).area == fit([masks[0]]).area
    assert fit(masks) == learnt


def test_images_without_nuclei_count_for_the_density() -> None:
    mask = sample(TRUE, (300, 300), seed=1)
    with_empty = fit([mask, np.zeros((300, 300), int)])
    assert len(with_empty.tissues) == 2
    assert with_empty.density == pytest.approx(fit([mask]).density / 2, rel=0.01)
    assert not all(sample(with_empty, (128, 128), seed=seed).any() for seed in range(12))


def test_few_nuclei_are_enough_to_draw_more() -> None:
    labels = np.zeros((60, 60), np.int32)
    labels[10:20, 10:24] = 1
    labels[35:45, 30:40] = 2
    found = fit([labels])
    assert found.area == pytest.approx((140 + 100) / 2 / 16, rel=0.05)
    assert max(sample(found, (256, 256), seed=seed).max() for seed in range(3)) > 3


@pytest.mark.parametrize("labels", [[], [np.zeros((9, 9), int)], [np.ones((9, 9), int)]])
def test_nothing_to_learn_from(labels: list[np.ndarray]) -> None:
    with pytest.raises(LabelsError, match="to learn from"):
        fit(labels)


def test_what_no_nuclei_are_like() -> None:
    labels = np.zeros((50, 50), int)
    labels[1:-1, 1:-1] = 1
    with pytest.raises(RecipeError, match="not valid"):
        fit([labels])
    with pytest.raises(RecipeError, match="above 0"):
        fit([labels], 0)
