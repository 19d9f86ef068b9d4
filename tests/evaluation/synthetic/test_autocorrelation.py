"""Repetition of the background: textures that come again, and textures that do not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_nucleigan.evaluation.synthetic import repetition

SIDE = 160


def _random(seed: int = 0) -> NDArray[np.float32]:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((SIDE, SIDE)), 2)
    return (70 + 5 * noise / noise.std()).astype(np.float32)


def _none() -> NDArray[np.bool_]:
    return np.zeros((SIDE, SIDE), bool)


def test_a_random_texture_does_not_repeat() -> None:
    assert repetition(_random(), _none()) < 0.06


@pytest.mark.parametrize("period", [12, 20, 32])
def test_a_texture_that_comes_again_does(period: int) -> None:
    tile = _random(1)[:period, :period]
    knitted = np.tile(tile, (SIDE // period + 1,) * 2)[:SIDE, :SIDE]
    assert repetition(knitted, _none()) > 0.1
    half = (knitted + _random(2)) / 2
    assert repetition(_random(2), _none()) < repetition(half, _none()) < repetition(knitted, _none())


def test_nuclei_and_slow_changes_do_not_count() -> None:
    texture = _random(3)
    plain = repetition(texture, _none())
    rows, columns = np.mgrid[:SIDE, :SIDE]
    nuclei = np.hypot(rows % 40 - 20, columns % 40 - 20) < 8
    shown = np.where(nuclei, 20, texture).astype(np.float32)
    assert repetition(shown, nuclei) == pytest.approx(plain, abs=0.05)
    assert repetition(shown, _none()) > plain + 0.05
    sloping = (texture + rows / 8).astype(np.float32)
    assert repetition(sloping, _none()) == pytest.approx(plain, abs=0.05)


def test_what_tells_nothing_is_not_a_number() -> None:
    assert np.isnan(repetition(np.full((SIDE, SIDE), 50, np.float32), _none()))
    assert np.isnan(repetition(_random(), ~_none()))
