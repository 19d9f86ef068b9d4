from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.errors import DeviceError, ImageError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.models import DEFAULT_SEGMENTER, load_model
from napari_nucleigan.segmentation import SegmentSettings, segment
from napari_nucleigan.segmentation.patches import PatchSegmenter

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.models import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(DEFAULT_SEGMENTER, "segmenter")


@pytest.mark.parametrize(
    "settings",
    [
        SegmentSettings(device="cpu"),
        SegmentSettings(device="cpu", mpp=0.5, views=1, min_area=20),
        SegmentSettings(device="cpu", normalize="macenko"),
    ],
    ids=["defaults", "resampled", "normalised"],
)
def test_finds_what_segment_finds_in_each_patch(
    model: Model, tiny_he: Callable[..., tuple[np.ndarray, np.ndarray]], settings: SegmentSettings
) -> None:
    patches = [tiny_he(height, width, 12, seed)[0] for seed, (height, width) in enumerate([(96, 96), (70, 129)] * 2)]
    patches.append(np.full((64, 64, 3), 255, np.uint8))
    found = PatchSegmenter(model, settings)(patches)
    assert len(found) == len(patches)
    for patch, labels in zip(patches, found, strict=True):
        expected = run(segment(HEImage(patch), settings, model)).labels
        # Batches of another size round differently; a pixel of an edge may turn over.
        assert np.count_nonzero((labels > 0) != (expected > 0)) <= 3
        assert labels.max() == expected.max()


def test_a_scale_that_cannot_be_is_refused(model: Model) -> None:
    with pytest.raises(ImageError, match="microns per pixel"):
        PatchSegmenter(model)([np.zeros((32, 32, 3), np.uint8)], mpp=50.0)


def test_failures_of_the_network_are_ours(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = PatchSegmenter(model, SegmentSettings(device="cpu"))

    def broken(windows: object) -> None:
        raise RuntimeError("the kernel is not there")

    monkeypatch.setattr(segmenter, "predictor", broken)
    with pytest.raises(DeviceError, match="the kernel is not there"):
        segmenter([np.zeros((32, 32, 3), np.uint8)])
