from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from napari_nucleigan.base.errors import ImageError, LabelsError, OutputError
from napari_nucleigan.base.pixels import mpp_of, sides
from napari_nucleigan.data.images.files import (
    holds_labels,
    list_images,
    read_image,
    read_labels,
    read_mpp,
    write_image,
    write_labels,
)
from png_density import with_density

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rgb(tiny_he: Any) -> np.ndarray:
    pixels: np.ndarray = tiny_he(60, 80, 6)[0]
    return pixels


def saved(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


class TestPng:
    def test_rgb(self, tmp_path: Path, rgb: np.ndarray) -> None:
        image = read_image(saved(tmp_path / "a.png", imagecodecs.png_encode(rgb)))
        assert np.array_equal(image.pixels, rgb)
        assert (image.name, image.mpp, image.notes) == ("a", None, ())

    def test_density(self, tmp_path: Path, rgb: np.ndarray) -> None:
        data = with_density(imagecodecs.png_encode(rgb), 4_000_000, 4_000_000, 1)
        assert read_image(saved(tmp_path / "a.png", data)).mpp == 0.25

    def test_screen_density_is_ignored_and_said(self, tmp_path: Path, rgb: np.ndarray) -> None:
        data = with_density(imagecodecs.png_encode(rgb), 2835, 2835, 1)
        image = read_image(saved(tmp_path / "a.png", data))
        assert image.mpp is None
        assert "72 dots per inch" in image.notes[0]

    def test_sixteen_bits(self, tmp_path: Path, rgb: np.ndarray) -> None:
        data = imagecodecs.png_encode(rgb.astype(np.uint16) * 257)
        image = read_image(saved(tmp_path / "a.png", data))
        assert np.array_equal(image.pixels, rgb)
        assert "16-bit" in image.notes[0]

    def test_grey_grey_with_alpha_and_rgba(self, tmp_path: Path, rgb: np.ndarray) -> None:
        alpha = np.full(rgb.shape[:2], 255, np.uint8)
        for values, said in (
            (rgb[..., 0].copy(), "Greyscale"),
            (np.dstack([rgb[..., 0], alpha]), "RGBA"),
            (np.dstack([rgb, alpha]), "RGBA"),
        ):
            image = read_image(saved(tmp_path / "a.png", imagecodecs.png_encode(values)))
            assert np.array_equal(image.pixels[..., 0], rgb[..., 0])
            assert image.notes[0].startswith(said)

    def test_palette(self, tmp_path: Path) -> None:
        picture = Image.new("P", (2, 1))
        picture.putpalette([255, 250, 245, 120, 40, 160])
        picture.putdata([0, 1])
        picture.save(tmp_path / "a.png")
        image = read_image(tmp_path / "a.png")
        assert image.pixels.tolist() == [[[255, 250, 245], [120, 40, 160]]]
        assert image.notes[0].startswith("Palette")

    @pytest.mark.parametrize("part", [0.005, 0.3, 0.9, 0.995])
    def test_cut_short(self, tmp_path: Path, rgb: np.ndarray, part: float) -> None:
        data = imagecodecs.png_encode(rgb)
        path = saved(tmp_path / "a.png", data[: int(part * len(data))])
        with pytest.raises(ImageError, match="cut short"):
            read_image(path)


class TestJpeg:
    @pytest.mark.parametrize("progressive", [False, True])
    def test_rgb(self, tmp_path: Path, rgb: np.ndarray, progressive: bool) -> None:
        path = tmp_path / "a.jpg"
        Image.fromarray(rgb).save(path, quality=97, subsampling=0, progressive=progressive)
        image = read_image(path)
        assert np.abs(image.pixels.astype(float) - rgb).mean() < 3
        assert image.notes == ()

    def test_grey(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = saved(tmp_path / "a.jpeg", imagecodecs.jpeg8_encode(rgb[..., 0].copy()))
        assert read_image(path).notes[0].startswith("Greyscale")

    def test_print_colours(self, tmp_path: Path, rgb: np.ndarray) -> None:
        Image.fromarray(rgb).convert("CMYK").save(tmp_path / "a.jpg")
        with pytest.raises(ImageError, match="CMYK"):
            read_image(tmp_path / "a.jpg")

    @pytest.mark.parametrize("part", [0.002, 0.1, 0.5, 0.999])
    def test_cut_short(self, tmp_path: Path, rgb: np.ndarray, part: float) -> None:
        data = imagecodecs.jpeg8_encode(rgb)
        path = saved(tmp_path / "a.jpg", data[: max(4, int(part * len(data)))])
        with pytest.raises(ImageError, match=r"cut short|damaged"):
            read_image(path)


class TestOtherFiles:
    def test_content_counts_not_the_suffix(self, tmp_path: Path, rgb: np.ndarray) -> None:
        image = read_image(saved(tmp_path / "a.tif", imagecodecs.png_encode(rgb)))
        assert np.array_equal(image.pixels, rgb)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"a\.png: no such file"):
            read_image(tmp_path / "a.png")

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"directory|permission"):
            read_image(tmp_path)

    def test_empty(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match="it is empty"):
            read_image(saved(tmp_path / "a.png", b""))

    @pytest.mark.parametrize("data", [b"GIF89a 123456", b"hello, world", b"\x00" * 100])
    def test_other_format(self, tmp_path: Path, data: bytes) -> None:
        with pytest.raises(ImageError, match="not PNG, JPEG or TIFF"):
            read_image(saved(tmp_path / "a.png", data))

    @given(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*"]), st.binary())
    @settings(max_examples=150, deadline=None)
    def test_rubbish_gives_an_image_error(
        self, tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes
    ) -> None:
        path = saved(tmp_path_factory.mktemp("rubbish") / "a", start + rest)
        with pytest.raises(ImageError):
            read_image(path)

    def test_what_to_rgb_refuses_is_said_with_the_name(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", np.full((4, 4), np.nan, np.float32))
        with pytest.raises(ImageError, match=r"a\.tif: .*NaN"):
            read_image(tmp_path / "a.tif")


class TestListImages:
    def test_names_in_order(self, tmp_path: Path) -> None:
        for name in ("b.PNG", "a.tif", ".hidden.png", "c.txt", "d.jpeg"):
            (tmp_path / name).write_bytes(b"")
        (tmp_path / "folder.png").mkdir()
        assert [path.name for path in list_images(tmp_path)] == ["a.tif", "b.PNG", "d.jpeg"]

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match="no such file or directory"):
            list_images(tmp_path / "none")


class TestLabels:
    @given(
        labels=hnp.arrays(
            st.sampled_from([np.uint8, np.int32, np.int64, np.uint32]),
            hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
            elements=st.integers(0, 255),
        ),
        factor=st.sampled_from([1, 257, 2**23]),
    )
    @settings(deadline=None)
    def test_round_trip(self, tmp_path_factory: pytest.TempPathFactory, labels: np.ndarray, factor: int) -> None:
        path = tmp_path_factory.mktemp("labels") / "a.tif"
        labels = labels.astype(np.int64) * factor
        write_labels(path, labels)
        read = read_labels(path)
        assert read.dtype == np.int32
        assert np.array_equal(read, labels)

    def test_smallest_type_zlib_and_resolution(self, tmp_path: Path) -> None:
        for largest, dtype in ((65535, np.uint16), (65536, np.int32)):
            write_labels(tmp_path / "a.tif", np.array([[0, largest]]), mpp=0.2527)
            with tifffile.TiffFile(tmp_path / "a.tif") as tif:
                page = tif.pages[0]
                assert page.dtype == dtype
                assert page.compression.name == "ADOBE_DEFLATE"
                assert page.tags.valueof("ResolutionUnit") == 3
            assert read_image_mpp(tmp_path / "a.tif") == pytest.approx(0.2527, rel=1e-4)

    def test_bytes_are_repeatable(self, tmp_path: Path) -> None:
        labels = np.arange(12).reshape(3, 4)
        write_labels(tmp_path / "a.tif", labels, mpp=0.25)
        write_labels(tmp_path / "b.tif", labels, mpp=0.25)
        assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()

    def test_png(self, tmp_path: Path) -> None:
        labels = np.array([[0, 1], [2, 60000]], np.uint16)
        assert np.array_equal(read_labels(saved(tmp_path / "a.png", imagecodecs.png_encode(labels))), labels)

    @pytest.mark.parametrize(
        ("values", "reason"),
        [
            (np.zeros((5, 5, 3), np.uint8), "holds colours"),
            (np.zeros((5, 5), np.float32), "float32; labels are integers"),
            (np.full((5, 5), -1, np.int16), "negative"),
            (np.full((5, 5), 2**32 - 1, np.uint32), "4294967295"),
            (np.zeros((5, 5), bool), "number the nuclei first"),
        ],
    )
    def test_what_is_no_label_image(self, tmp_path: Path, values: np.ndarray, reason: str) -> None:
        tifffile.imwrite(tmp_path / "a.tif", values)
        with pytest.raises(LabelsError, match=reason):
            read_labels(tmp_path / "a.tif")
        with pytest.raises(LabelsError, match=reason):
            write_labels(tmp_path / "b.tif", values)
        assert not (tmp_path / "b.tif").exists()

    def test_stack(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((6, 5, 5), np.uint8), photometric="minisblack")
        with pytest.raises(LabelsError, match="a stack of 6 planes"):
            read_labels(tmp_path / "a.tif")
        with pytest.raises(LabelsError, match="shape"):
            write_labels(tmp_path / "b.tif", np.zeros((6, 5, 5), int))

    def test_jpeg(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.jpg", imagecodecs.jpeg8_encode(np.zeros((8, 8), np.uint8)))
        with pytest.raises(LabelsError, match="JPEG changes numbers"):
            read_labels(path)

    def test_missing_and_cut_short(self, tmp_path: Path) -> None:
        with pytest.raises(LabelsError, match="no such file"):
            read_labels(tmp_path / "a.tif")
        write_labels(tmp_path / "a.tif", np.arange(10000).reshape(100, 100))
        data = (tmp_path / "a.tif").read_bytes()
        with pytest.raises(LabelsError, match="cut short"):
            read_labels(saved(tmp_path / "b.tif", data[:-500]))

    def test_other_suffix(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"end in \.tif"):
            write_labels(tmp_path / "a.png", np.zeros((5, 5), int))

    def test_folder_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "a.tif").mkdir()
        with pytest.raises(OutputError, match="a folder of that name"):
            write_labels(tmp_path / "a.tif", np.zeros((5, 5), int))
        assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


class TestWrite:
    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    @pytest.mark.parametrize("mpp", [0.25, 0.5, None])
    def test_pixels_and_their_size_come_back(
        self, tmp_path: Path, rgb: np.ndarray, suffix: str, mpp: float | None
    ) -> None:
        path = tmp_path / f"a{suffix}"
        write_image(path, rgb[:, ::2], mpp)
        image = read_image(path)
        assert np.array_equal(image.pixels, rgb[:, ::2])
        assert (image.mpp, read_mpp(path), image.notes) == (mpp, mpp, ())

    def test_other_suffix(self, tmp_path: Path, rgb: np.ndarray) -> None:
        with pytest.raises(OutputError, match=r"end in \.png or \.tif"):
            write_image(tmp_path / "a.jpg", rgb)
        assert list(tmp_path.iterdir()) == []


def test_the_pixel_size_of_labels_and_of_files_that_cannot_be_read(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", np.ones((5, 5), int), 0.4)
    assert read_mpp(tmp_path / "a.tif") == pytest.approx(0.4)
    with pytest.raises(ImageError, match="not PNG, JPEG or TIFF"):
        read_mpp(saved(tmp_path / "b.png", b"nothing"))


def read_image_mpp(path: Path) -> float | None:
    return read_image(path).mpp


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", ["png", "jpg"])
    def test_pictures_are_turned_as_viewers_show_them(
        self, tmp_path: Path, rgb: np.ndarray, suffix: str, orientation: int
    ) -> None:
        picture = Image.fromarray(rgb)
        exif = picture.getexif()
        exif[0x0112] = orientation
        picture.save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
        with Image.open(tmp_path / f"a.{suffix}") as file:
            expected = np.asarray(ImageOps.exif_transpose(file)).astype(int)
        image = read_image(tmp_path / f"a.{suffix}")
        assert image.pixels.shape == expected.shape
        assert np.abs(image.pixels - expected).max() <= (0 if suffix == "png" else 6)
        assert any("how the camera was held" in note for note in image.notes) == (orientation != 1)


class TestGuess:
    @pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.int64])
    @pytest.mark.parametrize("suffix", ["tif", "png"])
    def test_labels(self, tmp_path: Path, tiny_he: Any, kind: Any, suffix: str) -> None:
        labels = tiny_he(200, 200, 60)[1].astype(kind)
        if suffix == "tif":
            tifffile.imwrite(tmp_path / "a.tif", labels)
        else:
            Image.fromarray(labels.astype(np.uint8 if kind == np.uint8 else np.uint16)).save(tmp_path / "a.png")
        assert holds_labels(tmp_path / f"a.{suffix}")

    def test_masks_and_indices(self, tmp_path: Path, tiny_he: Any) -> None:
        labels = tiny_he(200, 200, 60)[1]
        Image.fromarray(np.where(labels, 255, 0).astype(np.uint8)).save(tmp_path / "a.png")
        indexed = Image.fromarray(labels.astype(np.uint8), "P")
        indexed.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
        indexed.save(tmp_path / "b.png")
        assert holds_labels(tmp_path / "a.png")
        assert holds_labels(tmp_path / "b.png")

    def test_grey(self, tmp_path: Path, tiny_he: Any) -> None:
        rgb, labels = tiny_he(200, 200, 60)
        grey = rgb[..., 1]
        saturated = np.where(labels > 0, grey, 255)
        saturated[:40] = 0
        glowing = np.where(labels > 0, grey, 0)
        for number, values in enumerate((grey, grey.astype(np.uint16) * 200, saturated, glowing, np.zeros_like(grey))):
            tifffile.imwrite(tmp_path / f"{number}.tif", values)
            assert not holds_labels(tmp_path / f"{number}.tif"), number
        for values in (grey / np.float32(255), labels > 0, -labels):
            tifffile.imwrite(tmp_path / "b.tif", values)
            assert not holds_labels(tmp_path / "b.tif")


class TestHostile:
    def test_a_giant_png_is_refused_before_it_is_decoded(self, tmp_path: Path) -> None:
        header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 16, 0, 0, 0, 0)
        data = zlib.compress(bytes(100))
        chunks = (header, b"IDAT" + data, b"IEND")
        whole = b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
        path = saved(tmp_path / "a.png", b"\x89PNG\r\n\x1a\n" + whole)
        for read, kind in ((read_labels, LabelsError), (read_image, ImageError), (read_mpp, ImageError)):
            with pytest.raises(kind, match="100000 x 100000 pixels"):
                read(path)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders")
    @pytest.mark.parametrize("suffix", ["png", "tif", "dcm", "svs", "json"])
    def test_pipes_are_not_waited_for(self, tmp_path: Path, suffix: str) -> None:
        from napari_nucleigan.contributions.readers import get_reader
        from napari_nucleigan.data.slides import is_slide, list_slides, open_slide

        path = tmp_path / f"a.{suffix}"
        os.mkfifo(path)
        for read, kind in ((read_labels, LabelsError), (read_image, ImageError), (open_slide, ImageError)):
            with pytest.raises(kind, match="a pipe"):
                read(path)
        assert get_reader(str(path)) is None
        assert is_slide(path) == (suffix in ("dcm", "svs"))
        assert list_slides(tmp_path) == []


def test_each_direction_keeps_its_scale(tmp_path: Path, rgb: np.ndarray) -> None:
    for name in ("a.png", "a.tif"):
        write_image(tmp_path / name, rgb, mpp_of(0.5, 0.25))
        mpp = read_image(tmp_path / name).mpp
        assert mpp is not None
        assert sides(mpp) == pytest.approx((0.5, 0.25), rel=1e-5)
