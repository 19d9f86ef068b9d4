"""Accuracy of the bundled model on the Kumar test tiles, by the commands that a user types."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _table import Row, Skip, shared

BARS = {"aji": ">= 0.6", "f1": ">= 0.76"}
METRICS = ("aji", "aji_plus", "pq", "f1", "dice", "average_hausdorff")


def nucleigan(*arguments: str | Path) -> str:
    """Run the command and return what it prints."""
    command = [Path(sys.executable).with_name("nucleigan"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def report() -> dict[str, Any]:
    """Segment the test tiles and evaluate them."""
    data = shared("data/kumar")
    with (data / "split.csv").open() as file:
        names = [row["name"] for row in csv.DictReader(file) if row["split"] == "test"]
    with tempfile.TemporaryDirectory() as folder:
        images = [data / "images" / f"{name}.png" for name in names]
        nucleigan("segment", *images, "-o", folder, "--mpp", "0.25")
        answer: dict[str, Any] = json.loads(nucleigan("evaluate", folder, data, "--split", "test", "--json"))
    return answer


def measure() -> list[Row]:
    try:
        found = report()
    except Skip as reason:
        return [Row("mean AJI on the Kumar test tiles", None, bar=BARS["aji"], note=str(reason))]
    rows = [
        Row(f"{name}, mean over the 14 Kumar test tiles", found["mean"][name], bar=BARS.get(name, ""))
        for name in METRICS
    ]
    for organ, scores in found["organs"].items():
        note = f"F1 {scores['f1']:.3f}, {scores['images']} tiles"
        rows.append(Row(f"AJI, {organ}", scores["aji"], note=note))
    return rows
