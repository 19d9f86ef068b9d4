from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan import metrics
from napari_nucleigan.adaptation import Adaptation, Measurements, write_adaptation_report
from napari_nucleigan.base.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

MADE = {
    "version": "1",
    "images": "mine",
    "count": 12,
    "start": "old_model",
    "real": None,
    "generator": "unpaired",
    "pairs": 96,
    "candidates": 192,
    "crops": 3200,
    "generator_crops": 6000,
}
_SQUARE = np.zeros((16, 16), np.int32)
_SQUARE[4:12, 4:12] = 1
PERFECT = metrics.evaluate(_SQUARE, _SQUARE, hausdorff=False)


def _adaptation(gains: dict[str, float], images: int = 10, labelled: bool = True) -> Adaptation:
    """Scores and agreement that differ from the start's by so much, a little more or less from image to image."""
    noise = np.random.default_rng(0).normal(0, 0.001, images)
    measured = {}
    for name, gain in {"start": 0.0, **gains}.items():
        values = 0.5 + gain + (0 if name == "start" else noise)
        rows = {f"i{index}": {"mirror_aji": float(value)} for index, value in enumerate(values + np.zeros(images))}
        scores = {image: replace(PERFECT, aji=row["mirror_aji"]) for image, row in rows.items()}
        measured[name] = Measurements(scores if labelled else {}, rows)
    return Adaptation({name: f"runs/{name}" for name in gains}, measured, MADE)


def test_help_and_harm_are_said_first_with_their_intervals(tmp_path: Path) -> None:
    adaptation = _adaptation({"self-training": -0.05, "synthetic": 0.05})
    assert adaptation.chosen == "synthetic"
    text = write_adaptation_report(adaptation, tmp_path).read_text().splitlines()
    assert text[2] == "Measured on 10 labelled images, as differences in AJI:"
    assert text[3].startswith("- self-training harms: -0.05")
    assert text[4].startswith("- synthetic helps: +0.05")
    assert text[5].startswith("- synthetic beside self-training: +0.10")
    assert "may flatter" in "\n".join(text)
    saved = json.loads((tmp_path / "adaptation.json").read_text())
    assert saved["gain_aji"]["synthetic"]["interval"][0] > 0.04


def test_where_nothing_is_better_the_old_model_stays() -> None:
    adaptation = _adaptation({"synthetic": -0.05})
    assert adaptation.chosen == "start"
    assert "go on with that one" in adaptation.verdict
    assert "changes nothing that this test can show" in _adaptation({"synthetic": 0.0}).verdict


def test_few_images_make_no_interval_and_no_claim() -> None:
    adaptation = _adaptation({"synthetic": 0.3}, images=3)
    assert "cannot be judged by so few images: +0.300\n" in adaptation.verdict
    assert "helps" not in adaptation.verdict


def test_without_labels_nothing_is_claimed(tmp_path: Path) -> None:
    adaptation = _adaptation({"self-training": 0.2, "synthetic": 0.1}, labelled=False)
    assert adaptation.verdict.startswith("Nobody can tell")
    assert "not accuracy" in adaptation.verdict
    assert "- self-training: AJI with its mirror image +0.2" in adaptation.verdict
    assert adaptation.chosen == "self-training"
    text = write_adaptation_report(adaptation, tmp_path).read_text()
    assert "AJI gained" not in text
    (tmp_path / "adaptation.md").write_text("mine")
    with pytest.raises(OutputError, match="not made by this program"):
        write_adaptation_report(adaptation, tmp_path)
