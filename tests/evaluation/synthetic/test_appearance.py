from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from scipy.stats import wasserstein_distance

from napari_nucleigan.evaluation.synthetic import Colours, Texture, colour_distance, colour_statistics, diversity
from napari_nucleigan.evaluation.synthetic.appearance import CHANNELS, REGIONS, lab_of, mean_colours, sum_colours

SIDE = 64
pictures = hnp.arrays(np.uint8, (8, 9, 3))
masks = hnp.arrays(np.bool_, (8, 9))


def _colours(pixels: np.ndarray, nuclei: np.ndarray) -> Colours:
    colours = Colours()
    colours.add(lab_of(pixels), nuclei)
    return colours


def _texture(*crops: np.ndarray) -> Texture:
    texture = Texture()
    for crop in crops:
        texture.add(crop.astype(np.float32))
    return texture


def _noise(exponent: float, count: int = 20, side: int = 128) -> list[np.ndarray]:
    """Pictures whose power falls with the frequency to that exponent."""
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    frequency[0, 0] = 1
    spectra = np.fft.fft2(random.normal(size=(count, side, side))) * frequency ** (exponent / 2)
    found = np.fft.ifft2(spectra).real
    return list(50 + 10 * found / found.std())


class TestColours:
    @given(pictures, masks)
    def test_moments_are_those_of_the_pixels(self, pixels: np.ndarray, nuclei: np.ndarray) -> None:
        lab = lab_of(pixels)
        moments = colour_statistics([pixels], [nuclei.astype(int)])
        for region, inside in zip(REGIONS, (nuclei, ~nuclei), strict=True):
            for index, channel in enumerate(CHANNELS):
                mean, std = moments[region][channel]
                if inside.any():
                    assert mean == pytest.approx(lab[inside][:, index].mean(), abs=0.26)  # half a bin
                    assert std == pytest.approx(lab[inside][:, index].std(), abs=0.3)
                else:
                    assert np.isnan(mean)
                    assert np.isnan(std)

    @given(pictures, masks, pictures, masks)
    def test_distance_is_that_of_wasserstein(
        self, first: np.ndarray, first_nuclei: np.ndarray, second: np.ndarray, second_nuclei: np.ndarray
    ) -> None:
        found = colour_distance(_colours(first, first_nuclei), _colours(second, second_nuclei))
        for region, one, other in (
            ("nuclei", first_nuclei, second_nuclei),
            ("stroma", ~first_nuclei, ~second_nuclei),
        ):
            if not (one.any() and other.any()):
                assert np.isnan(found[region])
                continue
            channels = zip(lab_of(first)[one].T, lab_of(second)[other].T, strict=True)
            expected = np.linalg.norm([wasserstein_distance(*values) for values in channels])
            assert found[region] == pytest.approx(expected, abs=0.9)  # a bin in each channel

    def test_histograms_add_up(self) -> None:
        random = np.random.default_rng(0)
        first, second = random.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
        nuclei = random.random((2, 16, 16)) > 0.5
        parts = [_colours(first, nuclei[0]), _colours(second, nuclei[1])]
        whole = _colours(np.concatenate([first, second]), np.concatenate(nuclei))
        assert (sum_colours(parts).counts == whole.counts).all()
        assert colour_distance(sum_colours(parts), whole) == {"nuclei": 0, "stroma": 0}

    def test_every_colour_has_a_bin(self) -> None:
        corners = np.array([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)], np.uint8)[None]
        counts = _colours(corners, np.ones((1, 8), bool)).counts
        assert counts[0, :, 1:-1].sum() == 24


class TestDiversity:
    @given(
        hnp.arrays(np.float64, (7, 2, 3), elements=st.floats(-50, 50)),
        hnp.arrays(np.intp, 7, elements=st.integers(0, 3)),
    )
    def test_is_the_mean_distance_between_crops_of_different_pictures(
        self, colours: np.ndarray, groups: np.ndarray
    ) -> None:
        pairs = [(a, b) for a, b in combinations(range(7), 2) if groups[a] != groups[b]]
        found = diversity(colours, groups)
        if not pairs:
            assert np.isnan(found)
            return
        expected = np.mean([np.linalg.norm(colours[a] - colours[b], axis=-1).mean() for a, b in pairs])
        assert found == pytest.approx(expected)

    def test_crops_without_nuclei_do_not_count(self) -> None:
        lab = lab_of(np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8))
        nuclei = np.zeros((3, 4, 4), bool)
        nuclei[:2, 0] = True
        colours = np.array([mean_colours(*pair) for pair in zip(lab, nuclei, strict=True)])
        assert np.isnan(colours[2, 0]).all()
        assert diversity(colours, np.arange(3)) == diversity(colours[:2], np.arange(2))


class TestTexture:
    @pytest.mark.parametrize("period", [2, 4, 8])
    def test_a_grid_is_measured_at_its_strength_and_period(self, period: int) -> None:
        pattern = np.random.default_rng(1).normal(size=(period, period))
        for half in {p for p in (1, 2, 4) if p < period}:  # leave no part that repeats sooner
            pattern -= np.tile(
                pattern.reshape(period // half, half, period // half, half).mean((0, 2)), (period // half,) * 2
            )
        pattern *= 1.5 / pattern.std()
        crops = [crop + np.tile(pattern, (128 // period,) * 2) for crop in _noise(-3)]
        grid = _texture(*crops).grid
        assert grid.pop(period) == pytest.approx(1.5, rel=0.05)
        assert max(grid.values()) < 0.3

    def test_pictures_without_a_grid_have_none(self) -> None:
        assert max(_texture(*_noise(-3)).grid.values()) < 0.1

    @pytest.mark.parametrize("exponent", [0.0, -2.0, -3.0])
    def test_slope_is_that_of_the_spectrum(self, exponent: float) -> None:
        assert _texture(*_noise(exponent)).slope == pytest.approx(exponent, abs=0.25)

    def test_a_blur_lowers_sharpness_and_steepens_the_slope(self) -> None:
        crops = _noise(-2)
        found = [_texture(*(ndimage.gaussian_filter(crop, sigma) for crop in crops)) for sigma in (0, 0.7, 1.5, 3)]
        for figure in ("sharpness", "slope"):
            values = [getattr(texture, figure) for texture in found]
            assert values == sorted(values, reverse=True)
            assert len(set(values)) == 4

    def test_sharpness_is_the_mean_step(self) -> None:
        ramp = np.add.outer(2.0 * np.arange(SIDE), 3.0 * np.arange(SIDE))
        assert _texture(ramp, ramp).sharpness == pytest.approx(2.5)

    def test_blocks_show_enlarged_pixels(self) -> None:
        crops = _noise(-2)
        assert _texture(*crops).blocks < 0.06
        doubled = [np.kron(crop[::2, ::2], np.ones((2, 2))) for crop in crops]
        assert _texture(*doubled).blocks == pytest.approx(1, abs=0.05)

    def test_flat_pictures_have_no_texture(self) -> None:
        flat = _texture(np.full((SIDE, SIDE), 70.0))
        assert flat.sharpness == 0
        assert max(flat.grid.values()) == 0
        assert np.isnan(flat.blocks)
        assert np.isnan(flat.slope)

    def test_nothing_seen_is_nothing_known(self) -> None:
        empty = Texture()
        assert np.isnan([empty.sharpness, empty.slope, empty.blocks, *empty.grid.values()]).all()
