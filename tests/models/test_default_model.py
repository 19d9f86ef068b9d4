"""The bundled model on the bundled sample, whose true nuclei are known: the whole way, as a user goes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import napari_nucleigan
from napari_nucleigan import metrics
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import HEImage, read_image, read_labels
from napari_nucleigan.models import DEFAULT_SEGMENTER, Model, load_model
from napari_nucleigan.segmentation import SegmentSettings, segment

PACKAGE = Path(napari_nucleigan.__file__).parent
WEIGHTS = PACKAGE / "weights" / f"{DEFAULT_SEGMENTER}.safetensors"
SAMPLE = PACKAGE / "_sample_data"

pytestmark = pytest.mark.skipif(not WEIGHTS.is_file(), reason="the default model has not been trained yet")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(WEIGHTS, "segmenter")


@pytest.fixture(scope="module")
def sample() -> HEImage:
    return read_image(SAMPLE / "synthetic_he.png")


def _labels(image: HEImage, model: Model, **settings: object) -> np.ndarray:
    return run(segment(image, SegmentSettings(device="cpu", **settings), model)).labels


def test_the_file_is_small_and_its_card_is_complete(model: Model) -> None:
    assert WEIGHTS.stat().st_size <= 12 * 2**20
    card = model.card
    assert card.name == DEFAULT_SEGMENTER
    for value in (card.training_data, card.data_licence, card.licence, card.scores, card.version, card.date):
        assert value


def test_it_finds_the_nuclei_of_the_sample(model: Model, sample: HEImage) -> None:
    truth = read_labels(SAMPLE / "synthetic_he_labels.tif")
    assert metrics.evaluate(truth, _labels(sample, model), hausdorff=False).f1 >= 0.9


def test_the_real_network_gives_the_same_nuclei_in_tiles(model: Model, sample: HEImage) -> None:
    one = _labels(sample, model, tile=4096)
    many = _labels(sample, model, tile=256)
    scores = metrics.evaluate(one, many, hausdorff=False)
    assert scores.f1 >= 0.995
    assert scores.aji >= 0.99


def test_an_image_at_20x_gives_about_the_same_nuclei(model: Model, sample: HEImage) -> None:
    truth = read_labels(SAMPLE / "synthetic_he_labels.tif")[::2, ::2]
    pixels = sample.pixels.reshape(*(side for half in np.array(sample.pixels.shape[:2]) // 2 for side in (half, 2)), 3)
    half = HEImage(pixels.mean(axis=(1, 3)).round().astype(np.uint8), 2 * sample.mpp)
    assert metrics.evaluate(truth, _labels(half, model), hausdorff=False).f1 >= 0.6
