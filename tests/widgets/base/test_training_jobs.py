"""What a folder to train on holds, in a line for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.widgets.base.training_jobs import look_into

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("labelled", "told"),
    [
        (3, "3 images: 2 train, 1 test."),
        (1, "3 images: 2 train, 1 test, 1 with labels."),
        (0, "3 images: 2 train, 1 test, none with labels."),
    ],
)
def test_it_is_said_how_many_images_there_are_and_how_many_have_labels(
    labelled: int, told: str, tmp_path: Path
) -> None:
    for number in range(3):
        write_image(tmp_path / "images" / f"a{number}.png", np.full((8, 8, 3), 200, np.uint8), 0.25)
        if number < labelled:
            write_labels(tmp_path / "labels" / f"a{number}.tif", np.eye(8, dtype=np.int32), 0.25)
    (tmp_path / "split.csv").write_text("name,organ,split\na2,liver,test\n")
    assert str(run(look_into(tmp_path, labelled=False))) == told
    if labelled < 3:
        with pytest.raises(DatasetError, match="label"):
            run(look_into(tmp_path, labelled=True))
