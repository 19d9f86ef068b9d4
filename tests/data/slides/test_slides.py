from __future__ import annotations

import json
import sys
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.images.convert import over_white
from napari_nucleigan.data.images.files import write_image
from napari_nucleigan.data.slides import is_slide, list_slides, open_slide
from napari_nucleigan.data.slides.slide import OVERVIEW
from napari_nucleigan.segmentation.file_plan import plan_files
from slide_files import APERIO, halved, write_pyramid, write_svs, write_zarr

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rgb(tiny_he: Any) -> np.ndarray:
    pixels: np.ndarray = tiny_he(300, 420, 40)[0]
    return pixels


# -- TIFF ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("subifds", [True, False])
def test_a_pyramid_in_microns(tmp_path: Path, rgb: np.ndarray, subifds: bool) -> None:
    options = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER", "compression": "zlib"}
    with open_slide(write_pyramid(tmp_path / "a.tif", rgb, subifds=subifds, **options)) as slide:
        assert [level.shape for level in slide.levels] == [(300, 420, 3), (150, 210, 3), (75, 105, 3)]
        assert slide.shape == (300, 420)
        assert slide.downsamples == (1, 2, 4)
        assert (slide.name, slide.mpp, slide.notes, dict(slide.associated)) == ("a", 0.5, (), {})
        for level, array in enumerate(slide.levels):
            assert array.dtype == np.uint8
            assert np.array_equal(np.asarray(array), halved(rgb, level))
        assert np.array_equal(slide.region((10, 90, 100, 230)), rgb[10:90, 100:230])
        assert np.array_equal(slide.region((10, 20, 30, 40), 1), halved(rgb)[10:20, 30:40])


def test_nothing_is_read_before_it_is_looked_at(
    tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pyramid(tmp_path / "a.tif", rgb, compression="zlib")
    read: list[int] = []
    original = tifffile.FileHandle.read
    with monkeypatch.context() as patch:
        patch.setattr(tifffile.FileHandle, "read", lambda self, size=-1: (read.append(size), original(self, size))[1])
        slide = open_slide(path)
        before = len(read)
        slide.region((0, 64, 0, 64))
        assert len(read) - before <= 2, "one tile was asked for"
    slide.close()


def test_a_jpeg_pyramid_keeps_its_colours(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write_pyramid(tmp_path / "a.tif", rgb, compression="jpeg", compressionargs={"level": 95})
    with open_slide(path) as slide:
        assert np.abs(np.asarray(slide.levels[0]).astype(int) - rgb).mean() < 4


def test_alpha_is_laid_over_white(tmp_path: Path, rgb: np.ndarray) -> None:
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    alpha[:100] = 0
    write_pyramid(tmp_path / "a.tif", np.dstack([rgb, alpha]), extrasamples=["unassalpha"])
    with open_slide(tmp_path / "a.tif") as slide:
        assert (slide.region((0, 100, 0, 420)) == 255).all()
        assert np.array_equal(slide.region((100, 300, 0, 420)), rgb[100:])


def test_over_white_rounds() -> None:
    colours, opacity = np.array([[[100, 0, 255]]], np.uint8), np.array([[[128]]], np.uint8)
    assert over_white(colours, opacity).tolist() == [[[177, 127, 255]]]


def test_planes_of_colours(tmp_path: Path, rgb: np.ndarray) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", np.moveaxis(rgb, 2, 0), photometric="rgb", planarconfig="separate", tile=(64, 64)
    )
    with open_slide(tmp_path / "a.tif") as slide:
        assert np.array_equal(np.asarray(slide.levels[0]), rgb)


def test_strips(tmp_path: Path, rgb: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", rowsperstrip=7)
    with open_slide(tmp_path / "a.tif") as slide:
        assert np.array_equal(slide.region((50, 60, 0, 420)), rgb[50:60])


def test_ome(tmp_path: Path, rgb: np.ndarray) -> None:
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25}
    with open_slide(write_pyramid(tmp_path / "a.ome.tif", rgb, metadata=metadata)) as slide:
        assert (slide.name, slide.mpp, len(slide.levels)) == ("a", 0.25, 3)
        assert np.array_equal(np.asarray(slide.levels[2]), halved(rgb, 2))


def test_aperio(tmp_path: Path, rgb: np.ndarray) -> None:
    with open_slide(write_svs(tmp_path / "a.svs", rgb)) as slide:
        assert slide.mpp == 0.252
        assert [level.shape for level in slide.levels] == [(300, 420, 3), (75, 105, 3)]
        assert {name: picture.shape for name, picture in slide.associated.items()} == {
            "thumbnail": (50, 60, 3),
            "label": (40, 40, 3),
            "macro": (30, 90, 3),
        }
        assert np.array_equal(np.asarray(slide.associated["label"]), rgb[:40, :40])
        assert slide.notes == ()


def test_of_several_slides_the_largest_is_taken(tmp_path: Path, rgb: np.ndarray) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(rgb[:100, :100], photometric="rgb", metadata=None)
        tif.write(rgb, photometric="rgb", metadata=None)
    with open_slide(tmp_path / "a.tif") as slide:
        assert slide.shape == (300, 420)
        assert "The file holds 2 slides; the largest, number 2, was taken." in slide.notes


def test_unknown_scale_is_said(tmp_path: Path, rgb: np.ndarray) -> None:
    with open_slide(write_pyramid(tmp_path / "a.tif", rgb)) as slide:
        assert slide.mpp is None
        assert slide.notes == ("The file does not say its microns per pixel; give them before you segment.",)


def test_a_picture_without_levels_gets_some(tmp_path: Path) -> None:
    side = 2 * OVERVIEW + 10
    pixels = np.zeros((side, 300, 3), np.uint8)
    pixels[:, :, 0] = (np.arange(side) % 251)[:, None]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", tile=(256, 256), resolution=(4e4, 4e4))
    with open_slide(tmp_path / "a.tif") as slide:
        assert [level.shape[0] for level in slide.levels] == [side, OVERVIEW + 5, OVERVIEW // 2 + 3]
        assert np.array_equal(np.asarray(slide.levels[2]), pixels[::4, ::4])


def test_a_large_picture_without_levels_says_that_it_is_slow(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((5 * OVERVIEW, 16, 3), np.uint8), photometric="rgb", tile=(256, 16), compression=8
    )
    with open_slide(tmp_path / "a.tif") as slide:
        assert slide.notes[0].startswith(f"The smallest level of the file has 16 x {5 * OVERVIEW} pixels")


def test_an_uncompressed_picture_of_one_piece_is_read_by_rows(
    tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", rowsperstrip=300)
    read: list[int] = []
    original = tifffile.FileHandle.read
    with open_slide(tmp_path / "a.tif") as slide, monkeypatch.context() as patch:
        patch.setattr(tifffile.FileHandle, "read", lambda self, size=-1: (read.append(size), original(self, size))[1])
        assert np.array_equal(slide.region((50, 60, 30, 90)), rgb[50:60, 30:90])
    assert read == [10 * 420 * 3]


def test_large_pieces_are_said_to_be_slow(tmp_path: Path) -> None:
    pixels = np.zeros((4100, 4100, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", rowsperstrip=4100, compression="zlib")
    with open_slide(tmp_path / "a.tif") as slide:
        assert slide.notes[0].startswith("The file is compressed in pieces of 17 million pixels")


def test_tiles_that_a_scanner_left_out_are_white(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tile = zlib.compress(bytes([7]) * (64 * 64 * 3))
        tiles = iter([tile, b"", tile, b""])
        tif.write(tiles, shape=(128, 128, 3), dtype=np.uint8, photometric="rgb", tile=(64, 64), compression="zlib")
    with open_slide(tmp_path / "a.tif") as slide:
        assert (slide.region((0, 128, 64, 128)) == 255).all()
        assert (slide.region((0, 128, 0, 64)) == 7).all()


@pytest.mark.parametrize("kept", [4, 900, 20_000])
def test_cut_short(tmp_path: Path, rgb: np.ndarray, kept: int) -> None:
    path = write_pyramid(tmp_path / "a.tif", rgb)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ImageError, match=r"a\.tif"):
        open_slide(path)


@pytest.mark.parametrize(
    ("values", "options", "why"),
    [
        (np.zeros((64, 64), np.uint8), {"photometric": "minisblack"}, "it is grey"),
        (np.zeros((64, 64, 3), np.uint16), {"photometric": "rgb"}, "8-bit RGB"),
        (np.zeros((5, 64, 64), np.uint8), {"photometric": "minisblack"}, "5 planes|5 channels"),
    ],
)
def test_what_is_no_slide(tmp_path: Path, values: np.ndarray, options: dict[str, Any], why: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    with pytest.raises(ImageError, match=why):
        open_slide(tmp_path / "a.tif")


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        open_slide(tmp_path / "a.svs")


# -- OME-Zarr ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path: Path, rgb: np.ndarray, version: str) -> None:
    with open_slide(write_zarr(tmp_path / "a.ome.zarr", rgb, version)) as slide:
        assert (slide.name, slide.mpp, slide.notes) == ("a", 0.25, ())
        for level, array in enumerate(slide.levels):
            assert np.array_equal(np.asarray(array), halved(rgb, level))


def test_ome_zarr_without_units(tmp_path: Path, rgb: np.ndarray) -> None:
    with open_slide(write_zarr(tmp_path / "a.ome.zarr", rgb, "0.4", unit="")) as slide:
        assert slide.mpp is None
        assert "microns per pixel" in slide.notes[0]


def test_damaged_ome_zarr(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write_zarr(tmp_path / "a.ome.zarr", rgb, "0.4")
    (path / "1" / ".zarray").unlink()
    with pytest.raises(ImageError, match=r"a\.ome\.zarr: its array \d is missing"):
        open_slide(path)


def test_an_ome_zarr_of_thousands_of_levels_is_refused(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write_zarr(tmp_path / "a.ome.zarr", rgb, "0.5")
    known = json.loads((path / "zarr.json").read_text())
    known["attributes"]["ome"]["multiscales"][0]["datasets"] *= 10_000
    (path / "zarr.json").write_text(json.dumps(known))
    with pytest.raises(ImageError, match=r"0000 levels, as no pyramid has"):
        open_slide(path)


def test_fluorescence_in_ome_zarr_is_refused(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write_zarr(tmp_path / "a.ome.zarr", np.dstack([rgb, rgb]), "0.5")
    with pytest.raises(ImageError, match="slides are 8-bit RGB"):
        open_slide(path)


# -- folders of tiles ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tile_x{x}_y{y}.png", "[x={x},y={y},w=100,h=100].png", "a r{row} c{column}.png"])
def test_a_folder_of_tiles(tmp_path: Path, rgb: np.ndarray, name: str) -> None:
    for row in range(3):
        for column in range(5):
            if (row, column) == (1, 2):
                continue
            part = rgb[100 * row : 100 * row + 100, 100 * column : 100 * column + 100]
            file = name.format(x=100 * column, y=100 * row, row=row, column=column)
            write_image(tmp_path / file, np.ascontiguousarray(part), 0.5)
    with open_slide(tmp_path) as slide:
        expected = np.full((300, 500, 3), 255, np.uint8)
        expected[:, :420] = rgb
        expected[100:200, 200:300] = 255
        assert np.array_equal(np.asarray(slide.levels[0]), expected)
        assert slide.mpp == 0.5
        assert slide.notes == ("1 of 15 tiles are missing; they are white.",)


def test_places_may_begin_anywhere(tmp_path: Path, rgb: np.ndarray) -> None:
    for x in (2000, 2100):
        write_image(tmp_path / f"x{x}_y500.png", np.ascontiguousarray(rgb[:100, :100]))
    with open_slide(tmp_path) as slide:
        assert slide.shape == (100, 200)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["a.png", "b.png"], "do not tell where they lie"),
        (["x0_y0.png", "x100_y0.png", "x150_y0.png"], "do not lie on a grid"),
        (["r1_c1.png", "b_r1_c1.png"], "Two tiles of .* lie in one place"),
        ([], "holds no images"),
    ],
)
def test_what_is_no_folder_of_tiles(tmp_path: Path, rgb: np.ndarray, names: list[str], why: str) -> None:
    for name in names:
        write_image(tmp_path / name, np.ascontiguousarray(rgb[:100, :100]))
    with pytest.raises(ImageError, match=why):
        open_slide(tmp_path)


# -- openslide -----------------------------------------------------------------------------------


def test_openslide_reads_the_same(tmp_path: Path, rgb: np.ndarray) -> None:
    pytest.importorskip("openslide")
    from napari_nucleigan.data.slides.openslide import open_with_openslide

    path = write_pyramid(tmp_path / "a.tif", rgb, subifds=False, compression="zlib")
    with open_with_openslide(path) as slide, open_slide(path) as same:
        assert [level.shape for level in slide.levels] == [level.shape for level in same.levels]
        for one, other in zip(slide.levels, same.levels, strict=True):
            assert np.array_equal(np.asarray(one), np.asarray(other))
        assert slide.mpp is None


def test_without_openslide_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    (tmp_path / "a.mrxs").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ImageError, match=r'pip install "napari-nucleigan\[slides\]"'):
        open_slide(tmp_path / "a.mrxs")


def test_openslide_refuses_what_is_no_slide(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    (tmp_path / "a.mrxs").write_bytes(b"no slide")
    with pytest.raises(ImageError, match=r"a\.mrxs: it is damaged, cut short or no slide"):
        open_slide(tmp_path / "a.mrxs")


def test_openslide_reads_the_pictures_of_the_glass(tmp_path: Path, rgb: np.ndarray) -> None:
    pytest.importorskip("openslide")
    from napari_nucleigan.data.slides.openslide import open_with_openslide

    with open_with_openslide(write_svs(tmp_path / "a.svs", rgb)) as slide:
        assert slide.mpp == 0.252
        assert {"label", "macro"} <= set(slide.associated)
        assert np.array_equal(np.asarray(slide.associated["label"]), rgb[:40, :40])
        assert slide.associated["macro"].shape == (30, 90, 3)


def test_aperio_jpeg_2000_of_luma_keeps_its_colours(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    rows, columns = np.mgrid[:300, :400]
    rgb = np.dstack([rows * 0.8, columns * 0.6, (rows + columns) * 0.3])
    to_luma = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    luma = np.rint(rgb @ to_luma.T + [0, 128, 128]).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "a.svs",
        luma,
        photometric="rgb",
        tile=(256, 256),
        compression=33003,
        compressionargs={"mct": False, "reversible": True},
        description=APERIO.format(width=400, height=300),
        metadata=None,
    )
    with open_slide(tmp_path / "a.svs") as slide:
        assert slide.mpp == 0.252
        assert np.abs(np.asarray(slide.levels[0]).astype(int) - rgb).max() < 4


def test_colours_that_tifffile_does_not_turn_need_openslide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    values = np.full((64, 64, 3), 128, np.uint8)
    tifffile.imwrite(tmp_path / "a.svs", values, photometric="rgb", tile=(64, 64), compression=33003)
    with pytest.raises(ImageError, match=r'pip install "napari-nucleigan\[slides\]"'):
        open_slide(tmp_path / "a.svs")


def test_a_slide_that_is_not_read_is_listed_and_refused_with_what_converts_it(tmp_path: Path) -> None:
    from napari_nucleigan.contributions.readers import get_reader
    from napari_nucleigan.segmentation.formats import IMAGE_FORMATS, SLIDE_FORMATS

    path = tmp_path / "a.vsi"
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint8))
    assert is_slide(path)
    assert list_slides(tmp_path) == [path]
    for source in (path, tmp_path):
        (task,) = plan_files([source], tmp_path / "out", IMAGE_FORMATS, slides=SLIDE_FORMATS)
        assert task.slide
        assert task.source == path
    with pytest.raises(ImageError, match="bfconvert of Bio-Formats"):
        open_slide(path)
    reader = get_reader(str(path))
    assert reader is not None
    with pytest.raises(ImageError, match="bfconvert of Bio-Formats"):
        reader(str(path))


@pytest.mark.parametrize("content", ["{", "[]", '{"multiscales": 5}', '{"multiscales": [{"datasets": []}]}'])
def test_a_damaged_ome_zarr_is_told_to_be_one_and_is_no_folder_of_tiles(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.ome.zarr").mkdir()
    (tmp_path / "a.ome.zarr" / ".zattrs").write_text(content)
    with pytest.raises(ImageError, match=r"Cannot read .*a\.ome\.zarr: .*OME-Zarr"):
        open_slide(tmp_path / "a.ome.zarr")
    (task,) = plan_files([tmp_path / "a.ome.zarr"], tmp_path / "out.tif", (".tif",), slides=(".tif",))
    assert task.slide
