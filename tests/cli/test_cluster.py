from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import tifffile
from typer.testing import CliRunner

from napari_nucleigan.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

pytest.importorskip("distributed")


@pytest.mark.timeout(300)
def test_workers_of_this_machine_segment_slides(tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    from napari_nucleigan.data.images.samples import synthetic_he

    image, _ = synthetic_he()
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", image.pixels[:256, :300], photometric="rgb")
    (tmp_path / "damaged.svs").write_bytes(b"no slide")
    file = tmp_path / "cluster.json"
    command = [sys.executable, "-m", "napari_nucleigan", "cluster", "local"]
    process = subprocess.Popen(
        [*command, "--workers", "1", "--port", "0", "--file", str(file)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + 200
        while not file.exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.2)
        assert json.loads(file.read_text())["address"].startswith("tcp://127.0.0.1:")
        slides = [str(tmp_path / name) for name in ("a.tif", "damaged.svs", "b.tif")]
        how = ["-o", str(tmp_path / "out"), "-f", "csv", "--slide", "--mpp", "0.25", "--scheduler", str(file)]
        done = nucleigan("segment", *slides, *how)
        # The one that fails is told, and the others are delivered.
        assert done.exit_code == 1
        assert "damaged.svs" in done.stdout + done.stderr
        first, second = ((tmp_path / "out" / f"{name}.csv").read_text() for name in ("a", "b"))
        assert first == second
        assert first.count("\n") > 10
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert "dashboard: " in said
    assert f"--scheduler {file}" in said
    assert process.returncode == 130
    assert not file.exists()


def test_the_script_of_a_job() -> None:
    pytest.importorskip("dask_jobqueue")
    found = CliRunner().invoke(app, ["cluster", "slurm", "--queue", "gpu", "--gpus", "1", "--cores", "6", "--show"])
    assert found.exit_code == 0
    for line in ("#SBATCH -p gpu", "#SBATCH --cpus-per-task=6", "#SBATCH --gres=gpu:1", "export OMP_NUM_THREADS=6"):
        assert line in found.output
    assert "--nthreads 1" in found.output


def test_where_slurm_is_not_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = CliRunner().invoke(app, ["cluster", "slurm", "--file", str(tmp_path / "cluster.json")])
    assert found.exit_code == 1
    assert "sbatch is not found" in found.stderr
    assert not list(tmp_path.iterdir())
