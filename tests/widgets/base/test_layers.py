"""Between layers and the core: scale, place, region, what can be segmented."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.layers import Image, Labels

from napari_nucleigan.contributions.layers import image_layer
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.widgets.base import layers

if TYPE_CHECKING:
    from pathlib import Path


RGB = np.zeros((30, 40, 3), np.uint8)


@pytest.mark.parametrize(
    ("shape", "rgb", "words"),
    [
        ((30, 40, 3), True, ""),
        ((30, 40, 4), True, ""),
        ((30, 40), False, ""),
        ((3, 30, 40), False, ""),
        ((5, 30, 40), False, "3 dimensions"),
        ((5, 30, 40, 3), True, "3 dimensions"),
        ((2, 5, 30, 40), False, "4 dimensions"),
        ((30, 40, 3), False, "add it again as RGB"),
    ],
)
def test_layer_problem(shape: tuple[int, ...], rgb: bool, words: str) -> None:
    layer = Image(np.zeros(shape, np.uint8), rgb=rgb, name="slide 7")
    problem = layers.layer_problem(layer)
    if words:
        assert words in problem
        assert "slide 7" in problem
    else:
        assert problem == ""
        assert layers.image_shape(layer) == (30, 40)


@pytest.mark.parametrize(
    ("scale", "units", "mpp"),
    [
        ((1, 1), None, None),
        ((0.25, 0.25), None, None),
        ((0.25, 0.25), ("µm", "µm"), 0.25),
        ((250, 250), ("nm", "nm"), 0.25),
        ((0.00025, 0.00025), ("mm", "mm"), 0.25),
        ((0.2, 0.45), ("um", "um"), 0.3),
        ((2, 2), ("pixel", "pixel"), None),
        ((2, 2), ("second", "second"), None),
    ],
)
def test_layer_mpp(scale: tuple[float, float], units: tuple[str, str] | None, mpp: float | None) -> None:
    layer = Image(RGB, rgb=True, scale=scale, units=units)
    assert layers.layer_mpp(layer) == mpp


def test_layer_mpp_of_channel_first() -> None:
    layer = Image(np.zeros((3, 30, 40)), scale=(1, 0.5, 0.5), units=("pixel", "µm", "µm"))
    assert layers.layer_mpp(layer) == 0.5


def same_place(image: Image, labels: Labels, axes: tuple[int, int]) -> None:
    for point in [(0, 0), (29, 0), (11, 39), (29, 39)]:
        at = np.zeros(image.ndim)
        at[list(axes)] = point
        expected = np.asarray(image.data_to_world(at))[list(axes)]
        np.testing.assert_allclose(labels.data_to_world(point), expected, atol=1e-9)
    assert labels.units == tuple(image.units[axis] for axis in axes)
    assert labels.axis_labels == tuple(image.axis_labels[axis] for axis in axes)


def test_labels_lie_where_the_image_lies() -> None:
    angle = np.deg2rad(30)
    image = Image(
        RGB,
        rgb=True,
        scale=(0.5, 0.25),
        translate=(10, -20),
        rotate=30,
        shear=[0.2],
        affine=[[np.cos(angle), -np.sin(angle), 5], [np.sin(angle), np.cos(angle), 1], [0, 0, 1]],
        units=("µm", "µm"),
        axis_labels=("down", "across"),
    )
    labels = Labels(np.zeros((30, 40), int), **layers.labels_place(image))
    same_place(image, labels, (0, 1))


def test_labels_of_channel_first_images() -> None:
    image = Image(
        np.zeros((3, 30, 40)),
        scale=(1, 0.5, 0.25),
        translate=(0, 3, 4),
        rotate=np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
        units=("pixel", "nm", "nm"),
        axis_labels=("c", "y", "x"),
    )
    labels = Labels(np.zeros((30, 40), int), **layers.labels_place(image))
    same_place(image, labels, (1, 2))


def test_what_readers_make_is_understood(tmp_path: Path) -> None:
    pixels, known, _ = image_layer(HEImage(RGB, 0.25, "a", tmp_path / "a.png", ("note",)))
    layer = Image(pixels, **known)
    assert layers.layer_mpp(layer) == 0.25
    assert layers.layer_folder(layer) == str(tmp_path)
    pixels, unknown, _ = image_layer(HEImage(RGB))
    layer = Image(pixels, **unknown)
    assert layers.layer_mpp(layer) is None
    assert layers.layer_folder(layer) == ""
