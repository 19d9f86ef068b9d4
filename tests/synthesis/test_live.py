from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.events import run
from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.models import Model, ModelCard
from napari_nucleigan.networks import build_synthesizer
from napari_nucleigan.synthesis import LiveCanvas, SynthesisSettings, synthesize
from napari_nucleigan.tiling import Box

if TYPE_CHECKING:
    from collections.abc import Callable


PLAIN = SynthesisSettings(device="cpu", precision="float32")
EXACT = SynthesisSettings(model="painter", device="cpu", precision="float32", style="liver")


def _whole(
    labels: np.ndarray, model: Model, settings: SynthesisSettings = EXACT, mpp: float | None = None
) -> np.ndarray:
    return run(synthesize(labels, settings, model, mpp)).pixels


def _far(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other).max())


def _disc(labels: np.ndarray, row: int, column: int, radius: int, name: int) -> None:
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]]
    labels[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = name


def test_strokes_give_what_painting_the_whole_gives(model: Model, mask: Callable[..., np.ndarray]) -> None:
    labels = mask(400, 380, 80)
    canvas = LiveCanvas(labels, EXACT, model)
    np.testing.assert_array_equal(canvas.pixels, _whole(labels, model))
    strokes: list[Callable[[], None]] = [
        lambda: _disc(labels, 120, 130, 6, 500),  # a new nucleus
        lambda: _disc(labels, 124, 136, 6, 500),  # grown
        lambda: _disc(labels, *np.argwhere(labels == 5)[0], 6, 0),  # the eraser
        lambda: _disc(labels, 126, 150, 5, 501),  # one that touches it
        lambda: _disc(labels, 0, 379, 8, 502),  # over the corner
        lambda: np.copyto(labels, np.where(labels == 500, 0, labels)),  # deleted
        lambda: np.copyto(labels, np.where(labels == 501, 2, labels)),  # joined to a far one
    ]
    for stroke in strokes:
        stroke()
        before = canvas.pixels.copy()
        box = canvas.update(labels)
        assert box is not None
        np.testing.assert_array_equal(canvas.labels, labels)
        assert _far(canvas.pixels, _whole(labels, model)) <= 1
        outside = np.ones(labels.shape, bool)
        outside[box.slices] = False
        np.testing.assert_array_equal(canvas.pixels[outside], before[outside])


def test_only_the_neighbourhood_is_painted_again(model: Model, mask: Callable[..., np.ndarray]) -> None:
    labels = np.zeros((600, 600), np.int32)
    canvas = LiveCanvas(labels, EXACT, model)
    labels[300:305, 200:206] = 1
    box = canvas.update(labels, Box(290, 320, 190, 220))
    halo = int(model.network.halo)
    assert box is not None
    assert box.shape[0] <= 5 + 2 * (2 + 8 + halo)
    assert box.shape[1] <= 6 + 2 * (2 + 8 + halo)


def test_nothing_changed(model: Model, mask: Callable[..., np.ndarray]) -> None:
    labels = mask(64, 64)
    canvas = LiveCanvas(labels, EXACT, model)
    assert canvas.update(labels.copy()) is None
    assert canvas.update(labels, Box(-5, 500, 60, 70)) is None


def test_a_box_over_the_edge_is_cut(model: Model) -> None:
    labels = np.zeros((64, 64), np.int32)
    canvas = LiveCanvas(labels, EXACT, model)
    labels[60:, 60:] = 3
    assert canvas.update(labels, Box(58, 90, 58, 90)) is not None
    assert _far(canvas.pixels, _whole(labels, model)) <= 1


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_the_field_is_that_of_the_whole_mask(seed: int) -> None:
    torch.manual_seed(0)
    card = ModelCard(name="field", kind="synthesizer", architecture={"name": "painter"}, mpp=0.25)
    network = build_synthesizer({"name": "painter", "widths": [4, 4, 4], "style_size": 1}).eval()
    small = Model(card, Path("field"), network)
    random = np.random.default_rng(seed)
    labels = np.zeros((70, 90), np.int32)

    def blot() -> None:
        top, left = random.integers(-5, labels.shape)
        height, width = random.integers(1, 25, 2)
        labels[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = random.integers(0, 12)

    for _ in range(12):
        blot()
    canvas = LiveCanvas(labels, PLAIN, small)
    for _ in range(4):
        blot()
        canvas.update(labels)
        np.testing.assert_array_equal(canvas._field, encode(labels))


@pytest.mark.parametrize("mpp", [0.125, 0.4])
def test_a_mask_of_another_scale(model: Model, mask: Callable[..., np.ndarray], mpp: float) -> None:
    labels = mask(200, 180, 30)
    canvas = LiveCanvas(labels, EXACT, model, mpp)
    assert any("resampled" in note.text for note in canvas.notes())
    _disc(labels, 100, 90, 8, 77)
    assert canvas.update(labels) is not None
    assert _far(canvas.pixels, _whole(labels, model, mpp=mpp)) <= 1


def test_stains_are_those_of_the_first_picture(
    model: Model, tiny_he: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    settings = EXACT.model_copy(update={"restain": "reference"})
    labels = tiny_he(200, 200, 40)[1]
    canvas = LiveCanvas(labels, settings, model)
    np.testing.assert_array_equal(canvas.pixels, _whole(labels, model, settings))
    before = canvas.pixels.copy()
    _disc(labels, 20, 20, 4, 99)
    box = canvas.update(labels)
    assert box is not None
    assert (canvas.pixels != before)[box.slices].any()


def test_a_mixing_network_paints_all_of_it(mixing_model: Model, mask: Callable[..., np.ndarray]) -> None:
    settings = SynthesisSettings(device="cpu", precision="float32")
    labels = mask(80, 64)
    canvas = LiveCanvas(labels, settings, mixing_model)
    _disc(labels, 20, 20, 4, 99)
    assert canvas.update(labels) == Box(0, 80, 0, 64)
    np.testing.assert_array_equal(canvas.pixels, _whole(labels, mixing_model, settings))


def test_what_is_no_mask_of_this_canvas(model: Model, mask: Callable[..., np.ndarray]) -> None:
    canvas = LiveCanvas(mask(40, 40), EXACT, model)
    with pytest.raises(LabelsError, match="begin a new canvas"):
        canvas.update(mask(40, 41))
    with pytest.raises(LabelsError, match="negative"):
        canvas.update(np.full((40, 40), -1))
