from __future__ import annotations

import numpy as np

from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.models import ModelCard
from napari_nucleigan.segmentation.confidence import EVIDENCE, confidence, evidence

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
