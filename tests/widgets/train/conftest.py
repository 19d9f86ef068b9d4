from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.utils.notifications import notification_manager

from napari_nucleigan.training.runs.processes import RunProcess, reap
from napari_nucleigan.training.runs.run_library import list_runs
from train_app import App

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the runs; what trains in it is ended with the test."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("NUCLEIGAN_RUNS", str(folder))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait for each other take minutes on a busy machine
    yield folder
    for status in list_runs(folder) if folder.is_dir() else ():
        if status.state.alive:
            RunProcess(status.path).kill()
    reap()


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: QtBot, models: Path, runs: Path, tmp_path: Path) -> App:
    notification_manager.records.clear()
    return App(make_napari_viewer_proxy(), qtbot, tmp_path)
