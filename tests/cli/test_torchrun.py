"""Trainings in several processes, as users start them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import imagecodecs
import psutil
import pytest

from napari_nucleigan.base.events import Losses, Note, ValidationScores
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.training import RunFolder
from napari_nucleigan.training.runs.status import RunState, ask, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

pytestmark = pytest.mark.timeout(400)

LENGTH = {
    "patch": 32,
    "batch": 4,
    "pool": 4,
    "crops_per_epoch": 40,
    "epochs_constant": 3,
    "epochs_decay": 1,
    "validate_every": 4,
    "precision": "float32",
    "discriminator_width": 4,
    "discriminator_layers": 1,
}
RECIPES = {
    "segmenter": {"generator": {"name": "compact-unet", "widths": [4, 4, 4]}, "warmup_steps": 0, **LENGTH},
    # As long as a pause in the middle takes.
    "synthesizer": {
        "generator": {"name": "painter", "widths": [4, 4, 4], "style_size": 4},
        "segmenter": {"name": "compact-unet", "widths": [4, 4, 4]},
        **LENGTH,
        "crops_per_epoch": 28,
    },
}
WAIT = 150.0


@pytest.fixture
def data(tmp_path: Path, tiny_he: Callable[..., object]) -> Path:
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    rows = ["name,organ,split"]
    for index, split in enumerate(["train", "train", "val"]):
        rgb, labels = tiny_he(96, 96, 20, index)
        (folder / "images" / f"{index}.png").write_bytes(imagecodecs.png_encode(rgb))
        write_labels(folder / "labels" / f"{index}.tif", labels)
        rows.append(f"{index},breast,{split}")
    (folder / "split.csv").write_text("\n".join(rows) + "\n")
    return folder


def words(kind: str, data: Path, run: Path) -> list[str]:
    sets = [part for key, value in RECIPES[kind].items() for part in ("--set", f"{key}={json.dumps(value)}")]
    return ["train", kind, str(data), "--run", str(run), "--device", "cpu", *sets]


@contextmanager
def torchrun(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start a command in two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line = [*command, "-m", "--", "napari_nucleigan", *map(str, arguments)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def until(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Wait until a run has told of a step."""
    deadline = time.monotonic() + WAIT
    while not any(isinstance(event, Losses) and event.step >= step for event in RunFolder(run).events()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def figures(run: Path) -> list[tuple[int, dict[str, float]]]:
    return [
        (event.step, event.values) for event in RunFolder(run).events() if isinstance(event, Losses | ValidationScores)
    ]


def like(run: Path) -> list[tuple[int, object]]:
    # Adam makes more of rounding errors than they are; how equal it all is, other tests say.
    return [(step, pytest.approx(values, rel=0.02, abs=0.02)) for step, values in figures(run)]


def test_a_training_in_two_processes_is_killed_stopped_and_finished_by_one(
    tmp_path: Path, data: Path, nucleigan: Callable[..., Result]
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    done = nucleigan(*words("segmenter", data, whole))
    assert done.exit_code == 0, done.stderr

    with torchrun(*words("segmenter", data, run)) as process:
        until(run, 10, process)
        helpers = [child for child in psutil.Process(process.pid).children(True) if child.environ().get("RANK") == "1"]
        helpers[-1].send_signal(signal.SIGKILL)
        assert process.wait(WAIT) != 0
    status = state_of(run)
    # The leader notices it by itself, unless torchrun is quicker to end it.
    assert status.state in (RunState.FAILED, RunState.STOPPED), status
    if status.state is RunState.FAILED:
        assert "Another process of this training has ended" in status.message
    told = [event.text for event in RunFolder(run).events() if isinstance(event, Note)]
    assert told[0] == "2 images train, 1 validate, on cpu in 2 processes in float32."

    with torchrun("train", "segmenter", data, "--run", run, "--resume", "--device", "cpu") as process:
        until(run, 20, process)
        ask(run, "stop")
        out = process.communicate(timeout=WAIT)[0]
        assert process.returncode != 0
    assert state_of(run).state is RunState.STOPPED, out
    # One process speaks.
    assert out.count("Stopped; the state is saved") == 1

    done = nucleigan("train", "segmenter", data, "--run", run, "--resume", "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    assert state_of(run).state is RunState.FINISHED
    assert figures(run) == like(whole)


def test_a_synthesizer_is_trained_by_two_paused_meanwhile(
    tmp_path: Path, data: Path, nucleigan: Callable[..., Result]
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    done = nucleigan(*words("synthesizer", data, whole))
    assert done.exit_code == 0, done.stderr
    with torchrun(*words("synthesizer", data, run)) as process:
        until(run, 10, process)
        ask(run, "pause")
        deadline = time.monotonic() + WAIT
        while state_of(run).state is not RunState.PAUSED:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        ask(run, None)
        out = process.communicate(timeout=WAIT)[0]
        assert process.returncode == 0, out
    assert out.count(str(run / "best.safetensors")) == 1
    assert figures(run) == like(whole)


def test_what_several_processes_cannot_do_is_said_once(tmp_path: Path, data: Path) -> None:
    line = [*words("segmenter", data, tmp_path / "run"), "--set", "batch=3"]
    with torchrun(*line) as process:
        out = process.communicate(timeout=WAIT)[0]
        assert process.returncode != 0
    assert out.count("Error: A batch of 3 cannot be dealt out evenly to 2 processes") == 1
    assert not (tmp_path / "run" / "recipe.json").exists()
