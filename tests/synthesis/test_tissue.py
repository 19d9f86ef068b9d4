"""Tissue maps with masks: in one picture, live, in tiles, and in data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.errors import LabelsError, ModelError, RecipeError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import read_image, read_labels, read_mpp, write_labels
from napari_nucleigan.masks.polygons import PolygonMasks, fit_tissue
from napari_nucleigan.models import Model, load_model
from napari_nucleigan.models.tissue import classes_on
from napari_nucleigan.synthesis import LiveCanvas, SetSettings, SynthesisSettings, synthesize, synthesize_set
from tissue_pictures import tissue_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Masks = Callable[..., NDArray[np.int32]]

SETTINGS = SynthesisSettings(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def statistics() -> PolygonMasks:
    pixels, labels, _ = tissue_picture(160)
    return fit_tissue([pixels], [labels], count=3)


@pytest.fixture
def knowing(save_synthesizer: Callable[..., Path], statistics: PolygonMasks) -> Model:
    """A small synthesizer of random weights that knows three classes of tissue."""
    assert statistics.layout is not None
    classes, masks = statistics.layout.classes.model_dump(mode="json"), statistics.model_dump(mode="json")
    return load_model(save_synthesizer("tissue-unet", tissue={"classes": classes, "masks": masks}), "synthesizer")


def _far(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.int_]:
    return np.abs(one.astype(int) - other).max(-1)


def test_the_picture_follows_the_tissue_where_it_differs(knowing: Model, mask: Masks) -> None:
    labels = mask(150, 330, 20)
    first = np.ones((10, 21), np.uint8)
    second = first.copy()
    second[4:, 15:] = 3
    unknown, one, other = (
        run(synthesize(labels, SETTINGS, knowing, tissue=each)).pixels for each in (None, first, second)
    )
    assert _far(unknown, one).mean() > 1
    changed = _far(one, other)
    assert changed[64:, 240:].mean() > 1
    halo = knowing.network.halo
    assert not (changed[:, : 240 - halo] > 1).any()


@pytest.mark.parametrize("shape", [(150, 330), (33, 17)])
def test_tiles_with_tissue_give_the_whole(knowing: Model, mask: Masks, shape: tuple[int, int]) -> None:
    labels = mask(*shape, 20)
    # Any map that covers the mask will do.
    tissue = np.random.default_rng(0).integers(0, 4, (7, 13))
    whole, tiled = (
        run(synthesize(labels, SETTINGS.model_copy(update={"tile": tile}), knowing, tissue=tissue)).pixels
        for tile in (4096, 64)
    )
    assert whole.shape == (*shape, 3)
    assert _far(whole, tiled).max() <= 1


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_a_live_picture_follows_the_tissue(knowing: Model, mask: Masks, mpp: float) -> None:
    labels = mask(170, 260, 20)
    tissue = np.ones((11, 17), np.int32)
    canvas = LiveCanvas(labels, SETTINGS, knowing, mpp, tissue=tissue)
    assert canvas.update_tissue(tissue) is None
    tissue[2, 12:] = 2
    box = canvas.update_tissue(tissue)
    assert box is not None
    fresh = LiveCanvas(labels, SETTINGS, knowing, mpp, tissue=tissue)
    assert _far(canvas.pixels, fresh.pixels).max() <= 1
    # Nuclei and tissue are followed side by side.
    labels = labels.copy()
    labels[40:60, 40:60] = labels.max() + 1
    assert canvas.update(labels) is not None
    assert _far(canvas.pixels, LiveCanvas(labels, SETTINGS, knowing, mpp, tissue=tissue).pixels).max() <= 1


def test_classes_that_the_model_does_not_know_are_refused(knowing: Model, mask: Masks) -> None:
    for tissue in (np.full((3, 3), 4), np.full((3, 3), -1), np.zeros((0, 3), int)):
        with pytest.raises(LabelsError):
            run(synthesize(mask(48, 48), SETTINGS, knowing, tissue=tissue))


def test_a_model_that_knows_none_says_so(model: Model, mask: Masks) -> None:
    plain = run(synthesize(mask(48, 48), SETTINGS, model))
    told = run(synthesize(mask(48, 48), SETTINGS, model, tissue=np.ones((3, 3), int)))
    assert (plain.pixels == told.pixels).all()
    assert any("knows no tissue" in note for note in told.notes)
    assert LiveCanvas(mask(48, 48), SETTINGS, model).update_tissue(np.ones((3, 3), int)) is None


def test_a_card_with_something_else(save_synthesizer: Callable[..., Path]) -> None:
    card = load_model(save_synthesizer("tissue-unet", tissue={"classes": [1, 2]})).card
    with pytest.raises(ModelError, match="tissue"):
        classes_on(card)


def test_a_set_like_what_the_model_learnt(knowing: Model, model: Model, tmp_path: Path) -> None:
    settings = SetSettings(count=3, size=80, like="model", device="cpu", seed=2)
    report = run(synthesize_set(tmp_path / "a", settings, model=knowing))
    assert report.made == 3
    for number in (1, 2, 3):
        tissue = tmp_path / "a" / "tissue" / f"pair-{number:05d}.tif"
        assert read_labels(tissue).shape == (5, 5)
        assert read_mpp(tissue) == pytest.approx(4)
    # The set is masks, tissue and all, for another one.
    again = SetSettings(style="liver", device="cpu")
    assert run(synthesize_set(tmp_path / "b", again, tmp_path / "a", knowing)).made == 3
    with pytest.raises(RecipeError, match="learnt of no masks"):
        run(synthesize_set(tmp_path / "c", settings, model=model))


def test_maps_beside_masks_are_painted_and_cut_with_them(knowing: Model, mask: Masks, tmp_path: Path) -> None:
    labels = mask(120, 200, 12)
    tissue = np.ones((8, 13), np.int32)
    tissue[:, 6:] = 3
    write_labels(tmp_path / "data" / "labels" / "a.tif", labels)
    write_labels(tmp_path / "data" / "tissue" / "a.tif", tissue, 4.0)
    run(synthesize_set(tmp_path / "out", SetSettings(device="cpu", precision="float32"), tmp_path / "data", knowing))
    painted = read_image(tmp_path / "out" / "images" / "a.png").pixels
    record = (tmp_path / "out" / "pairs.jsonl").read_text()
    assert '"name": "a"' in record
    assert (read_labels(tmp_path / "out" / "tissue" / "a.tif") == tissue).all()
    write_labels(tmp_path / "plain" / "labels" / "a.tif", labels)
    run(synthesize_set(tmp_path / "b", SetSettings(device="cpu", precision="float32"), tmp_path / "plain", knowing))
    assert _far(painted, read_image(tmp_path / "b" / "images" / "a.png").pixels).mean() > 1
    assert not (tmp_path / "b" / "tissue").exists()
    cut = SetSettings(device="cpu", count=4, size=64)
    run(synthesize_set(tmp_path / "cut", cut, tmp_path / "data", knowing))
    for path in (tmp_path / "cut" / "tissue").iterdir():
        cells = read_labels(path)
        assert cells.shape == (4, 4)
        assert set(np.unique(cells)) <= {1, 3}
        # The border between the two stays where it is, column by column.
        assert (cells == cells[0]).all() and (np.diff(cells[0]) >= 0).all()
