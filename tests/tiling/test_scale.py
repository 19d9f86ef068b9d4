from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.errors import ImageError
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
