"""The list of runs, and the thread that looks at them."""

from __future__ import annotations

import json
import shutil
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QInputDialog

from napari_nucleigan.base.events import Losses
from napari_nucleigan.training.runs.run_folder import RunFolder
from napari_nucleigan.training.runs.run_library import list_runs
from napari_nucleigan.training.runs.status import RunState
from napari_nucleigan.widgets.base.training_runs import RunWatcher, colour
from napari_nucleigan.widgets.train.charts import ago, allowed
from napari_nucleigan.widgets.train.run_list import COLUMNS, RunsList
from run_folders import make_run, tell_preview

if TYPE_CHECKING:
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LONG = 30_000


@pytest.fixture
def runs(qtbot: QtBot, tmp_path: Path) -> RunsList:
    widget = RunsList(tmp_path)
    qtbot.addWidget(widget)
    widget.resize(380, 500)
    widget.show()
    return widget


def enabled(widget: RunsList) -> set[str]:
    return {name for name, button in widget.buttons.items() if button.isEnabled()}


def test_runs_are_listed_with_what_matters(runs: RunsList, tmp_path: Path, trained_file: Path) -> None:
    assert runs.empty.isVisible()
    make_run(tmp_path, "first", model=trained_file)
    time.sleep(0.01)
    make_run(tmp_path, "second", finished=False, aji=0.625)
    runs.set_statuses(list_runs(tmp_path))
    assert not runs.empty.isVisible()
    rows = [[runs.tree.topLevelItem(row).text(column) for column in range(len(COLUMNS))] for row in range(2)]
    assert rows == [
        ["second", "Interrupted", "0.625", "now", "compact-segmenter"],
        ["first", "Finished", "0.500", "now", "compact-segmenter"],
    ]
    assert "step 50" in runs.tree.topLevelItem(0).toolTip(0)
    assert enabled(runs) == set()


def test_what_can_be_done_depends_on_the_runs(
    runs: RunsList, tmp_path: Path, trained_file: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_run(tmp_path, "first", model=trained_file)
    second = make_run(tmp_path, "second", finished=False)
    runs.set_statuses(list_runs(tmp_path))
    runs.select([first])
    assert enabled(runs) == {"open", "use", "rename", "delete"}
    runs.select([second])
    assert enabled(runs) == {"open", "resume", "rename", "delete"}
    runs.select([first, second])
    assert enabled(runs) == {"compare"}
    with qtbot.waitSignal(runs.compared) as blocker:
        qtbot.mouseClick(runs.buttons["compare"], Qt.MouseButton.LeftButton)
    assert set(blocker.args[0]) == {first, second}
    runs.select([second])
    for name, signal, expected in (
        ("open", runs.opened, [second]),
        ("resume", runs.asked, [second, "resume", ""]),
        ("delete", runs.asked, [second, "delete", ""]),
    ):
        with qtbot.waitSignal(signal) as blocker:
            qtbot.mouseClick(runs.buttons[name], Qt.MouseButton.LeftButton)
        assert blocker.args == expected
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: (" better ", True))
    with qtbot.waitSignal(runs.asked) as blocker:
        qtbot.mouseClick(runs.buttons["rename"], Qt.MouseButton.LeftButton)
    assert blocker.args == [second, "rename", "better"]
    with qtbot.waitSignal(runs.opened) as blocker:
        runs.tree.itemDoubleClicked.emit(runs.tree.topLevelItem(1), 0)


def test_selection_stays_when_the_list_changes(runs: RunsList, tmp_path: Path) -> None:
    first = make_run(tmp_path, "first")
    runs.set_statuses(list_runs(tmp_path))
    runs.select([first])
    make_run(tmp_path, "second")
    runs.set_statuses(list_runs(tmp_path))
    assert runs.selected == [first]
    assert runs.tree.topLevelItemCount() == 2
    runs.set_theme("light")
    item = next(runs.tree.topLevelItem(row) for row in range(2))
    assert item.foreground(1).color().name() == colour(RunState.FINISHED, dark=False)


@pytest.mark.parametrize("state", list(RunState))
def test_each_state_has_its_colours_and_its_actions(state: RunState, tmp_path: Path) -> None:
    from napari_nucleigan.training.runs.status import RunStatus

    assert colour(state, dark=True) != colour(state, dark=False)
    can = allowed(RunStatus(tmp_path, state, ""))
    assert ("kill" in can) == state.alive
    assert ("delete" in can) == (not state.alive)
    assert ("resume" in can) == (state.resumable or state is RunState.PAUSED)


@pytest.mark.parametrize(("seconds", "text"), [(5, "now"), (130, "2 min"), (3 * 3600 + 5, "3 h"), (2.5 * 86400, "2 d")])
def test_activity_is_written_short(seconds: float, text: str) -> None:
    assert ago(time.time() - seconds) == text
    assert ago(0) == ""


class Story:
    """What a watcher tells."""

    def __init__(self, folder: Path) -> None:
        self.events: list[Any] = []
        self.fresh = 0
        self.pictures: list[Any] = []
        self.listed: list[Any] = []
        self.gone: list[Path] = []
        self.watcher = RunWatcher(folder)
        self.watcher.told.connect(self._told)
        self.watcher.pictured.connect(lambda path, picture: self.pictures.append(picture))
        self.watcher.listed.connect(self.listed.append)
        self.watcher.gone.connect(self.gone.append)
        self.watcher.start()

    def _told(self, path: Path, events: list[Any], fresh: bool) -> None:
        if fresh:
            self.events.clear()
            self.fresh += 1
        self.events += events


@pytest.fixture
def story(tmp_path: Path, qtbot: QtBot) -> Any:
    threads = threading.active_count()
    made = Story(tmp_path)
    yield made
    made.watcher.stop()
    qtbot.waitUntil(lambda: threading.active_count() <= threads, timeout=LONG)


def test_a_growing_run_is_told_as_it_grows(story: Story, tmp_path: Path, qtbot: QtBot) -> None:
    path = make_run(tmp_path, "mine", finished=False)
    story.watcher.look()
    qtbot.waitUntil(lambda: any(statuses for statuses in story.listed), timeout=LONG)
    story.watcher.watch([path])
    qtbot.waitUntil(lambda: len(story.events) == 6, timeout=LONG)
    run = RunFolder(path)
    run.record(Losses(60, {"l1": 0.1}, 1e-3, 8.0))
    with (path / "events.jsonl").open("a") as handle:
        handle.write('{"event": "losses", "st')  # torn: it is still being written
    qtbot.waitUntil(lambda: len(story.events) == 7, timeout=LONG)
    for step in (10, 20):
        tell_preview_after_tear(path, step)
    qtbot.waitUntil(lambda: bool(story.pictures), timeout=LONG)
    qtbot.waitUntil(lambda: story.pictures[-1].step == 20, timeout=LONG)
    assert story.pictures[-1].pixels.shape == (4, 6, 3)
    # a resumed run takes a part of its story back
    kept = (path / "events.jsonl").read_text().splitlines(keepends=True)[:3]
    (path / "events.jsonl").write_text("".join(kept))
    qtbot.waitUntil(lambda: story.fresh == 1 and len(story.events) == 3, timeout=LONG)
    shutil.rmtree(path)
    qtbot.waitUntil(lambda: story.gone == [path], timeout=LONG)


def tell_preview_after_tear(path: Path, step: int) -> None:
    text = (path / "events.jsonl").read_text()
    (path / "events.jsonl").write_text(text[: text.rfind("\n") + 1])
    tell_preview(path, step, np.full((4, 6, 3), step, np.uint8))


def test_a_long_story_comes_in_parts_that_keep_the_viewer_fluid(story: Story, tmp_path: Path, qtbot: QtBot) -> None:
    path = make_run(tmp_path, "mine")
    line = json.dumps(
        {"time": 1.0, "event": "losses", "step": 0, "values": {"l1": 0.5}, "lr": 1e-3, "images_per_second": 1.0}
    )
    (path / "events.jsonl").write_text("".join(line.replace('"step": 0', f'"step": {n}') + "\n" for n in range(40_000)))
    parts: list[int] = []
    story.watcher.told.connect(lambda path, events, fresh: parts.append(len(events)))
    story.watcher.watch([path])
    qtbot.waitUntil(lambda: len(story.events) == 40_000, timeout=LONG)
    assert max(parts) < 15_000


def test_a_watcher_that_is_destroyed_leaves_no_thread(tmp_path: Path, qtbot: QtBot) -> None:
    threads = threading.active_count()
    for _ in range(5):
        watcher = RunWatcher(tmp_path)
        watcher.start()
        watcher.start()
        watcher.deleteLater()
        del watcher
        qtbot.wait(5)
    qtbot.waitUntil(lambda: threading.active_count() <= threads, timeout=LONG)
