from __future__ import annotations

import numpy as np
import pytest

from napari_nucleigan.masks.sampler.adjustment import tissue_of
from napari_nucleigan.masks.sampler.layout import RandomField, lay_out
from napari_nucleigan.masks.sampler.parameters import PolygonMasks
from napari_nucleigan.masks.sampler.statistics import spacing


@pytest.mark.parametrize("smooth", [False, True])
def test_fields_are_normal_and_correlate_as_they_say(smooth: bool) -> None:
    reach, distance = 10.0, 8.0
    start = np.random.default_rng(0).uniform(0, 100, (40, 2))
    points = np.vstack([start, start + np.array([distance, 0])])
    values = np.stack([RandomField(np.random.default_rng(seed), reach, smooth)(points) for seed in range(400)])
    assert values.mean() == pytest.approx(0, abs=0.06)
    assert values.std() == pytest.approx(1, abs=0.05)
    expected = np.exp(-(distance**2) / 2 / reach**2) if smooth else np.exp(-distance / reach)
    assert (values[:, :40] * values[:, 40:]).mean() == pytest.approx(expected, abs=0.06)


def test_contact_of_circles_and_of_ellipses_in_line() -> None:
    centres = np.array([[0.0, 0], [0, 10]])
    round_ones = spacing(centres, np.array([4.0, 6]), np.array([4.0, 6]), np.zeros(2))
    assert round_ones[3] == pytest.approx(np.full((2, 1), 5))
    in_line = spacing(centres, np.array([8.0, 8]), np.array([2.0, 2]), np.array([0, np.pi / 2]))
    assert in_line[3] == pytest.approx(np.full((2, 1), 4 + 1))
    assert in_line[0].tolist() == [[1], [0]]
    assert in_line[1] == pytest.approx(np.array([[[0, 1]], [[0, -1]]]))


def test_distances_follow_the_goal() -> None:
    tissue = tissue_of(PolygonMasks(density=5000, touching=0.4, clustering=0), 0)
    tissue = tissue.model_copy(update={"spacings": (1.3, 1.5, 2.0)})
    layout = lay_out(np.random.default_rng(0), tissue, (300, 300), 0.25)
    _, _, distance, contact = spacing(layout.centres, layout.length, layout.width, layout.angle)
    nearest = np.sort((distance / contact).min(1))
    count = len(nearest)
    assert layout.meets.mean() == pytest.approx(0.4, abs=0.01)
    assert np.median(nearest[: int(0.35 * count)]) == pytest.approx(0.94, abs=0.03)
    assert np.median(nearest[int(0.45 * count) :]) == pytest.approx(1.5, abs=0.1)
    assert (nearest > 1.05).mean() == pytest.approx(0.6, abs=0.05)


def test_nothing_overlaps_where_nothing_touches() -> None:
    tissue = tissue_of(PolygonMasks(density=8000, touching=0), 0)
    layout = lay_out(np.random.default_rng(0), tissue, (200, 200), 0.25)
    _, _, distance, contact = spacing(layout.centres, layout.length, layout.width, layout.angle)
    assert np.quantile((distance / contact).min(1), 0.02) > 1


@pytest.mark.parametrize("density", [0, 1, 10])
def test_hardly_any_nuclei(density: float) -> None:
    tissue = tissue_of(PolygonMasks(density=density), 0)
    layouts = [lay_out(np.random.default_rng(seed), tissue, (50, 50), 0.25) for seed in range(20)]
    assert max(len(layout.centres) for layout in layouts) <= 2
