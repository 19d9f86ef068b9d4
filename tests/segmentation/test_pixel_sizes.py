"""Images without a pixel size are counted before anything is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import write_image
from napari_nucleigan.segmentation import SegmentSettings, segment_files
from napari_nucleigan.segmentation.file_plan import FileTask
from napari_nucleigan.segmentation.pixel_sizes import ask_for_pixel_size, without_pixel_size
from oracle import model, picture, scatter
from slide_files import write_pyramid, write_svs

if TYPE_CHECKING:
    from pathlib import Path


def test_files_and_slides_without_a_pixel_size_are_counted(tmp_path: Path) -> None:
    rgb = np.full((130, 200, 3), 200, np.uint8)
    for name, mpp in (("with.png", 0.5), ("without.png", None), ("with.tif", 0.25), ("without.tif", None)):
        write_image(tmp_path / name, rgb, mpp)
    (tmp_path / "damaged.png").write_bytes((tmp_path / "with.png").read_bytes()[:60])
    tasks = [FileTask(path, ()) for path in sorted(tmp_path.iterdir())]
    slides = [write_svs(tmp_path / "with.svs", rgb), write_pyramid(tmp_path / "pyramid.tif", rgb)]
    tasks += [FileTask(path, (), slide=True) for path in slides]
    assert len(run(without_pixel_size(tasks))) == 3
    assert run(without_pixel_size(tasks[:1])) == []


def test_words() -> None:
    assert ask_for_pixel_size(0, 3, "do") == ""
    assert ask_for_pixel_size(1, 1, "do").startswith("The image has no pixel size, ")
    assert ask_for_pixel_size(3, 3, "do").endswith(": do.")
    some = ask_for_pixel_size(2, 3, "do")
    assert some.startswith("2 of 3 images have no pixel size, ")
    assert some.endswith(": do, which then holds for all images.")
    # What is estimated is each image's own.
    assert ask_for_pixel_size(2, 3, "do", ", or else").endswith(": do, which then holds for all images, or else.")


@pytest.mark.parametrize("known", [0, 1])
def test_nothing_is_computed_before_it_is_known(tmp_path: Path, known: int) -> None:
    for index in range(3):
        write_image(
            tmp_path / "in" / f"{index}.png", picture(scatter((100, 120))).pixels, 0.25 if index < known else None
        )
    job = segment_files([tmp_path / "in"], tmp_path / "out", SegmentSettings(device="cpu"), model=model())
    with pytest.raises(ImageError, match=rf"^{3 - known} of 3 images have no pixel size, .* --mpp 0\.25"):
        run(job)
    assert not list((tmp_path / "out").glob("*.tif"))
    given = SegmentSettings(device="cpu", precision="float32", mpp=0.25)
    assert len(run(segment_files([tmp_path / "in"], tmp_path / "out", given, model=model()))) == 3
    # what is done already needs none
    assert all(
        result.skipped for result in run(segment_files([tmp_path / "in"], tmp_path / "out", given, model=model()))
    )
