from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.images.convert import DARK_NOTE, GREY_NOTE, to_rgb


@pytest.fixture
def rgb(tiny_he: Any) -> np.ndarray:
    pixels: np.ndarray = tiny_he(40, 50, 4)[0]
    return pixels


def test_plain_rgb_is_taken_as_it_is(rgb: np.ndarray) -> None:
    pixels, notes = to_rgb(rgb)
    assert pixels is rgb or np.shares_memory(pixels, rgb)
    assert notes == ()


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(5, 9), st.just(3))))
def test_rgb_of_any_content_is_unchanged(values: np.ndarray) -> None:
    assert np.array_equal(to_rgb(values)[0], values)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (1, 1, 3), (1, 1, 4)])
def test_one_pixel(shape: tuple[int, ...]) -> None:
    pixels, _ = to_rgb(np.full(shape, 255, np.uint8))
    assert pixels.tolist() == [[[255, 255, 255]]]


def test_greyscale_is_copied_and_said(rgb: np.ndarray) -> None:
    for grey in (rgb[..., 0], rgb[..., :1], rgb[None, ..., 0], rgb[None, None, ..., 0]):
        pixels, notes = to_rgb(grey)
        assert pixels.shape == (40, 50, 3)
        assert (pixels == rgb[..., :1]).all()
        assert notes == (GREY_NOTE,)


class TestAlpha:
    def test_opaque(self, rgb: np.ndarray) -> None:
        pixels, notes = to_rgb(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]))
        assert np.array_equal(pixels, rgb)
        assert notes == ("RGBA: the alpha channel, opaque everywhere, was dropped.",)

    def test_transparent_pixels_lie_over_white(self, rgb: np.ndarray) -> None:
        alpha = np.full(rgb.shape[:2], 255, np.uint8)
        alpha[:10], alpha[10:20] = 0, 128
        pixels, notes = to_rgb(np.dstack([rgb, alpha]))
        assert (pixels[:10] == 255).all()
        assert np.abs(pixels[10:20] - (rgb[10:20] * (128 / 255) + 127)).max() <= 1
        assert np.array_equal(pixels[20:], rgb[20:])
        assert notes == ("RGBA: 50 % of the pixels are transparent and were laid over white.",)

    def test_zero_everywhere_is_no_alpha(self, rgb: np.ndarray) -> None:
        pixels, notes = to_rgb(np.dstack([rgb, np.zeros(rgb.shape[:2], np.uint8)]))
        assert np.array_equal(pixels, rgb)
        assert "ignored" in notes[0]

    def test_float(self, rgb: np.ndarray) -> None:
        values = np.dstack([rgb / 255, np.ones(rgb.shape[:2])])
        assert np.array_equal(to_rgb(values)[0], rgb)


class TestIntegers:
    def test_one_more_than_a_depth_holds_takes_the_next(self) -> None:
        values = np.full((2, 2, 3), 256, np.uint16)
        rgb, notes = to_rgb(values)
        assert any("10-bit" in note for note in notes)
        assert rgb.max() == round(256 * 255 / 1023)

    @pytest.mark.parametrize(
        ("dtype", "bits", "said"),
        [
            (np.uint16, 16, "16-bit"),
            (np.uint16, 12, "12-bit"),
            (np.uint16, 10, "10-bit"),
            (np.int16, 15, "15-bit"),
            (np.uint32, 16, "16-bit"),
            (np.uint32, 32, "32-bit"),
            (np.int64, 16, "16-bit"),
        ],
    )
    def test_depths(self, rgb: np.ndarray, dtype: type, bits: int, said: str) -> None:
        rgb = rgb.copy()
        rgb[0, 0] = 255  # glass, so that the depth shows
        values = np.rint(rgb.astype(np.float64) * ((2**bits - 1) / 255)).astype(dtype)
        pixels, notes = to_rgb(values)
        assert np.array_equal(pixels, rgb)
        assert len(notes) == 1
        assert notes[0].startswith(said)

    @pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64])
    def test_bytes_in_wider_integers(self, rgb: np.ndarray, dtype: type) -> None:
        pixels, notes = to_rgb(rgb.astype(dtype))
        assert np.array_equal(pixels, rgb)
        assert "taken as 8-bit" in notes[0]

    def test_negative_values(self) -> None:
        values = np.full((5, 5, 3), 200, np.int16)
        values[0] = -4
        pixels, notes = to_rgb(values)
        assert (pixels[0] == 0).all()
        assert (pixels[1:] == 200).all()
        assert "Negative values (down to -4)" in notes[0]

    def test_bool(self) -> None:
        pixels, notes = to_rgb(np.eye(4, dtype=bool) ^ True)
        assert pixels[0, 0].tolist() == [0, 0, 0]
        assert pixels[0, 1].tolist() == [255, 255, 255]
        assert notes[0].startswith("Black-and-white")


class TestFloats:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_unit_range(self, rgb: np.ndarray, dtype: type) -> None:
        pixels, notes = to_rgb((rgb / 255).astype(dtype))
        assert np.abs(pixels.astype(int) - rgb).max() <= (1 if dtype == np.float16 else 0)
        assert notes == ("Floating-point values from 0 to 1 were scaled to 0 to 255.",)

    @pytest.mark.parametrize(
        ("scale", "offset", "said"),
        [
            (1.0, 0.0, "from 0 to 255"),
            (2 / 255, -1.0, "from -1 to 1"),
            (257.0, 0.0, "from 0 to 65535"),
        ],
    )
    def test_other_ranges(self, rgb: np.ndarray, scale: float, offset: float, said: str) -> None:
        rgb = rgb.copy()
        rgb[0, 0] = 0
        pixels, notes = to_rgb(rgb * scale + offset)
        assert np.array_equal(pixels, rgb)
        assert said in notes[0]

    def test_overshoot_of_resampling_is_cut(self) -> None:
        pixels, _ = to_rgb(np.array([[[-0.03, 0.5, 1.04]]]))
        assert pixels.tolist() == [[[0, 128, 255]]]

    def test_what_is_not_finite_becomes_white_and_is_said(self, rgb: np.ndarray) -> None:
        values = rgb / 255
        values[0, 0, 0], values[0, 1], values[0, 2, 2] = np.nan, np.inf, -np.inf
        pixels, notes = to_rgb(values)
        assert (pixels[0, :3] == 255).all()
        assert np.array_equal(pixels[1:], rgb[1:])
        assert notes[0] == "3 pixels were NaN or infinite; they became white."

    @pytest.mark.parametrize("scale", [255.0, 65535.0])
    def test_white_in_other_ranges(self, scale: float) -> None:
        values = np.full((4, 4, 3), 0.8) * scale
        values[0, 0] = np.nan
        pixels, _ = to_rgb(values)
        assert pixels[0, 0].tolist() == [255, 255, 255]
        assert pixels[1, 1].tolist() == [204, 204, 204]

    def test_nothing_but_nan(self) -> None:
        with pytest.raises(ImageError, match="every pixel is NaN"):
            to_rgb(np.full((4, 4, 3), np.nan))

    def test_no_known_white(self) -> None:
        with pytest.raises(ImageError, match="no known white"):
            to_rgb(np.full((4, 4, 3), 1e6))

    def test_far_below_black_is_no_known_range_either(self) -> None:
        with pytest.raises(ImageError, match=r"from -1e\+38 to -1e\+38 have no known white"):
            to_rgb(np.full((4, 4, 3), -1e38))


class TestAxes:
    def test_channel_first_is_said(self, rgb: np.ndarray) -> None:
        pixels, notes = to_rgb(rgb.transpose(2, 0, 1))
        assert np.array_equal(pixels, rgb)
        assert pixels.flags.c_contiguous
        assert notes == ("Channel-first: the 3 planes were taken for red, green and blue.",)

    def test_channel_first_rgba(self, rgb: np.ndarray) -> None:
        values = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]).transpose(2, 0, 1)
        pixels, notes = to_rgb(values)
        assert np.array_equal(pixels, rgb)
        assert notes[0].startswith("Channel-first: the 4 planes")

    @pytest.mark.parametrize("axis", [0, 1, 2, -1])
    def test_named_axis(self, rgb: np.ndarray, axis: int) -> None:
        pixels, notes = to_rgb(np.moveaxis(rgb, -1, axis), channel_axis=axis)
        assert np.array_equal(pixels, rgb)
        assert len(notes) == (axis in (0, 1))

    def test_named_axis_wins_over_the_last(self) -> None:
        values = np.zeros((3, 7, 4), np.uint8)
        assert to_rgb(values, channel_axis=0)[0].shape == (7, 4, 3)

    @pytest.mark.parametrize(
        ("shape", "reason"),
        [
            ((7,), "2-D images"),
            ((), "2-D images"),
            ((5, 30, 40), "stack of 5 planes"),
            ((30, 40, 2), "2 channels"),
            ((2, 30, 40), "stack of 2 planes"),
            ((6, 30, 40, 3), "Choose one plane"),
            ((0, 5, 3), "empty"),
            ((5, 0), "empty"),
        ],
    )
    def test_what_is_no_2d_image(self, shape: tuple[int, ...], reason: str) -> None:
        with pytest.raises(ImageError, match=reason):
            to_rgb(np.zeros(shape, np.uint8))

    def test_four_planes_without_alpha_are_a_stack(self) -> None:
        values = np.random.default_rng(0).integers(0, 255, (4, 30, 40), np.uint8)
        with pytest.raises(ImageError, match="stack of 4 planes"):
            to_rgb(values)

    def test_wrong_axis(self) -> None:
        with pytest.raises(ImageError, match="no axis 5"):
            to_rgb(np.zeros((3, 4, 4), np.uint8), channel_axis=5)
        with pytest.raises(ImageError, match="30 channels"):
            to_rgb(np.zeros((30, 4, 4), np.uint8), channel_axis=0)


@pytest.mark.parametrize("values", [np.zeros((3, 3), complex), np.array([["a"]])])
def test_no_numbers(values: np.ndarray) -> None:
    with pytest.raises(ImageError, match="has no colours"):
        to_rgb(values)


class TestDark:
    def test_fluorescence(self) -> None:
        values = np.random.default_rng(0).poisson(4, (60, 60)).astype(np.uint8)
        values[20:30, 20:30] = 220
        assert DARK_NOTE in to_rgb(values)[1]

    def test_inverted_he(self, rgb: np.ndarray) -> None:
        assert DARK_NOTE in to_rgb(255 - rgb)[1]

    def test_kumar_tiles_are_bright_and_their_negatives_dark(self, kumar: Any) -> None:
        from napari_nucleigan.data.datasets.dataset import Dataset

        data = Dataset.open(kumar).subset("train")
        for name in data.names:
            image = data.image(name)
            assert image.notes == ()
            assert DARK_NOTE in to_rgb(255 - image.pixels)[1]

    @pytest.mark.parametrize("value", [255, 240])
    def test_empty_glass_is_not(self, value: int) -> None:
        assert to_rgb(np.full((50, 50, 3), value, np.uint8))[1] == ()


def test_black_around_bright_tissue_is_no_dark_background(tiny_he: Any) -> None:
    framed = np.zeros((300, 300, 3), np.uint8)
    framed[100:200, 100:200] = tiny_he(100, 100, 10)[0]
    assert DARK_NOTE not in to_rgb(framed)[1]
    assert DARK_NOTE in to_rgb(framed // 3)[1]
    assert DARK_NOTE in to_rgb(255 - tiny_he(100, 100, 10)[0])[1]
