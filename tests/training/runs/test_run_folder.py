from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from napari_nucleigan.base.errors import OutputError, RunError, StopRequested
from napari_nucleigan.base.events import Job, Losses, Note, Progress, run
from napari_nucleigan.training.recipes import RECIPES
from napari_nucleigan.training.runs.run_folder import RunFolder
from napari_nucleigan.training.runs.status import RunState, ask, state_of

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = RECIPES["compact-segmenter"]


def test_a_run_tells_what_it_was_given(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert not folder.exists
    folder.start(RECIPE, {"train": ["a"], "val": []})
    assert folder.exists
    assert folder.recipe() == RECIPE.model_dump(mode="json")
    assert folder.data() == {"train": ["a"], "val": []}
    assert folder.events() == []


def test_a_second_start_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.start(RECIPE, {})
    with pytest.raises(RunError, match="resume it"):
        folder.start(RECIPE, {})


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(RunError, match=r"thesis\.docx"):
        RunFolder(tmp_path).start(RECIPE, {})
    with pytest.raises(RunError, match=r"thesis\.docx"), RunFolder(tmp_path).locked():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_a_file_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write"):
        RunFolder(tmp_path / "file" / "run").start(RECIPE, {})


def test_events_come_back_and_a_torn_line_waits(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    events = [Note("hello"), Losses(10, {"l1": 0.5}, 1e-3, 12.5)]
    for event in events:
        folder.record(event)
    size = folder.events_size
    with (tmp_path / "events.jsonl").open("a") as handle:
        handle.write('{"event": "note", "te')
    assert folder.events() == events
    folder.rewind(size)
    assert folder.events_size == size
    folder.record(Note("again"))
    assert folder.events() == [*events, Note("again")]


def test_recording_passes_everything_on_and_keeps_all_but_progress(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)

    def job() -> Job[str]:
        yield Progress(1, 2, "working")
        yield Note("half")
        return "result"

    seen: list[object] = []
    assert run(folder.recorded(job()), seen.append) == "result"
    assert seen == [Progress(1, 2, "working"), Note("half")]
    assert folder.events() == [Note("half")]


def test_only_one_process_trains_in_a_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    other = (
        "import sys; from napari_nucleigan.training.runs.run_folder import RunFolder\n"
        "with RunFolder(sys.argv[1]).locked(): print('locked')"
    )
    command = [sys.executable, "-c", other, str(tmp_path)]
    with folder.locked():
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "Another process is training" in refused.stderr
    allowed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert allowed.stdout == "locked\n"


@pytest.mark.parametrize("content", ["{", "[]", None])
def test_a_folder_that_is_no_run_is_one_clear_error(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(RunError, match=r"Cannot read .*recipe\.json"):
        RunFolder(tmp_path).recipe()


def test_a_run_that_waits_can_be_stopped_before_it_begins(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)

    def wait() -> Job[None]:
        while True:
            yield Progress(0, 1, "Waiting for another run on this device")

    with pytest.raises(StopRequested, match="before it began"):
        for _ in folder.waiting(wait()):
            if state_of(folder).state is RunState.QUEUED:
                assert state_of(folder).message == "Waiting for another run on this device."
                ask(folder, "stop")
    assert (state_of(folder).state, state_of(folder).message) == (RunState.STOPPED, "Stopped before it began.")
    folder.start(RECIPE, {})
    with folder.claimed(), pytest.raises(RunError, match="Another process"):
        next(RunFolder(tmp_path).waiting(wait()))


def test_what_a_killed_process_was_writing_is_swept_away(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    # Killed between the two files that begin a run.
    for name in ("data.json", ".recipe.0a1b2c3d.part.json", "lock", "log.txt"):
        (tmp_path / name).touch()
    folder.start(RECIPE, {})
    for path in (folder.previews, folder.checkpoints):
        path.mkdir()
    left = [tmp_path / ".best.0a1b2c3d.part.safetensors", folder.previews / ".00000004.0a1b2c3d.part.png"]
    kept = [folder.best, folder.previews / "00000004.png", folder.checkpoints / "00000004.json"]
    for path in (*left, *kept):
        path.touch()
    with folder.locked():
        assert not any(path.exists() for path in left)
        assert all(path.exists() for path in kept)


@pytest.mark.skipif(os.name == "nt", reason="limits are set as POSIX has them")
def test_half_a_line_does_not_stay(tmp_path: Path) -> None:
    # No file may grow beyond 150 bytes for a while: a full disk, as a process meets it.
    code = """
import resource, signal, sys
from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.events import Note
from napari_nucleigan.training.runs.run_folder import RunFolder
folder = RunFolder(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder.record(Note("whole"))
resource.setrlimit(resource.RLIMIT_FSIZE, (150, resource.RLIM_INFINITY))
try:
    folder.record(Note("torn" * 100))
except OutputError:
    print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
folder.record(Note("after"))
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
    assert (tmp_path / "events.jsonl").read_text().count("\n") == 2
    assert RunFolder(tmp_path).events() == [Note("whole"), Note("after")]
