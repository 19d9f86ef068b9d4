from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.errors import DeviceError, LabelsError, OutputError, RecipeError
from napari_nucleigan.base.events import Note, Progress, run
from napari_nucleigan.data.datasets.dataset import Dataset, read_split
from napari_nucleigan.data.images.files import read_image, read_labels, write_labels
from napari_nucleigan.synthesis import SetSettings, SynthesisSettings, TiledGenerator, synthesize, synthesize_set
from napari_nucleigan.synthesis import datasets as module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.models import Model

SMALL = SetSettings(model="painter", device="cpu", precision="float32", size=64, count=20)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _changed(**values: object) -> SetSettings:
    return SMALL.model_copy(update=values)


def test_a_set_in_the_layout_of_a_data_set(tmp_path: Path, model: Model) -> None:
    events: list[object] = []
    report = run(synthesize_set(tmp_path / "out", SMALL, model=model), events.append)
    assert (report.made, report.kept, report.dropped, report.failed) == (20, 0, (), {})
    data = Dataset.open(tmp_path / "out")
    assert len(data) == 20
    lines = [json.loads(line) for line in (tmp_path / "out" / "pairs.jsonl").read_text().splitlines()]
    assert set(data.organs.values()) == {"breast", "kidney", "liver", "prostate"}
    styles = {line["organ"]: line["style"] for line in lines}
    assert (styles["breast"], styles["liver"]) == ("breast", "liver")
    image, labels = data.pair(data.names[0])
    assert image.pixels.shape == (64, 64, 3)
    assert labels.max() > 0
    assert image.mpp == 0.25
    assert len({path.read_bytes() for path in (tmp_path / "out" / "images").iterdir()}) == 20
    steps = [event for event in events if isinstance(event, Progress) and event.what == "painting pairs"]
    assert sorted({step.done for step in steps}) == [0, 8, 16, 20]
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert record["model"] == "painter"
    assert record["sha256"] == model.card.sha256
    assert [line["index"] for line in lines] == list(range(20))
    assert lines[0]["nuclei"] == labels.max()


def test_a_pair_can_be_painted_again_by_its_record(tmp_path: Path, model: Model) -> None:
    run(synthesize_set(tmp_path, SMALL.model_copy(update={"style": "breast", "count": 3}), model=model))
    line = json.loads((tmp_path / "pairs.jsonl").read_text().splitlines()[1])
    settings = SynthesisSettings(device="cpu", precision="float32", style="breast", seed=line["seed"])
    data = Dataset.open(tmp_path)
    image, labels = data.pair(line["name"])
    np.testing.assert_array_equal(run(synthesize(labels, settings, model)).pixels, image.pixels)


@pytest.mark.parametrize("stop_at", [1, 2])
def test_stopped_and_resumed_to_identical_bytes(tmp_path: Path, model: Model, stop_at: int) -> None:
    run(synthesize_set(tmp_path / "whole", SMALL, model=model))
    job = synthesize_set(tmp_path / "parts", SMALL, model=model)
    for event in job:
        if isinstance(event, Progress) and event.done >= 8 * stop_at:
            break
    job.close()
    # What was finished is a data set already.
    assert len(Dataset.open(tmp_path / "parts")) == len(read_split(tmp_path / "parts" / "split.csv")) < 20
    for name in list(_bytes(tmp_path / "parts"))[:1]:
        (tmp_path / "parts" / name).unlink()
    report = run(synthesize_set(tmp_path / "parts", SMALL, model=model))
    assert report.made + report.kept == 20
    assert _bytes(tmp_path / "parts") == _bytes(tmp_path / "whole")


def test_ctrl_c_when_a_pair_is_handed_over_to_be_written(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come at any moment; here it comes as soon as a thread has the pair, which it writes and records."""
    handed = 0
    submit = ThreadPoolExecutor.submit

    def interrupted(self: ThreadPoolExecutor, work: Callable[..., object], *arguments: object) -> object:
        nonlocal handed
        future = submit(self, work, *arguments)
        handed += work.__name__ == "_write"
        if handed == 11:
            handed += 1
            raise KeyboardInterrupt
        return future

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(synthesize_set(tmp_path / "out", SMALL, model=model))
    records = (tmp_path / "out" / "pairs.jsonl").read_text().splitlines()
    assert len(records) == len(Dataset.open(tmp_path / "out")) == len(read_split(tmp_path / "out" / "split.csv")) == 11


def test_batches_give_what_single_pictures_give(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU a group is one batch; here a CPU is asked for the same."""
    run(synthesize_set(tmp_path / "single", SMALL, model=model))
    monkeypatch.setattr(TiledGenerator, "on_cpu", False)
    run(synthesize_set(tmp_path / "batch", SMALL, model=model))
    for single in (tmp_path / "single" / "images").iterdir():
        other = read_image(tmp_path / "batch" / "images" / single.name).pixels
        assert np.abs(read_image(single).pixels.astype(int) - other).max() <= 1


def test_a_set_can_grow(tmp_path: Path, model: Model) -> None:
    run(synthesize_set(tmp_path / "grown", _changed(count=5), model=model))
    report = run(synthesize_set(tmp_path / "grown", SMALL, model=model))
    assert (report.made, report.kept) == (15, 5)
    run(synthesize_set(tmp_path / "whole", SMALL, model=model))
    assert _bytes(tmp_path / "grown") == _bytes(tmp_path / "whole")


def test_the_seed_changes_all(tmp_path: Path, model: Model) -> None:
    for seed in (0, 1):
        run(synthesize_set(tmp_path / str(seed), _changed(seed=seed, count=3), model=model))
    first, other = (_bytes(tmp_path / str(seed) / "images") for seed in (0, 1))
    assert not set(first.values()) & set(other.values())


class TestGivenMasks:
    @pytest.fixture
    def masks(self, tmp_path: Path, mask: Callable[..., np.ndarray]) -> Path:
        for name, shape in (("a", (50, 40)), ("b", (37, 101)), ("c", (1, 1))):
            write_labels(tmp_path / "masks" / f"{name}.tif", mask(*shape), 0.25)
        return tmp_path / "masks"

    def test_each_once(self, tmp_path: Path, model: Model, masks: Path) -> None:
        run(synthesize_set(tmp_path / "out", _changed(size=None, count=None), masks, model))
        data = Dataset.open(tmp_path / "out")
        assert data.names == ("a", "b", "c")
        for name in data.names:
            _, labels = data.pair(name)
            np.testing.assert_array_equal(labels, read_labels(masks / f"{name}.tif"))

    def test_several_pictures_of_each(self, tmp_path: Path, model: Model, masks: Path) -> None:
        run(synthesize_set(tmp_path / "out", _changed(size=None, count=5), str(masks), model))
        data = Dataset.open(tmp_path / "out")
        assert data.names == ("a", "a-2", "b", "b-2", "c")
        assert (data.image("a").pixels != data.image("a-2").pixels).any()
        np.testing.assert_array_equal(data.labels("a"), data.labels("a-2"))

    def test_into_their_own_folder(self, tmp_path: Path, model: Model, masks: Path) -> None:
        os.rename(masks, tmp_path / "labels")
        before = _bytes(tmp_path / "labels")
        settings = _changed(size=None, count=None)
        run(synthesize_set(tmp_path, settings, tmp_path, model))
        assert _bytes(tmp_path / "labels") == before
        assert run(synthesize_set(tmp_path, settings, tmp_path, model)).kept == 3
        assert len(Dataset.open(tmp_path)) == 3
        with pytest.raises(OutputError, match="one picture of each"):
            run(synthesize_set(tmp_path, _changed(size=None, count=4), tmp_path, model))

    def test_a_bad_mask_does_not_stop_the_others(self, tmp_path: Path, model: Model, masks: Path) -> None:
        (masks / "b.tif").write_bytes(b"nothing")
        events: list[object] = []
        report = run(synthesize_set(tmp_path / "out", _changed(size=None, count=None), masks, model), events.append)
        assert report.made == 2
        assert "b.tif" in report.failed["b"]
        assert any(isinstance(event, Note) and event.text.startswith("b: ") for event in events)

    def test_one_bad_mask_is_an_error(self, tmp_path: Path, model: Model, masks: Path) -> None:
        (masks / "b.tif").write_bytes(b"nothing")
        with pytest.raises(LabelsError, match=r"b\.tif"):
            run(synthesize_set(tmp_path / "out", _changed(count=None), masks / "b.tif", model))

    def test_of_another_scale(self, tmp_path: Path, model: Model, mask: Callable[..., np.ndarray]) -> None:
        write_labels(tmp_path / "a.tif", mask(60, 50), 0.5)
        run(synthesize_set(tmp_path / "out", _changed(size=None, count=None), tmp_path / "a.tif", model))
        image = read_image(tmp_path / "out" / "images" / "a.png")
        assert image.pixels.shape == (60, 50, 3)
        assert image.mpp == 0.5


class TestConsistency:
    def test_poor_pairs_are_drawn_again_and_some_are_left_out(
        self, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A network of random weights is scored in earnest; only the patience is shortened.
        monkeypatch.setattr(module, "ATTEMPTS", 3)
        monkeypatch.setattr(module, "GROUP", 4)
        run(synthesize_set(tmp_path / "free", _changed(count=8, min_consistency=0.0), model=model))
        lines = [json.loads(line) for line in (tmp_path / "free" / "pairs.jsonl").read_text().splitlines()]
        least = float(np.median([line["consistency"] for line in lines])) + 1e-4
        settings = _changed(count=8, min_consistency=least)
        report = run(synthesize_set(tmp_path / "kept", settings, model=model))
        assert report.redrawn > 0
        assert report.made + len(report.dropped) == 8
        lines = [json.loads(line) for line in (tmp_path / "kept" / "pairs.jsonl").read_text().splitlines()]
        kept = [line for line in lines if not line.get("dropped")]
        assert all(line["consistency"] >= least for line in kept)
        assert {path.stem for path in (tmp_path / "kept" / "images").iterdir()} == {line["name"] for line in kept}
        again = run(synthesize_set(tmp_path / "kept", settings, model=model))
        assert (again.made, again.kept, again.dropped) == (0, report.made, report.dropped)

    def test_the_score_is_that_of_the_quality_report(self, tmp_path: Path, model: Model) -> None:
        from napari_nucleigan.evaluation.synthetic import consistency
        from napari_nucleigan.models import load_model

        report = run(synthesize_set(tmp_path, _changed(count=2, min_consistency=0.0), model=model))
        data = Dataset.open(tmp_path)
        pairs = [data.pair(name) for name in data.names]
        scores = consistency(
            [image.pixels for image, _ in pairs],
            [labels for _, labels in pairs],
            load_model("nucleigan-he"),
            device="cpu",
        )
        assert report.consistency == pytest.approx(scores.mean(), abs=1e-3)


def test_validation_has_its_share_and_no_pair_changes_sides(tmp_path: Path, model: Model) -> None:
    for count in (10, 20):
        run(synthesize_set(tmp_path, _changed(count=count, validation=0.3), model=model))
        data = Dataset.open(tmp_path)
        held = {name for name, split in data.splits.items() if split == "val"}
        assert len(held) == 0.3 * count
        assert {name for name in held if name <= "pair-00010"} == {"pair-00004", "pair-00007", "pair-00010"}


def test_all_organs_validate(tmp_path: Path, model: Model) -> None:
    run(synthesize_set(tmp_path, _changed(count=16, size=16, validation=0.25), model=model))
    data = Dataset.open(tmp_path)
    assert sorted(data.organs[name] for name in data.subset("val").names) == ["breast", "kidney", "liver", "prostate"]


def test_masks_that_came_in_between_are_not_taken_for_others(
    tmp_path: Path, model: Model, mask: Callable[..., NDArray[np.int32]]
) -> None:
    for name in ("b", "c"):
        write_labels(tmp_path / "masks" / f"{name}.tif", mask(32, 32))
    asked = _changed(count=None, size=None)
    run(synthesize_set(tmp_path / "out", asked, tmp_path / "masks", model))
    write_labels(tmp_path / "masks" / "d.tif", mask(32, 32))
    assert run(synthesize_set(tmp_path / "out", asked, tmp_path / "masks", model)).made == 1
    write_labels(tmp_path / "masks" / "a.tif", mask(32, 32))
    with pytest.raises(OutputError, match="from other masks: 'b' was there where 'a' is now"):
        run(synthesize_set(tmp_path / "out", asked, tmp_path / "masks", model))


def test_what_a_set_needs_to_know(tmp_path: Path, model: Model) -> None:
    with pytest.raises(RecipeError, match="how many pairs"):
        run(synthesize_set(tmp_path / "out", _changed(count=None), model=model))
    assert not (tmp_path / "out").exists()


def test_faults_of_the_network_keep_what_is_finished(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = model.network.forward, []

    def fails_later(*arguments: object) -> object:
        calls.append(1)
        if len(calls) > 12:
            raise RuntimeError("kernel panic")
        return forward(*arguments)

    monkeypatch.setattr(model.network, "forward", fails_later)
    with pytest.raises(DeviceError, match="kernel panic"):
        run(synthesize_set(tmp_path / "out", SMALL, model=model))
    assert len(Dataset.open(tmp_path / "out")) == 8


def test_a_disk_that_refuses_is_one_clear_error(tmp_path: Path, model: Model) -> None:
    job = synthesize_set(tmp_path / "out", SMALL, model=model)
    for event in job:
        if isinstance(event, Progress) and event.what == "painting pairs":
            break
    (tmp_path / "out" / "images").rmdir()
    (tmp_path / "out" / "images").write_bytes(b"in the way")
    with pytest.raises(OutputError, match=r"Cannot write .*images"):
        run(job)
