"""Training in two processes: how equal, how fast, and what one process pays for it (nothing)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import tifffile
from skimage.io import imsave

from _table import Row
from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.base.events import Losses
from napari_nucleigan.masks.polygons import preset, sample
from napari_nucleigan.training.runs.run_folder import RunFolder

STEPS = 40
IMPORTS = """
import time, sys
import torch
began = time.process_time()
import lightning_fabric
print(time.process_time() - began)
"""
LOADED = """
import sys
from napari_nucleigan.training import segmenter, synthesizer
print(sum(name.startswith("lightning") for name in sys.modules))
"""


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = _dataset(root / "data")
        alone = _curve(_train(data, root / "alone", []))
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
        both = _curve(_train(data, root / "both", launcher))
    first, later = (_apart(*pair) for pair in ((alone[0], both[0]), (alone[-1], both[-1])))
    what = f"compact-segmenter, batches of 8, {STEPS} steps, float32, {usable_cores()} cores"
    speeds = [curve[-1].images_per_second for curve in (alone, both)]
    return [
        Row(
            "losses of two processes, apart from one's", first, "", "", f"relative, the largest, steps 1 to 10; {what}"
        ),
        Row("the same later, when rounding has grown", later, "", "", f"steps {STEPS - 9} to {STEPS}"),
        Row("crops a second, one process", speeds[0], "1/s", "", what),
        Row("crops a second, two processes", speeds[1], "1/s", "", f"{what}, shared out"),
        Row("importing Lightning Fabric", min(float(_say(IMPORTS)) for _ in range(3)), "s", "", "processor time"),
        Row("its modules in a single training process", float(_say(LOADED)), "", "<= 0"),
    ]


def _apart(one: Losses, other: Losses) -> float:
    return max(abs(value - other.values[name]) / max(abs(value), 0.1) for name, value in one.values.items())


def _say(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def _dataset(root: Path) -> Path:
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True)
    for seed in range(2):
        labels = sample(preset("breast"), (512, 512), seed=seed)
        pixels = (230 - 100 * (labels > 0))[..., None].repeat(3, axis=2).astype("uint8")
        imsave(root / "images" / f"{seed}.png", pixels, check_contrast=False)
        tifffile.imwrite(root / "labels" / f"{seed}.tif", labels)
    return root


def _train(data: Path, run: Path, launcher: list[str]) -> Path:
    fields = {
        "crops_per_epoch": 8 * STEPS,
        "epochs_constant": 1,
        "epochs_decay": 0,
        "validation": 0.0,
        "precision": "float32",
    }
    sets = [part for key, value in fields.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    words = ["napari_nucleigan", "train", "segmenter", str(data), "--run", str(run), "--device", "cpu", *sets]
    line = [sys.executable, *(launcher or ["-m"]), *words]
    subprocess.run(line, check=True, capture_output=True)
    return run


def _curve(run: Path) -> list[Losses]:
    return [event for event in RunFolder(run).events() if isinstance(event, Losses)]
