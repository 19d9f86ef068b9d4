"""Where the microns per pixel of a layer come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_nucleigan.contributions.layers import image_layer
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.widgets.base.transforms import PixelSizes

if TYPE_CHECKING:
    from pathlib import Path

RGB = np.zeros((30, 40, 3), np.uint8)


def layer(path: Path, mpp: float | None = None) -> Image:
    pixels, arguments, _ = image_layer(HEImage(RGB, mpp, path.stem, path))
    return Image(pixels, **arguments)


def test_the_layer_knows(tmp_path: Path) -> None:
    assert PixelSizes().of(layer(tmp_path / "a.png", 0.5)) == (0.5, "")


def test_nobody_knows(tmp_path: Path) -> None:
    mpp, remark = PixelSizes().of(layer(tmp_path / "a.png"))
    assert mpp is None
    assert "please type it" in remark


def test_typed_values_hold_for_the_layer_and_later_for_the_folder(tmp_path: Path) -> None:
    scales, first = PixelSizes(), layer(tmp_path / "a.png")
    scales.give(first, 0.25)
    assert scales.of(first) == (0.25, "Given by you.")
    mpp, remark = PixelSizes().of(layer(tmp_path / "b.png"))
    assert mpp == 0.25
    assert "this folder" in remark
    assert PixelSizes().of(layer(tmp_path / "other" / "c.png"))[0] is None
    # what a file says goes before what was typed for its neighbours
    assert PixelSizes().of(layer(tmp_path / "d.png", 0.5))[0] == 0.5
    scales.give(first, 0)
    assert scales.of(first)[0] == 0.25  # as remembered for the folder


def test_stacks_have_none() -> None:
    assert PixelSizes().of(Image(np.zeros((5, 9, 9)))) == (None, "")
