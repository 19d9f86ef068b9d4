"""Runs in napari's activity dock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("qtpy.QtWidgets")
from qtpy.QtCore import QObject
from qtpy.QtGui import QMovie
from qtpy.QtWidgets import QApplication, QLabel, QWidget

from napari_nucleigan.training.runs.status import RunState, RunStatus
from napari_nucleigan.widgets.base.training_runs import CALM, Activity

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytestqt.qtbot import QtBot

RUN = RunStatus(Path("runs/mine"), RunState.RUNNING, "", step=20, steps=100)


@pytest.fixture
def owner(qapp: QApplication) -> QObject:
    return QObject()


def test_a_bar_for_each_run_that_trains(owner: QObject) -> None:
    activity = Activity(owner)
    other = replace(RUN, path=Path("runs/other"), state=RunState.FINISHED)
    assert activity.update([RUN, other]) == []
    (bar,) = activity.bars
    assert (bar.n, bar.total) == (20, 100)
    assert "mine" in str(bar.desc)
    activity.update([replace(RUN, step=30), other])
    assert bar.n == 30
    activity.update([replace(RUN, state=RunState.FINISHED), other])
    assert not activity.bars


def test_its_cancel_stops_the_run_once(owner: QObject) -> None:
    activity = Activity(owner)
    activity.update([RUN])
    activity.bars[0].cancel()
    assert activity.update([RUN]) == [RUN.path]
    assert activity.update([replace(RUN, state=RunState.STOPPING)]) == []
    assert len(activity.bars) == 1
    activity.clear()
    assert not activity.bars


def test_napari_spins_slowly_while_runs_train(make_napari_viewer_proxy: Callable, qtbot: QtBot, owner: QObject) -> None:
    make_napari_viewer_proxy()
    labels = [label for window in QApplication.topLevelWidgets() for label in window.findChildren(QLabel)]
    (spinner,) = [label.movie() for label in labels if label.movie() is not None]
    window, movie = QWidget(), QMovie()
    qtbot.addWidget(window)
    QLabel(window).setMovie(movie)
    first, second = Activity(owner), Activity(owner)
    first.update([RUN])
    second.update([RUN])
    assert spinner.speed() == CALM
    assert movie.speed() == 100  # what others show is none of our business
    first.clear()
    assert spinner.speed() == CALM
    second.update([])
    assert spinner.speed() == 100
    # a window that is closed takes its widget along without a word
    widget = QWidget()
    Activity(widget).update([RUN])
    assert spinner.speed() == CALM
    widget.deleteLater()
    qtbot.waitUntil(lambda: spinner.speed() == 100)
