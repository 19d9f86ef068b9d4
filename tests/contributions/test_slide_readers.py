"""Slides, their labels and maps in napari, by the reader."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_nucleigan.base.errors import ImageError, LabelsError
from napari_nucleigan.contributions import readers
from napari_nucleigan.contributions.readers import get_reader
from napari_nucleigan.data.images.files import SOFTWARE, write_image
from napari_nucleigan.data.images.tiff import MAX_PIXELS
from slide_files import halved, write_label_zarr, write_labels_of, write_pyramid, write_svs, write_zarr

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Layer


@pytest.fixture
def rgb(tiny_he: Any) -> np.ndarray:
    pixels: np.ndarray = tiny_he(300, 420, 40)[0]
    return pixels


@pytest.fixture
def labels(tiny_he: Any) -> np.ndarray:
    found: np.ndarray = tiny_he(300, 420, 40)[1].astype(np.uint32)
    return found


def opened(path: Path) -> list[Layer]:
    """Open a path as napari does and make its layers."""
    from napari.layers import Layer

    reader = get_reader(str(path))
    assert reader is not None
    return [Layer.create(*data) for data in reader(str(path))]


def said() -> str:
    from napari.utils.notifications import notification_manager

    return str(notification_manager.records[-1].message)


def units(layer: Layer) -> list[str]:
    return [str(unit) for unit in layer.units]


class TestSlides:
    def test_a_slide_may_be_larger_than_any_image(self, tmp_path: Path) -> None:
        side, tile = 20_480, 1024
        assert side**2 > MAX_PIXELS
        path, packed = tmp_path / "large.tif", zlib.compress(np.full((tile, tile, 3), 230, np.uint8).tobytes())
        like = {"tile": (tile, tile), "compression": "zlib", "photometric": "rgb"}
        tiles = iter([packed] * (side // tile) ** 2)
        tifffile.imwrite(path, tiles, shape=(side, side, 3), dtype=np.uint8, **like)
        (layer,) = opened(path)
        assert (layer.multiscale, layer.data[0].shape) == (True, (side, side, 3))

    def test_a_pyramid_is_one_layer_in_microns(self, tmp_path: Path, rgb: np.ndarray) -> None:
        options = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER", "compression": "zlib"}
        path = write_pyramid(tmp_path / "a.tif", rgb, **options)
        (layer,) = opened(path)
        assert (layer.name, layer.rgb, layer.multiscale) == ("a", True, True)
        assert [level.shape for level in layer.data] == [(300, 420, 3), (150, 210, 3), (75, 105, 3)]
        assert np.array_equal(np.asarray(layer.data[0]), rgb)
        assert layer.scale.tolist() == [0.5, 0.5]
        assert units(layer) == ["micrometer"] * 2
        assert layer.metadata["nucleigan"] == {"path": str(path), "mpp": 0.5, "notes": [], "associated": []}

    def test_an_unknown_scale_is_in_pixels_and_said(self, tmp_path: Path, rgb: np.ndarray) -> None:
        (layer,) = opened(write_pyramid(tmp_path / "a.ome.tif", rgb, metadata={"axes": "YXS"}))
        note = "The file does not say its microns per pixel; give them before you segment."
        assert (layer.scale.tolist(), units(layer)) == ([1, 1], ["pixel"] * 2)
        assert layer.metadata["nucleigan"]["notes"] == [note]
        assert said() == f"a: {note}"

    def test_of_several_slides_it_is_said_which_one_is_shown(self, tmp_path: Path, rgb: np.ndarray) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
            for pixels in (rgb[:100, :100], rgb):
                tif.write(pixels, photometric="rgb", tile=(64, 64), subifds=1, metadata=None)
                tif.write(halved(pixels), photometric="rgb", tile=(64, 64), subfiletype=1, metadata=None)
        (layer,) = opened(tmp_path / "a.tif")
        assert layer.level_shapes[0].tolist() == [300, 420]
        assert "The file holds 2 slides; the largest, number 2, was taken." in said()

    def test_the_label_is_offered_not_shown(self, tmp_path: Path, rgb: np.ndarray) -> None:
        (layer,) = opened(write_svs(tmp_path / "a.svs", rgb))
        assert layer.metadata["nucleigan"]["associated"] == ["thumbnail", "label", "macro"]
        assert said() == (
            "a: It also holds a picture of its label and macro: Layers > Visualize > Show the slide's label and macro."
        )

    def test_large_tiffs_are_read_where_they_are_looked_at(
        self, tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb")
        assert get_reader(str(tmp_path / "a.tif")) is readers.read_image_layer
        monkeypatch.setattr(readers, "EAGER_PIXELS", rgb[..., 0].size - 1)
        (layer,) = opened(tmp_path / "a.tif")
        assert layer.multiscale
        assert np.array_equal(np.asarray(layer.data[0]), rgb)

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_ome_zarr_with_its_labels(self, tmp_path: Path, rgb: np.ndarray, labels: np.ndarray, version: str) -> None:
        image = write_zarr(tmp_path / "a.ome.zarr", rgb, version)
        folder = write_labels_of(image, version, ["nuclei", "broken"])
        write_label_zarr(folder / "nuclei", labels, version)
        write_label_zarr(folder / "broken", labels.astype(np.float32), version)
        slide, nuclei = opened(image)
        assert (slide.name, slide.rgb, slide.multiscale, nuclei.name) == ("a", True, True, "nuclei")
        assert np.array_equal(np.asarray(nuclei.data[0]), labels)
        assert slide.scale.tolist() == nuclei.scale.tolist() == [0.25, 0.25]
        assert "labels/broken: it holds float32 values" in said()

    def test_what_bioformats2raw_writes(self, tmp_path: Path, rgb: np.ndarray) -> None:
        import zarr

        group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
        group.attrs["bioformats2raw.layout"] = 3
        write_zarr(tmp_path / "a.zarr" / "0", rgb[:40, :40], "0.4")
        write_zarr(tmp_path / "a.zarr" / "1", rgb, "0.4")
        (layer,) = opened(tmp_path / "a.zarr")
        assert (layer.name, layer.level_shapes[0].tolist()) == ("a", [300, 420])
        assert said() == "a: The folder may hold several pictures; the largest, 1, was taken."

    def test_a_folder_of_tiles(self, tmp_path: Path, rgb: np.ndarray) -> None:
        folder = tmp_path / "tiles"
        folder.mkdir()
        for column in range(4):
            part = np.ascontiguousarray(rgb[:, 100 * column : 100 * column + 100])
            write_image(folder / f"s_x{100 * column}_y0.png", part, 0.5)
        (layer,) = opened(folder)
        assert np.array_equal(np.asarray(layer.data[0]), rgb[:, :400])
        assert layer.scale.tolist() == [0.5, 0.5]

    def test_files_of_openslide(self, tmp_path: Path, rgb: np.ndarray) -> None:
        pytest.importorskip("openslide")
        path = write_pyramid(tmp_path / "a.tif", rgb, subifds=False, compression="zlib").rename(tmp_path / "a.svslide")
        (layer,) = opened(path)
        assert np.array_equal(np.asarray(layer.data[0]), rgb)

    def test_without_openslide_it_is_said_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "openslide", None)
        (tmp_path / "a.mrxs").write_bytes(b"\xff\xd8\xff")
        with pytest.raises(ImageError, match=r'pip install "napari-nucleigan\[slides\]"'):
            opened(tmp_path / "a.mrxs")

    @pytest.mark.parametrize("kept", [8, 900, 20_000])
    def test_a_scanners_file_that_is_cut_short_is_an_error(self, tmp_path: Path, rgb: np.ndarray, kept: int) -> None:
        path = write_svs(tmp_path / "a.svs", rgb)
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ImageError, match=r"a\.svs: (it holds no picture|the TIFF is cut short)"):
            opened(path)

    def test_a_pyramid_whose_last_pixels_are_missing_is_an_error(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = write_pyramid(tmp_path / "a.tif", rgb)
        path.write_bytes(path.read_bytes()[:-5000])
        with pytest.raises(ImageError, match=r"a\.tif: the TIFF is cut short"):
            opened(path)

    def test_nothing_stays_open_when_the_layer_has_gone(self, tmp_path: Path, rgb: np.ndarray) -> None:
        import gc

        import psutil

        path = write_pyramid(tmp_path / "a.tif", rgb)
        layers = opened(path)
        process = psutil.Process()
        assert str(path) in [file.path for file in process.open_files()]
        layers.clear()
        gc.collect()
        assert str(path) not in [file.path for file in process.open_files()]


class TestResults:
    def test_our_labels_lie_on_the_slide(self, tmp_path: Path, labels: np.ndarray) -> None:
        (tmp_path / "a.csv").write_text("label\n")
        own = {"features": "a.csv", "mpp": 0.25, "provenance": {"model": "nucleigan-he"}}
        path = write_label_zarr(tmp_path / "a.ome.zarr", labels, translation=(10, 20), **own)
        (layer,) = opened(path)
        assert (type(layer).__name__, layer.name, layer.multiscale) == ("Labels", "a nuclei", True)
        assert np.array_equal(np.asarray(layer.data[0]), labels)
        assert (layer.scale.tolist(), layer.translate.tolist()) == ([0.25, 0.25], [10, 20])
        assert units(layer) == ["micrometer"] * 2
        assert layer.metadata["nucleigan"] == {
            "model": "nucleigan-he",
            "path": str(path),
            "mpp": 0.25,
            "notes": [],
            "features": str(tmp_path / "a.csv"),
        }

    def test_damaged_labels_are_an_error(self, tmp_path: Path, labels: np.ndarray) -> None:
        path = write_label_zarr(tmp_path / "a.ome.zarr", labels)
        (path / "2" / "zarr.json").unlink()
        with pytest.raises(LabelsError, match=r"a\.ome\.zarr: its array \d is missing"):
            opened(path)

    def test_a_density_map_lies_over_the_slide(self, tmp_path: Path) -> None:
        path = tmp_path / "a.density.tif"
        values = np.linspace(0, 9000, 12, dtype=np.float32).reshape(3, 4)
        tifffile.imwrite(path, values, software=SOFTWARE, metadata=None, resolution=(200, 200), resolutionunit=3)
        (layer,) = opened(path)
        assert (type(layer).__name__, layer.name, layer.rgb) == ("Image", "a.density", False)
        assert np.array_equal(layer.data, values)
        assert (layer.colormap.name, layer.opacity, layer.blending) == ("inferno", 0.5, "translucent")
        assert layer.contrast_limits == [0, 9000]
        assert (layer.scale.tolist(), layer.translate.tolist()) == ([50, 50], [25, 25])
        assert units(layer) == ["micrometer"] * 2


class TestLeftToOthers:
    @pytest.mark.parametrize(
        ("values", "options"),
        [
            (np.zeros((300, 420), np.uint8), {"photometric": "minisblack"}),
            (np.zeros((300, 420, 3), np.uint16), {"photometric": "rgb"}),
            (np.zeros((5, 300, 420), np.uint16), {"photometric": "minisblack", "metadata": {"axes": "CYX"}}),
        ],
    )
    @pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
    def test_grey_pyramids_and_fluorescence(
        self, tmp_path: Path, values: np.ndarray, options: dict[str, Any], name: str
    ) -> None:
        with tifffile.TiffWriter(tmp_path / name) as tif:
            tif.write(values, tile=(64, 64), subifds=1, **options)
            options = {**options, "metadata": None}
            tif.write(values[..., ::2, ::2] if values.shape[-1] > 3 else halved(values), subfiletype=1, **options)
        assert get_reader(str(tmp_path / name)) is (
            # 16-bit colours are opened as before, as a whole.
            readers.read_image_layer if values.shape[-1] == 3 else None
        )

    def test_foreign_zarr(self, tmp_path: Path, rgb: np.ndarray) -> None:
        import zarr

        zarr.open_array(tmp_path / "array.zarr", mode="w", shape=(9, 9), dtype="u1")
        zarr.open_group(tmp_path / "group.zarr", mode="w")
        write_zarr(tmp_path / "six.ome.zarr", np.dstack([rgb, rgb]), "0.5")
        write_zarr(tmp_path / "deep.ome.zarr", rgb.astype(np.uint16), "0.5")
        (tmp_path / "bad.zarr").mkdir()
        (tmp_path / "bad.zarr" / "zarr.json").write_text("[1")
        for path in tmp_path.iterdir():
            assert get_reader(str(path)) is None, path

    def test_folders_that_are_no_slide(self, tmp_path: Path, rgb: np.ndarray) -> None:
        assert get_reader(str(tmp_path)) is None
        for name in ("a.png", "b.png"):
            write_image(tmp_path / name, rgb)
        assert get_reader(str(tmp_path)) is None
        (tmp_path / "one").mkdir()
        write_image(tmp_path / "one" / "r0_c0.png", rgb)
        assert get_reader(str(tmp_path / "one")) is None

    @pytest.mark.parametrize("name", ["a.mrxs", "a.vms", "a.vmu", "a.svslide"])
    def test_what_openslide_cannot_open(self, tmp_path: Path, name: str) -> None:
        pytest.importorskip("openslide")
        (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0 nothing")
        assert get_reader(str(tmp_path / name)) is None
