"""A tile of 1000x1000 from pixels to measured nuclei, ours and StarDist's in turn, each in a process of its own.

Where StarDist's environment lies says `bench_segment.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from _table import Row, shared

HERE = Path(__file__).resolve().parent
TURNS = 5

_OURS = """
import cProfile, json, pstats, time
from bench_segment import MODEL, _image
from napari_nucleigan import SegmentSettings, load_model, run, segment
image, model = _image(), load_model(MODEL)
settings = SegmentSettings(model=MODEL, device="cpu", tta=1)
run(segment(image, settings, model))
times = []
for _ in range(5):
    begin = time.perf_counter()
    run(segment(image, settings, model))
    times.append(time.perf_counter() - begin)
profile = cProfile.Profile()
profile.runcall(lambda: run(segment(image, settings, model)))
stats = pstats.Stats(profile).stats
def spent(name, place):
    return sum(row[3] for (path, _, function), row in stats.items() if function == name and path.endswith(place))
parts = {
    "network": spent("_predict", "predictor.py"),
    "decode": spent("labels", "decoding.py"),
    "confidence": spent("evidence", "confidence.py"),
    "features": spent("measure", "features.py"),
    "resize": spent("resize_image", "__init__.py"),
}
print(json.dumps({"seconds": min(times), "parts": parts}))
"""


def measure() -> list[Row]:
    beside = HERE.parent / ".venv-stardist/bin/python"
    python = Path(os.environ.get("NUCLEIGAN_STARDIST", beside))
    ours, theirs = [], []
    parts: dict[str, float] = {}
    for _ in range(TURNS):
        answer = _answer([sys.executable, "-c", _OURS])
        ours.append(answer["seconds"])
        parts = answer["parts"]
        if python.is_file():
            found = _answer([python, HERE / "peer_stardist.py", shared("reference/metrics_pair.npz")])
            theirs.append(found["network"] + found["nuclei"])
    shares = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in parts.items())
    rows = [Row("end to end 1000x1000, one view", min(ours), "s", note=f"{_all(ours)}; profiled: {shares}")]
    if not theirs:
        return [
            *rows,
            Row("StarDist 1000x1000 in turn", None, "s", note="skipped: no environment, see bench_segment.py"),
        ]
    return [
        *rows,
        Row("StarDist 1000x1000 in turn", min(theirs), "s", note=_all(theirs)),
        Row("our time over StarDist's", median(a / b for a, b in zip(ours, theirs, strict=True)), "", "<= 0.6"),
    ]


def _answer(command: list[object]) -> dict[str, object]:
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _all(times: list[float]) -> str:
    return "each time " + ", ".join(f"{seconds:.2f}" for seconds in times)
