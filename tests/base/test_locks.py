from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.locks import FileLock
from napari_nucleigan.base.staging import discard_folder, publish_folder, stage_folder

if TYPE_CHECKING:
    from pathlib import Path

OTHER = """
import sys
from pathlib import Path
from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.locks import FileLock
with FileLock(Path(sys.argv[1])).held(OutputError):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_is_told_who_holds_it_and_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "deep" / "lock")
    assert not lock.taken
    command = [sys.executable, "-c", OTHER, str(lock.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert lock.taken
        with pytest.raises(OutputError, match=f"^process {other.pid} on "), lock.held(OutputError):
            pass
        other.kill()
    with lock.held(OutputError):
        # A process may hold it once.
        with pytest.raises(OutputError, match=f"process {os.getpid()} on"), FileLock(lock.path).held(OutputError):
            pass
    assert not lock.taken


def test_a_lock_whose_file_was_removed_is_taken_anew(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "work" / "lock")
    with lock.held(OutputError):
        lock.path.unlink()
        lock.path.parent.rmdir()
        with FileLock(lock.path).held(OutputError):
            assert lock.path.is_file()


def test_one_process_at_a_time_prepares_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    work = stage_folder(out, "importing", {"format": "coco"})
    again = (
        "import sys; from pathlib import Path; from napari_nucleigan.base.staging import stage_folder;"
        "stage_folder(Path(sys.argv[1]), 'importing', {'format': 'coco'})"
    )
    command = [sys.executable, "-c", again, str(out)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"Another process is filling {work} (process {os.getpid()} on" in refused.stderr
    # This process may take its own work up again.
    assert stage_folder(out, "importing", {"format": "coco"}) == work
    publish_folder(work, out, {})
    discard_folder(work)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
