from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.errors import LabelsError, ModelError
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.labels.features import measure
from napari_nucleigan.models import ModelCard
from napari_nucleigan.segmentation import Segmentation, SegmentSettings, propose
from napari_nucleigan.segmentation.proposals import COUNT, SIDE
from oracle import scatter

SIZE = 1200  # pixels of 0.25 microns: 300 microns


def found(confidence: object, labels: np.ndarray | None = None, mpp: float = 0.25) -> Segmentation:
    """Make what a model has found, of a confidence that is a function of row and column."""
    labels = scatter((SIZE, SIZE), 60, touching=False) if labels is None else labels
    table = measure(labels, None, mpp)
    table["confidence"] = confidence(table["centroid_y_px"], table["centroid_x_px"]) + np.zeros(len(table["label"]))
    image = HEImage(np.zeros((*labels.shape, 3), np.uint8), mpp)
    card = ModelCard(name="m", kind="segmenter", architecture={}, mpp=0.25)
    field = np.where(labels > 0, 1, -1)[None].repeat(3, 0).astype(np.float16)
    return Segmentation(labels, table, field, mpp, SegmentSettings(), {}, (), 0.0, image, card)


def overlap(first: object, second: object) -> bool:
    return first.box.meets(second.box)


def test_it_goes_where_the_model_doubts() -> None:
    doubts = [(200, 300), (900, 200), (600, 1000)]

    def confidence(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        near = np.zeros(len(rows), bool)
        for row, column in doubts:
            near |= np.hypot(rows - row, columns - column) < 110
        return np.where(near, 0.2, 1.0)

    proposals = propose(found(confidence), 3)
    assert len(proposals) == 3
    for row, column in doubts:
        (hit,) = [p for p in proposals if p.box.top <= row < p.box.bottom and p.box.left <= column < p.box.right]
        assert hit.box.shape == (SIDE / 0.25,) * 2
        assert hit.doubtful > 4
        assert hit.missed == 0
    scores = [each.score for each in proposals]
    assert scores == sorted(scores, reverse=True)


def test_what_was_missed_counts_too() -> None:
    seen = found(lambda rows, columns: 1.0)
    field = seen.field.copy()
    usual = np.median(seen.features["area_px"])
    spots = [(y, x) for y in range(300, 500, 60) for x in range(700, 900, 60)]
    for y, x in spots:
        field[0, y : y + 16, x : x + 16] = np.where(seen.labels[y : y + 16, x : x + 16] > 0, 1, 0)  # even chances
    (best,) = propose(replace(seen, field=field), 1)
    assert best.doubtful == 0
    assert 0 < best.missed <= len(spots) * 16 * 16 / 2 / usual
    assert best.box.top <= 400 < best.box.bottom
    assert best.box.left <= 800 < best.box.right


def test_what_is_corrected_is_not_proposed_again() -> None:
    seen = found(lambda rows, columns: 0.5)
    first = propose(seen)
    done = np.zeros(seen.labels.shape, np.uint8)
    for each in first:
        done[each.box.slices] = 1
    second = propose(seen, done=done)
    assert len(first) == len(second) == COUNT
    for each in second:
        assert done[each.box.slices].mean() <= 0.11


@given(
    height=st.integers(20, 900),
    width=st.integers(20, 900),
    mpp=st.sampled_from([0.2, 0.25, 0.5]),
    count=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_regions_lie_in_the_image_apart_and_the_best_comes_first(
    height: int, width: int, mpp: float, count: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    seen = found(lambda rows, columns: random.random(len(rows)), scatter((height, width), 30, seed), mpp)
    proposals = propose(seen, count)
    assert len(proposals) <= count
    scores = [each.score for each in proposals]
    assert scores == sorted(scores, reverse=True)
    for index, each in enumerate(proposals):
        assert 0 <= each.box.top < each.box.bottom <= height
        assert 0 <= each.box.left < each.box.right <= width
        assert each.box.shape[0] * mpp <= SIDE + mpp
        assert each.score > 0
        assert not any(overlap(each, other) for other in proposals[:index])


def test_the_field_is_not_needed_and_nothing_to_doubt_gives_nothing() -> None:
    seen = found(lambda rows, columns: np.where(rows < 400, 0.1, 1.0))
    assert all(each.box.top < 400 for each in propose(replace(seen, field=None), 2))
    assert propose(found(lambda rows, columns: 1.0)) == []
    assert propose(found(lambda rows, columns: 1.0, np.zeros((50, 60), np.int32))) == []


def test_a_model_that_does_not_tell_cannot_propose() -> None:
    seen = found(lambda rows, columns: 1.0)
    table = {name: values for name, values in seen.features.items() if name != "confidence"}
    with pytest.raises(ModelError, match="no regions can be proposed"):
        propose(replace(seen, features=table))


def test_what_was_made_for_another_image_is_refused() -> None:
    with pytest.raises(LabelsError, match="5 x 4 pixels"):
        propose(found(lambda rows, columns: 0.5, np.ones((30, 40), np.int32)), done=np.zeros((4, 5)))
