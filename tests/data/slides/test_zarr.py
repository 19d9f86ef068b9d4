"""Metadata of OME-Zarr as various programs write them."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.slides import open_slide
from napari_nucleigan.data.slides.zarr import image_folder
from slide_files import write_zarr

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def rgb(tiny_he: Any) -> np.ndarray:
    pixels: np.ndarray = tiny_he(80, 100, 10)[0]
    return pixels


def changed(path: Path, rgb: np.ndarray, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write an image at 0.25 microns per pixel, and change what its metadata say of the pyramid."""
    write_zarr(path, rgb, "0.5")
    known = json.loads((path / "zarr.json").read_text())
    change(known["attributes"]["ome"]["multiscales"][0])
    (path / "zarr.json").write_text(json.dumps(known))
    return path


def scaled(*changes: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    return lambda image: image["datasets"][0].update(coordinateTransformations=list(changes))


def test_the_scale_is_that_of_the_full_resolution(tmp_path: Path, rgb: np.ndarray) -> None:
    path = changed(tmp_path / "a.ome.zarr", rgb, lambda image: image["datasets"].reverse())
    with open_slide(path) as slide:
        assert (slide.shape, slide.mpp) == ((80, 100), 0.25)
        assert np.array_equal(slide.region((0, 80, 0, 100)), rgb)


@pytest.mark.parametrize("changes", [(), ({"type": "identity"},), ({"type": "affine", "affine": [[1, 0]]},)])
def test_what_gives_no_scale_gives_none(tmp_path: Path, rgb: np.ndarray, changes: tuple[dict[str, Any], ...]) -> None:
    with open_slide(changed(tmp_path / "a.ome.zarr", rgb, scaled(*changes))) as slide:
        assert (slide.shape, slide.mpp) == ((80, 100), None)
        assert "does not say its microns per pixel" in slide.notes[0]


@pytest.mark.parametrize("scale", [[1], [0.25, 0.25], 0.25, [1, 1, 0.25, 0.25]])
def test_scales_that_do_not_fit_the_axes_are_refused(tmp_path: Path, rgb: np.ndarray, scale: Any) -> None:
    path = changed(tmp_path / "a.ome.zarr", rgb, scaled({"type": "scale", "scale": scale}))
    with pytest.raises(ImageError, match=r"its scale .* is not one number for each of its 3 axes"):
        open_slide(path)


def test_axes_of_other_names_are_refused(tmp_path: Path, rgb: np.ndarray) -> None:
    path = changed(tmp_path / "a.ome.zarr", rgb, lambda image: image.update(axes=list("CYX")))
    with pytest.raises(ImageError, match="it has no axes called y and x, but C, Y, X"):
        open_slide(path)


def test_the_first_versions_have_five_axes(tmp_path: Path, rgb: np.ndarray) -> None:
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=np.moveaxis(rgb, 2, 0)[None, :, None], chunks=(1, 1, 1, 64, 64))
    group.attrs["multiscales"] = [{"version": "0.1", "datasets": [{"path": "0"}]}]
    with open_slide(tmp_path / "a.ome.zarr") as slide:
        assert slide.mpp is None
        assert np.array_equal(slide.region((0, 80, 0, 100)), rgb)


def test_a_plate_says_what_it_is(tmp_path: Path, rgb: np.ndarray) -> None:
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="w", zarr_format=2)
    group.attrs["plate"] = {"wells": [{"path": "A/1"}]}
    write_zarr(tmp_path / "a.ome.zarr" / "A" / "1" / "0", rgb, "0.4")
    with pytest.raises(ImageError, match=r"it is a plate of wells, .* as PLATE\.ome\.zarr/A/1/0"):
        open_slide(tmp_path / "a.ome.zarr")
    with open_slide(tmp_path / "a.ome.zarr" / "A" / "1" / "0") as slide:
        assert slide.shape == (80, 100)


def test_images_of_bioformats2raw_are_those_that_it_lists(tmp_path: Path, rgb: np.ndarray) -> None:
    path = tmp_path / "a.zarr"
    zarr.open_group(path, mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    series = zarr.open_group(path / "OME", mode="w", zarr_format=2)
    for name, size in {"label": 40, "slide": 80}.items():
        write_zarr(path / name, rgb[:size], "0.4")
    write_zarr(tmp_path / "elsewhere", np.vstack([rgb, rgb]), "0.4")
    assert image_folder(path) is None
    series.attrs["series"] = ["label", "slide", "../elsewhere", ".", "missing", None]
    assert image_folder(path) == path / "slide"
    with open_slide(path) as slide:
        assert slide.shape == (80, 100)


def test_what_the_system_says_of_a_chunk_is_no_damage(tmp_path: Path, rgb: np.ndarray) -> None:
    path = write_zarr(tmp_path / "a.ome.zarr", rgb, "0.4")
    with open_slide(path) as slide:
        (path / "0" / "0.0.0").unlink()
        (path / "0" / "0.0.0").mkdir()
        with pytest.raises(ImageError, match=r"of its 100 x 80 pixels: .*\.$") as caught:
            slide.region((0, 64, 0, 64))
    assert str(errno.EISDIR) not in str(caught.value).replace("0 to 64", "")
    assert "is a directory" in str(caught.value)
