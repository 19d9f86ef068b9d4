from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

from napari_nucleigan.base.events import Checkpoint, Losses, Note, Progress, ValidationScores
from napari_nucleigan.cli.training_view import TrainingView

if TYPE_CHECKING:
    import pytest

EVENTS = [
    Note("2 images train."),
    Losses(10, {"l1": 0.51, "presence": 0.2}, 1e-3, 12.5),
    Progress(10, 400, "training", 95.0),
    ValidationScores(10, {"aji": 0.61}, best=True),
    ValidationScores(20, {"aji": 0.58}, best=False),
    Checkpoint(20, "run/checkpoints/20"),
]


def test_the_table_shows_losses_scores_speed_and_the_time_left() -> None:
    view = TrainingView()
    for event in EVENTS:
        view(event)
    console = Console(file=io.StringIO(), width=100)
    console.print(view._table())
    text = console.file.getvalue()
    for part in ("l1 0.51", "12.5 images/s", "aji 0.58 at step 20", "aji 0.61 at step 10", "10 of 400", "1 min 35 s"):
        assert part in text


def test_without_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingView() as view:
        for event in EVENTS:
            view(event)
        for step in range(20, 300, 10):
            view(Losses(step, {"l1": 0.5}, 1e-3, 12.5))
    lines = capsys.readouterr().err.splitlines()
    assert "2 images train." in lines
    assert "step 10: validation aji 0.61, the best so far" in lines
    assert sum("images/s" in line for line in lines) == 1
