from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from typing import TYPE_CHECKING

import imageio.v3 as iio
import numpy as np
import psutil
import pytest

from napari_nucleigan.data.images.files import write_labels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMAND = [sys.executable, "-m", "napari_nucleigan", "evaluate"]


@pytest.fixture
def folders(tmp_path: Path, tiny_he: Callable) -> tuple[Path, Path]:
    rows = ["name,organ,split"]
    for place in range(5):
        name, labels = f"t{place}", tiny_he(48, 48, nuclei=5, seed=place)[1]
        write_labels(tmp_path / "DATA" / "labels" / f"{name}.tif", labels)
        write_labels(tmp_path / "results" / f"{name}.tif", np.where(labels == place, 0, labels).astype(np.int32))
        rows.append(f"{name},{'liver' if place % 2 else 'colon'},{'train' if place == 4 else 'test'}")
    (tmp_path / "DATA" / "split.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "results", tmp_path / "DATA"


def test_the_real_command_by_organ_with_every_way_out(
    folders: tuple[Path, Path], tmp_path: Path, nucleigan: Callable
) -> None:
    pred, truth = folders
    outs = ["--csv", tmp_path / "scores.csv", "--markdown", tmp_path / "scores.md"]
    line = [*COMMAND, pred, truth, "--by", "organ", "--split", "test", "--workers", "2", *outs]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "colon (2)" in done.stdout
    assert "mean of 4" in done.stdout
    assert "95 %" not in done.stdout  # of four images
    with (tmp_path / "scores.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["level"] for row in rows] == ["image"] * 4 + ["organ"] * 4 + ["overall"] * 2
    assert (tmp_path / "scores.md").read_text().startswith("| organ | AJI |")
    report = json.loads(nucleigan(*line[3:], "--json").stdout)
    assert report["mean"]["images"] == 4
    assert report["mean"]["aji"] == float(rows[-2]["aji"])


def test_intervals_and_threshold_are_set_by_options(folders: tuple[Path, Path], nucleigan: Callable) -> None:
    line = ("evaluate", *folders, "--json", "--seed", 7, "--resamples", 50, "--iou", 0.7, "--workers", 0)
    report = json.loads(nucleigan(*line).stdout)
    assert report["bootstrap"] == {"over": "images", "resamples": 50, "level": 0.95, "seed": 7}
    assert report["iou"] == 0.7
    pred, truth = folders
    for name in ("u0", "u1"):
        shutil.copy(pred / "t0.tif", pred / f"{name}.tif")
        shutil.copy(truth / "labels" / "t0.tif", truth / "labels" / f"{name}.tif")
    assert nucleigan("evaluate", *folders).stdout.count("95 %") == 2
    assert nucleigan("evaluate", *folders, "--resamples", 0).stdout.count("95 %") == 0
    assert nucleigan("evaluate", *folders, "--iou", 1).exit_code == 2


def test_what_is_left_out_is_listed_and_strict_fails(folders: tuple[Path, Path], nucleigan: Callable) -> None:
    pred, truth = folders
    (pred / "t0.tif").rename(pred / "other.tif")
    done = nucleigan("evaluate", pred, truth)
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        "Left out, without a prediction: t0",
        "Left out, without true labels: other",
    ]
    done = nucleigan("evaluate", pred, truth, "--strict")
    assert done.exit_code == 1
    assert "mean of 4" in done.stdout
    assert done.stderr.splitlines()[-1] == "Error: 1 predictions are missing and 1 have no true labels."
    (truth / "labels" / "t0.tif").unlink()
    (pred / "other.tif").unlink()
    assert nucleigan("evaluate", pred, truth, "--strict").exit_code == 0


def test_every_pair_that_fails_is_named(folders: tuple[Path, Path], nucleigan: Callable) -> None:
    pred, truth = folders
    write_labels(pred / "t1.tif", np.ones((3, 3), np.int32))
    (pred / "t2.tif").write_bytes((pred / "t3.tif").read_bytes()[:50])
    done = nucleigan("evaluate", pred, truth, "--by", "organ")
    assert done.exit_code == 1
    assert "Left out, t1: The true labels are of shape (48, 48)" in done.stderr
    assert "t2.tif" in done.stderr
    assert done.stderr.splitlines()[-1] == "Error: 2 of 5 pairs could not be compared."
    assert "mean of 3" in done.stdout


def test_organs_that_nobody_knows(folders: tuple[Path, Path], nucleigan: Callable) -> None:
    pred, truth = folders
    (truth / "split.csv").unlink()
    done = nucleigan("evaluate", pred, truth, "--by", "organ")
    assert done.exit_code == 0
    assert "No organ is known" in done.stderr
    done = nucleigan("evaluate", pred, truth, "--split", "test")
    assert (done.exit_code, "no split.csv names any split" in done.stderr) == (1, True)


@pytest.mark.parametrize("option", [("--by", "image"), ("--strict",), ("--workers", "1"), ("--markdown", "x.md")])
def test_options_that_do_not_go_with_synthetic(option: tuple[str, ...], nucleigan: Callable, tmp_path: Path) -> None:
    done = nucleigan("evaluate", tmp_path, tmp_path, "--synthetic", *option)
    assert done.exit_code == 2
    assert option[0] in done.stderr


def test_a_table_that_cannot_be_written(folders: tuple[Path, Path], nucleigan: Callable, tmp_path: Path) -> None:
    for option in ("--csv", "--markdown"):
        done = nucleigan("evaluate", *folders, option, tmp_path)
        assert done.exit_code == 1
        assert done.stderr.startswith(f"Error: {tmp_path} is there and was not made by this program")


def test_names_of_every_kind_are_paired_shown_and_written(
    tmp_path: Path, nucleigan: Callable, tiny_he: Callable
) -> None:
    labels = tiny_he(48, 48, nuclei=5)[1]
    names = ["[bold]x", "[not closed", "=1+2", "\x1b[31mred\x1b[0m", "a|b`c", "u\u0308", "\udcfc", "n" * 240]
    for name in names:
        write_labels(tmp_path / "pred" / f"{name}.tif", labels)
        write_labels(tmp_path / "truth" / f"{unicodedata.normalize('NFC', name)}.tif", labels)
    rows = "".join(f"{name};[/red]{name}\n" for name in names[:6])
    (tmp_path / "truth" / "split.csv").write_text(f"name;organ\n{rows}", "utf-8")
    for by in ("image", "organ"):
        outs = ["--by", by, "--csv", tmp_path / "a.csv", "--markdown", tmp_path / "a.md", "--workers", 1]
        done = nucleigan("evaluate", tmp_path / "pred", tmp_path / "truth", *outs)
        assert (done.exit_code, done.stderr) == (0, "")
        assert ("[not closed" if by == "image" else "[/red][bold]x (1)") in done.stdout
        assert "\x1b" not in done.stdout + (tmp_path / "a.csv").read_text() + (tmp_path / "a.md").read_text()
    report = json.loads(nucleigan("evaluate", tmp_path / "pred", tmp_path / "truth", "--json").stdout)
    assert {image["name"] for image in report["images"]} >= {"=1+2", r"\udcfc", "\u00fc", r"\x1b[31mred\x1b[0m"}


def test_masks_and_wrapped_labels(tmp_path: Path, nucleigan: Callable) -> None:
    labels = np.kron(np.arange(1, 301).reshape(15, 20), np.pad(np.ones((4, 4), int), 4))
    for name, values in (
        ("full", labels),
        ("mask", 255 * (labels > 0)),
        ("ones", labels > 0),
        ("wrapped", labels % 256),
    ):
        iio.imwrite(tmp_path / f"{name}.tif", values.astype(np.uint16 if name == "full" else np.uint8))
    for name in ("mask", "ones"):
        for pair in (("full", name), (name, "full")):
            done = nucleigan("evaluate", *(tmp_path / f"{each}.tif" for each in pair))
            assert done.exit_code == 1
            assert f"{name}.tif is no label image: it only tells nuclei from background" in done.stderr
    done = nucleigan("evaluate", tmp_path / "full.tif", tmp_path / "wrapped.tif")
    assert done.exit_code == 0
    assert "in the true labels, 44 of 255 labels, 1 first, have pieces that lie far apart" in done.stderr
    assert "numbers above 255 have wrapped around" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_the_command_and_its_processes(tmp_path: Path, tiny_he: Callable) -> None:
    labels = np.kron(np.arange(1, 10_001).reshape(100, 100), np.ones((8, 8), int)).astype(np.int32)
    write_labels(tmp_path / "truth" / "a.tif", labels)
    write_labels(tmp_path / "pred" / "a.tif", np.roll(labels, 2, axis=1))
    for place in range(200):
        for folder in ("truth", "pred"):
            os.link(tmp_path / folder / "a.tif", tmp_path / folder / f"b{place}.tif")
    line = [*COMMAND, tmp_path / "pred", tmp_path / "truth", "--workers", "2", "--json"]
    # Its own group, to which the signal goes as from a terminal.
    program = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    end = time.monotonic() + 60
    while len(children := psutil.Process(program.pid).children()) < 2:
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(program.pid, signal.SIGINT)
    out, said = program.communicate(timeout=60)
    assert (program.returncode, out, said) == (130, "", "Interrupted; nothing was written.\n")
    assert psutil.wait_procs(children, timeout=10)[1] == []
