from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_nucleigan.cli.synthesize import draw_masks
from napari_nucleigan.data.images.files import read_labels, read_mpp, write_image, write_labels
from napari_nucleigan.masks.polygons import PolygonMasks, describe, preset, sample
from tissue_pictures import tissue_picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

COMMAND = Path(sys.executable).with_name("nucleigan")


def test_writes_masks_in_the_layout_of_a_data_set(tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    done = nucleigan("masks", "-n", 3, "--size", "96x128", "-o", tmp_path / "m", "--seed", 5, "--like", "liver")
    assert done.exit_code == 0, done.output
    assert "3 masks with" in done.stdout
    files = sorted((tmp_path / "m" / "labels").iterdir())
    assert [file.name for file in files] == [f"mask-0000{i}.tif" for i in (1, 2, 3)]
    for number, file in enumerate(files):
        assert np.array_equal(read_labels(file), sample(preset("liver"), (96, 128), 0.25, 5 + number))
        assert read_mpp(file) == pytest.approx(0.25)


def test_options_change_what_masks_are_like(tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    options = ("--density", 3000, "--area", 60, "--touching", 0, "--no-smoothed", "--vertices", 5, "--mpp", 0.5)
    done = nucleigan("masks", "-n", 4, "--size", 300, "-o", tmp_path, *options, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["made"], report["kept"]) == (4, 0)
    masks = [read_labels(file) for file in (tmp_path / "labels").iterdir()]
    assert sum(int(mask.max()) for mask in masks) == report["nuclei"]
    assert all(describe(mask, 0.5).touching_share == 0 for mask in masks)


def test_saved_statistics_draw_the_same_masks(tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    first = nucleigan("masks", "-o", tmp_path / "a", "--area", 50, "--save-statistics", tmp_path / "mine.json")
    again = nucleigan("masks", "-o", tmp_path / "b", "--like", tmp_path / "mine.json")
    assert (first.exit_code, again.exit_code) == (0, 0)
    one, two = ((tmp_path / name / "labels" / "mask-00001.tif").read_bytes() for name in "ab")
    assert one == two
    learnt = nucleigan("masks", "-o", tmp_path / "c", "--like", tmp_path / "a")
    assert learnt.exit_code == 0, learnt.output


def test_goes_on_where_it_was_broken_off_and_leaves_other_labels_alone(
    tmp_path: Path, nucleigan: Callable[..., Result]
) -> None:
    assert nucleigan("masks", "-n", 2, "--size", 64, "-o", tmp_path).exit_code == 0
    done = nucleigan("masks", "-n", 4, "--size", 64, "-o", tmp_path)
    assert "2 masks with" in done.stdout
    assert "2 were there" in done.stdout
    other = nucleigan("masks", "-n", 4, "--size", 80, "-o", tmp_path)
    assert other.exit_code == 1
    assert "were not drawn from these settings; choose another folder" in other.stderr
    (tmp_path / "masks.json").unlink()
    assert nucleigan("masks", "-n", 4, "--size", 64, "-o", tmp_path).exit_code == 1


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--like", "lung"), 1, "no such preset"),
        (("--size", "12y"), 2, "height x width"),
        (("--size", "0"), 2, "height x width"),
        (("--size", "100000"), 2, "up to 16384"),
        (("--touching", "2"), 2, "touching"),
        (("--density", "50000", "--area", "90"), 2, "would cover"),
        (("--mpp", "0"), 2, "greater than or equal to 0.02"),
        (("--save-statistics", "mine.txt"), 2, "ends in"),
        (("--seed", "-1"), 2, "seed"),
    ],
)
def test_what_cannot_be_drawn(
    tmp_path: Path, nucleigan: Callable[..., Result], options: tuple[str, ...], code: int, message: str
) -> None:
    done = nucleigan("masks", "-o", tmp_path / "m", *options)
    assert done.exit_code == code, done.output
    # Rich breaks lines within its frame.
    assert message.split()[0] in done.stderr
    assert not (tmp_path / "m" / "labels").exists()


def test_a_job_that_is_closed_leaves_whole_masks(tmp_path: Path) -> None:
    job = draw_masks(tmp_path, 50, (64, 64), PolygonMasks())
    for _ in range(6):
        next(job)
    job.close()
    files = sorted((tmp_path / "labels").iterdir())
    assert len(files) == 5
    assert all(tifffile.imread(file).shape == (64, 64) for file in files)


def test_interrupted_by_the_keyboard(tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    arguments = [COMMAND, "masks", "-n", "5000", "-o", str(tmp_path)]
    running = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (tmp_path / "labels" / "mask-00003.tif").exists() and time.monotonic() < until:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130, said
    assert "Interrupted" in said
    files = list((tmp_path / "labels").iterdir())
    assert not [file for file in files if "part" in file.name]
    assert all(read_labels(file).shape == (256, 256) for file in files)
    assert nucleigan("masks", "-n", len(files) + 1, "-o", tmp_path).exit_code == 0
    assert len(list((tmp_path / "labels").iterdir())) == len(files) + 1


def test_tissue_is_laid_out_first(tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    for seed in range(2):
        pixels, labels, _ = tissue_picture(160, seed)
        write_image(tmp_path / "data" / "images" / f"{seed}.png", pixels)
        write_labels(tmp_path / "data" / "labels" / f"{seed}.tif", labels)
    saved = tmp_path / "statistics.json"
    options = ("--size", "96x80", "--seed", "4", "--tissue")
    data = tmp_path / "data"
    first = nucleigan("masks", "-o", tmp_path / "a", "-n", "2", "--like", data, "--save-statistics", saved, *options)
    assert first.exit_code == 0, first.output
    again = nucleigan("masks", "-o", tmp_path / "b", "-n", "2", "--like", saved, *options)
    assert again.exit_code == 0, again.output
    for name in ("mask-00001.tif", "mask-00002.tif"):
        cells = read_labels(tmp_path / "a" / "tissue" / name)
        assert cells.shape == (6, 5)
        assert cells.min() >= 1
        assert (cells == read_labels(tmp_path / "b" / "tissue" / name)).all()
        assert (read_labels(tmp_path / "a" / "labels" / name) == read_labels(tmp_path / "b" / "labels" / name)).all()
    assert read_mpp(tmp_path / "a" / "tissue" / name) == pytest.approx(4)


def test_tissue_that_nothing_tells_of(tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    told = nucleigan("masks", "-o", tmp_path / "a", "--tissue")
    assert told.exit_code == 1
    assert "data set with H&E" in told.stderr
