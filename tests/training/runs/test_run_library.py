from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from napari_nucleigan.base.errors import OutputError, RunError
from napari_nucleigan.base.events import Note, ValidationScores
from napari_nucleigan.training.recipes import RECIPES
from napari_nucleigan.training.runs.run_folder import RunFolder
from napari_nucleigan.training.runs.run_library import (
    DATA,
    default_folder,
    delete,
    find_run,
    list_runs,
    new_folder,
    rename,
)
from napari_nucleigan.training.runs.status import RunState, state_of


def _run(name: str, **data: str) -> RunFolder:
    folder = RunFolder(default_folder() / name)
    folder.start(RECIPES["compact-segmenter"], data)
    folder.record(Note(name))
    return folder


def test_the_folder_of_the_runs_may_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(default_folder()) == os.environ["NUCLEIGAN_RUNS"]
    monkeypatch.delenv("NUCLEIGAN_RUNS")
    assert default_folder().name == "runs"
    assert "nucleigan" in default_folder().parts


def test_runs_are_listed_the_last_active_first(tmp_path: Path) -> None:
    assert list_runs() == list_runs(tmp_path / "nowhere") == []
    first, second = _run("first"), _run("second")
    second.record(ValidationScores(10, {"aji": 0.5}, True))
    (default_folder() / "no run").mkdir()
    (default_folder() / "file").touch()
    assert [status.name for status in list_runs()] == ["second", "first"]
    with first.locked():
        pass
    assert [status.name for status in list_runs()] == ["first", "second"]
    assert list_runs()[1].best == {"aji": 0.5}


def test_a_new_run_gets_a_name_of_its_own() -> None:
    assert new_folder(" night ") == default_folder() / "night"
    _run("night")
    assert new_folder("night") == default_folder() / "night 2"
    _run("night 2")
    assert new_folder("night") == default_folder() / "night 3"


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", ".trash", "a/b", "a\\b", "a:b", "why?", "a\nb", "end.", "x" * 121]
)
def test_names_that_cannot_be_are_refused(name: str) -> None:
    folder = _run("run")
    with pytest.raises(RunError, match="cannot be called"):
        new_folder(name)
    with pytest.raises(RunError, match="cannot be called"):
        rename(folder.path, name)
    assert folder.exists


def test_a_run_is_found_by_name_and_by_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _run("run")
    assert find_run("run") == find_run(folder.path) == folder.path
    monkeypatch.chdir(folder.path)
    assert find_run(".") == Path.cwd()
    with pytest.raises(RunError, match="no training run 'ran'"):
        find_run("ran")


def test_a_renamed_run_is_the_same_run() -> None:
    folder = _run("run")
    assert rename(folder.path, "run") == folder.path
    moved = rename(folder.path, "my best")
    assert moved == default_folder() / "my best"
    assert RunFolder(moved).events() == [Note("run")]
    other = _run("run")
    with pytest.raises(RunError, match="already"):
        rename(other.path, "my best")


def test_deleted_runs_are_only_put_away() -> None:
    for _ in range(2):
        put_away = delete(_run("run").path)
        assert put_away.parent == default_folder() / ".trash"
        assert RunFolder(put_away).events() == [Note("run")]
        assert list_runs() == []
    assert len(list((default_folder() / ".trash").iterdir())) == 2


def test_data_that_were_made_for_a_run_go_with_it(tmp_path: Path) -> None:
    made, foreign = default_folder() / DATA / "mine", tmp_path / "theirs"
    for folder in (made, foreign):
        (folder / "images").mkdir(parents=True)
    first, second, third = (_run(str(number), folder=str(made)) for number in range(3))
    other = _run("other", folder=str(foreign))
    assert not (delete(first.path) / "data").exists()
    delete(other.path)
    (second.path / "recipe.json").unlink()  # stopped before it began: only its order tells
    (second.path / "order.json").write_text(json.dumps({"data": str(made)}))
    assert made.is_dir()
    assert foreign.is_dir()
    delete(third.path)
    assert made.is_dir()
    assert (delete(second.path) / "data" / "images").is_dir()
    assert not made.exists()


def test_a_run_that_is_trained_stays_where_it_is() -> None:
    folder = _run("run")
    with folder.locked():
        with pytest.raises(RunError, match="running"):
            rename(folder.path, "other")
        with pytest.raises(RunError, match="running"):
            delete(folder.path)
    assert state_of(folder).name == "run"


def test_a_trash_that_cannot_be_made_is_one_clear_error() -> None:
    folder = _run("run")
    (default_folder() / ".trash").touch()
    with pytest.raises(OutputError, match="Cannot write"):
        delete(folder.path)
    assert folder.exists


ODD = {
    "recipe.json": ["", "{", "[]", "[" * 100_000, b"\xff\xfe{}", b"\0" * 50, '"text"'],
    "process.json": ["[]", '{"pid": "x"}', '{"pid": -1, "born": 0, "host": "h", "token": "t", "time": 0}', "null"],
    "progress.json": ['{"time": "now"}', '{"done": [1], "total": {}}', '{"time": 1e300}', '{"step": NaN}', "7"],
    "control.json": ['{"ask": ["stop"]}', '{"ask": {}}', "[]"],
    "data.json": ['{"folder": 7}', "[]", '{"train": "all"}'],
    "events.jsonl": [
        '{"event": []}\n[]\n7\n',
        '{"event": "scores", "step": "x", "values": 7, "best": true}\n',
        '{"event": "losses", "step": 1}\n' + "[" * 100_000 + "\n",
        '{"event": "preview", "step": 1, "path": "' + "n" * 5000 + '\\u0000"}\n',
        b"\xff\xfe\n",
    ],
    "log.txt": [b"\xff\x1b[31mred\n"],
}


@pytest.mark.parametrize(("name", "content"), [(name, content) for name, all_ in ODD.items() for content in all_])
def test_an_odd_run_does_not_take_the_others_away(name: str, content: str | bytes) -> None:
    _run("sound")
    odd = _run("odd")
    (odd.path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    states = {status.name: status for status in list_runs()}
    assert states.keys() == {"sound", "odd"}
    assert states["sound"].state is RunState.INTERRUPTED
    assert states["odd"].state is (RunState.UNREADABLE if name == "recipe.json" else RunState.INTERRUPTED)
    assert states["odd"].message.isprintable()
    assert all(line.isprintable() for line in states["odd"].log)
    json.dumps(states["odd"].to_json(), allow_nan=False)
    if name == "recipe.json":
        assert "recipe.json" in states["odd"].message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders")
@pytest.mark.parametrize("name", [*ODD, "lock", "order.json"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(name: str) -> None:
    _run("sound")
    odd = _run("odd")
    (odd.path / name).unlink(missing_ok=True)
    os.mkfifo(odd.path / name)
    assert {status.name for status in list_runs()} == {"sound", "odd"}


def test_a_line_of_events_that_never_ends_is_not_read_whole() -> None:
    odd = _run("odd")
    with (odd.path / "events.jsonl").open("r+b") as handle:
        handle.truncate(1 << 40)
    (status,) = list_runs()
    assert status.name == "odd"


def test_an_order_that_cannot_be_read_is_listed_with_the_reason() -> None:
    folder = default_folder() / "ordered"
    folder.mkdir()
    for content in ("[]", '{"kind": "poem"}', '{"recipe": 7}'):
        (folder / "order.json").write_text(content)
        (status,) = list_runs()
        assert status.state is RunState.UNREADABLE
        assert "order.json" in status.message
    assert delete(folder).is_dir()
    assert list_runs() == []


def test_a_folder_of_runs_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="Cannot read the folder of the runs"):
        list_runs(tmp_path / "file")
    with pytest.raises(RunError, match="There is no training run"):
        find_run("n" * 300)
