from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from napari_nucleigan.base.events import Progress
from napari_nucleigan.training.runs.queue import Place, queue_folder
from napari_nucleigan.training.runs.run_lock import PAUSED

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HOLD = """
import sys
from napari_nucleigan.training.runs.queue import Place
with Place("cpu"):
    print("here", flush=True)
    sys.stdin.read()
"""


def test_who_comes_later_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_nucleigan.training.runs.queue.LOOK", 0.01)
    with Place("cpu") as first, Place("cuda:0") as elsewhere:
        assert first.ahead() == elsewhere.ahead() == 0
        with Place("cpu") as second:
            assert (first.ahead(), second.ahead()) == (0, 1)
            with Place("cpu") as third:
                waiting = third.wait()
                assert next(waiting) == Progress(0, 2, "Waiting for 2 other runs on this device")
    with Place("cpu") as last:
        assert last.ahead() == 0
        assert list(last.wait()) == []
    assert not list(queue_folder("cpu").iterdir())


def test_who_pauses_lets_others_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_nucleigan.training.runs.queue.LOOK", 0.01)
    paused = False
    with Place("cpu") as first, Place("cpu") as second, Place("cpu") as third:
        waiting = second.wait(lambda: paused)
        assert next(waiting).what == "Waiting for another run on this device"
        assert third.ahead() == 2
        paused = True
        assert next(waiting) == next(waiting) == Progress(0, 0, PAUSED)
        assert third.ahead() == 1
        first.leave()
        assert third.ahead() == 0
        assert next(waiting).what == PAUSED
        paused = False
        assert next(waiting) == Progress(0, 1, "Waiting for another run on this device")
        assert (second.ahead(), third.ahead()) == (1, 0)
        third.leave()
        assert list(waiting) == []
        assert second.ahead() == 0
    assert not list(queue_folder("cpu").iterdir())


def test_a_killed_process_gives_its_place_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_nucleigan.training.runs.queue._FRESH", 0.0)
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"here"
        with Place("cpu") as mine:
            assert mine.ahead() == 1
            process.kill()
            process.wait()
            assert mine.ahead() == 0
            assert len(list(queue_folder("cpu").iterdir())) == 1


def test_a_place_that_is_just_being_taken_counts() -> None:
    with Place("cpu"):
        pass
    (queue_folder("cpu") / "00000000000000000001-1.place").touch()
    with Place("cpu") as mine:
        assert mine.ahead() == 0  # from 1970
    (queue_folder("cpu") / f"{time.time_ns():020d}-1.place").touch()
    with Place("cpu") as mine:
        assert mine.ahead() == 1


def test_without_a_folder_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUCLEIGAN_QUEUE", str(tmp_path / "file"))
    with Place("cpu") as first, Place("cpu") as second:
        assert first.ahead() == second.ahead() == 0
    monkeypatch.delenv("NUCLEIGAN_QUEUE")
    assert "nucleigan" in queue_folder("cuda:1").parts
    assert queue_folder("cuda:1").name.endswith("-cuda1")
    assert os.environ.get("NUCLEIGAN_QUEUE") is None
