from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from napari_nucleigan.base.errors import OutputError, RunError
from napari_nucleigan.base.events import Checkpoint, Finished, Job, Losses, Note, Progress, ValidationScores, run
from napari_nucleigan.training.recipes import RECIPES
from napari_nucleigan.training.runs.run_folder import RunFolder
from napari_nucleigan.training.runs.run_lock import PAUSED, TRAINING, ProcessRecord
from napari_nucleigan.training.runs.status import SILENCE, RunState, ask, state_of, watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECIPE = RECIPES["compact-segmenter"]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run that has been begun, and that nobody trains."""
    run_folder = RunFolder(tmp_path / "run")
    run_folder.start(RECIPE, {"folder": "/data", "train": ["a"], "val": [], "card": {}})
    return run_folder


@pytest.fixture
def sleeper() -> Iterator[ProcessRecord]:
    """A living process that trains nothing."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield ProcessRecord.of("token", pid=process.pid, dedicated=True)
        process.communicate(b"\n")


def _trained(folder: RunFolder, steps: int = 20) -> Job[str]:
    for step in range(10, steps + 1, 10):
        yield Losses(step, {"l1": 1 / step}, 1e-3, 20.0)
        yield Progress(step, steps, TRAINING, 7.0)
        yield ValidationScores(step, {"aji": step / 100, "f1": 0.5}, step <= 30)
    yield Finished(steps, str(folder.best))
    return "done"


def _checkpoint(folder: RunFolder, step: int) -> None:
    folder.checkpoints.mkdir(exist_ok=True)
    (folder.checkpoints / f"{step:08d}.json").touch()


def test_a_folder_that_is_no_run_is_one_clear_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunError, match="not a training run"):
            state_of(path)


def test_a_run_is_followed_from_its_start_to_its_end(folder: RunFolder) -> None:
    with folder.locked():
        status = state_of(folder)
        assert status.state is RunState.RUNNING
        assert (status.kind, status.recipe, status.step, status.steps) == ("segmenter", "compact-segmenter", None, None)
        assert status.pid == os.getpid()
        job = folder.recorded(_trained(folder, 50))
        seen = [next(job) for _ in range(11)]
        status = state_of(folder)
        assert isinstance(seen[-1], Progress)
        assert (status.step, status.steps, status.what, status.seconds_left) == (40, 50, TRAINING, 7.0)
        assert (status.best, status.best_step) == ({"aji": 0.3, "f1": 0.5}, 30)
        assert time.time() - status.activity < 60
        run(job)
    status = state_of(folder)
    assert (status.state, status.message) == (RunState.FINISHED, "Finished.")
    assert (status.step, status.steps, status.seconds_left, status.pid) == (50, 50, None, None)
    assert json.loads(json.dumps(status.to_json()))["state"] == "finished"


def test_an_error_is_kept_for_whoever_asks_later(folder: RunFolder) -> None:
    _checkpoint(folder, 40)
    with pytest.raises(ZeroDivisionError), folder.locked():
        raise ZeroDivisionError("by nothing")
    status = state_of(folder)
    assert status.state is RunState.FAILED
    assert status.message == "ZeroDivisionError: by nothing. Resume goes on from step 40."
    with pytest.raises(RunError), folder.locked():
        raise RunError("The losses are no longer numbers.")
    assert state_of(folder).message.startswith("The losses are no longer numbers.")
    assert state_of(folder).state.resumable


def test_a_closed_job_is_stopped(folder: RunFolder) -> None:
    def job() -> Job[None]:
        with folder.locked():
            yield Note("begun")

    begun = job()
    next(begun)
    begun.close()
    assert state_of(folder).state is RunState.STOPPED
    assert state_of(folder).message == "Stopped; its state is saved. Resume goes on from the beginning."


def test_a_process_that_is_gone_without_a_word_was_interrupted(folder: RunFolder, sleeper: ProcessRecord) -> None:
    dead = replace(sleeper, pid=_dead_pid())
    folder.write_process(dead)
    assert state_of(folder).state is RunState.INTERRUPTED
    assert "memory ran out" in state_of(folder).message
    with pytest.raises(RunError, match="interrupted"):
        ask(folder, "pause")


def test_a_number_that_belongs_to_another_process_now_is_not_the_run(folder: RunFolder, sleeper: ProcessRecord) -> None:
    folder.write_process(sleeper)
    assert state_of(folder).state is RunState.QUEUED
    folder.write_process(replace(sleeper, born=sleeper.born - 3600))
    assert state_of(folder).state is RunState.INTERRUPTED


def test_the_log_tells_what_process_json_could_not(folder: RunFolder, sleeper: ProcessRecord) -> None:
    folder.write_process(replace(sleeper, pid=_dead_pid()))
    log = folder.path / "log.txt"
    log.write_text("=== 1 nucleigan train\nError: The old reason.\n=== 2 nucleigan train\nstep 10\n")
    assert state_of(folder).state is RunState.INTERRUPTED
    assert state_of(folder).log == ("step 10",)
    with log.open("a") as handle:
        handle.write("Error: There is no device 'quantum'.\n")
    assert state_of(folder).state is RunState.FAILED
    assert state_of(folder).message.startswith("There is no device 'quantum'.")
    log.write_text("=== 3\nTraceback (most recent call last):\n  File\nImportError: No module named torch\n")
    assert state_of(folder).state is RunState.FAILED
    assert state_of(folder).message.startswith("ImportError")


def test_a_run_of_an_older_version_has_only_its_events(folder: RunFolder) -> None:
    run(folder.recorded(_trained(folder)))
    assert state_of(folder).state is RunState.FINISHED
    folder.rewind(100)
    assert state_of(folder).state is RunState.INTERRUPTED
    with folder.claimed():
        assert state_of(folder).state is RunState.RUNNING
        with pytest.raises(RunError, match="does not listen"):
            ask(folder, "stop")


def test_a_run_on_another_machine_lives_as_long_as_it_gives_signs(folder: RunFolder, sleeper: ProcessRecord) -> None:
    far = replace(sleeper, host=platform.node() + "-2")
    folder.write_process(far)
    assert state_of(folder).state is RunState.RUNNING
    ask(folder, "stop")
    assert state_of(folder).state is RunState.STOPPING
    folder.write_process(replace(far, time=time.time() - SILENCE - 1))
    assert state_of(folder).state is RunState.INTERRUPTED


def test_requests_are_shown_until_they_are_obeyed(folder: RunFolder) -> None:
    with folder.locked():
        ask(folder, "pause")
        assert (state_of(folder).state, state_of(folder).message) == (
            RunState.RUNNING,
            "Pausing after the present step.",
        )
        folder.tell(Progress(3, 9, PAUSED))
        assert state_of(folder).state is RunState.PAUSED
        ask(folder, None)
        assert state_of(folder).state is RunState.RUNNING
        ask(folder, "stop")
        for too_late in (None, "pause"):
            ask(folder, too_late)
            assert state_of(folder).state is RunState.STOPPING


def test_what_an_earlier_process_was_doing_is_forgotten(folder: RunFolder, sleeper: ProcessRecord) -> None:
    with folder.locked():
        folder.tell(Progress(30, 90, TRAINING, 5.0))
        assert state_of(folder).what == TRAINING
    folder.write_process(replace(sleeper, time=time.time() + 1))
    status = state_of(folder)
    assert (status.state, status.message) == (RunState.QUEUED, "Starting.")
    assert (status.step, status.steps, status.what, status.seconds_left) == (30, 90, "", None)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": 1, "colour": 2}', "\x00" * 100])
def test_damaged_files_beside_a_run_do_no_harm(folder: RunFolder, content: str) -> None:
    for name in ("process.json", "progress.json", "control.json", "order.json"):
        (folder.path / name).write_text(content)
    assert state_of(folder).state is RunState.INTERRUPTED
    (folder.path / "recipe.json").write_text(content)
    status = state_of(folder)
    readable = content.startswith('{"')
    assert (status.recipe, status.state) == ("", RunState.INTERRUPTED if readable else RunState.UNREADABLE)
    assert readable or "recipe.json" in status.message


def test_watching_tells_the_whole_story(folder: RunFolder) -> None:
    seen: list[Any] = []
    with folder.locked():
        job = folder.recorded(_trained(folder, 20))
        next(job)
        watched = watch(folder, poll=0.01)
        seen.append(next(watched))
        # The rest comes while someone watches.
        next(job), next(job)
        seen += [next(watched), next(watched)]
        run(job)
    seen += list(watched)
    recorded = [event for event in seen if not isinstance(event, Progress)]
    assert recorded == folder.events()
    assert Progress(10, 20, TRAINING, 7.0) in seen
    assert list(watch(folder)) == recorded


def test_a_full_disk_is_one_clear_error_when_something_is_asked(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with folder.locked():
        monkeypatch.setattr("os.replace", full)
        with pytest.raises(OutputError, match="the disk is full"):
            ask(folder, "pause")
        monkeypatch.undo()


def test_the_newest_checkpoint_is_named(folder: RunFolder) -> None:
    assert state_of(folder).checkpoint is None
    folder.record(Checkpoint(8, str(folder.checkpoints / "00000008.json")))
    for step in (8, 12):
        _checkpoint(folder, step)
    (folder.checkpoints / ".00000016.0f.part.json").touch()
    assert state_of(folder).checkpoint == 12


def _dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert not psutil.pid_exists(process.pid)
    return process.pid


@pytest.mark.parametrize(
    ("name", "scores", "said"),
    [
        ("aji", [0.6, 0.7], ""),
        ("aji", [0.6, 0.5], "No step was better on the validation images than the model it started from (AJI 0.600)."),
        ("train_aji", [0.6, 0.5], ""),  # labels that were corrected are largely what the first model has found
    ],
)
def test_a_model_that_is_no_gain_over_its_start_is_said(
    folder: RunFolder, name: str, scores: list[float], said: str
) -> None:
    best = 0.0
    for step, score in enumerate(scores):
        # Without validation images the newest model is the one.
        folder.record(ValidationScores(10 * step, {name: score}, score > best or name == "train_aji"))
        best = max(best, score)
    assert state_of(folder).start == {name: scores[0]}
    folder.record(Finished(10, str(folder.best)))
    status = state_of(folder)
    assert status.behind.startswith(said)
    assert bool(status.behind) == bool(said)
    assert status.message == f"Finished. {status.behind}".strip()


def test_a_training_from_nothing_is_measured_by_nothing(folder: RunFolder) -> None:
    folder.record(ValidationScores(10, {"aji": 0.1}, True))
    assert (state_of(folder).start, state_of(folder).behind) == ({}, "")
