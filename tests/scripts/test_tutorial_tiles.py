"""The tutorial page, followed by its script with as few tiles as can be judged in place of a thousand."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.models import DEFAULT_SYNTHESIZER, list_models

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
def test_followed_from_start_to_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "work", "--pairs", "16", "--device", "cpu"],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    assert len(Dataset.open(tmp_path / "work" / "tiles")) == 16
