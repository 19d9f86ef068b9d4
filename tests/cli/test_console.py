from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nucleigan.base.events import Note, Progress
from napari_nucleigan.cli.console import print_table, progress_bar

if TYPE_CHECKING:
    import pytest


def test_notes_reach_a_log_and_progress_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as show:
        show(Progress(1, 2, "segmenting", 3.0))
        show(Note("Greyscale."))
    assert capsys.readouterr().err == "Greyscale.\n"


def test_names_in_tables_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["organ", "AJI"], [["[bold]liver[/", "0.5"], ["\x1b[2J", "0.6"]])
    text = capsys.readouterr().out
    assert "[bold]liver[/" in text
    assert "\\x1b[2J" in text
