from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.images.files import read_image, read_labels
from napari_nucleigan.data.images.layout import turned
from napari_nucleigan.data.slides import is_slide, open_slide

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rgb(tiny_he: Any) -> np.ndarray:
    pixels: np.ndarray = tiny_he(64, 96, 6)[0]
    return pixels


@pytest.fixture
def alpha() -> np.ndarray:
    opacity = np.full((64, 96), 255, np.uint8)
    opacity[:30], opacity[:10] = 100, 0
    return opacity


def write(path: Path, values: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, values, **{"photometric": "rgb", "metadata": None, **options})
    return path


def shown(path: Path) -> np.ndarray:
    """Return a TIFF as Pillow shows it, over white."""
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file).convert("RGBA" if file.mode in ("RGBA", "RGBa") else "RGB")
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture)
        picture = white.convert("RGB")
    return np.asarray(picture).astype(int)


def read_both(path: Path) -> list[np.ndarray]:
    """Read a TIFF as an image and as a slide."""
    with open_slide(path) as slide:
        return [read_image(path).pixels, slide.region((0, slide.shape[0], 0, slide.shape[1]))]


class TestAlpha:
    @pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
    @pytest.mark.parametrize("planarconfig", ["contig", "separate"])
    def test_what_the_fourth_sample_is(
        self, tmp_path: Path, rgb: np.ndarray, alpha: np.ndarray, kind: str, planarconfig: str
    ) -> None:
        colours = rgb
        if kind == "assocalpha":
            colours = np.rint(rgb * (alpha[..., None] / 255)).astype(np.uint8)
        values = np.dstack([colours, alpha])
        if planarconfig == "separate":
            values = np.moveaxis(values, 2, 0)
        path = write(tmp_path / "a.tif", values, extrasamples=[kind], planarconfig=planarconfig)
        expected = rgb if kind == "unspecified" else rgb * (alpha[..., None] / 255) + (255 - alpha[..., None])
        for pixels in read_both(path):
            assert np.abs(pixels - expected).max() <= 1
            if planarconfig == "contig":  # of what else Pillow shows
                assert np.abs(pixels - shown(path)).max() <= 1

    def test_samples_beyond_alpha_are_left_out(self, tmp_path: Path, rgb: np.ndarray, alpha: np.ndarray) -> None:
        values = np.dstack([rgb, alpha, alpha // 2])
        path = write(tmp_path / "a.tif", values, extrasamples=["unassalpha", "unspecified"])
        image = read_image(path)
        assert np.array_equal(
            image.pixels, read_image(write(tmp_path / "b.tif", values[..., :4], extrasamples=["unassalpha"])).pixels
        )
        assert "neither colours nor opacity (1 of each pixel)" in image.notes[0]

    def test_premultiplied_of_sixteen_bits(self, tmp_path: Path, rgb: np.ndarray, alpha: np.ndarray) -> None:
        deep = np.dstack([np.rint(rgb * (alpha[..., None] / 255)), alpha]).astype(np.uint16) * 257
        pixels = read_image(write(tmp_path / "a.tif", deep, extrasamples=["assocalpha"])).pixels
        assert np.abs(pixels - (rgb * (alpha[..., None] / 255) + (255 - alpha[..., None]))).max() <= 1

    def test_labels_with_alpha(self, tmp_path: Path, alpha: np.ndarray) -> None:
        labels = np.arange(64 * 96, dtype=np.uint16).reshape(64, 96)
        path = write(
            tmp_path / "a.tif",
            np.dstack([labels, alpha.astype(np.uint16) * 257]),
            photometric="minisblack",
            planarconfig="contig",
            extrasamples=["unassalpha"],
        )
        assert np.array_equal(read_labels(path), labels)


class TestChannels:
    @pytest.mark.parametrize("count", [2, 4, 5])
    @pytest.mark.parametrize("options", [{"planarconfig": "contig"}, {"metadata": {"axes": "CYX"}}, {}])
    def test_grey_channels_are_refused(self, tmp_path: Path, count: int, options: dict[str, Any]) -> None:
        values = np.zeros((64, 96, count), np.uint8)
        values[..., :3] = 40
        if "planarconfig" not in options:
            values = np.ascontiguousarray(np.moveaxis(values, 2, 0))
        path = write(tmp_path / "a.tif", values, photometric="minisblack", **options)
        with pytest.raises(ImageError, match=f"{count} (channels|planes)"):
            read_image(path)
        with pytest.raises(ImageError, match=f"{count} (channels|planes)"):
            open_slide(path)
        assert not is_slide(path)

    @pytest.mark.parametrize("names", [["DAPI", "FITC", "TRITC"], ["Hoechst 33342", "x", "y"], ["Cy5", "b", "c"]])
    def test_named_fluorescence_is_refused_though_it_is_bright(
        self, tmp_path: Path, rgb: np.ndarray, names: list[str]
    ) -> None:
        planes = np.ascontiguousarray(np.moveaxis(rgb, 2, 0))
        metadata = {"axes": "CYX", "Channel": {"Name": names}}
        path = write(tmp_path / "a.ome.tif", planes, photometric="minisblack", metadata=metadata, ome=True)
        for read in (read_image, open_slide):
            with pytest.raises(ImageError, match=rf"fluorescence \({names[0]}"):
                read(path)

    def test_dark_channels_are_refused_and_bright_ones_read(self, tmp_path: Path, rgb: np.ndarray) -> None:
        options: dict[str, Any] = {"photometric": "minisblack", "ome": True, "metadata": {"axes": "CYX"}}
        planes = np.ascontiguousarray(np.moveaxis(rgb, 2, 0))
        for pixels in read_both(write(tmp_path / "a.ome.tif", planes, **options)):
            assert np.array_equal(pixels, rgb)
        for read in (read_image, open_slide):
            with pytest.raises(ImageError, match="dark background, as those of fluorescence"):
                read(write(tmp_path / "b.ome.tif", planes // 12, **options))


def packs_bits() -> bool:
    """Tell whether this imagecodecs writes few bits; versions up to 2025.11 only read them."""
    try:
        imagecodecs.packints_encode(np.zeros(8, np.uint8), 4)
    except NotImplementedError:
        return False
    return True


class TestBits:
    @pytest.mark.skipif(not packs_bits(), reason="this imagecodecs cannot write the test's images")
    @pytest.mark.parametrize("bits", [2, 4, 6, 12])
    @pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
    def test_few_bits_fill_the_range(self, tmp_path: Path, rgb: np.ndarray, bits: int, photometric: str) -> None:
        values = rgb if photometric == "rgb" else rgb[..., 1]
        stored = np.rint(values / 255 * (2**bits - 1)).astype(np.uint8 if bits < 8 else np.uint16)
        path = write(tmp_path / "a.tif", stored, photometric=photometric, bitspersample=bits)
        pixels = read_image(path).pixels.astype(int)
        expected = np.broadcast_to(rgb if photometric == "rgb" else rgb[..., 1:2], rgb.shape)
        if photometric == "miniswhite":
            expected = 255 - expected.astype(int)
        assert np.abs(pixels - expected).max() <= 128 / (2**bits - 1) + 1
        with pytest.raises(ImageError, match=r"bit values|it is grey"):
            open_slide(path)

    @pytest.mark.parametrize("bits", [1, 4])
    def test_palettes_of_few_bits(self, tmp_path: Path, bits: int) -> None:
        indices = (np.arange(96, dtype=np.uint8) % 2**bits).reshape(8, 12)
        table = np.random.default_rng(0).integers(0, 256, (2**bits, 3))
        write_packed_palette(tmp_path / "a.tif", indices, bits, table)
        assert np.array_equal(read_image(tmp_path / "a.tif").pixels, table[indices])
        assert np.array_equal(read_image(tmp_path / "a.tif").pixels, shown(tmp_path / "a.tif"))

    def test_tables_of_bytes(self, tmp_path: Path) -> None:
        table = np.zeros((3, 256), np.uint16)
        table[:, 1] = 200, 100, 50
        path = write(tmp_path / "a.tif", np.ones((8, 9), np.uint8), photometric="palette", colormap=table)
        assert read_image(path).pixels[0, 0].tolist() == [200, 100, 50]


def write_packed_palette(path: Path, indices: np.ndarray, bits: int, table: np.ndarray) -> None:
    """Write a palette of few bits, which tifffile only reads, as one strip."""
    places = np.unpackbits(indices[..., None], axis=-1)[..., 8 - bits :]
    packed = np.packbits(places.reshape(len(indices), -1), axis=1).tobytes()
    colours = (table.T * 257).astype("<u2").tobytes()
    start = 8 + len(packed)
    height, width = indices.shape
    short = {256: width, 257: height, 258: bits, 259: 1, 262: 3, 277: 1, 278: height}
    tags = [(tag, 3, 1, value) for tag, value in short.items()]
    tags += [(273, 4, 1, 8), (279, 4, 1, len(packed)), (320, 3, table.size, start)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    head = struct.pack("<2sHI", b"II", 42, start + len(colours))
    path.write_bytes(head + packed + colours + struct.pack("<H", len(tags)) + entries + bytes(4))


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_ycbcr_without_jpeg(tmp_path: Path, rgb: np.ndarray, compression: str | None) -> None:
    stored = Image.fromarray(rgb).convert("YCbCr")
    stored.save(tmp_path / "a.tif", compression=compression)
    assert not is_slide(tmp_path / "a.tif")
    pytest.importorskip("openslide")
    with pytest.raises(ImageError, match=r"a\.tif: it stores its colours as YCbCr, which is not read"):
        open_slide(tmp_path / "a.tif")
    pixels = read_image(tmp_path / "a.tif").pixels
    assert np.abs(pixels.astype(int) - np.asarray(stored.convert("RGB"))).max() <= 3
    assert np.abs(pixels.astype(int) - rgb).mean() < 3


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_images_and_slides_are_turned(self, tmp_path: Path, rgb: np.ndarray, orientation: int) -> None:
        options = {"resolution": (4e4, 2e4), "resolutionunit": "CENTIMETER", "tile": (16, 32)}
        path = write(tmp_path / "a.tif", rgb, extratags=[(274, 3, 1, orientation, True)], **options)
        expected = shown(path)
        image = read_image(path)
        with open_slide(path) as slide:
            assert slide.shape == image.pixels.shape[:2] == expected.shape[:2]
            assert np.array_equal(image.pixels, expected)
            assert np.array_equal(slide.region((0, slide.shape[0], 0, slide.shape[1])), expected)
            assert np.array_equal(slide.region((5, 40, 9, 33)), expected[5:40, 9:33])
            # Height and width of the pixels are turned with them.
            assert slide.mpp.sides == image.mpp.sides == ((0.25, 0.5) if orientation >= 5 else (0.5, 0.25))
            for notes in (image.notes, slide.notes):
                assert any("how it was held" in note for note in notes) == (orientation != 1)

    def test_labels_are_turned_too(self, tmp_path: Path) -> None:
        labels = np.arange(12, dtype=np.uint16).reshape(3, 4)
        path = write(tmp_path / "a.tif", labels, photometric="minisblack", extratags=[(274, 3, 1, 6, True)])
        assert np.array_equal(read_labels(path), turned(labels, 6))

    @pytest.mark.parametrize("value", [0, 9, 77])
    def test_numbers_that_mean_nothing(self, tmp_path: Path, rgb: np.ndarray, value: int) -> None:
        image = read_image(write(tmp_path / "a.tif", rgb, extratags=[(274, 3, 1, value, True)]))
        assert np.array_equal(image.pixels, rgb)
        assert image.notes == ()
