from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.pixels import mpp_of
from napari_nucleigan.labels.features import measure
from napari_nucleigan.tiling import COARSEST, FINEST, TOLERANCE, Scale, resize_image, resize_labels


@pytest.mark.parametrize("mpp", [0.25, 0.25 * (1 + 0.9 * TOLERANCE), 0.25 * (1 - 0.9 * TOLERANCE)])
def test_images_at_about_the_models_scale_are_left_alone(mpp: float) -> None:
    scale = Scale.of((30, 40), mpp, 0.25)
    pixels = np.zeros((30, 40, 3), np.uint8)
    labels = np.zeros((30, 40), np.int32)
    assert not scale.resamples
    assert resize_image(pixels, scale.model_shape) is pixels
    assert resize_labels(labels, scale.shape) is labels


@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    mpp=st.floats(0.1, COARSEST),
)
def test_shapes_go_there_and_back(height: int, width: int, mpp: float) -> None:
    scale = Scale.of((height, width), mpp, 0.25)
    labels = np.zeros(scale.model_shape, np.int32)
    labels[-1, -1] = 1
    back = resize_labels(labels, scale.shape)
    assert back.shape == (height, width)
    for length, inner in zip((height, width), scale.model_shape, strict=True):
        assert inner == max(1, round(length * mpp / 0.25)) or not scale.resamples


@pytest.mark.parametrize("mpp", [0.1, 0.17, 0.5, 1.0])
def test_places_do_not_move(mpp: float) -> None:
    rows, columns = np.mgrid[:120, :160]
    pixels = np.stack([rows, columns, rows + columns], axis=-1).astype(np.uint8)
    scale = Scale.of((120, 160), mpp, 0.25)
    small = resize_image(pixels, scale.model_shape)
    assert small.shape == (*scale.model_shape, 3)
    back = resize_labels(small[..., 0].astype(np.int32), scale.shape)
    error = np.abs(back - rows)[10:-10, 10:-10].max()
    assert error <= max(1, 0.25 / mpp)


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((200, 200, 3), np.uint8)
    stripes[:, ::2] = 200
    small = resize_image(stripes, Scale.of((200, 200), 0.08, 0.25).model_shape)
    assert np.abs(small[5:-5, 5:-5].astype(int) - 100).max() <= 12


@pytest.mark.parametrize("mpp", [FINEST / 2, COARSEST * 2, 353.0])
def test_a_scale_that_cannot_be_right_is_refused(mpp: float) -> None:
    with pytest.raises(ImageError, match="give the right value"):
        Scale.of((30, 40), mpp, 0.25)


def ellipses(factor: float, shape: tuple[int, int] = (240, 240)) -> np.ndarray:
    """Draw ellipses whose size and place do not depend on the pixels, of which one is `factor` long."""
    random = np.random.default_rng(0)
    height, width = (round(length * factor) for length in shape)
    labels = np.zeros((height, width), np.int32)
    rows, columns = (np.arange(length) + 0.5 for length in (height, width))
    for number, (row, column) in enumerate(np.ndindex(12, 12), 1):
        y, x = 20 * np.array([row, column]) + random.uniform(8, 12, 2)
        a, b = random.uniform(4, 7, 2)
        labels[((rows / factor - y)[:, None] / a) ** 2 + ((columns / factor - x)[None] / b) ** 2 <= 1] = number
    return labels


@pytest.mark.parametrize("factor", [0.5, 2 / 3, 1.2, 1.5, 2, 3, 4, 6])
def test_labels_are_not_shifted(factor: float) -> None:
    truth, back = ellipses(1), resize_labels(ellipses(factor), (240, 240))
    wanted, found = measure(truth), measure(back)
    assert np.array_equal(wanted["label"], found["label"])
    for axis in "yx":
        shift = found[f"centroid_{axis}_px"] - wanted[f"centroid_{axis}_px"]
        assert abs(shift.mean()) < 0.04
    assert np.mean(found["area_px"] / wanted["area_px"]) == pytest.approx(1, abs=0.06)
    assert np.mean(found["solidity"] - wanted["solidity"]) == pytest.approx(0, abs=0.06)
    if factor > 1:
        both = np.bincount(truth[truth == back], minlength=145)[1:]
        overlap = both / (wanted["area_px"] + found["area_px"] - both)
        assert overlap.mean() > {1.2: 0.92, 1.5: 0.93}.get(factor, 0.95)


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    to=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 9),
)
def test_each_pixel_takes_one_of_the_nearest(shape: tuple[int, int], to: tuple[int, int], seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, shape).astype(np.int32)
    back = resize_labels(labels, to)
    assert back.shape == to
    for row, column in np.ndindex(to):
        near = [
            {(2 * i + 1) * n // (2 * m), ((2 * i + 1) * n - 1) // (2 * m)}
            for i, n, m in zip((row, column), shape, to, strict=True)
        ]
        assert back[row, column] in labels[np.ix_(sorted(near[0]), sorted(near[1]))]


def test_each_direction_has_its_own_scale() -> None:
    scale = Scale.of((100, 100), mpp_of(0.5, 0.25), 0.25)
    assert scale.model_shape == (200, 100)
    assert not Scale.of((100, 100), mpp_of(0.255, 0.248), 0.25).resamples
