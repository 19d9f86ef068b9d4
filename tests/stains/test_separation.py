from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, nnls

from napari_nucleigan.stains import RUIFROK
from napari_nucleigan.stains.separation import (
    MAX_PIXELS,
    angles_between,
    codes,
    density,
    doubt,
    macenko,
    tissue_pixels,
    unit,
    vahadane,
    white_point,
)

WHITE = np.full(3, 255.0)
atoms = st.integers(0, 10_000).map(lambda seed: unit(np.random.default_rng(seed).uniform(0.01, 1, (2, 3))))


@settings(max_examples=60, deadline=None)
@given(atoms, st.integers(0, 10_000))
def test_codes_are_non_negative_least_squares(matrix, seed):
    values = np.random.default_rng(seed).exponential(0.6, (20, 3)).astype(np.float32)
    if float(angles_between(matrix[0], matrix[1])) < 3:
        return  # two equal atoms share one code in any proportion
    expected = np.array([nnls(matrix.T, value)[0] for value in values.astype(np.float64)])
    assert np.allclose(codes(values, matrix), expected, atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(atoms, st.integers(0, 10_000), st.floats(0.01, 0.5))
def test_codes_solve_the_lasso(matrix, seed, penalty):
    value = np.random.default_rng(seed).exponential(0.6, 3)

    def objective(code):
        return 0.5 * ((value - code @ matrix) ** 2).sum() + penalty * code.sum()

    ours = codes(value[None].astype(np.float32), matrix, penalty)[0].astype(np.float64)
    best = minimize(objective, [0.3, 0.3], bounds=[(0, None)] * 2, method="L-BFGS-B", tol=1e-12)
    assert (ours >= 0).all()
    assert objective(ours) <= best.fun + 1e-5


def mixture(matrix, seed=0, count=20_000):
    """Densities of pixels that are mostly one stain: sparse, as Vahadane assumes."""
    random = np.random.default_rng(seed)
    amounts = random.exponential([0.8, 0.5], (count, 2))
    amounts[random.random(count) < 0.3, 0] = 0
    amounts[random.random(count) < 0.3, 1] = 0
    return (amounts @ matrix + random.normal(0, 0.005, (count, 3))).clip(0).astype(np.float32)


@pytest.mark.parametrize(("solver", "degrees"), [(lambda values: vahadane(values, RUIFROK), 1), (macenko, 4)])
def test_known_stains_are_found(solver, degrees):
    truth = unit([[0.55, 0.74, 0.38], [0.2, 0.85, 0.50]])
    found = solver(mixture(truth))
    assert angles_between(found, truth).max() < degrees
    assert (found >= 0).all()
    assert np.allclose(np.linalg.norm(found, axis=1), 1)


def test_haematoxylin_comes_first_whatever_the_start():
    values = mixture(RUIFROK)
    found = vahadane(values, RUIFROK[::-1])
    assert found[0, 0] > found[1, 0]
    assert np.allclose(found, vahadane(values, RUIFROK), atol=1e-3)


def test_density_is_natural_log_against_white():
    pixels = np.array([[255, 128, 0], [240, 240, 240]], dtype=np.uint8)
    expected = np.log(255 / np.array([[255, 128, 1], [240, 240, 240]]))
    assert np.allclose(density(pixels, WHITE), expected, atol=1e-6)
    against = density(pixels, np.full(3, 240.0))
    assert np.allclose(against, np.log(240 / np.array([[240, 128, 1], [240] * 3])), atol=1e-6)


def test_white_point_needs_background():
    pink = np.full((10_000, 3), (220, 150, 190), dtype=np.uint8)
    assert (white_point(pink) == 255).all()
    pink[:500] = (240, 236, 238)
    assert white_point(pink).tolist() == [240, 236, 238]


def test_tissue_is_neither_white_nor_black_and_sampled_by_seed():
    flat = np.zeros((3 * MAX_PIXELS, 3), dtype=np.uint8)
    flat[:MAX_PIXELS] = 250
    flat[MAX_PIXELS : MAX_PIXELS + 100] = (120, 60, 140)
    assert len(tissue_pixels(flat, WHITE, 0)) == 100
    flat[MAX_PIXELS:] = np.random.default_rng(0).integers(60, 160, (2 * MAX_PIXELS, 3))
    first, again, other = (tissue_pixels(flat, WHITE, seed) for seed in (0, 0, 1))
    assert len(first) == MAX_PIXELS
    assert (first == again).all()
    assert not (first == other).all()


def test_doubt_names_the_reason():
    plenty = np.ones(2)
    assert doubt(RUIFROK, plenty) is None
    assert "haematoxylin" in str(doubt(unit([[0.1, 0.1, 1], [0.07, 0.99, 0.11]]), plenty))
    assert "eosin" in str(doubt(unit([[0.65, 0.7, 0.29], [1, 0.1, 0.1]]), plenty))
    assert "apart" in str(doubt(unit([[0.4, 0.9, 0.3], [0.38, 0.9, 0.3]]), plenty))
    assert "hardly any eosin" in str(doubt(RUIFROK, np.array([1, 0.01])))
