from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan import load_model, segment
from napari_nucleigan.adaptation.measure import measure
from napari_nucleigan.adaptation.pseudo_labels import settings_for
from napari_nucleigan.base.events import run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import HEImage, write_image, write_labels
from napari_nucleigan.data.images.samples import synthetic_he
from napari_nucleigan.models.registry import DEFAULT_SEGMENTER

if TYPE_CHECKING:
    from pathlib import Path


def test_only_known_labels_are_scored_and_corrected_ones_anew(tmp_path: Path) -> None:
    whole, _ = synthetic_he()
    image, model = HEImage(whole.pixels[:96, :96], whole.mpp, "part"), load_model(DEFAULT_SEGMENTER)
    labels = run(segment(image, settings_for(image, model, "cpu"), model)).labels.copy()
    known = np.zeros(labels.shape, np.uint8)
    known[:, 48:] = 1
    labels[:, :40] = 0
    write_image(tmp_path / "images" / "part.tif", image.pixels, image.mpp)
    write_labels(tmp_path / "labels" / "part.tif", labels, image.mpp)
    write_labels(tmp_path / "regions" / "part.tif", known, image.mpp)

    def aji() -> float:
        data = Dataset.open(tmp_path)
        return run(measure(model, "start", data, data, tmp_path / "measured.json", "cpu")).scores["part"].aji

    assert aji() == 1
    (tmp_path / "regions" / "part.tif").unlink()
    assert aji() < 0.9
