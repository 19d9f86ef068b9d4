from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs
import pytest

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import Finished, Losses, Note, ValidationScores
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.training.recipes import RECIPES, SegmenterRecipe
from napari_nucleigan.training.runs.processes import kill, start
from napari_nucleigan.training.runs.run_folder import RunFolder
from napari_nucleigan.training.runs.run_library import default_folder
from napari_nucleigan.training.runs.status import RunState, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 240.0
pytestmark = pytest.mark.timeout(600)
ENDLESS: dict[str, Any] = {
    "generator": {"name": "compact-unet", "widths": (4, 4, 4)},
    "discriminator_width": 0,
    "patch": 32,
    "batch": 1,
    "crops_per_epoch": 4,
    "epochs_constant": 100_000,
    "validate_every": 100_000,
    "checkpoint_every": 100_000,
    "precision": "float32",
}


@pytest.fixture
def folder() -> RunFolder:
    """A finished run called "night"."""
    run = RunFolder(default_folder() / "night")
    run.start(RECIPES["compact-segmenter"], {"folder": "/data", "train": [], "val": [], "card": {}})
    with run.locked():
        for event in (
            Note("4 images train."),
            Losses(10, {"l1": 0.5}, 1e-3, 12.0),
            ValidationScores(10, {"aji": 0.61, "f1": 0.8, "dice": 0.9}, True),
            Finished(10, str(run.best)),
        ):
            run.record(event)
    return run


@pytest.fixture
def endless(tmp_path: Path, tiny_he: Callable[..., Any]) -> Iterator[RunFolder]:
    """A run that trains in a process of its own until it is stopped."""
    rgb, labels = tiny_he(64, 64, 8, 0)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(imagecodecs.png_encode(rgb))
    write_labels(tmp_path / "labels" / "a.tif", labels)
    run = default_folder() / "long"
    yield start("segmenter", tmp_path, SegmenterRecipe(**ENDLESS), run, device="cpu").run
    with contextlib.suppress(NucleiganError):
        kill(run)


def test_runs_are_listed_and_shown(folder: RunFolder, nucleigan: Callable[..., Any]) -> None:
    listed = nucleigan("runs", "list").stdout.splitlines()
    assert listed[0].split() == ["run", "state", "recipe", "step", "best", "last", "active"]
    for part in ("night", "finished", "compact-segmenter", "aji 0.61, f1 0.8"):
        assert part in listed[1]
    (entry,) = json.loads(nucleigan("runs", "list", "--json").stdout)
    assert (entry["name"], entry["state"], entry["best"]["dice"]) == ("night", "finished", 0.9)
    for name in ("night", folder.path):
        shown = nucleigan("runs", "show", name).stdout
        assert "state: finished" in shown
        assert json.loads(nucleigan("runs", "show", name, "--json").stdout) == entry


def test_no_runs_are_no_error(tmp_path: Path, nucleigan: Callable[..., Any]) -> None:
    done = nucleigan("runs", "list", "--folder", tmp_path)
    assert done.exit_code == 0
    assert "There are no runs" in done.stderr
    assert json.loads(nucleigan("runs", "list", "--folder", tmp_path, "--json").stdout) == []


def test_runs_are_renamed_and_put_away(folder: RunFolder, nucleigan: Callable[..., Any]) -> None:
    assert nucleigan("runs", "rename", "night", "day").stdout.strip() == str(folder.path.with_name("day"))
    put_away = Path(nucleigan("runs", "delete", "day").stdout.strip())
    assert put_away.parent.name == ".trash"
    assert RunFolder(put_away).exists


@pytest.mark.parametrize("verb", ["pause", "stop", "kill", "resume"])
def test_what_cannot_be_asked_of_a_finished_run_is_one_clear_error(
    folder: RunFolder, nucleigan: Callable[..., Any], verb: str
) -> None:
    done = nucleigan("runs", verb, "night")
    assert done.exit_code == 1
    assert "finished" in done.stderr
    assert nucleigan("runs", verb, "nowhere").exit_code == 1


def test_a_finished_run_is_watched_from_its_beginning(folder: RunFolder, nucleigan: Callable[..., Any]) -> None:
    done = nucleigan("train", "--watch", "night")
    assert done.exit_code == 0
    assert "step 10: validation aji 0.61" in done.stderr
    assert done.stderr.splitlines()[-1] == "Finished."
    lines = nucleigan("train", "--watch", folder.path, "--json").stdout.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["note", "losses", "scores", "finished"]


def test_watching_a_failed_run_fails(folder: RunFolder, nucleigan: Callable[..., Any]) -> None:
    with pytest.raises(ZeroDivisionError), folder.locked():
        raise ZeroDivisionError("by nothing")
    done = nucleigan("train", "--watch", "night")
    assert done.exit_code == 1
    assert "by nothing" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments", [(), ("--json",), ("--watch", "night", "recipes"), ("segmenter", "data"), ("--json", "recipes")]
)
def test_a_training_without_what_it_needs_is_an_error_of_usage(
    nucleigan: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    assert nucleigan("train", *arguments).exit_code == 2


def test_a_run_is_paused_resumed_and_stopped(endless: RunFolder, nucleigan: Callable[..., Any]) -> None:
    assert "Pausing" in nucleigan("runs", "pause", "long").stdout
    end = time.monotonic() + LIMIT
    while (status := state_of(endless)).state is not RunState.PAUSED:
        assert time.monotonic() < end, status
        time.sleep(0.02)
    assert nucleigan("runs", "resume", "long", "--device", "cpu").exit_code == 2
    assert json.loads(nucleigan("runs", "resume", "long", "--json").stdout)["pid"] != os.getpid()
    while not (state_of(endless).step or 0) >= 10:
        assert time.monotonic() < end
        time.sleep(0.02)
    command = [sys.executable, "-m", "napari_nucleigan", "train", "--watch", str(endless.path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        assert watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        assert "No longer watched" in watching.stderr.read()
    assert watching.returncode == 130
    assert state_of(endless).state is RunState.RUNNING
    done = nucleigan("runs", "stop", "long")
    assert done.exit_code == 0
    assert done.stdout.startswith("Stopped; its state is saved. Resume goes on from step ")
    assert state_of(endless).state is RunState.STOPPED


def test_an_estimate_tells_what_a_training_would_take(
    tmp_path: Path, tiny_he: Callable[..., Any], nucleigan: Callable[..., Any]
) -> None:
    for index in range(2):
        rgb, labels = tiny_he(64, 64, 8, index)
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{index}.png").write_bytes(imagecodecs.png_encode(rgb))
        write_labels(tmp_path / "labels" / f"{index}.tif", labels)
    changes = [f"--set={key}={json.dumps(value)}" for key, value in {**ENDLESS, "epochs_decay": 0}.items()]
    done = nucleigan("train", "segmenter", tmp_path, "--estimate", "--device", "cpu", "--json", *changes)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["images"], found["validation"], found["steps"], found["patches"]) == (1, 1, 400_000, 400_000)
    assert found["seconds"] > 0
    assert not list(tmp_path.glob("*.json"))
    text = nucleigan("train", "segmenter", tmp_path, "--estimate", "--device", "cpu", *changes).stdout
    assert text.startswith("1 image to train, 1 to validate: 400000 crops in 400000 steps, about ")
