from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import tifffile

from napari_nucleigan.base.errors import DatasetError, DeviceError, ModelError, RecipeError, RunError
from napari_nucleigan.base.events import Checkpoint, Losses, Note, Progress, run
from napari_nucleigan.comparison import METHODS, MethodComparison, compare, experiment
from napari_nucleigan.evaluation import evaluate_folders
from napari_nucleigan.models import load_model
from napari_nucleigan.synthesis import SetSettings
from napari_nucleigan.training import RunFolder
from napari_nucleigan.training.runs.status import RunState, state_of

if TYPE_CHECKING:
    from pathlib import Path

    Compared = tuple[Path, MethodComparison]


@pytest.fixture
def copied(compared: Compared, tmp_path: Path) -> Path:
    """A copy of what three methods have left, to be tampered with."""
    return shutil.copytree(compared[0], tmp_path / "copy")


def test_every_method_is_trained_alike_and_tested_on_the_test_images(compared: Compared, tested_set: Path) -> None:
    folder, comparison = compared
    assert [outcome.method.name for outcome in comparison.outcomes] == ["cnn3", "cgan", "cgan-both"]
    assert list(comparison.organs) == ["tile4", "tile5", "tile6"]
    for outcome in comparison.outcomes:
        (trial,) = outcome.trials
        assert list(trial.images) == ["tile4", "tile5", "tile6"]
        assert (trial.budget.epochs, trial.budget.steps, trial.budget.crops) == (2, 4, 8)
        assert trial.budget.training + trial.budget.validation == 4
        assert trial.budget.where == "cpu in float32"
        assert not trial.differences
        assert load_model(folder / "runs" / outcome.method.name, "segmenter").card.sha256 == trial.sha256
    assert [outcome.trials[0].budget.synthetic for outcome in comparison.outcomes] == [0, 0, 4]
    assert comparison.notes == ()
    # The same figures as the command for any two folders gives.
    report = run(evaluate_folders(folder / "predictions" / "cgan", tested_set, split="test"))
    found = comparison.outcomes[1]
    assert comparison.mean(found, "aji") == pytest.approx(report.mean["aji"])
    assert comparison.mean(found, "f1", "liver") == pytest.approx(report.organs["liver"]["f1"])


def test_what_is_there_is_not_done_again(
    compared: Compared, copied: Path, tested_set: Path, tiny_changes: dict[str, Any]
) -> None:
    (copied / "predictions" / "cgan" / "tile5.tif").unlink()
    kept = copied / "predictions" / "cgan" / "tile4.tif"
    before = kept.stat().st_mtime_ns
    events: list[Any] = []
    # The epochs are those of the runs that are there.
    job = compare(tested_set, copied, ["cnn3", "cgan"], changes=tiny_changes)
    comparison = run(job, events.append)
    assert not [event for event in events if isinstance(event, Losses | Checkpoint)]
    assert {event.what for event in events if isinstance(event, Progress) and "segmenting" in event.what} == {
        "cgan: segmenting tile5"
    }
    assert kept.stat().st_mtime_ns == before
    assert comparison.outcomes[1].trials[0].to_json() == compared[1].outcomes[1].trials[0].to_json()


def test_predictions_of_an_earlier_model_are_made_anew(
    copied: Path, tested_set: Path, tiny_changes: dict[str, Any]
) -> None:
    # As if the run had been removed and trained again.
    shutil.rmtree(copied / "runs" / "cgan")
    shutil.copytree(copied / "runs" / "cgan-both", copied / "runs" / "cgan")
    labels = copied / "predictions" / "cgan" / "tile4.tif"
    before = labels.stat().st_mtime_ns
    job = compare(tested_set, copied, ["cgan", "cgan-both"], changes=tiny_changes, train=False)
    comparison = run(job)
    assert labels.stat().st_mtime_ns != before
    one, other = (tifffile.imread(copied / "predictions" / name / "tile4.tif") for name in ("cgan", "cgan-both"))
    assert (one == other).all()
    # That this run is not what its name says is told.
    assert comparison.outcomes[0].trials[0].differences == {"synthetic_share": (0.5, 0.0)}
    assert "conditional GAN, seed 0: synthetic_share is 0.5, not 0.0." in comparison.notes


def test_what_was_trained_and_tested_elsewhere_is_reported(
    copied: Path, tested_set: Path, tiny_changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any) -> Any:
        raise ModelError("The model cannot be used here.")

    # As where the package that the network needs is not installed.
    monkeypatch.setattr(experiment, "load_model", load)
    (trial,) = run(compare(tested_set, copied, ["cnn3"], changes=tiny_changes, train=False)).outcomes[0].trials
    monkeypatch.undo()
    network = load_model(copied / "runs" / "cnn3", "segmenter").network
    assert trial.parameters == sum(each.numel() for each in network.parameters())
    monkeypatch.setattr(experiment, "load_model", load)
    (copied / "predictions" / "cnn3" / "tile4.tif").unlink()
    bad, good = run(compare(tested_set, copied, ["cnn3", "cgan"], changes=tiny_changes, train=False)).outcomes
    assert (bad.trials, bad.reason) == ((), "The model cannot be used here.")
    assert good.trials


def test_a_stopped_comparison_goes_on(tmp_path: Path, tested_set: Path, tiny_changes: dict[str, Any]) -> None:
    def job() -> Any:
        return compare(tested_set, tmp_path, ["u-net"], epochs=(2, 1), changes=tiny_changes)

    begun = job()
    for event in begun:
        if isinstance(event, Checkpoint):
            break
    begun.close()
    folder = RunFolder(tmp_path / "runs" / "u-net")
    assert state_of(folder).state is RunState.STOPPED
    waiting = run(compare(tested_set, tmp_path, ["u-net", "dist"], changes=tiny_changes, train=False))
    assert [outcome.reason for outcome in waiting.outcomes] == [
        "its training is stopped after 2 steps",
        "its training has not been started",
    ]
    comparison = run(job())
    assert [event.step for event in folder.events() if isinstance(event, Losses)] == [6]
    assert comparison.outcomes[0].trials[0].budget.steps == 6
    assert not comparison.outcomes[0].reason


def test_each_seed_is_a_run_of_its_own(tmp_path: Path, tested_set: Path, tiny_changes: dict[str, Any]) -> None:
    job = compare(tested_set, tmp_path, ["u-net"], epochs=(1, 0), seeds=(0, 3), changes=tiny_changes)
    comparison = run(job)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["u-net", "u-net-seed3"]
    (outcome,) = comparison.outcomes
    assert [trial.seed for trial in outcome.trials] == [0, 3]
    means = [sum(scores.dice for scores in trial.images.values()) / 3 for trial in outcome.trials]
    assert comparison.mean(outcome, "dice") == pytest.approx(sum(means) / 2)


def test_synthetic_pairs_are_painted_where_a_method_needs_them(
    tmp_path: Path, tested_set: Path, tiny_changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "PAIRS", SetSettings(count=2, size=64))
    comparison = run(compare(tested_set, tmp_path, ["cgan-synthetic"], epochs=(1, 0), changes=tiny_changes))
    assert len(list((tmp_path / "synthetic" / "images").glob("*.png"))) == 2
    (trial,) = comparison.outcomes[0].trials
    assert trial.budget.synthetic == 2
    assert trial.budget.validation > 0


def test_a_run_that_was_broken_off_goes_on_with_its_own_pairs(
    tmp_path: Path, tested_set: Path, tiny_changes: dict[str, Any]
) -> None:
    job = compare(tested_set, tmp_path, ["cgan-both"], epochs=(2, 1), synthetic=tested_set, changes=tiny_changes)
    for event in job:
        if isinstance(event, Checkpoint):
            break
    job.close()
    assert run(compare(tested_set, tmp_path, ["cgan-both"], changes=tiny_changes)).outcomes[0].trials
    assert not (tmp_path / "synthetic").exists()


def test_a_method_that_fails_does_not_stop_the_others(
    tmp_path: Path, tested_set: Path, tiny_changes: dict[str, Any]
) -> None:
    pairs = shutil.copytree(tested_set, tmp_path / "pairs")
    for file in (pairs / "labels").iterdir():
        file.write_bytes(b"cut short")
    notes: list[str] = []
    job = compare(
        tested_set,
        tmp_path / "out",
        ["cgan-both", "u-net"],
        epochs=(1, 0),
        synthetic=pairs,
        changes=tiny_changes,
    )
    comparison = run(job, lambda event: notes.append(event.text) if isinstance(event, Note) else None)
    bad, good = comparison.outcomes
    assert bad.failed
    assert "labels" in bad.reason
    assert good.trials
    assert not good.failed
    assert any(note.startswith("cgan-both (1 of 2): ") and "Cannot read" in note for note in notes)


def test_pairs_that_are_none_are_said_before_anything_is_trained(
    tmp_path: Path, tested_set: Path, tiny_changes: dict[str, Any]
) -> None:
    (tmp_path / "empty").mkdir()
    job = compare(tested_set, tmp_path / "out", ["u-net"], synthetic=tmp_path / "empty", changes=tiny_changes)
    with pytest.raises(DatasetError, match="no folder 'images'"):
        run(job)
    assert not (tmp_path / "out").exists()


def test_runs_that_are_something_else_are_refused(
    copied: Path, tmp_path: Path, tested_set: Path, tiny_changes: dict[str, Any]
) -> None:
    with pytest.raises(RunError, match="epochs_constant is 1, not 5"):
        run(compare(tested_set, copied, ["cnn3"], epochs=(5, 1), changes=tiny_changes))
    others = shutil.copytree(tested_set, tmp_path / "pairs")
    with pytest.raises(RunError, match=r"cgan-both was trained with the synthetic pairs of .*, not with .*pairs\."):
        run(compare(tested_set, copied, ["cgan-both"], synthetic=others, changes=tiny_changes))
    # Pairs that have moved are the same; without any named, a run that is there keeps its own.
    record = json.loads((copied / "runs" / "cgan-both" / "data.json").read_text())
    record["synthetic"]["folder"] = str(tmp_path / "gone")
    (copied / "runs" / "cgan-both" / "data.json").write_text(json.dumps(record))
    assert run(compare(tested_set, copied, ["cgan-both"], synthetic=others, changes=tiny_changes)).outcomes[0].trials
    with pytest.raises(RecipeError, match="no method 'vgg'; choose of fcn, u-net"):
        run(compare(tested_set, copied, ["vgg"]))
    with pytest.raises(DatasetError, match="no images to test on"):
        run(compare(tested_set, copied, split="exam"))
    other = shutil.copytree(tested_set, tmp_path / "other")
    table = (other / "split.csv").read_text()
    (other / "split.csv").write_text(table.replace("tile1,liver,train", "tile1,liver,test"))
    with pytest.raises(DatasetError, match="trained or validated on 1 of the test images, 'tile1' first"):
        run(compare(other, copied, ["cnn3"], changes=tiny_changes, train=False))


@pytest.mark.parametrize("name", [name for name in METHODS if name != "mask-rcnn"])
def test_every_recipe_builds(name: str) -> None:
    from napari_nucleigan.comparison import recipe_of
    from napari_nucleigan.networks import build

    recipe = recipe_of(name, 1, 1, {"seed": 2})
    assert (recipe.seed, recipe.epochs_constant) == (2, 1)
    assert sum(each.numel() for each in build(recipe.generator).parameters()) < 6_000_000


@pytest.mark.parametrize(
    ("asked", "kind"), [({"device": "tpu"}, DeviceError), ({"synthetic": "nowhere"}, DatasetError)]
)
def test_what_is_wrong_for_all_is_said_before_the_first(
    tmp_path: Path, tested_set: Path, tiny_changes: dict[str, Any], asked: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        run(compare(tested_set, tmp_path / "out", ["u-net"], changes=tiny_changes, **asked))
    assert not (tmp_path / "out").exists()
