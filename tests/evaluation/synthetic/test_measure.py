from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.errors import LabelsError, ModelError
from napari_nucleigan.evaluation.synthetic import consistency
from napari_nucleigan.metrics import aji, overlaps
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.segmenter import Segmenter

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Pair

    from napari_nucleigan.models import Model


def test_is_the_aji_of_what_the_segmenter_finds(segmenter: Model, tiles: dict[str, tuple[Pair, Pair]]) -> None:
    pairs = [pair for places in tiles.values() for pair in places][:5]
    images, labels = [image[:128, :160] for image, _ in pairs], [mask[:128, :160] for _, mask in pairs]
    ready = Segmenter.of_patches(segmenter, SegmentSettings(device="cpu"))
    scores = consistency(images, labels, ready)
    found = ready.patches(images)
    assert scores.dtype == np.float64
    assert scores.tolist() == [aji(overlaps(*pair)) for pair in zip(labels, found, strict=True)]
    assert consistency(images, found, ready).tolist() == [1.0] * 5
    np.testing.assert_allclose(consistency(images, labels, segmenter, device="cpu"), scores, atol=0.01)


def test_true_masks_score_high_and_those_of_others_low(segmenter: Model, tiles: dict[str, tuple[Pair, Pair]]) -> None:
    images, labels = zip(*(first for first, _ in tiles.values()), strict=True)
    ready = Segmenter.of_patches(segmenter, SegmentSettings(device="cpu", tta=1))
    assert consistency(images, labels, ready).mean() > 0.55
    assert consistency(images, [np.roll(mask, 1, (0, 1)) for mask in labels], ready).mean() > 0.5
    assert consistency(images, labels[1:] + labels[:1], ready).mean() < 0.2


def test_an_empty_mask_agrees_with_a_picture_without_nuclei(segmenter: Model) -> None:
    images = [np.full((64, 64, 3), 250, np.uint8)] * 2
    labels = [np.zeros((64, 64), np.int32), np.pad(np.ones((20, 20), np.int32), 22)]
    assert consistency(images, labels, segmenter, device="cpu").tolist() == [1.0, 0.0]


def test_no_pairs_have_no_scores(segmenter: Model) -> None:
    assert consistency([], [], segmenter, device="cpu").shape == (0,)


def test_pairs_must_fit(segmenter: Model) -> None:
    image, mask = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 33), np.int32)
    with pytest.raises(LabelsError, match="differ in size"):
        consistency([image], [mask], segmenter)
    with pytest.raises(LabelsError, match="1 images but 2"):
        consistency([image], [mask, mask], segmenter)


def test_a_missing_segmenter_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        consistency([], [], tmp_path / "none.safetensors")
