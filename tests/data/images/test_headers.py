from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.images.headers import Header, file_kind, jpeg_header, png_header
from png_density import with_density

RGB = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
PNG = imagecodecs.png_encode(RGB)
JPEG = imagecodecs.jpeg8_encode(RGB)


def test_kinds() -> None:
    assert file_kind(PNG[:8]) == "png"
    assert file_kind(JPEG[:8]) == "jpeg"
    assert file_kind(b"II*\0\0\0\0\0") == file_kind(b"MM\0+\0\0\0\0") == "tiff"
    assert file_kind(b"GIF89a..") is None
    assert file_kind(b"") is None


def test_png() -> None:
    assert png_header(PNG) == Header(20, 30, 3)
    assert png_header(imagecodecs.png_encode(RGB[..., 0].copy())).channels == 1
    assert png_header(with_density(PNG, 4_000_000, 4_000_000, 1)).density == (101_600.0, 101_600.0, "inch")
    assert png_header(with_density(PNG, 1, 1, 0)).density is None


def test_jpeg() -> None:
    header = jpeg_header(JPEG, whole=True)
    assert (header.height, header.width, header.channels) == (20, 30, 3)
    assert jpeg_header(imagecodecs.jpeg8_encode(RGB[..., 0].copy()), whole=True).channels == 1


def test_beginning_of_a_jpeg_is_enough_where_asked() -> None:
    assert jpeg_header(JPEG[: len(JPEG) // 2], whole=False).width == 30
    with pytest.raises(ImageError, match="cut short"):
        jpeg_header(JPEG[: len(JPEG) // 2], whole=True)


def test_end_mark_of_an_embedded_thumbnail_does_not_count() -> None:
    thumbnail = b"Exif\0\0" + JPEG[:200] + b"\xff\xd9"
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = JPEG[:2] + segment + JPEG[2:]
    assert jpeg_header(whole, whole=True).width == 30
    with pytest.raises(ImageError, match="cut short"):
        jpeg_header(whole[:-10], whole=True)


@pytest.mark.parametrize("end", [9, 20, 25])
def test_png_header_cut_short(end: int) -> None:
    with pytest.raises(ImageError, match="PNG header"):
        png_header(PNG[:end])


@pytest.mark.parametrize("data", [JPEG[:3], JPEG[:30], b"\xff\xd8\xff\xd9", b"\xff\xd8\0\0\0\0"])
def test_jpeg_header_cut_short(data: bytes) -> None:
    with pytest.raises(ImageError, match="JPEG header"):
        jpeg_header(data, whole=False)
