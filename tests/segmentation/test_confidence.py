from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.masks.encoding import decode, encode
from napari_nucleigan.models import ModelCard
from napari_nucleigan.segmentation import Segmentation, Segmenter, SegmentSettings, refilter, segment
from napari_nucleigan.segmentation import image as core
from napari_nucleigan.segmentation.confidence import EVIDENCE, confidence, evidence
from oracle import model, picture, scatter

LABELS = np.zeros((40, 60), np.int32)
LABELS[5:20, 5:20] = 1
LABELS[10:30, 30:50] = 2


def card(**more: object) -> ModelCard:
    return ModelCard.model_validate({"name": "m", "kind": "segmenter", "architecture": {}, "mpp": 0.25, **more})


def test_a_sure_field_speaks_for_its_nuclei_and_nothing_leaks_from_one_to_another() -> None:
    field = encode(LABELS)
    sure = evidence(LABELS, field)
    faint = field.copy()
    faint[0, :, 30:] *= 0.2
    doubted = evidence(LABELS, faint)

    assert sure.shape == (2, EVIDENCE)
    assert np.allclose(sure[:, :3], [[1, 1, 0]] * 2)
    assert np.allclose(sure[:, 7], np.log([225, 400]))
    assert np.array_equal(doubted[0], sure[0])
    assert np.allclose(doubted[1, :3], [0.6, 0.6, 1])


def test_the_card_decides_and_a_card_without_regression_says_nothing() -> None:
    fit = {"weights": [10.0, *[0.0] * (EVIDENCE - 1)], "bias": -8.0}
    faint = encode(LABELS)
    faint[0, :, 30:] *= 0.2

    found = confidence(LABELS, faint, card(confidence=fit))

    assert found is not None
    assert np.allclose(found, 1 / (1 + np.exp([-2.0, 2.0])))
    assert confidence(LABELS, faint, card()) is None
    assert confidence(LABELS, faint, card(confidence=fit, encoding="binary")) is None


def test_no_nuclei_have_no_confidence() -> None:
    assert evidence(np.zeros((5, 5), np.int32), np.full((3, 5, 5), -1.0)).shape == (0, EVIDENCE)


@given(seed=st.integers(0, 1000), height=st.integers(20, 90), width=st.integers(20, 90))
@hypothesis(max_examples=20)
def test_it_does_not_matter_how_nuclei_are_numbered(seed: int, height: int, width: int) -> None:
    # Apart, since of a pixel as near to one nucleus as to another only one can have it.
    labels = decode(encode(scatter((height, width), 24, seed, touching=False)))
    random = np.random.default_rng(seed)
    field = encode(labels) * random.uniform(0.2, 1, labels.shape)
    order = np.append(0, 1 + random.permutation(int(labels.max()))).astype(np.int32)
    found = evidence(labels, field)
    assert np.allclose(evidence(order[labels], field)[order[1:] - 1], found)


@pytest.mark.parametrize(
    "fit", [{"weights": ["a"] * EVIDENCE}, {"weights": [1.0] * EVIDENCE, "bias": [1]}, {"bias": 1}]
)
def test_a_regression_that_is_none_says_nothing(fit: dict[str, object]) -> None:
    assert confidence(LABELS, encode(LABELS), card(confidence=fit)) is None


# The mean interior, steeply: half of what is in between counts as sure.
FIT = {"weights": [20.0, *[0.0] * (EVIDENCE - 1)], "bias": -16.0}


def half_faint(labels: np.ndarray, mpp: float = 0.25) -> HEImage:
    """Show labels that the model is to doubt in the right half."""
    image = picture(labels, mpp)
    pixels = image.pixels.copy()
    right = pixels[:, labels.shape[1] // 2 :, 0]
    pixels[:, labels.shape[1] // 2 :, 0] = np.where(right > 127, 165, right)  # 0.65 of the interior
    return HEImage(pixels, mpp, "half faint")


def found_in(image: HEImage, **settings: object) -> Segmentation:
    chosen = SegmentSettings(**{"device": "cpu", "precision": "float32", "tta": 1, **settings})
    return run(segment(image, chosen, model(confidence=FIT)))


def by_place(found: Segmentation) -> dict[tuple[int, int], float]:
    """Confidence of each nucleus by its centre."""
    table = found.features
    places = zip(table["centroid_y_px"].round().astype(int), table["centroid_x_px"].round().astype(int), strict=True)
    return dict(zip(places, table["confidence"].tolist(), strict=True))


def doubted(found: Segmentation, width: int) -> np.ndarray:
    """Tell which nuclei are doubted, and make sure that they are those of the right half."""
    table = found.features
    doubt = table["confidence"] < 0.5
    left, right = table["centroid_x_px"] < width / 2 - 12, table["centroid_x_px"] > width / 2 + 12
    assert not doubt[left].any()
    assert doubt[right].all()
    assert len(doubt) == found.labels.max() > 30
    return doubt


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("tile", [64, 2048])
def test_it_follows_its_nucleus_through_tiles(kept: bool, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "KEPT_PIXELS", core.KEPT_PIXELS if kept else 0)
    labels = scatter((250, 300), touching=False)
    found = found_in(half_faint(labels), tile=tile)
    doubted(found, 300)
    whole = by_place(found_in(half_faint(labels)))
    assert by_place(found) == pytest.approx(whole, abs=1e-3)


def test_it_follows_its_nucleus_to_another_scale_and_through_the_filters() -> None:
    labels = scatter((200, 260), 40, touching=False)
    image = HEImage(np.ascontiguousarray(half_faint(labels).pixels[::2, ::2]), 0.5, "coarse")
    found = found_in(image, min_area=0.0)
    table = found.features
    doubt = table["confidence"] < 0.5
    assert np.array_equal(doubt, table["centroid_x_px"] > 65)
    # Small ones go, so that the rest is numbered anew.
    middle = float(np.median(table["area_um2"]))
    fewer = refilter(found, found.settings.model_copy(update={"min_area": middle}))
    whole = by_place(found)
    assert 0 < len(fewer.features["label"]) < len(doubt)
    assert all(whole[place] == pytest.approx(value) for place, value in by_place(fewer).items())


def test_doubted_nuclei_are_left_out_at_once_or_afterwards() -> None:
    image = half_faint(scatter((200, 300)))
    found = found_in(image)
    doubt = doubted(found, 300)
    sure = found_in(image, min_confidence=0.5)
    moved = refilter(found, found.settings.model_copy(update={"min_confidence": 0.5}))
    assert np.array_equal(sure.labels, moved.labels)
    assert len(sure.features["confidence"]) == sure.labels.max() == np.count_nonzero(~doubt)
    assert sure.features["confidence"].min() >= 0.5
    assert sure.provenance["settings"]["min_confidence"] == moved.provenance["settings"]["min_confidence"] == 0.5
    assert np.array_equal(sure.labels > 0, np.isin(found.labels, np.flatnonzero(~doubt) + 1))
    patches = Segmenter(model(confidence=FIT), sure.settings).patches([image.pixels])
    assert np.array_equal(patches[0], sure.labels)


def test_a_model_that_does_not_tell_gives_no_column_and_cannot_be_asked() -> None:
    image = picture(scatter((100, 100)))
    chosen = SegmentSettings(device="cpu", precision="float32")
    assert "confidence" not in run(segment(image, chosen, model())).features
    with pytest.raises(ModelError, match="does not tell how sure it is"):
        run(segment(image, SegmentSettings(device="cpu", min_confidence=0.2), model()))


def test_nothing_found_has_the_column_too() -> None:
    found = found_in(HEImage(np.full((64, 64, 3), 250, np.uint8), 0.25))
    assert found.features["confidence"].shape == (0,)
    assert decode(found.field.astype(np.float32)).max() == 0


def test_a_model_may_ask_for_a_confidence_of_its_own() -> None:
    image = half_faint(scatter((200, 300)))
    asks = model(confidence=FIT, decode={**model().card.decode, "min_confidence": 0.5})
    chosen = SegmentSettings(device="cpu", precision="float32")
    found = run(segment(image, chosen, asks))
    assert np.array_equal(found.labels, found_in(image, min_confidence=0.5).labels)
    assert found.provenance["settings"]["min_confidence"] == 0.5
    # Nothing was computed for those that were left out but how sure the model is: they are there if asked for.
    everything = run(segment(image, chosen.model_copy(update={"min_confidence": 0.0}), asks))
    assert np.array_equal(everything.labels, found_in(image).labels)
    assert np.array_equal(refilter(found, everything.settings).labels, everything.labels)
    # Without a regression on its card a model cannot tell, whatever it asks for.
    assert len(run(segment(image, chosen, model(decode=asks.card.decode))).features["label"]) == everything.labels.max()
