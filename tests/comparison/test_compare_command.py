from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from napari_nucleigan.training import RunFolder
from napari_nucleigan.training.runs.status import RunState, state_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from napari_nucleigan.comparison import MethodComparison

COMMAND = [sys.executable, "-m", "napari_nucleigan", "compare"]


def _settings(changes: dict[str, Any]) -> list[str]:
    return [part for key, value in changes.items() for part in ("--set", f"{key}={json.dumps(value)}")]


def test_the_command_reports_finished_runs(
    compared: tuple[Path, MethodComparison],
    tested_set: Path,
    tiny_changes: dict[str, Any],
    nucleigan: Callable[..., Result],
) -> None:
    folder, comparison = compared
    done = nucleigan("compare", tested_set, "-o", folder, "--report-only", "--json", *_settings(tiny_changes))
    assert done.exit_code == 0, done.stderr
    methods = json.loads(done.stdout)["methods"]
    assert methods["cgan"]["mean"]["aji"] == comparison.mean(comparison.outcomes[1], "aji")
    assert methods["dist"]["not_run"] == "its training has not been started"
    assert {path.name for path in folder.iterdir()} >= {"report.md", "report.png", "results.json"}
    assert "not run: its training has not been started" in (folder / "report.md").read_text()


def test_interrupted_it_goes_on(
    tmp_path: Path, tested_set: Path, tiny_changes: dict[str, Any], nucleigan: Callable[..., Result]
) -> None:
    arguments = [tested_set, "-o", tmp_path, "-m", "u-net", "--epochs", 300, 0, *_settings(tiny_changes)]
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    folder = RunFolder(tmp_path / "runs" / "u-net")
    deadline = time.monotonic() + 60
    while not list(folder.checkpoints.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on from it" in said
    status = state_of(folder)
    assert status.state is RunState.STOPPED
    assert not (tmp_path / "report.md").exists()
    again = nucleigan("compare", tested_set, "-o", tmp_path, "-m", "u-net", "--epochs", 1, 0, *_settings(tiny_changes))
    assert again.exit_code == 1
    assert "epochs_constant is 300, not 1" in again.stderr


def test_the_methods_are_listed_without_data(nucleigan: Callable[..., Result]) -> None:
    done = nucleigan("compare", "--list")
    assert done.exit_code == 0
    assert "fcn: FCN, on real pairs." in done.stdout


def test_wrong_use_is_one_line(tested_set: Path, tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    done = nucleigan("compare", tested_set, "-o", tmp_path, "-m", "vgg")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: There is no method 'vgg'")
    assert nucleigan("compare", tested_set).exit_code == 2


def test_the_old_name_of_the_command_still_works(
    tested_set: Path, tmp_path: Path, nucleigan: Callable[..., Result]
) -> None:
    done = nucleigan("benchmark", tested_set, "-o", tmp_path, "-m", "vgg")
    assert done.exit_code == 1
    renamed, error = done.stderr.splitlines()
    assert renamed == "'nucleigan benchmark' is called 'nucleigan compare' now."
    assert error.startswith("Error: There is no method 'vgg'")
