"""``nucleigan segment FOLDER``, as a process of its own where only that shows it."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nucleigan.cli.segment import _polygons
from napari_nucleigan.data.images.files import read_labels
from napari_nucleigan.data.images.samples import FOLDER
from napari_nucleigan.labels.polygons import inside

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

COMMAND = Path(sys.executable).with_name("nucleigan")
MODEL = ("--model", "tiny", "--device", "cpu", "--mpp", "0.25")


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path, save_image: Callable[..., Path]) -> Path:
    for seed, name in enumerate(("a", "b", "c")):
        save_image(tmp_path / "in" / f"{name}.png", seed=seed)
    return tmp_path / "in"


def _states(done: Result) -> list[str]:
    return [result["state"] for result in json.loads(done.stdout)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_after_kill_9_the_same_command_goes_on(
    tmp_path: Path, tiny_model: Path, save_image: Callable[..., Path], nucleigan: Callable[..., Result]
) -> None:
    for index in range(12):
        save_image(tmp_path / "in" / f"{index:02d}.png", 400, index)
    out = tmp_path / "out"
    command = [COMMAND, "segment", tmp_path / "in", "-o", out, "-f", "tif", "-f", "csv", *MODEL]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 90
        while len(list(out.glob("[!.]*.tif"))) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*.tif")}
    assert 3 <= len(before) < 12
    again = nucleigan(*command[1:])
    assert again.exit_code == 0, again.stderr
    lines = again.stdout.splitlines()
    skipped = [line for line in lines if ", done before -> " in line]
    # The last one may have been written, and not yet noted.
    assert len(before) - 1 <= len(skipped) <= len(before)
    assert lines[-1].startswith(f"12 images: {12 - len(skipped)} segmented, {len(skipped)} done before; ")
    assert sum(path.stat().st_mtime_ns == written for path, written in before.items()) == len(skipped)
    for index in range(12):
        assert read_labels(out / f"{index:02d}.tif").shape == (400, 400)
    with (out / "nucleigan-segment.csv").open(newline="") as handle:
        assert [row["state"] for row in csv.DictReader(handle)] == ["done"] * 12


@pytest.mark.parametrize("option", ["--tta", "--views"])
def test_the_views_are_checked_under_either_name(
    folder: Path, tmp_path: Path, nucleigan: Callable[..., Result], option: str
) -> None:
    refused = nucleigan("segment", str(folder), "-o", str(tmp_path / "out"), option, "3")
    assert refused.exit_code == 2
    assert "views are 1, 2, 4 or 8" in " ".join(refused.stderr.replace("│", " ").split())
    shown = nucleigan("segment", "--help").stdout
    assert "--tta" in shown
    assert "--views" not in shown


def test_failures_are_named_and_end_with_1(folder: Path, tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    for name in ("b", "d"):
        (folder / f"{name}.png").write_bytes(b"nothing")
    done = nucleigan("segment", folder, "-o", tmp_path / "out", *MODEL)
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1].startswith("4 images: 2 segmented, 2 failed; ")
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: 2 of 4 images failed: b.png, d.png; the first: Cannot read ")
    assert last.endswith(f"All reasons are in {tmp_path / 'out' / 'nucleigan-segment.csv'}.")


def test_done_before_is_skipped_unless_asked_for_again(
    folder: Path, tmp_path: Path, nucleigan: Callable[..., Result]
) -> None:
    command = ("segment", folder, "-o", tmp_path / "out", "--json", *MODEL)
    first = nucleigan(*command)
    assert _states(first) == ["done"] * 3
    second = nucleigan(*command)
    assert _states(second) == ["skipped"] * 3
    known = [(result["nuclei"], result["outputs"]) for result in json.loads(first.stdout)]
    assert [(result["nuclei"], result["outputs"]) for result in json.loads(second.stdout)] == known
    assert _states(nucleigan(*command, "--again")) == ["done"] * 3


def test_subfolders_are_kept(
    folder: Path, tmp_path: Path, nucleigan: Callable[..., Result], save_image: Callable[..., Path]
) -> None:
    save_image(folder / "deep" / "er" / "a.png")
    done = nucleigan("segment", folder, "-r", "-o", folder / "out", *MODEL)
    assert done.exit_code == 0, done.stderr
    assert sorted(path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*.tif")) == [
        *("a.tif", "b.tif", "c.tif"),
        "deep/er/a.tif",
    ]


def test_a_folder_that_refuses_is_one_line(
    folder: Path, mount: Callable[[str], Path], nucleigan: Callable[..., Result]
) -> None:
    done = nucleigan("segment", folder, "-o", mount("ro"), *MODEL)
    assert done.exit_code == 1
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert "the file system is read-only; choose a folder that you may write to" in line


def test_pixel_sizes_are_asked_for_before_anything_is_computed(
    folder: Path, tmp_path: Path, nucleigan: Callable[..., Result]
) -> None:
    done = nucleigan("segment", folder, "-o", tmp_path / "out", "--model", "tiny", "--device", "cpu")
    assert done.exit_code == 1
    assert "3 of 3 images have no pixel size" in done.stderr
    assert "--mpp 0.25" in done.stderr
    assert "--mpp auto" in done.stderr
    assert not list((tmp_path / "out").glob("*.tif"))
    for wrong in ("none", "0", "-1", "nan"):
        done = nucleigan("segment", folder, "-o", tmp_path / "out", "--model", "tiny", "--mpp", wrong)
        assert done.exit_code == 2
        assert "mpp: it is a number" in done.stderr


def ring(left: float, top: float, side: float) -> list[list[float]]:
    right, bottom = left + side, top + side
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def region(path: Path, *geometries: dict[str, Any]) -> Path:
    features = [{"type": "Feature", "geometry": geometry, "properties": {}} for geometry in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_regions_have_holes_islands_and_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    donut = [[ring(0, 0, 100), ring(20, 20, 60)], [ring(40, 40, 20)]]
    path = region(
        tmp_path / "a.geojson",
        {"type": "MultiPolygon", "coordinates": donut},
        {"type": "Point", "coordinates": [5, 5]},
        {"type": "GeometryCollection", "geometries": [{"type": "Polygon", "coordinates": [ring(200, 0, 10)]}]},
        {"type": "LineString", "coordinates": [[0, 0], [9, 9]]},
    )
    polygons = [np.array(polygon) for polygon in _polygons(path)]
    assert capsys.readouterr().err == "What is no area was left out of a.geojson: points (1), lines (1).\n"
    y, x = np.mgrid[0.25:120:0.5, 0.25:220:0.5]
    found = inside(np.column_stack([y.ravel(), x.ravel()]), polygons).reshape(x.shape)
    expected = np.zeros_like(found)
    for left, top, side, value in ((0, 0, 100, 1), (20, 20, 60, 0), (40, 40, 20, 1), (200, 0, 10, 1)):
        expected[2 * top : 2 * (top + side), 2 * left : 2 * (left + side)] = value
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("geometries", "why"),
    [((), "holds no polygon; draw one"), (({"type": "Point", "coordinates": [1, 2]},), "but points (1)")],
)
def test_a_region_without_an_area_is_refused(
    tmp_path: Path, nucleigan: Callable, geometries: tuple[dict[str, Any], ...], why: str
) -> None:
    path = region(tmp_path / "a.geojson", *geometries)
    done = nucleigan("segment", FOLDER / "synthetic_he.png", "-o", tmp_path / "out", "--region", path)
    assert done.exit_code == 1
    assert why in done.stderr
