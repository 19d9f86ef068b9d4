from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

COMMAND = Path(sys.executable).with_name("nucleigan")
PAINT = ("--model", "painter", "--device", "cpu", "--precision", "float32")


@pytest.fixture(autouse=True)
def painter(save_synthesizer: Callable[..., Path]) -> Path:
    return save_synthesizer()


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _pairs(out: Path) -> int:
    path = out / "pairs.jsonl"
    return len(path.read_text().splitlines()) if path.is_file() else 0


def _started(out: Path, count: int, enough: int) -> subprocess.Popen[str]:
    """Start the real command, and wait until it has made some pairs."""
    process = subprocess.Popen(
        [COMMAND, "synthesize", "-o", out, "-n", str(count), "--size", "64", *PAINT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 90
    while _pairs(out) < enough and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    return process


@pytest.mark.skipif(os.name == "nt", reason="signals are sent as POSIX has them")
class TestBrokenOff:
    def test_killed_and_resumed_to_identical_bytes(self, tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
        arguments = ("synthesize", "-n", 60, "--size", 64, *PAINT)
        process = _started(tmp_path / "killed", 60, 8)
        process.kill()
        process.communicate(timeout=30)
        assert 8 <= _pairs(tmp_path / "killed") < 60
        done = nucleigan(*arguments, "-o", tmp_path / "killed")
        assert done.exit_code == 0, done.stderr
        assert "were there" in done.stdout
        nucleigan(*arguments, "-o", tmp_path / "whole")
        whole, killed = _bytes(tmp_path / "whole"), _bytes(tmp_path / "killed")
        leftovers = {name for name in killed.keys() - whole.keys() if ".part." in name}
        assert killed.keys() - leftovers == whole.keys()
        assert all(killed[name] == content for name, content in whole.items())

    def test_ctrl_c_is_exit_code_130_and_keeps_what_is_finished(self, tmp_path: Path) -> None:
        process = _started(tmp_path / "out", 5000, 8)
        # Python drops an interrupt that falls into a finaliser; whoever pressed Ctrl-C then presses it again.
        for _ in range(8):
            process.send_signal(signal.SIGINT)
            try:
                stdout, stderr = process.communicate(timeout=10)
                break
            except subprocess.TimeoutExpired:
                continue
        assert process.returncode == 130, stderr
        assert "Traceback" not in stderr
        assert "the same command goes on" in stderr
        assert stdout == ""
        data = Dataset.open(tmp_path / "out")
        assert len(data) == _pairs(tmp_path / "out") >= 8
        assert set(data.organs.values()) == {"breast", "kidney", "liver", "prostate"}


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys\nfrom napari_nucleigan.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n"
        "    print('imported:', {'torch', 'napari', 'scipy', 'skimage', 'numpy'} & sys.modules.keys())\n"
    )
    arguments = [sys.executable, "-c", code, "synthesize", "--help"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert "imported: set()" in done.stdout
    assert "--min-consistency" in done.stdout


def test_drawn_masks(tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    done = nucleigan("synthesize", "-o", tmp_path / "out", "-n", 3, "--size", 48, "--like", "liver", *PAINT)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("3 pairs made (")
    data = Dataset.open(tmp_path / "out")
    assert set(data.organs.values()) == {"liver"}
    assert data.pair("pair-00001")[0].pixels.shape == (48, 48, 3)


def test_a_folder_of_masks_in_json(tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    for name in ("a", "b"):
        write_labels(tmp_path / "masks" / f"{name}.tif", np.eye(30, 40, dtype=np.int32))
    done = nucleigan("synthesize", tmp_path / "masks", "-o", tmp_path / "out", "--json", *PAINT)
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["made"], report["kept"], report["dropped"], report["failed"]) == (2, 0, [], {})
    assert Dataset.open(tmp_path / "out").names == ("a", "b")


def test_a_mask_that_cannot_be_read_is_exit_code_1_and_the_others_are_painted(
    tmp_path: Path, nucleigan: Callable[..., Result]
) -> None:
    write_labels(tmp_path / "masks" / "a.tif", np.eye(30, 40, dtype=np.int32))
    (tmp_path / "masks" / "b.tif").write_bytes(b"nothing")
    done = nucleigan("synthesize", tmp_path / "masks", "-o", tmp_path / "out", *PAINT)
    assert done.exit_code == 1
    assert "Error: 1 masks could not be painted; the first, b: " in done.stderr
    assert Dataset.open(tmp_path / "out").names == ("a",)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "how many pairs"),
        (("-n", 0), "count"),
        (("-n", 3, "--min-consistency", 2), "consistency"),
        (("-n", 3, "--seed", -1), "seed"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    tmp_path: Path, nucleigan: Callable[..., Result], arguments: tuple[object, ...], why: str
) -> None:
    done = nucleigan("synthesize", "-o", tmp_path / "out", *arguments)
    assert done.exit_code == 2
    assert why in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--like", "spleen"), "spleen"),
        (("--style", "spleen"), "spleen"),
        (("--model", "nothing"), "nothing"),
        (("--restain", "teal"), "teal"),
        (("--device", "tpu"), "tpu"),
    ],
)
def test_what_is_not_there_is_exit_code_1(
    tmp_path: Path, nucleigan: Callable[..., Result], arguments: tuple[str, ...], why: str
) -> None:
    done = nucleigan("synthesize", "-o", tmp_path / "out", "-n", 2, *PAINT, *arguments)
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert why in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.png").write_bytes(b"mine")
    done = nucleigan("synthesize", "-o", tmp_path, "-n", 2, *PAINT)
    assert done.exit_code == 1
    assert "did not make" in done.stderr
    assert _bytes(tmp_path) == {"images/mine.png": b"mine"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    tmp_path.chmod(0o500)
    try:
        done = nucleigan("synthesize", "-o", tmp_path / "out", "-n", 2, *PAINT)
    finally:
        tmp_path.chmod(0o700)
    assert done.exit_code == 1
    assert "permission is denied" in done.stderr
