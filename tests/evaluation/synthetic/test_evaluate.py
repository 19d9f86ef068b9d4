"""Real pictures, and real pictures spoilt in one way each: every figure must tell what it is there to tell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from napari_nucleigan.base.errors import DatasetError, RecipeError
from napari_nucleigan.base.events import Note, Progress, run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.evaluation.synthetic import QualitySettings, evaluate, evaluate_synthetic
from napari_nucleigan.evaluation.synthetic.appearance import Colours, Texture
from napari_nucleigan.evaluation.synthetic.measure import SetMeasurements, crop_places
from napari_nucleigan.networks import encoders

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Pair

    from napari_nucleigan.evaluation.synthetic import QualityReport
    from napari_nucleigan.models import Model

SETTINGS = QualitySettings(device="cpu", crop=128, views=1, subsets=20)


def _blurred(pixels: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(pixels, (2, 2, 0))


def _checkered(pixels: np.ndarray) -> np.ndarray:
    squares = np.indices(pixels.shape[:2]).sum(0) // 2 % 2
    return np.clip(pixels + 12.0 * squares[..., None] - 6, 0, 255).astype(np.uint8)


def _of_one_colour(pixels: np.ndarray) -> np.ndarray:
    values = pixels.astype(float)
    moved = (values - values.mean((0, 1))) / values.std((0, 1)) * 35 + [180, 120, 170]
    return np.clip(moved, 0, 255).astype(np.uint8)


SPOILT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "real": lambda pixels: pixels,
    "blurred": _blurred,
    "checkered": _checkered,
    "one colour": _of_one_colour,
}


@pytest.fixture(scope="module")
def sets(
    tmp_path_factory: pytest.TempPathFactory,
    tiles: dict[str, tuple[Pair, Pair]],
    write_set: Callable[..., Path],
) -> dict[str, Dataset]:
    """The real set, and for each way of spoiling one of other places of the same tiles."""
    folder = tmp_path_factory.mktemp("sets")
    found = {"truth": write_set(folder / "truth", {name: first for name, (first, _) in tiles.items()})}
    for what, spoil in SPOILT.items():
        pairs = {name: (spoil(image), mask) for name, (_, (image, mask)) in tiles.items()}
        found[what] = write_set(folder / what, pairs)
    masks = [mask for _, (_, mask) in tiles.values()]
    images = [image for _, (image, _) in tiles.values()]
    swapped = dict(zip(tiles, zip(images, masks[1:] + masks[:1], strict=True), strict=True))
    found["other masks"] = write_set(folder / "other masks", swapped)
    return {what: Dataset.open(path) for what, path in found.items()}


@pytest.fixture(scope="module")
def reports(sets: dict[str, Dataset], segmenter: Model) -> dict[str, QualityReport]:
    return {
        what: run(evaluate_synthetic(data, sets["truth"], SETTINGS, segmenter=segmenter))
        for what, data in sets.items()
        if what != "truth"
    }


class TestFigures:
    def test_real_pictures_pass_for_real(self, reports: dict[str, QualityReport]) -> None:
        report = reports["real"]
        assert report.kid_ratio < 1.5
        assert report.comparison.accuracy < 0.75
        assert report.synthetic.consistency > 0.5
        assert report.synthetic.diversity == pytest.approx(report.real.diversity, rel=0.3)
        assert report.synthetic.sharpness == pytest.approx(report.real.sharpness, rel=0.3)
        assert max(report.synthetic.grid.values()) < 0.3

    def test_a_blur_is_seen(self, reports: dict[str, QualityReport]) -> None:
        real, blurred = reports["real"], reports["blurred"]
        assert blurred.synthetic.sharpness < 0.6 * real.synthetic.sharpness
        assert blurred.synthetic.slope < real.synthetic.slope - 1
        assert blurred.comparison.fine_kid > 5 * real.comparison.fine_kid
        assert blurred.comparison.kid > real.comparison.kid
        assert blurred.comparison.pretrained_kid > 5 * max(real.comparison.pretrained_kid, 0)
        assert blurred.comparison.accuracy > 0.85

    def test_a_grid_is_seen(self, reports: dict[str, QualityReport]) -> None:
        real, checkered = reports["real"], reports["checkered"]
        assert checkered.synthetic.grid[4] > 0.8 > 0.3 > real.synthetic.grid[4]
        assert checkered.comparison.fine_kid > real.comparison.fine_kid
        assert checkered.comparison.accuracy > real.comparison.accuracy + 0.1
        assert checkered.synthetic.diversity == pytest.approx(real.synthetic.diversity, rel=0.1)

    def test_a_collapse_of_colour_is_seen(self, reports: dict[str, QualityReport]) -> None:
        real, one = reports["real"], reports["one colour"]
        assert one.synthetic.diversity < 0.6 * real.synthetic.diversity
        assert one.comparison.colour["stroma"] > real.comparison.colour["stroma"]
        assert max(one.synthetic.grid.values()) < 0.3

    def test_a_collapse_to_one_picture_is_seen(
        self,
        tmp_path: Path,
        tiles: dict[str, tuple[Pair, Pair]],
        write_set: Callable[..., Path],
        reports: dict[str, QualityReport],
        sets: dict[str, Dataset],
        segmenter: Model,
    ) -> None:
        _, pair = next(iter(tiles.values()))
        one = write_set(tmp_path / "one", dict.fromkeys(list(tiles)[:4], pair))
        found = run(evaluate_synthetic(one, sets["truth"], SETTINGS, segmenter=segmenter)).synthetic
        real = reports["real"].synthetic
        assert found.deep_diversity < 0.9 * real.deep_diversity
        assert found.diversity < 0.6 * real.diversity

    def test_masks_that_are_not_theirs_are_seen(self, reports: dict[str, QualityReport]) -> None:
        real, others = reports["real"], reports["other masks"]
        assert others.synthetic.consistency < 0.2 < 0.5 < real.synthetic.consistency
        assert others.synthetic.share(0.5) == 0
        assert others.comparison.kid == real.comparison.kid
        assert others.synthetic.sharpness == real.synthetic.sharpness


class TestReport:
    def test_is_json(self, reports: dict[str, QualityReport]) -> None:
        record = json.loads(json.dumps(reports["blurred"].to_json(), allow_nan=False))
        assert record["synthetic"]["images"] == record["real"]["images"] == 8
        assert record["synthetic"]["crops"] == 32
        assert len(record["synthetic"]["scores"]) == 8
        assert record["kid_ratio"] == pytest.approx(record["comparison"]["kid"] / record["reference"]["kid"])
        assert record["provenance"]["segmenter"]["sha256"]
        assert record["provenance"]["pretrained"] == "efficientnet-lite0, imagenet"
        assert 0 < record["comparison"]["accuracy_std"] < 0.2

    def test_tables_have_every_figure(self, reports: dict[str, QualityReport]) -> None:
        (header, rows), (titles, distances) = reports["real"].tables()
        assert header == ["figure", "synthetic", "real"]
        assert titles == ["distance", "synthetic to real", "real: half to half", "ratio"]
        assert {len(row) for row in rows} == {3}
        assert {len(row) for row in distances} == {4}

    def test_what_cannot_be_known_is_a_dash_and_null(self, reports: dict[str, QualityReport]) -> None:
        report = reports["real"]
        unknown = replace(report.comparison, accuracy=float("nan"), colour={"nuclei": float("nan"), "stroma": 1.0})
        lonely = replace(report, comparison=unknown, reference=None)
        record = lonely.to_json()
        assert record["comparison"]["accuracy"] is None
        assert record["comparison"]["colour"] == {"nuclei": None, "stroma": 1.0}
        assert record["reference"] is record["kid_ratio"] is None
        header, rows = lonely.tables()[1]
        assert header == ["distance", "synthetic to real"]
        assert [row[1] for row in rows if row[0] in ("colour of nuclei", "told apart (0.5 = never)")] == ["-", "-"]

    def test_the_same_again_is_the_same(
        self, reports: dict[str, QualityReport], sets: dict[str, Dataset], segmenter: Model
    ) -> None:
        again = run(evaluate_synthetic(sets["real"].folder, sets["truth"].folder, SETTINGS, segmenter=segmenter))
        assert again.to_json() == reports["real"].to_json()


class TestReference:
    def test_splits_of_the_real_set_are_compared(self, sets: dict[str, Dataset], segmenter: Model) -> None:
        real = sets["truth"]
        splits = {name: "val" if index % 2 else "train" for index, name in enumerate(real.names)}
        report = run(evaluate_synthetic(sets["real"], replace(real, splits=splits), SETTINGS, segmenter=segmenter))
        assert report.reference is not None
        assert report.reference.what == "real: train to val"
        assert report.reference.kid_std > 0

    def test_test_images_are_left_alone_unless_asked_for(self, sets: dict[str, Dataset], segmenter: Model) -> None:
        real = sets["truth"]
        splits = {name: "test" if index < 4 else "train" for index, name in enumerate(real.names)}
        held = replace(real, splits=splits)
        report = run(evaluate_synthetic(sets["real"], held, SETTINGS, segmenter=segmenter))
        assert set(report.real.scores) == set(real.names[4:])
        asked = run(evaluate_synthetic(sets["real"], held, SETTINGS, split="test", segmenter=segmenter))
        assert set(asked.real.scores) == set(real.names[:4])
        assert asked.reference is not None
        assert asked.reference.what == "real: train to test"
        assert asked.real.images == 4
        alone = held.only(real.names[:4])
        lonely = run(evaluate_synthetic(sets["real"], alone, SETTINGS, split="test", segmenter=segmenter))
        assert lonely.reference is None
        assert any("too few images for a reference" in note for note in lonely.notes)
        assert lonely.comparison.kid == pytest.approx(asked.comparison.kid)
        with pytest.raises(DatasetError, match="no images of the split 'none'"):
            run(evaluate_synthetic(sets["real"], held, SETTINGS, split="none", segmenter=segmenter))

    def test_images_that_train_are_not_compared_with_themselves(self) -> None:
        names, random = tuple("abcdefgh"), np.random.default_rng(0)
        data = Dataset(Path(), names, dict.fromkeys(names, "liver"), dict.fromkeys(names, "train"))
        groups = np.repeat(np.arange(8), 4)
        colours = tuple(Colours(random.integers(1, 9, (2, 3, 480))) for _ in names)
        true = SetMeasurements(
            names,
            groups,
            {"deep": random.normal(size=(32, 4)), "fine": random.normal(size=(32, 4))},
            random.uniform(size=32),
            random.uniform(size=(32, 2, 3)),
            colours,
            Texture(),
            random.uniform(size=32),
        )
        halved = replace(data, splits={name: "val" if name < "e" else "train" for name in names})
        # Nor are splits compared that have fewer crops than a subset asks for.
        for one, held, subset in ((data, "train", None), (halved, "val", 20)):
            settings = SETTINGS.model_copy(update={"subset_size": subset})
            reference = evaluate._reference(true, one, [], held, settings)
            assert reference is not None
            assert reference.what == "real: half to half"


class TestWithoutThePretrainedEncoder:
    def test_it_is_left_out_and_said(
        self, sets: dict[str, Dataset], segmenter: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encoders, "find_spec", lambda name: None)
        few = sets["real"].only(sets["real"].names[:4])
        report = run(evaluate_synthetic(few, sets["truth"], SETTINGS, segmenter=segmenter))
        assert any("left out" in note and "pip install 'napari-nucleigan[pretrained]'" in note for note in report.notes)
        assert report.to_json()["comparison"]["pretrained_kid"] is None
        assert report.provenance["pretrained"] is None
        cells = [row for row in report.tables()[1][1] if row[0].startswith("KID, pretrained")]
        assert cells == [["KID, pretrained encoder (x1000)", "-", "-", "-"]]


class TestJob:
    def test_progress_counts_every_image(self, sets: dict[str, Dataset], segmenter: Model) -> None:
        events: list[object] = []
        run(evaluate_synthetic(sets["real"], sets["truth"], SETTINGS, segmenter=segmenter), events.append)
        steps = [event for event in events if isinstance(event, Progress)]
        assert [step.done for step in steps] == sorted(step.done for step in steps)
        assert {step.total for step in steps} == {16}
        assert steps[-1].done == 16

    def test_closing_stops_it(self, sets: dict[str, Dataset], segmenter: Model) -> None:
        job = evaluate_synthetic(sets["real"], sets["truth"], SETTINGS, segmenter=segmenter)
        for event in job:
            if isinstance(event, Progress) and event.done == 2:
                break
        job.close()
        with pytest.raises(StopIteration):
            next(job)

    def test_other_mixes_of_organs_are_said(self, sets: dict[str, Dataset], segmenter: Model) -> None:
        few = sets["real"].only(sets["real"].names[:4])
        notes: list[str] = []
        run(
            evaluate_synthetic(few, sets["truth"], SETTINGS, segmenter=segmenter),
            lambda event: notes.append(event.text) if isinstance(event, Note) else None,
        )
        assert any("mix organs differently" in note and "breast 50%" in note for note in notes)


class TestBadInput:
    def test_too_few_crops_are_refused(self, sets: dict[str, Dataset], segmenter: Model) -> None:
        few = sets["real"].only(sets["real"].names[:2])
        with pytest.raises(DatasetError, match=r"8 crops of 128x128 .* needs 16 or more"):
            run(evaluate_synthetic(few, sets["truth"], SETTINGS, segmenter=segmenter))

    def test_images_smaller_than_a_crop_are_refused(self, sets: dict[str, Dataset], segmenter: Model) -> None:
        larger = SETTINGS.model_copy(update={"crop": 512})
        with pytest.raises(DatasetError, match=r"256x256 pixels .* no crop of 512x512"):
            run(evaluate_synthetic(sets["real"], sets["truth"], larger, segmenter=segmenter))

    def test_what_is_no_data_set_is_refused(self, tmp_path: Path, sets: dict[str, Dataset], segmenter: Model) -> None:
        with pytest.raises(DatasetError, match="is not a data set"):
            run(evaluate_synthetic(tmp_path, sets["truth"], SETTINGS, segmenter=segmenter))

    def test_settings_are_checked(self) -> None:
        with pytest.raises(RecipeError, match="crop"):
            QualitySettings.checked(crop=100)


def test_sets_at_other_scales_are_brought_to_one(
    tmp_path: Path, tiles: dict[str, tuple[Pair, Pair]], segmenter: Model, sets: dict[str, Dataset]
) -> None:
    import tifffile

    folder = tmp_path / "coarse"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for name, (_, (image, mask)) in tiles.items():
        halved = image.reshape(128, 2, 128, 2, 3).mean((1, 3)).astype(np.uint8)
        density = (1e4 / 0.5, 1e4 / 0.5)
        tifffile.imwrite(folder / "images" / f"{name}.tif", halved, resolution=density, resolutionunit="CENTIMETER")
        write_labels(folder / "labels" / f"{name}.tif", mask[::2, ::2], 0.5)
    report = run(evaluate_synthetic(folder, sets["truth"], SETTINGS, segmenter=segmenter))
    assert report.synthetic.crops == report.real.crops == 32
    assert report.synthetic.consistency > 0.4
    assert report.synthetic.sharpness < 0.8 * report.real.sharpness


@pytest.mark.parametrize("crop", [64, 128, 256])
def test_crops_cover_an_image_evenly(crop: int) -> None:
    for length in range(crop, 1100, 29):
        starts = [top for top, left in crop_places((length, crop), crop)]
        assert all(start % 8 == 0 and start + crop <= length for start in starts)
        assert starts[0] == 0
        steps = np.diff(starts)
        assert (steps >= crop - crop // 8 - 8).all()
        assert (steps < 2 * crop).all()
        assert length - (starts[-1] + crop) < crop
    assert crop_places((crop - 1, 1000), crop) == []
