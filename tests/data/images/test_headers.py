from __future__ import annotations

import math
import struct
import zlib
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from napari_nucleigan.base.pixels import sides
from napari_nucleigan.base.reading import FileFault
from napari_nucleigan.data.images.headers import (
    Header,
    check_pixel_size,
    file_kind,
    from_aperio,
    from_density,
    from_ome,
    jpeg_header,
    microns,
    picture_size,
    png_header,
)
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


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_a_png_with_a_profile_or_a_text_of_megabytes_is_read(kind: bytes) -> None:
    packed = zlib.compress(bytes(2_000_000))
    content = {b"iCCP": b"scanner\0\0", b"zTXt": b"history\0\0", b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0"}[kind] + packed
    chunk = _chunk(kind, content)
    plain = with_density(PNG, 4_000_000, 4_000_000, 1)
    assert png_header(plain[:33] + chunk + plain[33:]) == png_header(plain)
    with pytest.raises(FileFault, match="PNG header"):
        png_header(plain[:33] + chunk[:-200])


def test_the_orientation_of_a_png_is_found_before_and_behind_the_pixels_without_decoding_them() -> None:
    xmp = _chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>')
    pixels = PNG.index(b"IDAT")
    assert png_header(PNG[:33] + xmp + PNG[33 : pixels + 6]).orientation == 6
    exif = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 8, 0, 0)
    assert png_header(PNG[:-12] + _chunk(b"eXIf", exif) + PNG[-12:]).orientation == 8


def test_jpeg() -> None:
    header = jpeg_header(JPEG, whole=True)
    assert (header.height, header.width, header.channels) == (20, 30, 3)
    assert jpeg_header(imagecodecs.jpeg8_encode(RGB[..., 0].copy()), whole=True).channels == 1


def test_beginning_of_a_jpeg_is_enough_where_asked() -> None:
    assert jpeg_header(JPEG[: len(JPEG) // 2], whole=False).width == 30
    with pytest.raises(FileFault, match="cut short"):
        jpeg_header(JPEG[: len(JPEG) // 2], whole=True)


def test_end_mark_of_an_embedded_thumbnail_does_not_count() -> None:
    thumbnail = b"Exif\0\0" + JPEG[:200] + b"\xff\xd9"
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = JPEG[:2] + segment + JPEG[2:]
    assert jpeg_header(whole, whole=True).width == 30
    with pytest.raises(FileFault, match="cut short"):
        jpeg_header(whole[:-10], whole=True)


@pytest.mark.parametrize("end", [9, 20, 25])
def test_png_header_cut_short(end: int) -> None:
    with pytest.raises(FileFault, match="PNG header"):
        png_header(PNG[:end])


@pytest.mark.parametrize("data", [JPEG[:3], JPEG[:30], b"\xff\xd8\xff\xd9", b"\xff\xd8\0\0\0\0"])
def test_jpeg_header_cut_short(data: bytes) -> None:
    with pytest.raises(FileFault, match="JPEG header"):
        jpeg_header(data, whole=False)


OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    '<Pixels ID="Pixels:0" SizeX="4" SizeY="4" {} /></Image></OME>'
)
APERIO = "Aperio Image Library v11.2.1\n46000x32914 (256x256) JPEG/RGB Q=30|AppMag = 40|MPP = 0.2520"


@pytest.mark.parametrize(
    ("unit", "length"),
    [
        ("µm", 1),
        ("\N{GREEK SMALL LETTER MU}m", 1),
        ("\\u00B5m", 1),
        ("micron", 1),
        ("nm", 1e-3),
        ("MM", 1e3),
        ("inch", 25400),
        ("pixel", None),
        ("", None),
    ],
)
def test_units(unit: str, length: float | None) -> None:
    assert microns(unit) == length


def test_aperio_says_its_pixel_size() -> None:
    assert from_aperio(APERIO) == (0.252, ())


def test_aperio_magnification_is_an_estimate_and_said() -> None:
    mpp, notes = from_aperio("Aperio Image|AppMag = 20")
    assert mpp == 0.5
    assert notes == ("Microns per pixel were estimated from the magnification, 20x: 0.5.",)


@pytest.mark.parametrize("text", ["", "a picture", "AppMag = 0", "MPP = none"])
def test_no_aperio_header(text: str) -> None:
    assert from_aperio(text)[0] is None


@pytest.mark.parametrize(
    ("attributes", "mpp"),
    [
        ('PhysicalSizeX="0.25" PhysicalSizeY="0.25"', 0.25),
        ('PhysicalSizeX="0.25"', 0.25),
        (
            'PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="250" PhysicalSizeYUnit="nm"',
            0.25,
        ),
        ('PhysicalSizeX="0.0005" PhysicalSizeXUnit="mm"', 0.5),
        ('PhysicalSizeX="1" PhysicalSizeXUnit="pixel"', None),
        ('PhysicalSizeX="wide"', None),
        ("", None),
    ],
)
def test_ome(attributes: str, mpp: float | None) -> None:
    assert from_ome(OME.format(attributes)) == (mpp, ())


def test_both_axes_of_ome_count() -> None:
    mpp, notes = from_ome(OME.format('PhysicalSizeX="0.25" PhysicalSizeY="0.5"'))
    assert mpp == pytest.approx(0.125**0.5, rel=1e-6)
    assert "not square" in notes[0]


@pytest.mark.parametrize("text", ["<OME>", "no xml", "<OME></OME>"])
def test_damaged_ome_says_nothing(text: str) -> None:
    assert from_ome(text) == (None, ())


def test_screen_resolution_is_ignored_and_said() -> None:
    for dots in (72, 96, 300, 600):
        mpp, notes = from_density(dots, dots, "inch")
        assert mpp is None
        assert f"({dots} dots per inch)" in notes[0]


def test_density() -> None:
    assert from_density(40000, 40000, "cm") == (0.25, ())
    assert from_density(4, 4, "um") == (0.25, ())
    assert from_density(4, 4, "") == (None, ())
    assert from_density(0, 0, "cm") == (None, ())


def test_pixels_that_are_not_square_are_said() -> None:
    mpp, notes = check_pixel_size(0.2, 0.8, "tags")
    assert mpp == pytest.approx(0.4)
    assert "not square (0.2 microns wide, 0.8 high)" in notes[0]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_senseless_sizes(value: float) -> None:
    assert check_pixel_size(value, value, "tags") == (None, ())


@pytest.mark.parametrize(
    ("unit", "length"),
    [
        ("µm", 1),
        ("\N{GREEK SMALL LETTER MU}m", 1),
        ("\\u00B5m", 1),
        ("UM", 1),
        ("Å", 1e-4),
        ("\N{ANGSTROM SIGN}", 1e-4),
        ("angstrom", 1e-4),
        ("dm", 1e5),
        ("decimeter", 1e5),
        ("Millimetre", 1e3),
        ("mm", 1e3),
        ("Mm", 1e12),
        ("picometer", 1e-6),
        ("thou", 25.4),
        ("in", 25400),
        ("ft", 304800),
        ("pixel", None),
        ("reference frame", None),
        ("", None),
    ],
)
def test_units_are_lengths(unit: str, length: float | None) -> None:
    assert microns(unit) == (pytest.approx(length) if length else None)


@pytest.mark.parametrize(
    ("said", "mpp"),
    [
        ("AppMag = 20|MPP = 0,500000|Filename = 1", 0.5),
        ("AppMag = 20|MPP = 0|", 0.5),
        ("AppMag = 20,0|MPP = 300", 0.5),
        ("MPP = -1|AppMag = 40", 0.25),
        ("MPP = 0,5", 0.5),
        ("MPP = 0|AppMag = 0", None),
        ("AppMag = 0|MPP = 300", None),
    ],
)
def test_aperio_with_commas_and_what_cannot_be(said: str, mpp: float | None) -> None:
    found, notes = from_aperio(f"Aperio Image Library v11\n256x256|{said}")
    assert found == mpp
    assert ("estimated" in " ".join(notes)) == (mpp is not None and "0,5" not in said)


def test_ome_scale_is_that_of_the_image() -> None:
    def image(size: int, mpp: str, unit: str = "µm") -> str:
        return (
            f'<Image><Pixels SizeX="{size}" SizeY="{size}" PhysicalSizeX="{mpp}" PhysicalSizeXUnit="{unit}"/></Image>'
        )

    two = f"<OME>{image(96, '1.0')}{image(320, '2500', 'Å')}</OME>"
    assert from_ome(two, (320, 320), 1)[0] == 0.25
    assert from_ome(two, (320, 320), 0)[0] == 0.25
    assert from_ome(two, (96, 96), 0)[0] == 1.0
    assert from_ome(two, (7, 7), 0)[0] is None
    same = f"<OME>{image(96, '0.5')}{image(96, '0,25')}</OME>"
    assert from_ome(same, (96, 96), 1)[0] == 0.25
    mpp, notes = from_ome(same, (96, 96), 7)
    assert mpp is None
    assert "several scales" in notes[0]


def test_each_direction_has_its_own_scale() -> None:
    mpp, _ = check_pixel_size(0.25, 0.5, "tags")
    assert mpp is not None
    assert sides(mpp) == (0.5, 0.25)


@pytest.mark.parametrize("suffix", ["PNG", "JPEG", "JPEG2000"])
def test_pictures_say_their_size(suffix: str) -> None:
    data = BytesIO()
    Image.new("RGB", (70, 40)).save(data, suffix)
    assert picture_size(data.getvalue()) == (40, 70)
    for length in range(0, 60, 3):
        picture_size(data.getvalue()[:length])
    assert picture_size(b"something else") is None


def test_a_pixel_size_that_vanishes_is_told_and_not_divided_by() -> None:
    mpp, (note,) = check_pixel_size(1e-300, 1e-300, "OME metadata")
    assert mpp is None
    assert "no microscope's" in note and "dots per inch" not in note
