from __future__ import annotations

import json
import subprocess
import sys
import time

import psutil
import pytest

from napari_nucleigan.base.events import Note, run
from napari_nucleigan.evaluation import Failure, evaluate_folders, processes
from napari_nucleigan.evaluation.processes import (
    CannotStart,
    FilePair,
    PairTask,
    found_from_json,
    found_to_json,
    in_processes,
)


@pytest.fixture
def comparisons(many):
    pred, truth = many
    names = [f"tile{place}" for place in range(8)]
    return [PairTask(FilePair(name, truth / "labels" / f"{name}.tif", pred / f"{name}.tif")) for name in names]


def workers_of():
    # What other tests of this process have started may be dead and not yet waited for.
    living = (child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE)
    return [child for child in living if "napari_nucleigan.evaluation.processes" in child.cmdline()]


def suspended(count, seconds=60):
    """Wait until so many processes are there, which load what they need, and let them do nothing more."""
    end = time.monotonic() + seconds
    while len(children := workers_of()) < count:
        assert time.monotonic() < end
        time.sleep(0.01)
    for child in children:
        child.suspend()
    return children


def test_processes_find_the_same_to_the_last_bit(many):
    alone, spread = (run(evaluate_folders(*many, workers=workers)) for workers in (0, 2))
    assert spread.to_json() == alone.to_json()
    assert spread.to_csv() == alone.to_csv()
    assert not workers_of()


def test_what_is_found_survives_the_way_between_processes(comparisons, tmp_path):
    for comparison in (comparisons[0], PairTask(comparisons[1].pair, hausdorff=False, iou=0.25)):
        found = PairTask.from_json(json.loads(json.dumps(comparison.to_json())))()
        back = found_from_json(json.loads(json.dumps(found_to_json(found))))
        assert back.scores == found.scores == comparison().scores
        assert back.tally.sums.tobytes() == found.tally.sums.tobytes()
    failure = PairTask(FilePair("gone", tmp_path / "no.tif", tmp_path / "no.tif"))()
    assert isinstance(failure, Failure)
    assert found_from_json(found_to_json(failure)) == failure


def test_to_close_it_ends_the_processes_at_once(comparisons):
    job = in_processes(comparisons, 2)
    assert next(job) is None
    children = suspended(2)
    start = time.monotonic()
    job.close()
    assert time.monotonic() - start < 5
    assert children
    assert not any(child.is_running() for child in children)


def test_a_process_that_dies_costs_one_pair(comparisons):
    tasks = comparisons * 40
    job = in_processes(tasks, 1)
    outcomes = [next(outcome for outcome in job if outcome is not None)]
    (child,) = suspended(1)
    child.kill()
    outcomes += [outcome for outcome in job if outcome is not None]
    assert sorted(place for place, _ in outcomes) == list(range(len(tasks)))
    (lost,) = (found for _, found in outcomes if isinstance(found, Failure))
    assert "was ended" in lost.reason
    assert all(found.name == tasks[place].pair.name for place, found in outcomes)


def test_processes_that_die_again_and_again_come_to_an_end(comparisons, monkeypatch):
    monkeypatch.setattr(processes, "_COMMAND", ("-c", "print('ready', flush=True)"))
    found = dict(outcome for outcome in in_processes(comparisons[:4], 2) if outcome is not None)
    assert sorted(found) == [0, 1, 2, 3]
    assert all(isinstance(failure, Failure) for failure in found.values())


def test_where_no_process_starts_the_rest_is_done_here(many, comparisons, monkeypatch):
    monkeypatch.setattr(processes, "_COMMAND", ("-c", "raise SystemExit"))
    with pytest.raises(CannotStart):
        list(in_processes(comparisons, 2))
    events = []
    report = run(evaluate_folders(*many, workers=2), events.append)
    assert len(report.images) == 8
    assert [event.text for event in events if isinstance(event, Note)][:1] == [
        "No processes can be started here; the images are compared one after the other."
    ]
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(CannotStart):
        list(in_processes(comparisons, 2))


def test_a_script_without_a_guard_runs_once(many, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from napari_nucleigan.evaluation import evaluate_folders\n"
        "from napari_nucleigan.base.events import run\n"
        "print('here')\n"
        f"report = run(evaluate_folders({str(many[0])!r}, {str(many[1])!r}, workers=2))\n"
        "print(len(report.images))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["here", "8"], "")


def test_processes_end_with_the_program_that_started_them(many, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, psutil\n"
        "from pathlib import Path\n"
        "from napari_nucleigan.evaluation.processes import FilePair, PairTask, in_processes\n"
        f"pair = FilePair('a', Path({str(many[1] / 'labels' / 'tile0.tif')!r}), Path({str(many[0] / 'tile0.tif')!r}))\n"
        "job = in_processes([PairTask(pair)] * 1000, 1)\n"
        "while next(job) is None: pass\n"
        "print(*(child.pid for child in psutil.Process().children()), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    (child,) = map(int, done.stdout.split())
    end = time.monotonic() + 20
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.05)
