from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.masks.polygons import PolygonMasks, describe, preset, save
from napari_nucleigan.models import ModelCard
from napari_nucleigan.synthesis.mask_sources import open_source
from napari_nucleigan.synthesis.settings import SetSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


CARD = ModelCard(name="any", kind="synthesizer", architecture={"name": "painter"}, mpp=0.25)


@pytest.fixture
def folder(tmp_path: Path, mask: Callable[..., np.ndarray]) -> Path:
    """Three label images of a data set, one with another scale."""
    for index, name in enumerate("abc"):
        write_labels(tmp_path / "labels" / f"{name}.tif", mask(90, 70, 8, index), 0.5 if name == "c" else None)
    (tmp_path / "split.csv").write_text("name,organ,split\na,liver,test\n")
    return tmp_path


class TestDrawn:
    def test_masks_follow_number_attempt_and_seed(self) -> None:
        source = open_source(None, SetSettings(size=96), CARD)
        masks = [source.mask(index, attempt).labels for index, attempt in ((0, 0), (0, 0), (1, 0), (0, 1))]
        other = open_source(None, SetSettings(size=96, seed=1), CARD).mask(0, 0).labels
        assert masks[0].shape == (96, 96)
        np.testing.assert_array_equal(masks[0], masks[1])
        for one in (*masks[2:], other):
            assert (one != masks[0]).any()
        assert source.count is None

    def test_a_preset_lends_its_name(self) -> None:
        assert {open_source(None, SetSettings(like="liver"), CARD).organ(index) for index in range(9)} == {"liver"}

    def test_all_organs_take_turns(self) -> None:
        source = open_source(None, SetSettings(), CARD)
        assert [source.organ(index) for index in range(5)] == ["breast", "kidney", "liver", "prostate", "breast"]
        nuclei = [source.mask(index, 0).labels.max() for index in range(40)]
        assert np.mean(nuclei[1::4]) > np.mean(nuclei[2::4])  # kidney is more crowded than liver

    def test_like_a_folder(self, folder: Path, mask: Callable[..., np.ndarray]) -> None:
        for path in (folder / "labels").iterdir():
            write_labels(path, mask(400, 400, 200), 0.25)
        (folder / "split.csv").write_text("name,organ,split\na,liver,train\n")
        source = open_source(None, SetSettings(like=str(folder), size=400), CARD)
        assert [source.organ(index) for index in range(3)] == ["", "liver", ""]
        drawn = describe(source.mask(0, 0).labels, 0.25)
        given = describe(mask(400, 400, 200), 0.25)
        assert abs(np.median(drawn.area) / np.median(given.area) - 1) < 0.3

    def test_by_statistics(self) -> None:
        source = open_source(PolygonMasks(density=0), SetSettings(), CARD)
        assert not source.mask(0, 0).labels.any()
        assert source.record()["drawn"][""]["density"] == 0
        assert source.organ(0) == ""

    def test_the_scale_of_the_settings_counts(self) -> None:
        coarse = open_source(preset("liver"), SetSettings(mpp=0.5), CARD).mask(0, 0)
        assert coarse.mpp == 0.5
        assert coarse.labels.max() > open_source(preset("liver"), SetSettings(), CARD).mask(0, 0).labels.max()

    def test_by_saved_statistics(self, tmp_path: Path) -> None:
        save(preset("liver").changed(density=3000), tmp_path / "mine.json")
        like = open_source(None, SetSettings(like=str(tmp_path / "mine.json")), CARD)
        given = open_source(tmp_path / "mine.json", SetSettings(), CARD)
        assert like.count is given.count is None
        np.testing.assert_array_equal(like.mask(3, 0).labels, given.mask(3, 0).labels)

    def test_like_nothing(self) -> None:
        with pytest.raises(RecipeError, match=r"'spleen': .* all, breast"):
            open_source(None, SetSettings(like="spleen"), CARD)


class TestGiven:
    def test_whole_masks_with_what_the_split_says(self, folder: Path) -> None:
        source = open_source(folder, SetSettings(), CARD)
        assert (source.count, source.steady) == (3, False)
        assert [source.name(index) for index in range(5)] == ["a", "b", "c", "a-2", "b-2"]
        assert [(source.organ(index), source.split(index)) for index in (0, 1, 3)] == [
            ("liver", "test"),
            ("", ""),
            ("liver", "test"),
        ]
        assert source.mask(0, 0).mpp is None
        assert source.mask(2, 0).mpp == pytest.approx(0.5)
        assert source.file(1) == folder / "labels" / "b.tif"
        assert source.file(4) is None

    def test_cut_at_places_that_the_seed_draws(self, folder: Path) -> None:
        source = open_source(folder, SetSettings(size=32), CARD)
        cuts = [source.mask(*place).labels for place in ((0, 0), (0, 0), (3, 0), (0, 1))]
        assert {cut.shape for cut in cuts} == {(32, 32)}
        np.testing.assert_array_equal(cuts[0], cuts[1])
        assert len({cut.tobytes() for cut in cuts}) == 3
        assert source.file(0) is None

    def test_small_masks_are_filled_up_with_background(self, folder: Path) -> None:
        labels = open_source(folder, SetSettings(size=100), CARD).mask(0, 0).labels
        assert labels.shape == (100, 100)
        assert not labels[90:].any()

    def test_names_never_meet(self, tmp_path: Path) -> None:
        for name in ("a", "a-2"):
            write_labels(tmp_path / f"{name}.tif", np.ones((5, 5), int))
        source = open_source(tmp_path, SetSettings(), CARD)
        names = [source.name(index) for index in range(8)]
        assert len(set(names)) == 8

    def test_two_of_one_name(self, tmp_path: Path) -> None:
        write_labels(tmp_path / "a.tif", np.ones((5, 5), int))
        (tmp_path / "a.png").write_bytes(b"")
        with pytest.raises(LabelsError, match="two label images called 'a'"):
            open_source(tmp_path, SetSettings(), CARD)

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(LabelsError, match="no label images"):
            open_source(tmp_path, SetSettings(), CARD)
        with pytest.raises(LabelsError, match="no masks at"):
            open_source(tmp_path / "x", SetSettings(), CARD)
