from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_nucleigan import load_model
from napari_nucleigan.adaptation import Adaptation, AdaptationSettings, adapt
from napari_nucleigan.adaptation.job import fine_tuning
from napari_nucleigan.base.errors import DatasetError, LabelsError, OutputError, RecipeError, RunError, StopRequested
from napari_nucleigan.base.events import Losses, Progress, run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_image
from napari_nucleigan.models import read_card, resolve
from napari_nucleigan.training import RunFolder
from napari_nucleigan.training.runs.status import RunState, ask, state_of


def _with(settings: AdaptationSettings, **changes: Any) -> AdaptationSettings:
    return AdaptationSettings.checked(**{**settings.model_dump(), **changes})


def test_both_ways_give_models_that_are_measured(adapted: tuple[Path, Adaptation]) -> None:
    out, adaptation = adapted
    assert list(adaptation.runs) == ["self-training", "synthetic"]
    for path in adaptation.runs.values():
        assert load_model(path, "segmenter").card.recipe["start_from"].endswith("nucleigan-he.safetensors")
    assert list(adaptation.measured) == ["start", "self-training", "synthetic"]
    assert list(adaptation.measured["start"].scores) == ["part2", "part3"]
    assert adaptation.values("start").mean() > 0.4
    # Labelled images to measure with teach nothing.
    for name in ("self-training", "synthetic", "generator"):
        data = json.loads((out / "runs" / name / "data.json").read_text())
        assert set(data["train"]) == {"part0", "part1"}
    # The two ways have one budget.
    recipes = [json.loads((out / "runs" / name / "recipe.json").read_text()) for name in adaptation.runs]
    assert {key for key in recipes[0] if recipes[0][key] != recipes[1][key]} == {"synthetic_share"}
    for part in adaptation.measured.values():
        assert set(part.agreement) == {"part0", "part1"}
        assert all(0 < row["mirror_aji"] <= 1 and 0 < row["confidence"] < 1 for row in part.agreement.values())
    # Of twice as many pairs those are learnt from that cover most.
    assert len(list((out / "pairs" / "images").iterdir())) == 4
    assert len(json.loads((out / "runs" / "synthetic" / "data.json").read_text())["synthetic"]["names"]) == 2


def test_the_folder_is_a_run_that_has_finished_with_the_new_model(adapted: tuple[Path, Adaptation]) -> None:
    out, adaptation = adapted
    status = state_of(out)
    assert (status.state, status.kind, status.recipe) == (RunState.FINISHED, "adaptation", "adapt")
    assert status.start == {"aji": adaptation.values("start").mean()}
    assert status.best == {"aji": adaptation.values(adaptation.chosen).mean()}
    assert bool(status.behind) == (adaptation.chosen == "start")
    source = load_model(adaptation.runs.get(adaptation.chosen, "nucleigan-he"), "segmenter")
    assert load_model(out, "segmenter").card.sha256 == source.card.sha256
    # The trainings tell their own stories; the whole tells what users should know.
    assert not any(isinstance(event, Losses) for event in RunFolder(out).events())
    assert (out / "adaptation.md").read_text().startswith(f"# nucleigan-he, adapted to plain\n\n{adaptation.verdict}")


def test_it_goes_on_from_what_is_there(
    adapted: tuple[Path, Adaptation], looks: tuple[Path, Path], asked: AdaptationSettings
) -> None:
    out, adaptation = adapted
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/**/*.safetensors")}
    events: list[Any] = []
    again = run(adapt(looks[0], out, asked, device="cpu"), events.append)
    assert again.measured == adaptation.measured
    assert {path: path.stat().st_mtime_ns for path in out.glob("runs/**/*.safetensors")} == before
    # What was measured of these models on these images stands.
    assert not any(isinstance(event, Progress) and "asking twice" in event.what for event in events)
    with pytest.raises(RunError, match="adapted otherwise than is asked for: crops is 2, not 3"):
        run(adapt(looks[0], out, _with(asked, crops=3)))
    with pytest.raises(RunError, match="another model, or to other images"):
        run(adapt(looks[1], out, _with(asked, truth="")))


def test_a_stop_is_obeyed_by_the_training_of_the_moment(
    tmp_path: Path, looks: tuple[Path, Path], asked: AdaptationSettings
) -> None:
    slow = {**asked.changes, "epochs_constant": 500}
    settings = _with(asked, methods=["self-training"], truth="", changes=slow)
    folder = RunFolder(tmp_path / "out")

    def stop_in_training(event: Any) -> None:
        if isinstance(event, Progress) and event.what.endswith("training: training") and event.done:
            ask(folder, "stop")

    with pytest.raises(StopRequested):
        run(adapt(looks[0], folder, settings, device="cpu"), stop_in_training)
    status = state_of(folder)
    assert status.state is RunState.STOPPED
    assert status.message.endswith("Resume goes on from what is finished.")
    part = state_of(folder.path / "runs" / "self-training")
    assert part.state is RunState.STOPPED
    assert part.checkpoint
    # It goes on from there, and a part that is shorter now ends at once.
    recipe = folder.path / "runs" / "self-training" / "recipe.json"
    epochs = part.checkpoint + 1
    recipe.write_text(json.dumps({**json.loads(recipe.read_text()), "epochs_constant": epochs}))
    assert run(adapt(looks[0], folder.path, settings, device="cpu")).chosen == "self-training"
    assert state_of(folder.path / "runs" / "self-training").step == epochs


def test_old_data_are_mixed_with_either(looks: tuple[Path, Path], asked: AdaptationSettings, tmp_path: Path) -> None:
    settings = _with(asked, truth="", real=str(looks[1]), methods=["self-training"])
    run(adapt(looks[0], tmp_path / "out", settings, device="cpu"))
    data = json.loads((tmp_path / "out" / "runs" / "self-training" / "data.json").read_text())
    assert data["train"] == ["part2", "part3"]
    assert data["synthetic"]["names"] == ["part0", "part1"]


def test_old_data_teach_the_generator_where_nuclei_belong(
    looks: tuple[Path, Path], asked: AdaptationSettings, tmp_path: Path
) -> None:
    settings = _with(asked, truth="", real=str(looks[1]), methods=["synthetic"])
    run(adapt(looks[0], tmp_path / "out", settings, device="cpu"))
    data = json.loads((tmp_path / "out" / "runs" / "generator" / "data.json").read_text())
    assert data["train"] == data["labelled"] == ["part2", "part3"]
    assert data["unlabelled"] == {"folder": str(tmp_path / "out" / "found"), "names": ["part0", "part1"]}
    card = read_card(tmp_path / "out" / "runs" / "generator" / "best.safetensors")
    assert card.training_data == f"{looks[1].name}; {looks[0].name}, without labels"
    # Painted in the look of the images, not of the old data.
    styles = [
        json.loads(line)["style"] for line in (tmp_path / "out" / "pairs" / "pairs.jsonl").read_text().splitlines()
    ]
    assert set(styles) == {"found"}
    assert "of pairs of the old data, and unpaired" in (tmp_path / "out" / "adaptation.md").read_text()


def test_faults_are_said_before_anything_is_trained(
    looks: tuple[Path, Path], asked: AdaptationSettings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for settings in (asked, _with(asked, real=str(looks[1]))):
        with pytest.raises(DatasetError, match=r"both an image to .* and one to measure with"):
            run(adapt(looks[1] if settings is asked else looks[0], out / settings.real.replace("/", ""), settings))
    split = tmp_path / "split"
    write_image(split / "images" / "a.png", np.full((64, 64, 3), 240, np.uint8), 0.25)
    (split / "split.csv").write_text("name,organ,split\na,liver,test")
    with pytest.raises(DatasetError, match="calls none of them 'train'"):
        run(adapt(split, out, asked))
    (split / "split.csv").unlink()
    for _ in range(2):  # also where it was found out before
        with pytest.raises(LabelsError, match="sure of no nucleus"):
            run(adapt(split, out / "glass", asked, device="cpu"))
    assert not (out / "glass" / "runs").exists()
    (out / "mine").mkdir()
    (out / "mine" / "adaptation.md").write_text("mine")
    with pytest.raises(OutputError, match="not made by this program"):
        run(adapt(looks[0], out / "mine", asked))


def test_the_command(looks: tuple[Path, Path], asked: AdaptationSettings, tmp_path: Path) -> None:
    changes = [part for key, value in asked.changes.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    out = tmp_path / "out"
    command = [sys.executable, "-m", "napari_nucleigan", "adapt", str(looks[0]), "-o", str(out), "--crops", "2"]
    command += ["-m", "self-training", "--device", "cpu", *changes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Nobody can tell" in done.stdout
    assert f"nucleigan segment IMAGE -o OUT --model {out}" in done.stdout
    assert Dataset.open(out / "found").regions("part0") is not None
    assert state_of(out).state is RunState.FINISHED


def test_labelled_data_that_are_not_there_are_told_before_anything_is_learnt(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", np.full((64, 64, 3), 200, np.uint8))
    with pytest.raises(DatasetError, match="nowhere"):
        run(adapt(tmp_path / "in", tmp_path / "out", AdaptationSettings(real=str(tmp_path / "nowhere"))))
    assert not (tmp_path / "out").exists()


def test_a_model_is_named_by_its_whole_path(
    tmp_path: Path, looks: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.safetensors").write_bytes(resolve("nucleigan-he").read_bytes())
    next(adapt(looks[0], "out", AdaptationSettings(model="mine.safetensors", methods=("self-training",))))
    recipe = RunFolder("out").recipe()
    assert recipe["model"] == str(tmp_path / "mine.safetensors")
    assert recipe["generator_from"] == "nucleigan-paint"
    # The same model by its name is the same.
    next(adapt(looks[0], "out", AdaptationSettings(methods=("self-training",))))
    assert RunFolder("out").recipe()["model"] == "nucleigan-he"


def test_the_share_that_was_asked_for_is_that_of_the_second_data_set(asked: AdaptationSettings) -> None:
    for given, share in (({}, 0.5), ({"synthetic_share": 0.3}, 0.3)):
        settings = _with(asked, changes={**asked.changes, **given})
        assert fine_tuning(settings).synthetic_share == 0
        assert fine_tuning(settings, mixed=True).synthetic_share == share


def test_a_generator_that_cannot_be_is_refused_before_anything_is_done(
    tmp_path: Path, looks: tuple[Path, Path], asked: AdaptationSettings
) -> None:
    with pytest.raises(RecipeError, match="lr"):
        run(adapt(looks[0], tmp_path / "out", _with(asked, generator_changes={"lr": float("nan")})))
    assert not (tmp_path / "out").exists()
