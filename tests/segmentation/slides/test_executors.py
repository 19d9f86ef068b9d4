from __future__ import annotations

import http.server
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.errors import ExtraError, ImageError, RunError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import read_labels
from napari_nucleigan.data.images.samples import synthetic_he
from napari_nucleigan.models import load_model
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.slides import executors, segment_slide, worker
from slide_pictures import write_slide

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).resolve().parents[2] / "support" / "cluster_program.py"
LOSSES = PROGRAM.with_name("cluster_losses.py")


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    image, _ = synthetic_he()
    return write_slide(tmp_path / "he.tif", image.pixels[:500, :500])


def test_two_processes_of_a_cluster_one_of_which_dies(slide: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "cluster.tif"
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(slide), str(out)], capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["workers"]) == 2
    assert told["here"] not in told["workers"]
    assert len(told["killed"]) == 1
    assert told["lost"] == 0
    assert told["tiles"] > 10
    here = run(
        segment_slide(
            slide,
            tmp_path / "here.tif",
            SegmentSettings(tile=128, device="cpu", precision="float32", tta=1),
        )
    )
    assert told["nuclei"] == here.nuclei > 50
    assert np.array_equal(read_labels(out), read_labels(tmp_path / "here.tif"))


def test_a_scheduler_that_does_not_answer_is_said(slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_PATIENCE", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense://x", str(tmp_path / "missing.json")):
        with pytest.raises(RunError, match=r"scheduler at .* does not answer"):
            run(segment_slide(slide, tmp_path / "out.csv", scheduler=address))
        # Nothing has been done, so there is nothing to go on from.
        assert not [path for path in tmp_path.iterdir() if path.name.endswith(".nucleigan")]


def test_without_dask_distributed_the_extra_is_named(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ExtraError, match=r"pip install \"napari-nucleigan\[slides\]\""):
        run(segment_slide(slide, tmp_path / "out.csv", scheduler="tcp://127.0.0.1:9"))


@pytest.mark.timeout(300)  # on a busy machine
def test_a_cluster_that_is_lost_is_said_its_work_kept_and_another_ends_it(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "small.tif", synthetic_he()[0].pixels[:320, :320])
    (tmp_path / "out").mkdir()
    line = [sys.executable, str(LOSSES), str(slide), str(tmp_path / "out" / "x.tif")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    workers, scheduler, ended = json.loads(done.stdout.splitlines()[-1])
    assert "All workers of the dask cluster are gone" in workers["said"]
    assert "dask" in scheduler["said"]
    for told in (workers, scheduler):
        assert "the same command goes on" in told["said"]
        assert told["seconds"] < 30
    assert scheduler["kept"] > workers["kept"] > 1
    # What the two lost clusters have done is not done again, and the labels are those of a run that nothing befell.
    assert scheduler["kept"] <= ended["resumed"] < ended["tiles"] == 25
    assert ended["lost"] == 0
    settings = SegmentSettings(tile=64, device="cpu", precision="float32", tta=1)
    here = run(segment_slide(slide, tmp_path / "here.tif", settings, workers=1))
    assert here.nuclei > 20
    assert np.array_equal(read_labels(tmp_path / "out" / "x.tif"), read_labels(tmp_path / "here.tif"))
    assert "Traceback" not in done.stderr


@pytest.fixture
def servers() -> Iterator[dict[str, int]]:
    """Ports of servers that are no scheduler: one speaks HTTP, one says nothing."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with socket.create_server(("127.0.0.1", 0)) as mute, http.server.HTTPServer(("127.0.0.1", 0), Quiet) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield {"mute": mute.getsockname()[1], "web": web.server_port}
        web.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["mute", "web"])
def test_a_server_that_is_no_scheduler_is_not_waited_for(
    kind: str, servers: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "_PATIENCE", 1.0)
    with pytest.raises(RunError, match=r"scheduler at .* does not answer"):
        executors.connect(f"tcp://127.0.0.1:{servers[kind]}")


@pytest.fixture
def holding() -> Iterator[None]:
    yield
    worker.let_go()


@pytest.mark.usefixtures("holding")
def test_a_process_holds_one_model_at_a_time_and_makes_sure_that_it_is_the_right_one(slide: Path) -> None:
    model = load_model("nucleigan-he")
    order = worker.SlideRequest(slide, model.path, model.card.sha256, SegmentSettings(device="cpu"), 0.25)
    equipment = worker.equip_elsewhere(order)
    assert equipment.device == "cpu"
    assert equipment.batch == 1
    first = worker._worker(order)
    assert worker._worker(worker.SlideRequest(**{**vars(order)})) is first
    other = worker.SlideRequest(**{**vars(order), "mpp": 0.5})
    assert worker._worker(other) is not first
    assert len(worker._held) == 1
    wrong = worker.SlideRequest(**{**vars(order), "sha256": "0" * 64})
    with pytest.raises(ImageError, match="another one on a worker"):
        worker.equip_elsewhere(wrong)


def test_orders_are_small_and_can_be_sent(slide: Path) -> None:
    import pickle

    model = load_model("nucleigan-he")
    region = (((0.0, 0.0), (9.0, 0.0), (9.0, 9.0)),)
    order = worker.SlideRequest(slide, model.path, model.card.sha256, SegmentSettings(), 0.25, None, region)
    sent = pickle.dumps(order)
    assert len(sent) < 2000
    assert pickle.loads(sent) == order


def test_the_executor_asks_how_many_workers_there_are(slide: Path) -> None:
    model = load_model("nucleigan-he")
    from napari_nucleigan.data.slides import open_slide

    order = worker.SlideRequest(slide, model.path, model.card.sha256, SegmentSettings(device="cpu"), 0.25)
    with open_slide(slide) as opened, executors.threads(worker.TileWorker(opened, model, order), 3) as executor:
        assert executor.room() == 6
        assert executor.equipment().result().device == "cpu"
