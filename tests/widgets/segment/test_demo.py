"""The demonstration, as a user without a display runs it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

from napari_nucleigan.data.images.files import read_labels

if TYPE_CHECKING:
    from pathlib import Path

DEMO = """
import sys
from pathlib import Path
from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.widgets.segment.demo import run_demo
try:
    sys.exit(run_demo(Path(sys.argv[1]), Path(sys.argv[2])))
except NucleiganError as error:
    print(error, file=sys.stderr)
    sys.exit(1)
"""


def run_demo(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", DEMO, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, env=os.environ, check=False)


def test_picture_and_labels(models: Path, tmp_path: Path) -> None:
    picture, labels = tmp_path / "new" / "demo.png", tmp_path / "demo-labels.tif"
    done = run_demo(picture, labels)
    assert done.returncode == 0, done.stderr
    found = read_labels(labels)
    assert found.shape == (1000, 1000)
    assert found.max() > 100
    window = imagecodecs.png_decode(picture.read_bytes())
    assert min(window.shape[:2]) > 500
    # the canvas: nuclei outlined in pure, bright colours over the picture
    saturated = (window.max(axis=-1) > 240) & (window.min(axis=-1) < 10)
    assert saturated.sum() > 2000


def test_failure_ends_it_with_the_reason(models: Path, tmp_path: Path) -> None:
    for file in models.iterdir():
        content = bytearray(file.read_bytes())
        content[-5] ^= 255
        # takes the place of the bundled model, and is damaged
        file.with_name("nucleigan-he.safetensors").write_bytes(bytes(content).replace(b"tiny", b"he-1"))
    done = run_demo(tmp_path / "demo.png", tmp_path / "labels.tif")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not np.any([path.suffix in (".png", ".tif") for path in tmp_path.iterdir()])
