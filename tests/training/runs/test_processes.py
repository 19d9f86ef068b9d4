"""Real processes, few and tiny; every wait is for a condition."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from napari_nucleigan.base.errors import NucleiganError, OutputError, RecipeError, RunError
from napari_nucleigan.base.events import Checkpoint, Finished, Losses, run
from napari_nucleigan.models import read_card
from napari_nucleigan.training import train_segmenter
from napari_nucleigan.training.recipes import RECIPES, SegmenterRecipe
from napari_nucleigan.training.runs.processes import RunProcess, kill, resume, start
from napari_nucleigan.training.runs.queue import Place
from napari_nucleigan.training.runs.run_folder import RunFolder
from napari_nucleigan.training.runs.run_library import delete, rename
from napari_nucleigan.training.runs.run_lock import ProcessRecord
from napari_nucleigan.training.runs.status import RunState, RunStatus, ask, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

    Recipes = Callable[..., SegmenterRecipe]

# Far beyond what a busy machine needs; nothing is asserted of them.
LIMIT = 240.0
pytestmark = pytest.mark.timeout(600)
ENDLESS: dict[str, Any] = {"epochs_constant": 100_000, "validate_every": 100_000, "checkpoint_every": 100_000}
START = """
import os, sys
from napari_nucleigan.training.runs import processes
from napari_nucleigan.training.runs.processes import start
processes.NICENESS = 2  # a little, for what the test waits for
from napari_nucleigan.training.recipes import SegmenterRecipe
data, run, recipe = sys.argv[1:]
start("segmenter", data, SegmenterRecipe.model_validate_json(recipe), run, device="cpu")
os._exit(0)  # a viewer that crashes
"""


def _until(process: RunProcess, met: Callable[[RunStatus], object]) -> RunStatus:
    end = time.monotonic() + LIMIT
    while not met(status := process.status()):
        assert time.monotonic() < end, status
        time.sleep(0.02)
    return status


def _curve(folder: Path) -> list[tuple[int, dict[str, float]]]:
    return [(event.step, event.values) for event in RunFolder(folder).events() if isinstance(event, Losses)]


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """A folder for runs, whose processes end with the test."""
    yield tmp_path
    for path in tmp_path.iterdir():
        with contextlib.suppress(NucleiganError):
            kill(path)


def test_a_run_outlives_who_started_it_and_obeys_whoever_asks(
    dataset: Path, tiny_recipe: Recipes, runs: Path, nucleigan: Callable[..., Result]
) -> None:
    recipe = tiny_recipe(**ENDLESS)
    subprocess.run([sys.executable, "-c", START, dataset, runs / "run", recipe.model_dump_json()], check=True)
    process = RunProcess(runs / "run")
    # Asked before it has even loaded torch: it waits before its first step.
    process.pause()
    status = _until(process, lambda status: status.state is RunState.PAUSED)
    assert (status.step, status.kind, status.recipe) == (0, "segmenter", "compact-segmenter")
    trained = psutil.Process(status.pid)
    assert os.name == "nt" or trained.nice() == max(psutil.Process().nice(), 2)
    # Between sessions Linux counts the niceness of the session alone.
    autogroup = Path(f"/proc/{status.pid}/autogroup")
    assert not autogroup.exists() or autogroup.read_text().endswith("nice 2\n")

    with pytest.raises(RunError, match="holds a training run already"):
        start("segmenter", dataset, recipe, process.path)
    with pytest.raises(RunError, match="paused already"):
        resume(process.path)
    for move in (delete, lambda path: rename(path, "other")):
        with pytest.raises(RunError, match="paused"):
            move(process.path)
    refused = nucleigan("train", "segmenter", dataset, "--run", process.path, "--resume")
    assert refused.exit_code == 1
    assert "Another process is training" in refused.stderr
    assert process.status().state is RunState.PAUSED

    process.resume()
    _until(process, lambda status: (status.step or 0) >= 10)
    process.stop()
    assert process.status().state in (RunState.STOPPING, RunState.STOPPED)
    status = process.wait(LIMIT)
    assert status.state is RunState.STOPPED
    assert status.checkpoint == status.step or status.checkpoint > status.step >= 10
    assert any("--resume goes on" in line for line in status.log)
    trained.wait(LIMIT)

    process.resume()
    status = _until(process, lambda now: now.state is RunState.RUNNING and now.what == "training")
    assert status.step > 10
    process.kill()
    assert not psutil.pid_exists(status.pid)
    status = process.status()
    assert status.state is RunState.INTERRUPTED
    assert status.message.startswith("Killed")
    with pytest.raises(RunError, match="interrupted; there is no process"):
        process.kill()


def test_a_queued_run_waits_then_goes_on_as_if_never_stopped(dataset: Path, tiny_recipe: Recipes, runs: Path) -> None:
    recipe = tiny_recipe(synthetic_share=0.2)
    # Begun here, as on a terminal: there is no order, so the run itself says what it is to do.
    job = train_segmenter(dataset, recipe, runs / "run", synthetic=dataset, device="cpu")
    for event in job:
        if isinstance(event, Checkpoint):
            break
    job.close()
    assert state_of(runs / "run").state is RunState.STOPPED
    with Place("cpu"):
        process = resume(runs / "run", device="cpu", queue=True)
        status = _until(process, lambda status: "Waiting for another run" in status.message)
        assert status.state is RunState.QUEUED
        process.pause()
        status = _until(process, lambda status: status.state is RunState.PAUSED)
        assert status.message == "Paused before its turn; others go first."
        with Place("cpu") as later:
            assert later.ahead() == 1
        process.resume()
        _until(process, lambda status: "Waiting for another run" in status.message)
    events = list(process.watch())
    status = process.status()
    assert status.state is RunState.FINISHED, status
    assert any(isinstance(event, Finished) for event in events)
    assert (status.step, status.steps) == (20, 20)
    assert status.model == runs / "run" / "best.safetensors"
    run(train_segmenter(dataset, recipe, runs / "whole", synthetic=dataset, device="cpu"))
    assert _curve(runs / "run") == _curve(runs / "whole")
    with pytest.raises(RunError, match="has finished"):
        process.resume()


def test_a_run_that_fails_says_why_and_goes_on_when_it_can(dataset: Path, tiny_recipe: Recipes, runs: Path) -> None:
    data = runs.parent / f"{runs.name}-data"
    recipe = tiny_recipe(epochs_constant=1, synthetic_share=0.5)
    process = start("segmenter", data, recipe, runs / "run", device="cpu", name="mine", synthetic=dataset)
    status = process.wait(LIMIT)
    assert status.state is RunState.FAILED, status
    assert "is not a data set" in status.message
    assert status.log[-1].startswith("Error: ")
    assert (status.kind, status.recipe) == ("segmenter", "compact-segmenter")
    shutil.copytree(dataset, data)
    process.resume()
    status = process.wait(LIMIT)
    assert status.state is RunState.FINISHED, status
    card = read_card(status.model)
    assert card.name == "mine"
    assert card.recipe["synthetic_share"] == 0.5
    assert process.run.data()["synthetic"]["folder"] == str(dataset)


def test_a_full_disk_is_told_and_nothing_is_lost(dataset: Path, tiny_recipe: Recipes, small_disk: Path) -> None:
    recipe = tiny_recipe(epochs_constant=8)
    process = start("segmenter", dataset, recipe, small_disk / "run", device="cpu")
    process.pause()
    _until(process, lambda status: status.state is RunState.PAUSED)
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as handle:
        while handle.write(bytes(4096)):
            pass
    with pytest.raises(OutputError, match="the disk is full"):
        process.stop()
    process.resume()
    status = process.wait(LIMIT)
    assert status.state is RunState.FAILED, status
    assert "the disk is full" in status.message
    filler.unlink()
    process.resume()
    status = process.wait(LIMIT)
    assert status.state is RunState.FINISHED, status
    run(train_segmenter(dataset, recipe, small_disk / "whole", device="cpu"))
    assert _curve(small_disk / "run") == _curve(small_disk / "whole")


def test_a_read_only_folder_is_one_clear_error(dataset: Path, tiny_recipe: Recipes, small_disk: Path) -> None:
    folder = RunFolder(small_disk / "run")
    folder.start(tiny_recipe(), {"folder": str(dataset)})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert state_of(folder).state is RunState.INTERRUPTED
    with pytest.raises(OutputError, match="read-only"):
        start("segmenter", dataset, tiny_recipe(), small_disk / "other")
    with pytest.raises(OutputError, match="read-only"):
        resume(folder)
    with pytest.raises(OutputError, match="read-only"), folder.locked():
        pass


def test_what_cannot_be_is_said_before_a_process_starts(dataset: Path, tiny_recipe: Recipes, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="does not train a segmenter"):
        start("segmenter", dataset, RECIPES["compact-synthesizer"], tmp_path / "run")
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(RunError, match=r"thesis\.docx"):
        start("segmenter", dataset, tiny_recipe(), tmp_path)
    with pytest.raises(OutputError, match="Cannot write"):
        start("segmenter", dataset, tiny_recipe(), tmp_path / "thesis.docx" / "run")
    with pytest.raises(RunError, match="not a training run"):
        resume(tmp_path / "nowhere")
    assert not (tmp_path / "order.json").exists()


def test_only_a_process_that_does_nothing_else_is_killed(tiny_recipe: Recipes, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.start(tiny_recipe(), {})
    with folder.locked(), pytest.raises(RunError, match="is not for that alone"):
        kill(folder)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        record = ProcessRecord.of("token", pid=other.pid, dedicated=True)
        # The number of a process that trained here belongs to another one now.
        folder.write_process(replace(record, born=record.born - 3600))
        with pytest.raises(RunError, match="there is no process"):
            kill(folder)
        with folder.claimed(), pytest.raises(RunError, match="cannot be found"):
            kill(folder)
        folder.write_process(replace(record, host="elsewhere"))
        with pytest.raises(RunError, match="runs on elsewhere"):
            kill(folder)
        folder.write_process(replace(record, dedicated=False))
        with pytest.raises(RunError, match="not for that alone"):
            kill(folder)
        assert other.poll() is None
        other.communicate(b"\n")


def test_the_process_does_what_its_order_says(dataset: Path, tiny_recipe: Recipes, tmp_path: Path) -> None:
    recipe = tiny_recipe(name="mine", lr=0.005, synthetic_share=0.5, epochs_constant=1, epochs_decay=0)
    given = {"device": "cpu", "name": "Nuclei", "synthetic": dataset, "queue": True}
    process = start("segmenter", dataset, recipe, tmp_path / "run", **given)
    status = process.wait(LIMIT)
    assert status.state is RunState.FINISHED, status
    assert process.run.recipe() == recipe.model_dump(mode="json")
    assert process.run.recipe()["kind"] == "segmenter"
    parts = process.run.data()
    assert parts["card"] == {"name": "Nuclei"}
    assert parts["synthetic"]["folder"] == str(dataset.resolve())


def test_a_run_of_the_first_version_goes_on(dataset: Path, tiny_recipe: Recipes, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    recipe = tiny_recipe(epochs_constant=1, epochs_decay=0)
    folder.start(recipe, {"folder": str(dataset), "train": ["tile0"], "val": [], "card": {}})
    # Its recipes did not say what they train.
    values = recipe.model_dump(mode="json")
    del values["kind"]
    (folder.path / "recipe.json").write_text(json.dumps(values))
    order = {"kind": "segmenter", "data": str(dataset), "device": "cpu", "name": None, "synthetic": None}
    (folder.path / "order.json").write_text(json.dumps({**order, "queue": False, "recipe": values}))
    assert state_of(folder).kind == "segmenter"
    status = resume(folder).wait(LIMIT)
    assert status.state is RunState.FINISHED, status


def test_a_pause_of_a_finished_run_is_refused(tiny_recipe: Recipes, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.start(tiny_recipe(), {})
    with folder.locked():
        pass
    with pytest.raises(RunError, match="finished; there is no process"):
        ask(folder, "pause")
