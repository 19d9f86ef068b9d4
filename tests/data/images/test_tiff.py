from __future__ import annotations

import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucleigan.base.errors import ImageError, LabelsError
from napari_nucleigan.base.reading import FileFault
from napari_nucleigan.data.images import tiff
from napari_nucleigan.data.images.files import SOFTWARE, read_image, read_labels, write_image, write_labels
from napari_nucleigan.data.images.tiff import check_size, is_density, read_density
from napari_nucleigan.data.slides import open_slide

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rgb(tiny_he: Any) -> np.ndarray:
    pixels: np.ndarray = tiny_he(120, 150, 10)[0]
    return pixels


def write(path: Path, values: Any, **options: Any) -> Path:
    options.setdefault("photometric", "rgb")
    tifffile.imwrite(path, values, **options)
    return path


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd", "packbits", "lzma", "webp"])
@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_lossless_compressions(
    tmp_path: Path, rgb: np.ndarray, compression: str | None, tile: tuple[int, int] | None
) -> None:
    options: dict[str, Any] = {"compressionargs": {"lossless": True}} if compression == "webp" else {}
    path = write(tmp_path / "a.tif", rgb, compression=compression, tile=tile, **options)
    image = read_image(path)
    assert np.array_equal(image.pixels, rgb)
    assert image.mpp is None
    assert image.notes == ()
    assert (image.name, image.path) == ("a", path)


@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_layouts(tmp_path: Path, rgb: np.ndarray, predictor: bool, byteorder: Any, bigtiff: bool) -> None:
    options = {"compression": "lzw", "predictor": predictor, "rowsperstrip": 7}
    path = write(tmp_path / "a.tif", rgb, byteorder=byteorder, bigtiff=bigtiff, **options)
    assert np.array_equal(read_image(path).pixels, rgb)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2)])
@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_jpeg(tmp_path: Path, rgb: np.ndarray, photometric: str, subsampling: Any) -> None:
    options: dict[str, Any] = {"compression": "jpeg", "compressionargs": {"level": 95}}
    values = rgb
    if photometric == "ycbcr":
        values = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
        options["subsampling"] = subsampling
    path = write(tmp_path / "a.tif", values, photometric=photometric, tile=(64, 64), **options)
    error = read_image(path).pixels.astype(float) - rgb
    assert np.abs(error.mean(axis=(0, 1))).max() < 3
    assert np.sqrt(np.mean(error**2)) < (25 if subsampling == (2, 2) else 8)


def test_colours_in_separate_planes(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write(tmp_path / "a.tif", rgb.transpose(2, 0, 1), planarconfig="separate")
    assert np.array_equal(read_image(path).pixels, rgb)


def test_sixteen_bits(tmp_path: Path, rgb: np.ndarray) -> None:
    values = rgb.astype(np.uint16) * 257
    image = read_image(write(tmp_path / "a.tif", values, compression="zlib", predictor=True))
    assert np.array_equal(image.pixels, rgb)
    assert image.notes == ("16-bit values (0 to 65535) were scaled to 8 bits.",)


def test_palette(tmp_path: Path) -> None:
    indices = np.array([[0, 1], [2, 1]], np.uint8)
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 0], colours[:, 1], colours[:, 2] = 65535, (200 * 257, 0, 60000), (0, 0, 257)
    path = write(tmp_path / "a.tif", indices, photometric="palette", colormap=colours)
    image = read_image(path)
    assert image.pixels.tolist() == [
        [[255, 255, 255], [200, 0, 234]],
        [[0, 0, 1], [200, 0, 234]],
    ]
    assert image.notes[0].startswith("Palette")


def test_white_is_zero(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write(tmp_path / "a.tif", 255 - rgb[..., 1], photometric="miniswhite")
    image = read_image(path)
    assert (image.pixels == rgb[..., 1:2]).all()
    assert image.notes[0] == "White was stored as zero; the values were turned round."


def test_two_levels(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).random((20, 30)) > 0.3
    assert (read_image(write(tmp_path / "a.tif", bits, photometric="minisblack")).pixels[..., 0] == 255 * bits).all()
    assert (read_image(write(tmp_path / "b.tif", ~bits, photometric="miniswhite")).pixels[..., 0] == 255 * bits).all()


def test_grey_with_alpha(tmp_path: Path) -> None:
    values = np.stack([np.full((20, 30), 100), np.full((20, 30), 255)], axis=-1).astype(np.uint8)
    values[0, :, 1] = 0
    path = write(
        tmp_path / "a.tif",
        values,
        photometric="minisblack",
        extrasamples=["unassalpha"],
        planarconfig="contig",
    )
    pixels = read_image(path).pixels
    assert (pixels[0] == 255).all()
    assert (pixels[1:] == 100).all()


@pytest.mark.parametrize("photometric", ["separated", "cielab"])
def test_other_colour_spaces(tmp_path: Path, photometric: str) -> None:
    channels = 4 if photometric == "separated" else 3
    path = write(tmp_path / "a.tif", np.zeros((20, 30, channels), np.uint8), photometric=photometric)
    with pytest.raises(ImageError, match=f"{photometric.upper()}, which is not read"):
        read_image(path)


class TestMicronsPerPixel:
    @pytest.mark.parametrize("unit", ["CENTIMETER", "INCH"])
    def test_resolution_tags(self, tmp_path: Path, rgb: np.ndarray, unit: str) -> None:
        length = 1e4 if unit == "CENTIMETER" else 25400
        path = write(tmp_path / "a.tif", rgb, resolution=(length / 0.252,) * 2, resolutionunit=unit)
        assert read_image(path).mpp == pytest.approx(0.252, rel=1e-4)

    def test_screen_resolution_is_ignored_and_said(self, tmp_path: Path, rgb: np.ndarray) -> None:
        image = read_image(write(tmp_path / "a.tif", rgb, resolution=(72, 72), resolutionunit="INCH"))
        assert image.mpp is None
        assert "72 dots per inch" in image.notes[0]

    def test_no_unit(self, tmp_path: Path, rgb: np.ndarray) -> None:
        image = read_image(write(tmp_path / "a.tif", rgb, resolution=(4e4, 4e4), resolutionunit="NONE"))
        assert image.mpp is None
        assert image.notes == ()

    def test_aperio_comes_first(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = write(
            tmp_path / "a.tif",
            rgb,
            description="Aperio Image Library v11\n150x120|AppMag = 40|MPP = 0.2520",
            resolution=(72, 72),
            resolutionunit="INCH",
            metadata=None,
        )
        assert read_image(path).mpp == 0.252
        assert read_image(path).notes == ()

    def test_ome(self, tmp_path: Path, rgb: np.ndarray) -> None:
        metadata = {"axes": "YXS", "PhysicalSizeX": 500.0, "PhysicalSizeXUnit": "nm"}
        metadata |= {"PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
        image = read_image(write(tmp_path / "a.ome.tif", rgb, ome=True, metadata=metadata))
        assert image.mpp == 0.5
        assert image.name == "a"
        assert np.array_equal(image.pixels, rgb)

    @pytest.mark.parametrize("unit", ["um", "\\u00B5m", "micron"])
    def test_imagej(self, tmp_path: Path, rgb: np.ndarray, unit: str) -> None:
        path = write(tmp_path / "a.tif", rgb, imagej=True, resolution=(4, 4), metadata={"unit": unit})
        assert read_image(path).mpp == 0.25

    def test_imagej_in_pixels(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = write(tmp_path / "a.tif", rgb, imagej=True, resolution=(4, 4), metadata={"unit": "pixel"})
        assert read_image(path).mpp is None


class TestSeveralPictures:
    @pytest.mark.parametrize("subifds", [True, False])
    def test_full_resolution_of_a_pyramid(self, tmp_path: Path, rgb: np.ndarray, subifds: bool) -> None:
        path = tmp_path / "a.tif"
        with tifffile.TiffWriter(path) as tif:
            options: dict[str, Any] = {"photometric": "rgb", "tile": (64, 64), "metadata": None}
            tif.write(
                rgb,
                subifds=2 if subifds else None,
                resolution=(4e4, 4e4),
                resolutionunit="CENTIMETER",
                **options,
            )
            tif.write(rgb[::2, ::2], subfiletype=1, **options)
            tif.write(rgb[::4, ::4], subfiletype=1, **options)
        image = read_image(path)
        assert np.array_equal(image.pixels, rgb)
        assert image.mpp == 0.25
        assert image.notes == ("The full resolution of a pyramid of 3 levels was taken.",)

    def test_largest_of_several(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = tmp_path / "a.tif"
        with tifffile.TiffWriter(path) as tif:
            tif.write(rgb[:30, :40], photometric="rgb", metadata=None)
            tif.write(rgb, photometric="rgb", metadata=None)
        image = read_image(path)
        assert np.array_equal(image.pixels, rgb)
        assert image.notes == ("The file holds 2 pictures; number 2, the largest, was taken.",)

    def test_pages_of_one_size_are_a_stack(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = tmp_path / "a.tif"
        with tifffile.TiffWriter(path) as tif:
            for _ in range(3):
                tif.write(rgb, photometric="rgb", metadata=None, contiguous=False)
        with pytest.raises(ImageError, match="a stack of 3 planes"):
            read_image(path)

    def test_ome_z_stack(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = tmp_path / "a.ome.tif"
        write(
            path,
            np.stack([rgb[..., 0]] * 4),
            ome=True,
            metadata={"axes": "ZYX"},
            photometric="minisblack",
        )
        with pytest.raises(ImageError, match="a z-stack of 4 planes, and nuclei are found in 2-D"):
            read_image(path)

    def test_imagej_time_series(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = write(
            tmp_path / "a.tif",
            np.stack([rgb[..., 0]] * 5),
            imagej=True,
            metadata={"axes": "TYX"},
            photometric="minisblack",
        )
        with pytest.raises(ImageError, match="a time series of 5 planes"):
            read_image(path)

    @pytest.mark.parametrize("count", [2, 5])
    def test_fluorescence_channels(self, tmp_path: Path, rgb: np.ndarray, count: int) -> None:
        path = tmp_path / "a.ome.tif"
        write(
            path,
            np.stack([rgb[..., 0]] * count),
            ome=True,
            metadata={"axes": "CYX"},
            photometric="minisblack",
        )
        with pytest.raises(ImageError, match=f"{count} channels"):
            read_image(path)

    def test_colours_as_three_channels(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = tmp_path / "a.ome.tif"
        write(
            path,
            rgb.transpose(2, 0, 1),
            ome=True,
            metadata={"axes": "CYX"},
            photometric="minisblack",
        )
        assert np.array_equal(read_image(path).pixels, rgb)

    def test_channel_first_array(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = write(tmp_path / "a.tif", rgb.transpose(2, 0, 1), photometric="minisblack")
        image = read_image(path)
        assert np.array_equal(image.pixels, rgb)
        assert image.notes[0].startswith("Channel-first")


class TestDamaged:
    def test_terminal_stays_clean(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = write(tmp_path / "a.tif", rgb, compression="zlib", tile=(64, 64))
        path.write_bytes(path.read_bytes()[:400])
        code = (
            "import sys; from napari_nucleigan.data.images.files import read_image, ImageError\n"
            "try: read_image(sys.argv[1])\nexcept ImageError: pass"
        )
        command = [sys.executable, "-c", code, str(path)]
        assert subprocess.run(command, capture_output=True, check=True).stderr == b""

    @pytest.mark.parametrize("compression", [None, "lzw", "zlib", "jpeg"])
    @pytest.mark.parametrize("tile", [None, (64, 64)])
    @pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
    def test_cut_short(self, tmp_path: Path, rgb: np.ndarray, compression: str | None, tile: Any, part: float) -> None:
        path = write(tmp_path / "a.tif", rgb, compression=compression, tile=tile)
        data = path.read_bytes()
        path.write_bytes(data[: int(part * len(data))])
        with pytest.raises(ImageError, match="cut short"):
            read_image(path)

    def test_directory_at_the_end_is_missing(self, tmp_path: Path, monuseg_original: Path) -> None:
        data = next((monuseg_original / "Tissue Images").glob("*.tif")).read_bytes()
        path = tmp_path / "a.tif"
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(ImageError, match="cut short"):
            read_image(path)

    def test_damaged_pixels(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = write(tmp_path / "a.tif", rgb, compression="zlib", metadata=None)
        data = bytearray(path.read_bytes())
        data[-2000:-1000] = bytes(1000)
        path.write_bytes(data)
        with pytest.raises(ImageError, match="damaged"):
            read_image(path)


def test_as_published(monuseg_original: Path, kumar: Path) -> None:
    for path in (monuseg_original / "Tissue Images").glob("*.tif"):
        image = read_image(path)
        assert image.notes == ()
        assert np.array_equal(image.pixels, read_image(kumar / "images" / f"{path.stem}.png").pixels)


def test_whole_slides_are_too_large(tmp_path: Path) -> None:
    check_size(20_000, 20_000)
    with pytest.raises(FileFault, match="30000 x 40000 pixels"):
        check_size(40_000, 30_000)
    # The size is known before anything is read.
    path = write(tmp_path / "slide.tif", np.zeros((8, 8, 3), np.uint8))
    with tifffile.TiffFile(path, mode="r+b") as tif:
        for name in ("ImageWidth", "ImageLength"):
            tif.pages[0].tags[name].overwrite(30_000)
    with pytest.raises(ImageError, match="crop the region"):
        read_image(path)


VALUES = np.arange(12, dtype=np.float32).reshape(3, 4) * 100


def write_density(path: Path, um: float | None = 100, **options: Any) -> Path:
    scale = {"resolution": (1e4 / um, 1e4 / um), "resolutionunit": "CENTIMETER"} if um else {}
    tifffile.imwrite(
        path, VALUES, **{"software": SOFTWARE, "metadata": None, "compression": "zlib", **scale, **options}
    )
    return path


@pytest.mark.parametrize("um", [100, 64.5, None])
def test_pixels_may_be_larger_than_those_of_microscopes(tmp_path: Path, um: float | None) -> None:
    path = write_density(tmp_path / "a.density.tif", um)
    assert is_density(path)
    density = read_density(path)
    assert density.name == "a.density"
    assert density.pixel_um == um
    assert density.values.dtype == np.float32
    assert np.array_equal(density.values, VALUES)


def test_what_is_none(tmp_path: Path) -> None:
    assert not is_density(write_density(tmp_path / "a.tif", software="another"))
    write_labels(tmp_path / "b.tif", np.ones((3, 4), int))
    write_image(tmp_path / "c.tif", np.zeros((3, 4, 3), np.uint8))
    for name in ("b.tif", "c.tif"):
        assert not is_density(tmp_path / name)
        with pytest.raises(ImageError, match="it is no map of density"):
            read_density(tmp_path / name)


def test_damage(tmp_path: Path) -> None:
    path = write_density(tmp_path / "a.density.tif")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ImageError, match=r"Cannot read .*a\.density\.tif"):
        read_density(path)


class TestHostile:
    def test_many_samples(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif", np.zeros((8, 8, 3), np.uint8), rowsperstrip=8, metadata=None)
        with tifffile.TiffFile(path, mode="r+b") as tif:
            for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
                tif.pages[0].tags[name].overwrite(19_000)
            tif.pages[0].tags["SamplesPerPixel"].overwrite(60_000)
        with pytest.raises(ImageError, match="GB of memory"):
            read_image(path)

    def test_a_giant_tile(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = write(tmp_path / "a.tif", rgb, tile=(64, 64), compression="zlib")
        with tifffile.TiffFile(path, mode="r+b") as tif:
            for name in ("TileWidth", "TileLength"):
                tif.pages[0].tags[name].overwrite(64_000)
        for read in (read_image, open_slide):
            with pytest.raises(ImageError, match="GB of memory"):
                read(path)

    @pytest.mark.parametrize("compression", ["jpeg", "png"])
    def test_a_tile_that_is_a_giant_picture(self, tmp_path: Path, rgb: np.ndarray, compression: str) -> None:
        path = write(tmp_path / "a.tif", rgb, tile=(64, 64), compression=compression)
        data = bytearray(path.read_bytes())
        if compression == "jpeg":
            place = data.rindex(b"\xff\xc0") + 5
            data[place : place + 4] = struct.pack(">HH", 65_000, 65_000)
        else:
            place = data.rindex(b"IHDR") + 4
            data[place : place + 8] = struct.pack(">II", 65_000, 65_000)
        path.write_bytes(data)
        with pytest.raises(ImageError, match="a picture of 65000 x 65000 pixels"):
            read_image(path)
        with open_slide(path) as slide, pytest.raises(ImageError, match="65000 x 65000"):
            slide.region((0, 120, 0, 150))

    def test_endless_pages(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tiff, "MAX_PAGES", 20)
        with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
            for _ in range(21):
                tif.write(np.zeros((8, 8), np.uint8), metadata=None)
        with pytest.raises(ImageError, match="more than 20 pages"):
            read_image(tmp_path / "a.tif")

    def test_deep_xml(self, tmp_path: Path, rgb: np.ndarray) -> None:
        xml = "<?xml version='1.0'?><OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06'>"
        deep = xml + 100_000 * "<a>" + 100_000 * "</a>" + "</OME>"
        assert from_tiff_description(tmp_path / "a.ome.tif", rgb, deep) is None

    def test_entities_of_xml(self, tmp_path: Path, rgb: np.ndarray) -> None:
        entities = "".join(f"<!ENTITY e{n} '{10 * f'&e{n - 1};'}'>" for n in range(1, 12))
        bomb = f"<?xml version='1.0'?><!DOCTYPE OME [<!ENTITY e0 'x'>{entities}]><OME>&e11;</OME>"
        assert from_tiff_description(tmp_path / "a.ome.tif", rgb, bomb) is None


def from_tiff_description(path: Path, rgb: np.ndarray, text: str) -> float | None:
    """Read a picture with some description; its scale, or None where it cannot be read."""
    write(path, rgb, description=text, metadata=None)
    try:
        return read_image(path).mpp
    except ImageError:
        return None


def test_the_overview_of_an_olympus_slide_is_no_slide(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write(tmp_path / "a.vsi", rgb)
    for read in (read_image, open_slide):
        with pytest.raises(ImageError, match=r"\.ets files beside it"):
            read(path)


@pytest.mark.parametrize(
    ("tags", "mpp"),
    [
        ({282: (11, struct.pack("<f", 4e4)), 283: (11, struct.pack("<f", 4e4))}, 0.25),
        ({282: (3, struct.pack("<I", 40_000)), 283: (3, struct.pack("<I", 40_000))}, 0.25),
        ({282: (2, b"wide"), 283: (2, b"wide")}, None),
        ({296: (2, b"cm\0\0")}, None),
    ],
)
def test_resolutions_of_other_types(
    tmp_path: Path, rgb: np.ndarray, tags: dict[int, tuple[int, bytes]], mpp: float | None
) -> None:
    path = write(tmp_path / "a.tif", rgb, resolution=(4e4, 4e4), resolutionunit="CENTIMETER", metadata=None)
    content = bytearray(path.read_bytes())
    begin = int.from_bytes(content[4:8], "little")
    for entry in range(begin + 2, begin + 2 + 12 * int.from_bytes(content[begin : begin + 2], "little"), 12):
        code = int.from_bytes(content[entry : entry + 2], "little")
        if code in tags:
            kind, value = tags[code]
            count = len(value) if kind == 2 else 1
            content[entry + 2 : entry + 12] = struct.pack("<HI", kind, count) + value
    path.write_bytes(content)
    image = read_image(path)
    assert image.mpp == mpp
    assert np.array_equal(image.pixels, rgb)


@pytest.mark.parametrize("text", ['SizeC="3" SizeZ="1" SizeT="1000000000"', 'SizeC="3000" SizeZ="3000"'])
def test_endless_planes_are_refused_before_room_is_made(tmp_path: Path, rgb: np.ndarray, text: str) -> None:
    ome = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels {text}/></Image></OME>'
    path = write(tmp_path / "a.ome.tif", rgb, description=ome, metadata=None)
    with pytest.raises(ImageError, match=r"it says that it has .* planes"):
        read_image(path)


def test_colours_of_aperio_that_are_no_rgb_are_refused(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write(tmp_path / "a.tif", rgb, compression=33003, tile=(64, 64), metadata=None)
    with pytest.raises(ImageError, match="YCbCr in JPEG 2000"):
        read_image(path)


def test_labels_do_not_go_through_jpeg(tmp_path: Path) -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[8:24, 8:24] = 40
    path = write(tmp_path / "a.tif", labels, compression="jpeg", photometric="minisblack")
    with pytest.raises(LabelsError, match="JPEG changes numbers"):
        read_labels(path)
    assert read_image(path).pixels.shape == (64, 64, 3)
