from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.synthesis.noise import BLOCK, noise_map

places = st.integers(-3 * BLOCK, 3 * BLOCK)
lengths = st.integers(1, 2 * BLOCK)


@given(places, places, lengths, lengths, st.data())
def test_every_window_shows_the_same_values(top: int, left: int, height: int, width: int, data: st.DataObject) -> None:
    whole = noise_map(3, 1, 2, (top, left), (height, width))
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    part = noise_map(3, 1, 2, (top + row, left + column), (height - row, width - column))
    np.testing.assert_array_equal(part, whole[:, row:, column:])


def test_values_are_standard_normal_and_independent() -> None:
    values = noise_map(0, 0, 3, (-256, -256), (512, 512)).astype(float)
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    assert abs((values[:, 1:] * values[:, :-1]).mean()) < 0.01
    assert abs((values[0] * values[1]).mean()) < 0.01
    quadrants = [
        values[0, rows, columns] for rows in (slice(256), slice(256, 512)) for columns in (slice(256), slice(256, 512))
    ]
    for index, one in enumerate(quadrants):
        for other in quadrants[index + 1 :]:
            assert abs((one * other).mean()) < 0.02


def test_seeds_and_maps_differ() -> None:
    given = [noise_map(seed, level, 1, (0, 0), (8, 8)) for seed, level in ((0, 0), (1, 0), (0, 1), (2**63, 0))]
    assert len({values.tobytes() for values in given}) == 4


def test_the_bytes_stay_what_they_are() -> None:
    values = noise_map(7, 2, 1, (60, -4), (16, 16))
    assert hashlib.sha256(values.tobytes()).hexdigest()[:16] == "16ce6d52cade0e38"
