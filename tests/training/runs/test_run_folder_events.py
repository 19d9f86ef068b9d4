from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.events import Checkpoint, Finished, Losses, Note, Preview, ValidationScores
from napari_nucleigan.training.runs.run_folder import EVENTS, EventLogReader, RunFolder, RunSummary, Told, summary_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _losses(step: int) -> Losses:
    return Losses(step, {"l1": 0.5}, 1e-3, 12.0)


def _read(tail: EventLogReader) -> list[object]:
    return [told.event for told in tail.read()]


def test_a_tail_reads_what_is_new(tmp_path: Path) -> None:
    folder, tail = RunFolder(tmp_path / "run"), EventLogReader(tmp_path / "run")
    assert tail.read() == []
    folder.path.mkdir()
    folder.record(Note("hello"))
    assert _read(tail) == [Note("hello")]
    assert tail.read() == []
    folder.record(_losses(10))
    folder.record(_losses(20))
    told = tail.read()
    assert [each.event for each in told] == [_losses(10), _losses(20)]
    assert told[0].time > 1.6e9
    assert tail.restarts == 0


def test_a_torn_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    folder, tail = RunFolder(tmp_path), EventLogReader(tmp_path)
    folder.record(_losses(10))
    line = (tmp_path / EVENTS).read_bytes()
    with (tmp_path / EVENTS).open("ab") as handle:
        handle.write(line[:30])
        handle.flush()
        assert _read(tail) == [_losses(10)]
        assert tail.read() == []
        handle.write(line[30:])
    assert _read(tail) == [_losses(10)]


def test_a_line_that_is_no_event_is_passed_over(tmp_path: Path) -> None:
    folder, tail = RunFolder(tmp_path), EventLogReader(tmp_path)
    folder.record(_losses(10))
    with (tmp_path / EVENTS).open("ab") as handle:
        handle.write(b'{"event": "losses", "st\n[1]\nnull\n\x00\xff\n{"event": "note"}\n{"event": "dream"}\n')
    folder.record(_losses(20))
    assert _read(tail) == [_losses(10), _losses(20)]
    assert folder.events() == [_losses(10), _losses(20)]


def test_a_story_that_is_taken_back_is_told_anew(tmp_path: Path) -> None:
    folder, tail = RunFolder(tmp_path), EventLogReader(tmp_path)
    folder.record(_losses(10))
    size = folder.events_size
    folder.record(_losses(20))
    assert len(tail.read()) == 2
    folder.rewind(size)
    # It has grown beyond its old size before anyone looks again.
    for event in (Note("resumed with another line"), _losses(20), _losses(30)):
        folder.record(event)
    assert _read(tail) == [_losses(10), Note("resumed with another line"), _losses(20), _losses(30)]
    assert tail.restarts == 1


def test_a_long_story_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_nucleigan.training.runs.run_folder._CHUNK", 300)
    folder, tail = RunFolder(tmp_path), EventLogReader(tmp_path)
    events = [_losses(step) for step in range(10)] + [Note("x" * 2000), Note("end")]
    for event in events:
        folder.record(event)
    parts = []
    while part := _read(tail):
        parts.append(part)
    assert [event for part in parts for event in part] == events
    assert len(parts) > 3


@given(cuts=st.lists(st.integers(1, 400), max_size=20))
def test_however_it_is_written_it_reads_the_same(cuts: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("run")
    folder = RunFolder(path)
    events = [Note("ä" * n) for n in range(8)]
    for event in events:
        folder.record(event)
    content = (path / EVENTS).read_bytes()
    (path / EVENTS).write_bytes(b"")
    tail, found = EventLogReader(path), []
    with (path / EVENTS).open("ab", buffering=0) as handle:
        for cut in [*cuts, len(content)]:
            handle.write(content[:cut])
            content = content[cut:]
            found += _read(tail)
    assert found == events
    assert tail.restarts == 0


def test_what_a_run_names_is_found_where_the_run_is_now(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "before")
    folder.path.mkdir()
    for event in (
        Preview(1, str(folder.previews / "00000001.png")),
        Checkpoint(1, str(folder.checkpoints / "00000001.json")),
        Finished(1, str(folder.best)),
    ):
        folder.record(event)
    moved = RunFolder(folder.path.rename(tmp_path / "after"))
    assert _read(EventLogReader(moved)) == [
        Preview(1, str(moved.previews / "00000001.png")),
        Checkpoint(1, str(moved.checkpoints / "00000001.json")),
        Finished(1, str(moved.best)),
    ]
    assert json.loads((moved.path / EVENTS).read_text().splitlines()[0])["path"].startswith(str(tmp_path / "before"))


def test_a_log_is_summed_up_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, readers = RunFolder(tmp_path), [EventLogReader(tmp_path) for _ in range(2)]
    parts: list[list[Told]] = []
    restarts: list[bool] = []

    def show(told: list[Told], fresh: bool) -> None:
        parts.append(told)
        restarts.append(fresh)

    def both() -> RunSummary:
        assert readers[0].read_all(show) == readers[1].skim()
        return readers[0].summary

    assert both() == RunSummary()
    monkeypatch.setattr("napari_nucleigan.training.runs.run_folder._CHUNK", 300)
    for step in range(10, 60, 10):
        folder.record(_losses(step))
    folder.record(ValidationScores(50, {"aji": 0.5}, True))
    size = folder.events_size
    folder.record(ValidationScores(60, {"aji": 0.4}, False))
    folder.record(Note("no step"))
    folder.record(Finished(60, str(folder.best)))
    summary = both()
    assert (summary.step, summary.best, summary.best_step, summary.finished) == (60, {"aji": 0.5}, 50, True)
    assert summary.time > 1.6e9
    assert len(parts) > 1
    assert sum(map(len, parts)) == 9
    assert not any(restarts)
    folder.rewind(size)
    assert (both().step, summary.finished, both().finished) == (50, True, False)
    assert restarts.count(True) == 1
    (tmp_path / EVENTS).unlink()
    moment = readers[0].summary.time
    assert both() == RunSummary(time=moment)
    assert restarts.count(True) == 2
    assert not parts[-1]


def test_the_summary_of_a_run_reads_only_what_is_new(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.record(_losses(10))
    first = summary_of(folder)
    folder.record(_losses(20))
    assert (first.step, summary_of(RunFolder(tmp_path)).step) == (10, 20)
