from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch

from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.networks import build
from napari_nucleigan.networks.generators import UNet256, initialise
from napari_nucleigan.segmentation import SegmentSettings, segment
from napari_nucleigan.segmentation.embedding import pooled
from napari_nucleigan.segmentation.predictor import Predictor
from oracle import model

EXACT: dict[str, Any] = {"device": "cpu", "precision": "float32"}


def network(name: str) -> Any:
    made = build({"name": name})
    initialise(made, "he")
    return made.eval()


@pytest.mark.parametrize("name", ["compact-unet", "encoder-unet"])
def test_the_field_comes_from_the_same_pass(name: str) -> None:
    made = network(name)
    images = torch.rand(1, 3, 64, 96) * 2 - 1
    with torch.inference_mode():
        field, seen = made.described(images)
        assert torch.equal(field, made(images))
    assert seen.shape == (1, made.embedding, 16, 24)


@pytest.mark.parametrize("name", ["compact-unet", "encoder-unet"])
@pytest.mark.parametrize("tta", [1, 4])
def test_windows_of_any_size_are_described(name: str, tta: int) -> None:
    predictor = Predictor(network(name), tta=tta, **EXACT)
    windows = [
        np.random.default_rng(0).integers(0, 255, (70, 101, 3), dtype=np.uint8),
        np.full((64, 64, 3), 250, np.uint8),
    ]
    (field, seen), (_, blank) = predictor.described(windows)
    np.testing.assert_allclose(field, predictor(windows)[0], atol=2e-3)
    assert seen.shape == (predictor.embedding, 18, 26)
    assert blank.shape == (predictor.embedding, 16, 16)
    assert not blank.any()


def test_a_network_without_a_decoder_has_no_embeddings() -> None:
    assert Predictor(UNet256(width=4).eval(), **EXACT).embedding == 0


def test_embeddings_do_not_depend_on_the_tiles(tiny_he: Any) -> None:
    rgb, _ = tiny_he(600, 500, 60)
    seen = model(network("compact-unet"))
    options = {"measurements": "full", "min_area": 100, **EXACT}  # a network that knows nothing sees specks
    whole, tiled = (
        run(segment(HEImage(rgb, 0.25, "x"), SegmentSettings(tile=tile, **options), seen)) for tile in (1024, 192)
    )
    assert whole.seen is not None
    assert tiled.seen is not None
    # Near the border of the image rounding is all that differs.
    np.testing.assert_allclose(whole.seen.astype(np.float32), tiled.seen.astype(np.float32), rtol=0.02, atol=0.02)


def test_pooling_is_the_mean_over_the_pixels() -> None:
    random = np.random.default_rng(0)
    labels = np.kron(random.integers(0, 4, (5, 6)), np.ones((5, 5), int)).astype(np.int32)
    features = random.random((3, 13, 15)).astype(np.float32)
    found = pooled(labels, features, (50, 60))
    rows, columns = (((np.arange(length) + 0.5) * 2 / 4).astype(int) for length in labels.shape)
    full = features[:, rows][:, :, columns]
    for label in range(1, 4):
        np.testing.assert_allclose(found[label - 1], full[:, labels == label].mean(axis=1), rtol=1e-5)
    assert pooled(np.zeros((8, 8), np.int32), features, (50, 60)).shape == (0, 3)


def test_a_thousand_nuclei_are_pooled_in_a_tenth_of_a_second() -> None:
    labels = np.zeros((992, 992), np.int32)
    for number in range(1024):
        row, column = divmod(number, 32)
        labels[31 * row + 4 : 31 * row + 24, 31 * column + 4 : 31 * column + 24] = number + 1
    features = np.random.default_rng(0).random((224, 248, 248)).astype(np.float16)
    begun = time.process_time()
    pooled(labels, features, (992, 992))
    assert time.process_time() - begun < 0.3  # 0.1 s on a core of its own
