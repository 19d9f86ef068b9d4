from __future__ import annotations

import csv
import json
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan import Dataset
from napari_nucleigan.base.errors import DatasetError, OutputError, RecipeError, RunError
from napari_nucleigan.base.events import Losses, run
from napari_nucleigan.comparison import LabelComparison, compare, compare_labels, write_label_report
from napari_nucleigan.comparison.experiment import PAIRS
from napari_nucleigan.comparison.label_counts import labelled_images
from napari_nucleigan.comparison.label_results import interval_of
from napari_nucleigan.comparison.methods import recipe_of
from napari_nucleigan.training import RunFolder, SynthesizerRecipe, read_recipe
from napari_nucleigan.training.budget import GENERATOR_EPOCHS, budget
from tiny_recipes import GENERATOR

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

FEW = PAIRS.model_copy(update={"count": 2, "size": 64})


@pytest.fixture(scope="module")
def counted(
    tmp_path_factory: pytest.TempPathFactory, tested_set: Path, tiny_changes: dict[str, Any]
) -> tuple[Path, LabelComparison]:
    """One and two labelled images, compared once with everything."""
    folder = tmp_path_factory.mktemp("labels")
    settings: dict[str, Any] = {
        "epochs": (1, 0),
        "changes": tiny_changes,
        "generator_changes": GENERATOR,
        "pairs": FEW,
    }
    job = compare_labels(tested_set, folder, (2, 1), seeds=1, unlabelled=True, **settings)
    # Broken off in the middle of a generator, and gone on with.
    with closing(job):
        next(event for event in job if isinstance(event, Losses) and list(folder.glob("runs/*-generator/*.jsonl")))
    return folder, run(compare_labels(tested_set, folder, (2, 1), seeds=1, unlabelled=True, **settings))


def test_every_arm_sees_only_what_it_may(counted: tuple[Path, LabelComparison], tested_set: Path) -> None:
    folder, comparison = counted
    dataset = Dataset.open(tested_set)
    for count in (1, 2):
        labelled = set(comparison.labelled[count, 0])
        assert len(labelled) == count
        for arm in ("real", "synthetic", "unlabelled"):
            data = json.loads((folder / "runs" / f"{count}-labels-seed0-{arm}" / "data.json").read_text())
            assert set(data["train"]) == labelled
            assert data["val"] == []
        # The generator of unlabelled images has seen all of them, and the same labels.
        own, other = (
            json.loads((folder / "runs" / f"{count}-labels-seed0-{arm}-generator" / "data.json").read_text())
            for arm in ("synthetic", "unlabelled")
        )
        assert set(own["train"]) == set(own["labelled"]) == set(other["labelled"]) == labelled
        assert set(other["train"]) == set(dataset.subset("train").names)
    assert set(comparison.labelled[1, 0]) < set(comparison.labelled[2, 0])
    assert len(list((folder / "pairs" / "1-labels-seed0-synthetic" / "images").iterdir())) == 2


def test_budgets_are_equal_and_gains_are_paired(counted: tuple[Path, LabelComparison]) -> None:
    _, comparison = counted
    assert comparison.counts == (1, 2)
    assert comparison.arms == ("real", "synthetic", "unlabelled")
    assert {trial.budget.crops for trials in comparison.trials.values() for trial in trials} == {4}
    for count in comparison.counts:
        values = comparison.values(count, "synthetic")
        assert values.shape == (1, 3)
        assert comparison.gain(count, "synthetic") == pytest.approx(values - comparison.values(count, "real"))


def test_what_is_there_is_not_done_again(
    counted: tuple[Path, LabelComparison], tested_set: Path, tiny_changes: dict[str, Any]
) -> None:
    folder, comparison = counted
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    asked: dict[str, Any] = {
        "seeds": 1,
        "epochs": (1, 0),
        "changes": tiny_changes,
        "generator_changes": GENERATOR,
        "pairs": FEW,
    }
    again = run(compare_labels(tested_set, folder, (1, 2), **asked))
    assert again.values(2, "synthetic").tolist() == comparison.values(2, "synthetic").tolist()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == before
    with pytest.raises(RunError, match="epochs_constant is 1, not 2"):
        run(compare_labels(tested_set, folder, (1,), **asked | {"epochs": (2, 0)}))


def _begun(folder: Path, recipe: Any, train: list[str], synthetic: list[str] | None = None) -> None:
    RunFolder(folder).start(
        recipe,
        {
            "folder": "data",
            "train": train,
            "val": [],
            "card": {},
            **({"synthetic": {"folder": "pairs", "names": synthetic}} if synthetic else {}),
        },
    )


def test_runs_of_other_data_are_refused(tested_set: Path, tmp_path: Path, tiny_changes: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"seeds": 1, "epochs": (1, 0), "crops": 2, "generator_crops": 20, "pairs": FEW}
    first = labelled_images(Dataset.open(tested_set).subset("train"), 0)[0]
    recipe = recipe_of("cgan-both", 1, 0, budget(2, (1, 0)) | {"validation": 0.0})
    painter = read_recipe("compact-synthesizer", budget(20, GENERATOR_EPOCHS) | {"validation": 0.0}, SynthesizerRecipe)
    for name, trained, names, synthetic, said in (
        ("synthetic", recipe, [first], ["one", "two", "three"], "trained with 3 synthetic pairs, not 2"),
        ("synthetic", recipe, ["tile5"], ["one", "two"], "trained or validated on 1 of the test images"),
        ("synthetic", recipe, ["another"], ["one", "two"], "trained on other images"),
        ("synthetic-generator", painter, ["tile5"], None, "trained on other images"),
        ("synthetic-generator", painter.model_copy(update={"lr": 1e-3}), [first], None, "trained otherwise"),
    ):
        root = tmp_path / said.replace(" ", "-")[:20] / name
        _begun(root / "runs" / f"1-labels-seed0-{name}", trained, names, synthetic)
        with pytest.raises((RunError, DatasetError), match=said):
            next(compare_labels(tested_set, root, (1,), **asked))


def test_the_report_says_what_helps_first_and_what_was_changed(
    counted: tuple[Path, LabelComparison], tiny_changes: dict[str, Any], tmp_path: Path
) -> None:
    comparison = counted[1]
    results, text, picture = write_label_report(comparison, tmp_path)
    first = text.read_text().splitlines()[2]
    assert first.startswith("- **Real and synthetic pairs** instead of real pairs alone: make no difference")
    written = text.read_text().replace("\\", "")
    for changes in (tiny_changes, GENERATOR):
        assert all(f"{name}={json.dumps(value)}" in written for name, value in changes.items())
    rows = json.loads(results.read_text())["rows"]
    assert [(row["labels"], row["arm"]) for row in rows[:2]] == [(1, "real"), (1, "synthetic")]
    assert rows[1]["gain_aji"]["mean"] == pytest.approx(comparison.gain(1, "synthetic").mean())
    assert picture is not None
    assert picture.read_bytes().startswith(b"\x89PNG")
    # Its own report is written over, another's is not.
    write_label_report(comparison, tmp_path)
    text.write_text("my notes")
    with pytest.raises(OutputError, match="not made by this program"):
        write_label_report(comparison, tmp_path)


def test_help_and_harm_are_told_apart_by_the_interval() -> None:
    seeds, images = 3, 12
    noise = np.random.default_rng(1).normal(0, 0.01, (seeds, images))
    clear, unclear = interval_of(noise + 0.05), interval_of(noise)
    assert clear is not None
    assert clear.low > 0.04
    assert unclear is not None
    assert unclear.low < 0 < unclear.high
    assert interval_of(noise[:, :3]) is None


def test_seeds_that_differ_widen_the_interval() -> None:
    alike, apart = np.zeros((3, 10)), np.zeros((3, 10)) + np.array([[-0.1], [0.0], [0.1]])
    narrow, wide = interval_of(alike), interval_of(apart)
    assert narrow is not None
    assert wide is not None
    assert (narrow.low, narrow.high) == (0, 0)
    assert wide.high > 0.05


@given(seed=st.integers(0, 1000))
def test_organs_take_turns(seed: int) -> None:
    names = tuple(f"{organ}{number}" for organ in ("liver", "colon", "lung") for number in range(4))
    dataset = Dataset(None, names, {name: name[:-1] for name in names}, dict.fromkeys(names, "train"))  # type: ignore[arg-type]
    order = labelled_images(dataset, seed)
    assert sorted(order) == sorted(names)
    for start in range(0, 12, 3):
        assert len({name[:-1] for name in order[start : start + 3]}) == 3
    assert order == labelled_images(dataset, seed)


def test_more_labels_than_there_are_is_said(tested_set: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"5 labelled images are asked for, and .* has 4 that train"):
        run(compare_labels(tested_set, tmp_path, (5,)))
    with pytest.raises(RecipeError, match="from 1 on"):
        run(compare_labels(tested_set, tmp_path, (0, 1)))
    with pytest.raises(DatasetError, match="calls none of them 'judge'"):
        run(compare_labels(tested_set, tmp_path, (1,), split="judge"))
    with pytest.raises(DatasetError, match="split 'train', which train"):
        next(compare_labels(tested_set, tmp_path, (1,), split="train"))
    for split in ("train", "val"):
        held = Dataset.open(tested_set)
        held = replace(held, splits=held.splits | {"tile0": "val"})
        with pytest.raises(DatasetError, match=f"split '{split}', by which models are trained and chosen"):
            next(compare(held, tmp_path, ["cgan"], split=split))


def test_the_command(
    tested_set: Path, tmp_path: Path, tiny_changes: dict[str, Any], nucleigan: Callable[..., Result]
) -> None:
    settings = [part for key, value in tiny_changes.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    settings += [part for key, value in GENERATOR.items() for part in ("--set-generator", f"{key}={json.dumps(value)}")]
    asked = ["-o", tmp_path, "--labels", 1, "--seeds", 1, "--epochs", 1, 0, "--pairs", 1]
    done = nucleigan("compare", tested_set, *asked, *settings)
    assert done.exit_code == 0, done.stderr
    assert "real and synthetic pairs" in done.stdout
    assert {"labels.json", "labels.md", "labels.png"} <= {path.name for path in tmp_path.iterdir()}
    with (tmp_path / "pairs" / "1-labels-seed0-synthetic" / "split.csv").open() as handle:
        assert len(list(csv.DictReader(handle))) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--labels", "1;2"], "--labels needs numbers with commas between"),
        (["--labels", "1", "-m", "cgan"], "--method does not go with --labels"),
        (["--seeds", "3"], "--seeds goes with --labels only"),
    ],
)
def test_wrong_use(
    tested_set: Path, tmp_path: Path, options: list[str], said: str, nucleigan: Callable[..., Result]
) -> None:
    done = nucleigan("compare", tested_set, "-o", tmp_path, *options)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_budgets_in_crops_do_not_depend_on_the_number_of_images(tested_set: Path, tmp_path: Path) -> None:
    for crops, epochs in ((1, (1, 0)), (10, (2, 1)), (11_264, (20, 24))):
        fields = budget(crops, epochs)
        assert 0 <= fields["crops_per_epoch"] * sum(epochs) - crops < sum(epochs)
    asked: dict[str, Any] = {"seeds": 1, "crops": 6, "generator_crops": 40, "epochs": (2, 1), "changes": {"lr": 2.0}}
    with pytest.raises(RecipeError, match="lr"):
        run(compare_labels(tested_set, tmp_path, (1,), **asked))
    assert not (tmp_path / "runs").exists()
