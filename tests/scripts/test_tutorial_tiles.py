"""The tutorial page, followed by its script with as few tiles as can be judged in place of a thousand."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.models import DEFAULT_SYNTHESIZER, list_models

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/tutorial_tiles.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_the_page_says_what_the_script_does(script: dict[str, Any]) -> None:
    commands = script["commands"](script["PAGE"].read_text(encoding="utf-8"))
    assert {command[0] for command in commands} == {"nucleigan"}
    assert [command[1] for command in commands].count("synthesize") == 4
    assert any("1000" in command for command in commands)


def test_fewer_pairs(script: dict[str, Any]) -> None:
    command = ["nucleigan", "synthesize", "-n", "1000", "--size", "256"]
    assert script["fewer"](command, 4) == ["nucleigan", "synthesize", "-n", "4", "--size", "256"]
    assert script["fewer"](command, 2000) == command


@pytest.mark.skipif(
    all(file.name != DEFAULT_SYNTHESIZER for file in list_models("synthesizer")), reason="no bundled synthesizer"
)
def test_followed_from_start_to_end(
    tmp_path: Path, script: dict[str, Any], nucleigan: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    # Six commands in a process each would spend most of their time on loading torch.
    def call(command: list[str], folder: Path) -> int:
        monkeypatch.chdir(folder)
        called.append(command[1])
        done = nucleigan(*command[1:])
        assert done.exit_code == 0, done.stderr
        return done.exit_code

    assert script["main"]([str(tmp_path / "work"), "--pairs", "16", "--device", "cpu"], call) == 0
    assert len(called) == len(script["commands"](script["PAGE"].read_text(encoding="utf-8")))
    assert len(Dataset.open(tmp_path / "work" / "tiles")) == 16


def test_a_command_is_started_in_its_folder(tmp_path: Path, script: dict[str, Any]) -> None:
    assert script["start"](["nucleigan", "--version"], tmp_path) == 0
    assert script["start"](["nucleigan", "no-such-command"], tmp_path) == 2
