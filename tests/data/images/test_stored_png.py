from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.data.images.files import read_image, read_labels, read_mask
from napari_nucleigan.data.images.stored_png import decode_stored

if TYPE_CHECKING:
    from pathlib import Path


def indexed(values: np.ndarray, bits: int, **options: object) -> bytes:
    image = Image.fromarray(values.astype(np.uint8))
    image = image.convert("L") if image.mode != "L" else image
    stored = Image.frombytes("P", image.size, image.tobytes())
    stored.putpalette(np.random.default_rng(0).integers(0, 256, 3 * 2**bits).astype(np.uint8).tobytes())
    handle = BytesIO()
    stored.save(handle, "png", bits=bits, **options)
    return handle.getvalue()


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("options", [{}, {"transparency": 0}, {"dpi": (100, 100)}])
def test_indices_are_the_values(bits: int, options: dict[str, object]) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (33, 45))
    assert np.array_equal(decode_stored(indexed(values, bits, **options)), values)


def test_labels_with_a_palette_and_their_picture(tmp_path: Path) -> None:
    values = np.zeros((20, 30), int)
    values[2:6, 2:6], values[2:6, 6:9] = 1, 200
    (tmp_path / "a.png").write_bytes(indexed(values, 8))
    assert np.array_equal(read_labels(tmp_path / "a.png"), values)
    picture = read_image(tmp_path / "a.png")
    assert picture.notes[0] == "Palette: indices were turned into their colours."
    assert len(np.unique(picture.pixels.reshape(-1, 3), axis=0)) == 3


def test_a_mask_with_a_palette_is_told_by_its_colours(tmp_path: Path) -> None:
    values = np.zeros((9, 9), np.uint8)
    values[2:4, 2:4] = 1
    stored = Image.frombytes("P", (9, 9), values.tobytes())
    stored.putpalette([255, 255, 255, 0, 0, 0])
    stored.save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), values == 0)


@pytest.mark.parametrize("grey", [True, False])
def test_one_bit_is_no_label(tmp_path: Path, grey: bool) -> None:
    values = np.eye(9, dtype=np.uint8)
    if grey:
        Image.fromarray(values * 255).convert("1").save(tmp_path / "a.png")
    else:
        (tmp_path / "a.png").write_bytes(indexed(values, 1))
    with pytest.raises(LabelsError, match="only tells nuclei from background"):
        read_labels(tmp_path / "a.png")


@pytest.mark.parametrize("length", [33, 40, 60, 100])
def test_what_is_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    (tmp_path / "a.png").write_bytes(indexed(np.ones((30, 30)), 8)[:length])
    with pytest.raises(LabelsError, match=r"Cannot read .*a\.png"):
        read_labels(tmp_path / "a.png")
