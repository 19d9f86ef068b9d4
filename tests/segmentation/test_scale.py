from __future__ import annotations

import numpy as np
import pytest

from napari_nucleigan.base.errors import ImageError, ModelError
from napari_nucleigan.models import Model, load_model
from napari_nucleigan.segmentation import Segmenter, SegmentSettings
from napari_nucleigan.segmentation.scale import WINDOWS, ZOOMS, ScaleEstimate, dark_places, estimate_mpp

TERMS = 2 * 6 * len(ZOOMS)


def fitted(bias: float) -> Segmenter:
    model = load_model("nucleigan-he")
    card = model.card.model_copy(update={"scale": {"weights": [0.0] * TERMS, "bias": bias}})
    return Segmenter(Model(card, model.path, model.network), SegmentSettings(tta=1))


def test_the_regression_gives_powers_of_two_of_the_models_scale_within_bounds() -> None:
    from napari_nucleigan.data.images.samples import synthetic_he

    pixels = synthetic_he()[0].pixels[:300, :300]
    assert estimate_mpp(pixels, fitted(1.0)).mpp == 0.5
    assert estimate_mpp(pixels, fitted(9.0)).mpp == 2.0


def test_what_cannot_be_estimated_is_said() -> None:
    with pytest.raises(ImageError, match="too small"):
        estimate_mpp(np.zeros((20, 200, 3), np.uint8), fitted(0.0))
    with pytest.raises(ImageError, match="No nuclei"):
        estimate_mpp(np.full((100, 100, 3), 250, np.uint8), fitted(0.0))
    with pytest.raises(ModelError, match="cannot estimate"):
        estimate_mpp(np.full((100, 100, 3), 250, np.uint8), Segmenter(load_model("nucleigan-he")))


def test_places_are_dark_and_apart() -> None:
    pixels = np.full((400, 400, 3), 250, np.uint8)
    pixels[40:90, 40:90] = 120
    pixels[300:350, 300:350] = 120
    places = dark_places(pixels)
    assert len(places) == WINDOWS
    assert sorted((row > 200, column > 200) for row, column in places[:2]) == [(False, False), (True, True)]


@pytest.mark.parametrize(
    ("mpp", "said"),
    [
        (0.25, "about 0.25 microns per pixel (40x)"),
        (0.5, "about 0.5 microns per pixel (20x)"),
        (1.1, "about 1.1 microns per pixel (10x)"),
    ],
)
def test_it_is_said_as_people_do(mpp: float, said: str) -> None:
    assert str(ScaleEstimate(mpp)) == said
