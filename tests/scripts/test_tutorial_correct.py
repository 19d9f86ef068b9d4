"""The script of the tutorial "Correct, learn, segment again": it clicks its way through the steps in a real viewer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from napari_nucleigan.models import DEFAULT_SEGMENTER, list_models

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts/tutorial_correct.py"
PAGE = ROOT / "docs/guide/tutorial-correct.md"
PICTURES = {"correct-before.png", "correct-region.png", "correct-learning.png", "correct-after.png"}


def test_the_page_shows_the_pictures_of_the_script() -> None:
    assert set(re.findall(r"images/(correct-[a-z]+\.png)", PAGE.read_text(encoding="utf-8"))) == PICTURES


@pytest.mark.timeout(600)
@pytest.mark.skipif(
    all(file.name != DEFAULT_SEGMENTER for file in list_models("segmenter")), reason="no bundled segmenter"
)
def test_followed_from_start_to_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--out", tmp_path, "--minutes", "0.1", "--side", "620"],
        capture_output=True,
        text=True,
        check=False,
        timeout=590,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == PICTURES
    told = re.search(r"AJI of the rest of the image: (\S+) before, (\S+) after", done.stdout)
    assert told is not None
    # Some seconds are enough to see that it learns.
    assert float(told[2]) > float(told[1])
