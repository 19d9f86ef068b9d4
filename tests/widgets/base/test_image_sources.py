"""The jobs of the Segment widget, without a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.events import Note, run
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.widgets.base import image_sources
from napari_nucleigan.widgets.base.image_sources import WHOLE_IMAGE, Region, Source
from napari_nucleigan.widgets.segment.jobs import refilter_job, segment_source
from slide_files import write_pyramid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.widgets.base.layers import Box


def test_loading_says_what_was_converted_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "grey.png").write_bytes(imagecodecs.png_encode(np.full((9, 9), 200, np.uint8)))
    (tmp_path / "broken.png").write_bytes(b"broken")
    events: list[object] = []
    ((pixels, arguments, kind),) = run(image_sources.load_images([tmp_path]), events.append)
    assert pixels.shape == (9, 9, 3)
    assert (arguments["name"], kind) == ("grey", "image")
    notes = [event for event in events if isinstance(event, Note)]
    assert any("grey.png: Greyscale" in note.text for note in notes)
    assert any("broken.png" in note.text and note.level == "warning" for note in notes)


def test_slides_are_opened_and_not_read(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "slide.svs", np.full((600, 700, 3), 200, np.uint8))
    (tmp_path / "small.png").write_bytes(imagecodecs.png_encode(np.full((9, 9, 3), 200, np.uint8)))
    images = run(image_sources.load_images([tmp_path]))
    assert [arguments["name"] for _, arguments, _ in images] == ["small", "slide"]
    levels, arguments, _ = images[1]
    assert arguments["multiscale"]
    assert [level.shape[:2] for level in levels] == [(600, 700), (300, 350), (150, 175)]


def test_loading_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no images"):
        run(image_sources.load_images([tmp_path]))
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"broken")
    with pytest.raises(ImageError, match="None of the 2 images"):
        run(image_sources.load_images([tmp_path]))
    with pytest.raises(ImageError, match=r"a\.png"):
        run(image_sources.load_images([tmp_path / "a.png"]))


def test_not_too_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_sources, "MOST_IMAGES", 2)
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(imagecodecs.png_encode(np.full((9, 9, 3), 200, np.uint8)))
    events: list[object] = []
    assert len(run(image_sources.load_images([tmp_path]), events.append)) == 2
    assert any(isinstance(event, Note) and "first 2 of 3" in event.text for event in events)


def test_segment_and_refilter(models: Path, tiny_he: Callable) -> None:
    rgb, _ = tiny_he(90, 120, 12, 2)
    settings = SegmentSettings(model="tiny", device="cpu")
    source = Source(rgb, "tile", 0.25, Region((0, 90, 20, 100)))
    made = run(segment_source(source, settings))
    assert made.labels.shape == (90, 80)
    assert made.labels.max() > 2
    fewer = run(refilter_job(made, settings.model_copy(update={"min_area": 1e4}), WHOLE_IMAGE))
    assert fewer.labels.max() == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("box", [None, (3, 20, 5, 30)])
def test_a_source_is_cut_and_converts(dtype: type, box: Box | None) -> None:
    random = np.random.default_rng(0)
    whole: NDArray[np.uint8] = random.integers(0, 256, (30, 40, 3)).astype(np.uint8)
    data = {"u": lambda: whole.astype(dtype) * (257 if dtype is np.uint16 else 1)}.get(
        np.dtype(dtype).kind, lambda: (whole / 255).astype(dtype)
    )()
    image = Source(data, "tile", 0.25, Region(box)).image()
    expected = whole if box is None else whole[3:20, 5:30]
    np.testing.assert_array_equal(image.pixels, expected)
    assert (image.mpp, image.name) == (0.25, "tile")
    first = Source(np.moveaxis(data, -1, 0), "tile", 0.25, Region(box), channel_first=True).image()
    np.testing.assert_array_equal(first.pixels, expected)


def test_lazy_images_are_cut_before_they_are_loaded() -> None:
    da = pytest.importorskip("dask.array")
    loaded = []

    def block(block_info: dict) -> NDArray[np.uint8]:
        loaded.append(block_info[None]["chunk-location"])
        return np.full((10, 10, 3), 7, np.uint8)

    data = da.map_blocks(block, chunks=((10,) * 5, (10,) * 5, (3,)), dtype=np.uint8)
    loaded.clear()
    image = Source(data, "slide", 0.25, Region((10, 20, 20, 30))).image()
    assert image.pixels.shape == (10, 10, 3)
    assert loaded == [(1, 2, 0)]
