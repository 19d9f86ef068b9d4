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
from typing import Any

from _table import Row, shared

HERE = Path(__file__).resolve().parent
TURNS = 5

_OURS = """
import cProfile, json, pstats, time
from bench_segment import MODEL, _image
from napari_nucleigan import SegmentSettings, load_model, run, segment
image, model = _image(), load_model(MODEL, "segmenter")
settings = SegmentSettings(model=MODEL, device="cpu", tta=1)
found = run(segment(image, settings, model))
what = f"{model.card.name}, {found.provenance['precision']}; {image.name}, {found.labels.max()} nuclei"
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
print(json.dumps({"seconds": min(times), "parts": parts, "what": what}))
"""


def measure() -> list[Row]:
    beside = HERE.parent / ".venv-stardist/bin/python"
    python = Path(os.environ.get("NUCLEIGAN_STARDIST", beside))
    ours, theirs = [], []
    answer: dict[str, Any] = {}
    for _ in range(TURNS):
        answer = _answer([sys.executable, "-c", _OURS])
        ours.append(answer["seconds"])
        if python.is_file():
            found = _answer([python, HERE / "peer_stardist.py", shared("reference/metrics_pair.npz")])
            theirs.append(found["network"] + found["nuclei"])
    shares = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in answer["parts"].items())
    note = f"{answer['what']}; {_all(ours)}; profiled: {shares}"
    rows = [Row("end to end 1000x1000, one view", min(ours), "s", note=note)]
    if not theirs:
        return [
            *rows,
            Row("StarDist 1000x1000 in turn", None, "s", note="skipped: no environment, see bench_segment.py"),
        ]
    return [
        *rows,
        Row("StarDist 1000x1000 in turn", min(theirs), "s", note=_all(theirs)),
        Row(
            "our time over StarDist's",
            median(a / b for a, b in zip(ours, theirs, strict=True)),
            "",
            "<= 0.6",
            f"median of {TURNS} turns, each with a process of its own for either",
        ),
    ]


def _answer(command: list[str | Path]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE)
    if done.returncode:
        raise ChildProcessError(done.stderr.strip().splitlines()[-1])
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _all(times: list[float]) -> str:
    return "each time " + ", ".join(f"{seconds:.2f}" for seconds in times)
