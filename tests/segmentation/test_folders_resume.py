"""A folder of images whose segmentation goes on after any end."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from napari_nucleigan.base.errors import DeviceError, NucleiganError, OutputError
from napari_nucleigan.base.events import FileState, Progress, run
from napari_nucleigan.data.images.files import read_labels
from napari_nucleigan.segmentation import SegmentSettings, segment_files
from napari_nucleigan.segmentation.file_plan import RECORD, REPORT
from oracle import Oracle, alike, model, save_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

VALUES: dict[str, Any] = {"device": "cpu", "precision": "float32", "mpp": 0.25}


class Failing(Oracle):
    """Fails at its second image."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.calls = error, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == 2:
            raise self.error
        return images


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for seed, name in enumerate("abc"):
        save_picture(tmp_path / "in" / f"{name}.png", seed)
    return tmp_path / "in"


def _job(images: Path, out: Path, network: Oracle | None = None, **options: Any) -> Any:
    known = {key: options.pop(key) for key in ("formats", "again", "recursive") if key in options}
    card = {"sha256": options.pop("sha256", "s"), "decode": {"threshold": 0.5}}
    return segment_files([images], out, SegmentSettings(**VALUES | options), model=model(network, **card), **known)


def _states(*args: Any, **options: Any) -> list[str]:
    return [result.state for result in run(_job(*args, **options))]


def _written(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tif")}


def _report(folder: Path) -> list[dict[str, str]]:
    with (folder / REPORT).open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_what_is_done_is_skipped_and_so_is_said(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run(_job(images, out))
    before, report = _written(out), (out / REPORT).stat().st_mtime_ns
    events: list[object] = []
    second = run(_job(images, out), events.append)
    assert [result.state for result in second] == ["skipped"] * 3
    assert [result.nuclei for result in second] == [result.nuclei for result in first]
    assert [result.provenance for result in second] == [result.provenance for result in first]
    assert (_written(out), (out / REPORT).stat().st_mtime_ns) == (before, report)
    states = [event for event in events if isinstance(event, FileState)]
    assert [(event.path, event.state) for event in states] == [(str(images / f"{x}.png"), "skipped") for x in "abc"]
    assert [event.done for event in events if isinstance(event, Progress)] == [100, 200, 300]
    assert [row["state"] for row in _report(out)] == ["done"] * 3


def test_each_image_tells_that_it_runs_and_what_became_of_it(images: Path, tmp_path: Path) -> None:
    (images / "b.png").write_bytes(b"nothing")
    events: list[object] = []
    run(_job(images, tmp_path / "out"), events.append)
    states = [event for event in events if isinstance(event, FileState)]
    assert [event.state for event in states] == ["running", "done", "running", "failed", "running", "done"]
    assert states[1].nuclei
    assert states[1].seconds
    assert "b.png" in states[3].text


@pytest.mark.parametrize(
    "change",
    [
        lambda images, out: (out / "b.tif").unlink(),
        lambda images, out: save_picture(images / "b.png", 9),
        lambda images, out: os.utime(images / "b.png", (1, 1)),
        lambda images, out: shutil.move(images / "c.png", images / "b.png"),
    ],
    ids=["a deleted result", "a changed image", "a touched image", "another image of the name"],
)
def test_only_what_has_changed_is_done_again(
    images: Path, tmp_path: Path, change: Callable[[Path, Path], object]
) -> None:
    out = tmp_path / "out"
    run(_job(images, out))
    change(images, out)
    states = _states(images, out)
    assert states == ["skipped", "done", "skipped"][: len(states)]
    assert set(_states(images, out)) == {"skipped"}


@pytest.mark.parametrize(
    "options",
    [{"threshold": 0.6}, {"mpp": 0.3}, {"sha256": "t"}, {"tta": 2}, {"formats": ["csv"]}, {"again": True}],
    ids=str,
)
def test_everything_is_done_again_where_something_else_is_asked_for(
    images: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    run(_job(images, tmp_path / "out"))
    assert _states(images, tmp_path / "out", **options) == ["done"] * 3
    options.pop("again", None)
    assert _states(images, tmp_path / "out", **options) == ["skipped"] * 3


@pytest.mark.parametrize("options", [{"threshold": 0.5}, {"tile": 64}, {"batch": 2}, {"device": "auto"}], ids=str)
def test_what_does_not_change_the_results_is_no_reason(images: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    run(_job(images, tmp_path / "out"))
    assert _states(images, tmp_path / "out", **options) == ["skipped"] * 3


def test_formats_may_be_added_one_by_one(images: Path, tmp_path: Path) -> None:
    for formats in (["tif"], ["csv"]):
        assert _states(images, tmp_path / "out", formats=formats) == ["done"] * 3
    assert _states(images, tmp_path / "out", formats=["tif", "csv"]) == ["skipped"] * 3


def test_what_failed_is_tried_again(images: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", (images / "b.png").read_bytes()
    (images / "b.png").write_bytes(whole[:300])
    assert _states(images, out) == ["done", "failed", "done"]
    row = _report(out)[1]
    assert (row["state"], row["nuclei"]) == ("failed", "")
    assert "cut short" in row["error"]
    (images / "b.png").write_bytes(whole)
    assert _states(images, out) == ["skipped", "done", "skipped"]
    assert [row["state"] for row in _report(out)] == ["done"] * 3
    assert all(int(row["nuclei"]) > 0 and row["seconds"] for row in _report(out))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "not enough memory for this image"),
        (RuntimeError("odd shapes"), "The network failed: odd shapes"),
        (TypeError("odd types"), "Unexpected error while segmenting b.png: TypeError: odd types"),
    ],
)
def test_no_error_of_one_image_stops_the_others(images: Path, tmp_path: Path, error: Exception, words: str) -> None:
    results = run(_job(images, tmp_path / "out", Failing(error)))
    assert [result.state for result in results] == ["done", "failed", "done"]
    assert words in results[1].error
    assert _states(images, tmp_path / "out") == ["skipped", "done", "skipped"]


def test_a_device_that_is_not_there_is_said_once(images: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no device 'tpu'"):
        run(_job(images, tmp_path / "out", device="tpu"))


def test_results_that_were_being_replaced_do_not_count(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(_job(images, out))
    job = _job(images, out, threshold=0.9)
    for event in job:
        if isinstance(event, FileState) and event.path.endswith("b.png"):
            break
    next(job)  # the end comes while b is read
    job.close()
    assert _states(images, out) == ["done", "done", "skipped"]
    assert _states(images, out) == ["skipped"] * 3


def test_half_a_line_of_a_sudden_end(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(_job(images, out))
    lines = (out / RECORD).read_text().splitlines(keepends=True)
    (out / RECORD).write_text("".join(lines[:-1]) + lines[-1][:40])
    assert _states(images, out) == ["skipped", "skipped", "done"]
    assert _states(images, out) == ["skipped"] * 3
    (out / RECORD).write_text('7\n{"state": "done", "source": 3, "outputs": 4}\nnonsense\n')
    assert _states(images, out) == ["done"] * 3


def test_two_runs_fill_one_folder(images: Path, tmp_path: Path) -> None:
    for seed, name in enumerate("de"):
        save_picture(tmp_path / "other" / f"{name}.png", seed)
    out = tmp_path / "out"
    jobs = [_job(images, out), _job(tmp_path / "other", out)]
    while jobs:
        for job in list(jobs):
            try:
                next(job)
            except StopIteration:
                jobs.remove(job)
    assert _states(images, out) == ["skipped"] * 3
    assert _states(tmp_path / "other", out) == ["skipped"] * 2
    assert len(_report(out)) == 5


def test_results_may_lie_beside_the_images(images: Path) -> None:
    assert _states(images, images) == ["done"] * 3
    assert _states(images, images) == ["skipped"] * 3
    assert _states(images, images, recursive=True) == ["skipped"] * 3


def test_a_folder_of_results_that_was_moved(images: Path, tmp_path: Path) -> None:
    run(_job(images, tmp_path / "out"))
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    assert _states(images, tmp_path / "elsewhere") == ["skipped"] * 3


def test_subfolders(images: Path, tmp_path: Path) -> None:
    truth = save_picture(images / "x" / "a.png", 7)
    assert len(_states(images, tmp_path / "out", recursive=True)) == 4
    assert alike(read_labels(tmp_path / "out" / "x" / "a.tif"), truth)
    assert _states(images, tmp_path / "out", recursive=True) == ["skipped"] * 4


def test_a_full_disk_ends_the_work_and_keeps_what_is_done(
    images: Path, mount: Callable[[str], Path], tmp_path: Path
) -> None:
    for seed in range(20):
        save_picture(images / f"d{seed:02d}.png", seed)
    disk = mount("size=160k")
    with pytest.raises(OutputError, match="the disk is full"):
        run(_job(images, disk / "out", formats=["geojson"]))
    made = sorted(path.name for path in (disk / "out").glob("*.geojson"))
    assert 1 <= len(made) < 23
    assert not list((disk / "out").glob(".*"))
    subprocess.run(["mount", "-o", "remount,size=2m", str(disk)], check=True)
    states = _states(images, disk / "out", formats=["geojson"])
    assert states == ["skipped"] * len(made) + ["done"] * (23 - len(made))


def test_a_folder_that_takes_no_files(images: Path, mount: Callable[[str], Path]) -> None:
    disk = mount("size=1m")
    run(_job(images, disk))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    # Nothing needs to be written where all is done.
    assert _states(images, disk) == ["skipped"] * 3
    with pytest.raises(OutputError, match="the file system is read-only"):
        next(_job(images, disk, threshold=0.9))


def test_a_folder_that_takes_no_more_files(images: Path, mount: Callable[[str], Path]) -> None:
    disk = mount("size=1m")
    job = _job(images, disk)

    def turn(event: object) -> None:
        if isinstance(event, FileState) and event.state == "done":
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    with pytest.raises(OutputError, match="the file system is read-only"):
        run(job, turn)
    assert list(_written(disk)) == ["a.tif"]
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert _states(images, disk) == ["skipped", "done", "done"]


def test_many_images_take_no_more_memory(tmp_path: Path) -> None:
    save_picture(tmp_path / "in" / "000.png", shape=(40, 40))
    for index in range(1, 300):
        shutil.copy(tmp_path / "in" / "000.png", tmp_path / "in" / f"{index:03d}.png")
    sizes = []

    def measure(event: object) -> None:
        if isinstance(event, FileState) and event.state == "done":
            sizes.append(psutil.Process().memory_info().rss)

    results = run(_job(tmp_path / "in", tmp_path / "out"), measure)
    assert len(sizes) == 300
    assert sizes[-1] - sizes[50] < 20e6
    assert len(pickle.dumps(results)) < 2000 * len(results)
    assert all(len(json.dumps(result.to_json())) < 2000 for result in results)


def test_an_error_of_the_plan_comes_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(NucleiganError, match="no images in"):
        next(_job(tmp_path, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_odd_lines_of_the_record_take_no_others_away(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _states(images, out) == ["done"] * 3
    source = json.loads((out / RECORD).read_text().splitlines()[0])["source"]
    odd: list[Any] = [
        {"state": "done", "source": source, "outputs": ["a.tif"]},
        {"state": "done", "source": source, "outputs": ["a.tif"], "nuclei": "many"},
        {"state": "done", "source": source, "outputs": ["a.tif"], "nuclei": 3, "notes": 7},
        {"state": "done", "source": "\0", "outputs": ["\0"], "nuclei": 3},
        {"state": [], "source": {}, "outputs": 7},
        [[]],
    ]
    with (out / RECORD).open("ab") as handle:
        handle.write("".join(json.dumps(line) + "\n" for line in odd).encode() + b"\xff\n" + b"[" * 100_000 + b"\n")
    assert _states(images, out) == ["skipped"] * 3
    assert [row["state"] for row in _report(out)] == ["done"] * 3


def test_a_result_that_was_emptied_is_done_again(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(_job(images, out))
    (out / "b.tif").write_bytes(b"")
    assert _states(images, out) == ["skipped", "done", "skipped"]
    assert read_labels(out / "b.tif").any()


def test_what_this_program_has_not_made_is_never_written_over(images: Path, tmp_path: Path) -> None:
    truth = tmp_path / "labels" / "b.tif"
    truth.parent.mkdir()
    truth.write_bytes(b"II*\0 drawn by hand, for weeks")
    with pytest.raises(OutputError, match=r"b\.tif is there and was not made by this program"):
        run(_job(images, truth.parent))
    assert [path.name for path in truth.parent.iterdir()] == ["b.tif"]
    assert truth.read_bytes().endswith(b"for weeks")
