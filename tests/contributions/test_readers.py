from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.contributions.readers import get_reader
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.labels.geojson import write_geojson

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Layer


@pytest.fixture
def rgb(tiny_he: Any) -> np.ndarray:
    pixels: np.ndarray = tiny_he(60, 80, 6)[0]
    return pixels


def opened(path: Path) -> Layer:
    """Open a file as napari does and make its only layer."""
    from napari.layers import Layer

    reader = get_reader(str(path))
    assert reader is not None
    (data,) = reader(str(path))
    return Layer.create(*data)


def test_image_in_microns(tmp_path: Path, rgb: np.ndarray) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", resolution=(2e4, 2e4), resolutionunit="CENTIMETER")
    layer = opened(path)
    assert layer.rgb
    assert np.array_equal(layer.data, rgb)
    assert layer.scale.tolist() == [0.5, 0.5]
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 2
    assert layer.name == "a"
    assert layer.metadata["nucleigan"] == {"path": str(path), "mpp": 0.5, "notes": []}


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_image_in_pixels(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    Image.fromarray(rgb).save(tmp_path / f"a.{suffix}")
    layer = opened(tmp_path / f"a.{suffix}")
    assert layer.data.shape == rgb.shape
    assert layer.scale.tolist() == [1, 1]
    assert [str(unit) for unit in layer.units] == ["pixel"] * 2


def test_what_was_converted_is_said(tmp_path: Path, rgb: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    from napari.utils.notifications import notification_manager

    Image.fromarray(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])).save(tmp_path / "a.png")
    layer = opened(tmp_path / "a.png")
    said = "RGBA: the alpha channel, opaque everywhere, was dropped."
    assert layer.metadata["nucleigan"]["notes"] == [said]
    assert notification_manager.records[-1].message == f"a: {said}"


def test_own_labels(tmp_path: Path) -> None:
    labels = np.arange(12).reshape(3, 4)
    write_labels(tmp_path / "a.tif", labels, mpp=0.25)
    layer = opened(tmp_path / "a.tif")
    assert type(layer).__name__ == "Labels"
    assert np.array_equal(layer.data, labels)
    assert layer.scale.tolist() == [0.25, 0.25]


def test_what_is_no_area_of_geojson_is_said(tmp_path: Path) -> None:
    from napari.utils.notifications import notification_manager

    write_geojson(tmp_path / "a.geojson", np.ones((4, 5), np.int32))
    content = json.loads((tmp_path / "a.geojson").read_text())
    content["features"].append({"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}})
    (tmp_path / "a.geojson").write_text(json.dumps(content))
    assert opened(tmp_path / "a.geojson").data.all()
    assert "What is no area was left out of a.geojson: points (1)." in str(notification_manager.records[-1].message)


@pytest.mark.parametrize("name", ["a.geojson", "a.geojson.gz", "a.GEOJSON.GZ"])
def test_geojson(tmp_path: Path, name: str) -> None:
    labels = np.array([[0, 3, 3], [2, 2, 0]])
    write_geojson(tmp_path / name, labels, mpp=0.25)
    layer = opened(tmp_path / name)
    assert type(layer).__name__ == "Labels"
    assert layer.name == "a"
    assert np.array_equal(layer.data, labels)
    assert layer.scale.tolist() == [0.25, 0.25]


class TestLeftToOthers:
    def test_greyscale_and_palettes(self, tmp_path: Path, rgb: np.ndarray) -> None:
        picture = Image.fromarray(rgb)
        for name, one in (
            ("a.png", picture.convert("L")),
            ("b.png", picture.quantize(8)),
            ("c.jpg", picture.convert("L")),
        ):
            one.save(tmp_path / name)
            assert get_reader(str(tmp_path / name)) is None

    @pytest.mark.parametrize(
        ("values", "options"),
        [
            (np.zeros((5, 20, 30), np.uint8), {"photometric": "minisblack"}),
            (np.zeros((20, 30), np.uint16), {}),
            (np.zeros((2, 20, 30), np.uint16), {"imagej": True, "metadata": {"axes": "CYX"}}),
            (np.zeros((4, 20, 30, 3), np.uint8), {"photometric": "rgb"}),
        ],
    )
    def test_stacks_and_foreign_labels(self, tmp_path: Path, values: np.ndarray, options: dict[str, Any]) -> None:
        tifffile.imwrite(tmp_path / "a.tif", values, **options)
        assert get_reader(str(tmp_path / "a.tif")) is None

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.png", b""),
            ("a.png", b"\x89PNG\r\n\x1a\n"),
            ("a.tif", b"II*\0 rubbish"),
            ("a.jpg", b"\xff\xd8\xff\xe0"),
            ("a.geojson", b'{"type": "Topology"}'),
            ("b.geojson.gz", b"not compressed"),
            ("a.txt", b"hello"),
        ],
    )
    def test_other_content(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        assert get_reader(str(tmp_path / name)) is None

    def test_no_file_and_several(self, tmp_path: Path) -> None:
        assert get_reader(str(tmp_path / "none.png")) is None
        assert get_reader(str(tmp_path)) is None
        assert get_reader(["a.png", "b.png"]) is None


def test_damaged_pixels_are_an_error(tmp_path: Path, rgb: np.ndarray) -> None:
    data = imagecodecs.png_encode(rgb)
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="cut short"):
        opened(tmp_path / "a.png")


def test_manifest(tmp_path: Path, rgb: np.ndarray) -> None:
    import npe2

    Image.fromarray(rgb).save(tmp_path / "a.png")
    manager = npe2.PluginManager.instance()
    known = "napari-nucleigan" in manager
    if not known:
        manager.register(npe2.PluginManifest.from_distribution("napari-nucleigan"))
    try:
        (data,) = npe2.read([str(tmp_path / "a.png")], stack=False, plugin_name="napari-nucleigan")
    finally:
        if not known:
            manager.unregister("napari-nucleigan")
    assert np.array_equal(data[0], rgb)
