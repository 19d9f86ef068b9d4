"""The segmenter's network by torch, ONNX Runtime and OpenVINO, on this processor.

Needs the extra ``exchange``; ``pip install openvino`` adds a row. Repeated in turn, and the best counts.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from _table import Row, Skip
from _tiles import MODEL
from napari_nucleigan.base.devices import computes_bfloat16, usable_cores
from napari_nucleigan.models import load_model
from napari_nucleigan.segmentation import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE = 1024
TURNS = 7


def measure() -> list[Row]:
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise Skip("ONNX Runtime is not installed: the extra exchange brings it") from error
    model = load_model(MODEL, "segmenter")
    window = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    runs: dict[str, Callable[[], object]] = {}
    for precision in ("float32", "bfloat16") if computes_bfloat16("cpu") else ("float32",):
        predictor = Predictor(model.network, "cpu", precision)
        runs[f"torch, {precision}"] = lambda predictor=predictor: predictor([window])
    images = np.ascontiguousarray(window.transpose(2, 0, 1))[None].astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        runs |= _graphs(Path(folder) / "model.onnx", model, images)
    best = dict.fromkeys(runs, np.inf)
    for turn in range(TURNS + 1):
        for name, call in runs.items():
            begin = time.perf_counter()
            call()
            if turn:
                best[name] = min(best[name], time.perf_counter() - begin)
    fastest = min(seconds for name, seconds in best.items() if name.startswith("torch"))
    note = f"{SIDE}x{SIDE}, {usable_cores()} threads, best of {TURNS} in turn"
    rows = [Row(f"network by {name}", seconds, "s", note=note) for name, seconds in best.items()]
    return (
        rows
        + [
            Row(f"torch's best time over that of {name}", fastest / seconds, note="an extra would pay from 1.3")
            for name, seconds in best.items()
            if not name.startswith("torch")
        ]
        + [
            Row(
                f"torch's float32 time over that of {name}",
                best["torch, float32"] / seconds,
                note="a processor without bfloat16",
            )
            for name, seconds in best.items()
            if not name.startswith("torch") and name.endswith("float32")
        ]
    )


def _graphs(path: Path, model: object, images: np.ndarray) -> dict[str, Callable[[], object]]:
    import onnxruntime

    from napari_nucleigan.models.exchange import export_onnx

    export_onnx(model, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    runs: dict[str, Callable[[], object]] = {"ONNX Runtime, float32": lambda: session.run(None, {"images": images})}
    try:
        import openvino
    except ImportError:
        return runs
    core = openvino.Core()
    read = core.read_model(str(path))
    for name, hint in (("float32", "f32"), ("bfloat16", "bf16")):
        settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": usable_cores()}
        compiled = core.compile_model(read, "CPU", settings)
        runs[f"OpenVINO, {name}"] = lambda compiled=compiled: compiled([images])
    return runs
