"""Training processes: killed at random moments and resumed, stopped, killed; the cost of looking at them.

``NUCLEIGAN_BENCH_KILLS`` changes how many runs are killed (20).
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from skimage.io import imsave

from _table import Row, timed
from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.base.errors import RunError
from napari_nucleigan.base.events import Losses, ValidationScores
from napari_nucleigan.masks.polygons import preset, sample
from napari_nucleigan.models import read_card
from napari_nucleigan.training.recipes import SegmenterRecipe
from napari_nucleigan.training.runs.processes import RunProcess, resume, start
from napari_nucleigan.training.runs.run_folder import EVENTS, EventLogReader, RunFolder
from napari_nucleigan.training.runs.status import RunState, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

KILLS = int(os.environ.get("NUCLEIGAN_BENCH_KILLS", "20"))
STOPS = 5
LIMIT = 600.0
EVENTS_READ = 100_000
SMALL = SegmenterRecipe(
    generator={"name": "compact-unet", "widths": (8, 8, 16)},
    discriminator_width=4,
    discriminator_layers=1,
    penalty="wgan-gp",
    pool=4,
    patch=32,
    batch=2,
    crops_per_epoch=8,
    epochs_constant=10,
    epochs_decay=5,
    warmup_steps=2,
    validate_every=4,
    checkpoint_every=1,
    validation=0.3,
    precision="float32",
)


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["NUCLEIGAN_QUEUE"] = str(root / "queue")
        small, large = _dataset(root / "small", 4, 96), _dataset(root / "large", 4, 1000)
        return [*_killed(root, small), *_latencies(root, large), *_looks(root)]


def _killed(root: Path, data: Path) -> list[Row]:
    began = time.perf_counter()
    whole = start("segmenter", data, SMALL, root / "whole", device="cpu")
    _until(whole, lambda process: not _alive(process))
    lasts = time.perf_counter() - began
    expected = _story(whole.path)
    seed = int.from_bytes(os.urandom(4))
    random = np.random.default_rng(seed)
    equal = struck = number = 0
    while struck < KILLS:
        process = start("segmenter", data, SMALL, root / f"killed-{number}", device="cpu")
        began, number = time.perf_counter(), number + 1
        # Any moment counts: while torch is loaded, in a step, a validation, a checkpoint, at the very end.
        moment = began + float(random.uniform(0, lasts))
        _until(process, lambda process, moment=moment: time.perf_counter() > moment or not _alive(process))
        if not _alive(process):
            lasts = min(lasts, time.perf_counter() - began)
            continue
        try:
            process.kill()
        except RunError:  # it has just ended
            continue
        struck += 1
        if process.status().state is not RunState.FINISHED:
            resume(process.path)
            _until(process, lambda process: not _alive(process))
        equal += process.status().state is RunState.FINISHED and _story(process.path) == expected
    what = f"kill -9 at {KILLS} random moments (seed {seed}); losses, scores and model compared"
    return [Row("killed runs that end the same after Resume", equal / KILLS, "", ">= 1", what)]


def _latencies(root: Path, data: Path) -> list[Row]:
    recipe = SegmenterRecipe(crops_per_epoch=80, validate_every=1, epochs_constant=10_000)
    random = np.random.default_rng(0)
    starts, stops, steps = [], [], []
    began = time.perf_counter()
    process = start("segmenter", data, recipe, root / "long", device="cpu")
    for number in range(STOPS):
        if number:
            began = time.perf_counter()
            resume(process.path)
        _until(process, _trains)
        starts.append(time.perf_counter() - began)
        # In steps of 8 crops of 256, or in validations of a tile of 1000.
        time.sleep(float(random.uniform(0, 10)))
        began = time.perf_counter()
        process.stop()
        _until(process, lambda process: process.status().state is RunState.STOPPED)
        stops.append(time.perf_counter() - began)
        speeds = [event.images_per_second for event in process.run.events() if isinstance(event, Losses)]
        steps.append(recipe.batch / speeds[-1] if speeds else 0.0)
    kills = []
    for _ in range(STOPS):
        resume(process.path)
        _until(process, _trains)
        began = time.perf_counter()
        process.kill()
        kills.append(time.perf_counter() - began)
    what = f"compact-segmenter on 1000x1000 tiles, {usable_cores()} cores, {STOPS} times"
    late = [stop - step for stop, step in zip(stops, steps, strict=True)]
    return [
        Row("start to the first step", max(starts), "s", note=what),
        Row("stop, saved and ended", max(late), "s", "<= 2", f"{what}; beyond a step of {max(steps):.2g} s"),
        Row("the same with the step that it waits for", max(stops), "s", note=what),
        Row("kill, process gone", max(kills), "s", "<= 1", what),
    ]


def _looks(root: Path) -> list[Row]:
    folder = RunFolder(root / "story")
    folder.start(SMALL, {})
    with (folder.path / EVENTS).open("w") as handle:
        for step in range(EVENTS_READ):
            values = {"l1": 1 / (step + 1), "presence": 0.2, "adversarial": 0.1, "discriminator": 0.9}
            record = {"time": 1.7e9 + step, "event": "losses", "step": 10 * step, "values": values}
            handle.write(json.dumps({**record, "lr": 1e-3, "images_per_second": 40.0}) + "\n")

    def read() -> None:
        tail = EventLogReader(folder)
        while tail.read():
            pass

    reading = timed(read, repeats=3)
    looking = timed(lambda: state_of(folder))
    return [
        reading.row(f"read a story of {EVENTS_READ:,} events"),
        Row("state of a run, known story", 1e3 * looking.wall, "ms", note=f"{EVENTS_READ:,} events"),
    ]


def _alive(process: RunProcess) -> bool:
    return process.status().state.alive


def _trains(process: RunProcess) -> bool:
    status = process.status()
    return status.state is RunState.RUNNING and status.what in ("training", "validating")


def _story(folder: Path) -> list[object]:
    run = RunFolder(folder)
    told: list[object] = []
    for event in run.events():
        if isinstance(event, Losses):
            told.append((event.step, event.values, event.lr))
        elif isinstance(event, ValidationScores):
            told.append(event)
    return [*told, read_card(run.best).sha256 if run.best.exists() else None]


def _until(process: RunProcess, met: Callable[[RunProcess], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not met(process):
        if time.monotonic() > end:
            raise TimeoutError(str(process.status()))
        time.sleep(0.01)


def _dataset(folder: Path, images: int, side: int) -> Path:
    """Draw nuclei in two colours; what the networks learn does not matter here."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    random = np.random.default_rng(0)
    for number in range(images):
        labels = sample(preset("breast"), (side, side), seed=number)
        pixels = np.where((labels > 0)[..., None], (90, 60, 140), (220, 160, 200)) + random.normal(
            0, 12, (side, side, 3)
        )
        imsave(folder / "images" / f"{number}.png", np.clip(pixels, 0, 255).astype(np.uint8), check_contrast=False)
        tifffile.imwrite(folder / "labels" / f"{number}.tif", labels)
    return folder
