"""One slide, segmented by processes of its own, over as many sittings as it takes; a log tells what each of them did.

``segmented`` starts them, kills them on the way where that is asked for, and adds the sittings up. Run as a program
this file is one sitting.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

EVERY_S = 2.0
"""Seconds between lines of the log."""

_TAIL = 2**14

INSIDE = {"reading": 0.0, "network": 0.0, "nuclei": 0.0}
"""Seconds on the clock within: reading and decoding, the network, and parting and measuring nuclei; they overlap."""


def segmented(slide: Path, folder: Path, *options: str, kills: int = 0, limit: float = 0) -> dict[str, Any]:
    """Segment a slide into a folder, or go on with it, and say what it took.

    Parameters
    ----------
    slide, folder : Path
        The slide, and where results and log lie.
    options : str
        Further ones of this file as a program.
    kills : int
        How often the process is killed on the way, at even shares of the tiles.
    limit : float
        Seconds after which it is ended for good; 0 for none.

    Returns
    -------
    dict
        The last line of the log, with seconds, seconds of the processor, of stages and inside of them of all sittings
        together, the highest memory of any, and how many there were.

    Raises
    ------
    RuntimeError
        If a sitting fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "sittings.jsonl"
    while not (lines := _read(log)) or not lines[-1].get("finished"):
        killed = sum("killed" in line for line in lines)
        share = (killed + 1) / (kills + 1) if killed < kills else 2.0
        program = [sys.executable, __file__, str(slide), str(folder / "out"), str(log), *options]
        with (folder / "errors.txt").open("w+") as errors, subprocess.Popen(program, stderr=errors) as process:
            begun, ours, enough = time.monotonic(), False, False
            try:
                while process.poll() is None and not ours:
                    time.sleep(0.5)
                    last = _read(log, _TAIL)[-1:] if share <= 1 else []
                    enough = bool(last) and last != lines[-1:] and last[0]["tiles"] >= share * last[0]["of"] > 0
                    ours = enough or 0 < limit < time.monotonic() - begun
            finally:
                process.kill()
            if process.wait() and not ours:
                errors.seek(0)
                said = errors.read().strip().splitlines() or [f"exit code {process.returncode}"]
                raise RuntimeError(f"{slide.name}: {said[-1]}; the same command goes on from there")
        if enough:
            _write(log, {**_read(log)[-1], "killed": True})
        elif ours:
            return _summed(_read(log))
    return _summed(lines)


def _read(log: Path, most: int = 0) -> list[dict[str, Any]]:
    """Return the lines of the log, or those in so many of its last bytes."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - most) if most else 0)
        lines = file.read().decode().splitlines()
    # A process that is killed may leave half a line.
    return [json.loads(line) for line in lines if line.startswith('{"begun"') and line.endswith("}")]


def _write(log: Path, line: dict[str, Any]) -> None:
    with log.open("a") as file:
        file.write(f"\n{json.dumps(line)}")


def _summed(lines: list[dict[str, Any]]) -> dict[str, Any]:
    ends = list({line["begun"]: line for line in lines}.values())
    found = dict(ends[-1])
    for name in ("seconds", "cpu"):
        found[name] = sum(line[name] for line in ends)
    for name in ("stages", "inside"):
        keys = dict.fromkeys(key for line in ends for key in line[name])
        found[name] = {key: sum(line[name].get(key, 0.0) for line in ends) for key in keys}
    found["peaks"] = {key: max(line["peaks"].get(key, 0.0) for line in ends) for key in found["stages"]}
    return {**found, "sittings": len(ends)}


def _peak() -> float:
    """Return the highest resident memory in MiB of this process, without that of the one which started it."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def _clocked(owner: type, method: str, name: str) -> None:
    """Add the time within a method to `INSIDE`."""
    call = getattr(owner, method)

    def clocked(*arguments: Any) -> Any:
        begun = time.perf_counter()
        try:
            return call(*arguments)
        finally:
            INSIDE[name] += time.perf_counter() - begun

    setattr(owner, method, clocked)


def main() -> None:
    """Sit once."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("slide", type=Path)
    asked.add_argument("out", type=Path)
    asked.add_argument("log", type=Path)
    asked.add_argument("--format", action="append", default=[], help="as for nucleigan segment")
    asked.add_argument("--scheduler", default="", help="the same")
    asked.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of the settings")
    options = asked.parse_args()
    begun, at = time.time(), time.perf_counter()

    from napari_nucleigan.base.events import Progress, run
    from napari_nucleigan.segmentation import SegmentSettings
    from napari_nucleigan.segmentation.predictor import Predictor
    from napari_nucleigan.segmentation.slides import segment_slide
    from napari_nucleigan.segmentation.slides.worker import TileWorker

    for method, name in (("_read", "reading"), ("_record", "nuclei")):
        _clocked(TileWorker, method, name)
    _clocked(Predictor, "_each", "network")
    stages: dict[str, float] = {}
    peaks: dict[str, float] = {}
    state: dict[str, Any] = {"what": "loading libraries", "at": at, "said": at, "tiles": 0, "of": 0, "before": None}

    def note(**more: Any) -> None:
        now = time.perf_counter()
        stages[state["what"]] = stages.get(state["what"], 0.0) + now - state["at"]
        peaks[state["what"]] = _peak()
        state.update(at=now, said=now)
        known = {"begun": begun, "seconds": now - at, "cpu": time.process_time(), "peak": _peak(), "peaks": peaks}
        tiles = {name: state[name] for name in ("tiles", "of", "before")}
        _write(options.log, {**known, **tiles, "stages": stages, "inside": INSIDE, **more})

    def hear(event: Any) -> None:
        if not isinstance(event, Progress):
            return
        if event.what == "segmenting tiles":
            state.update(tiles=event.done, of=event.total)
            state["before"] = event.done if state["before"] is None else state["before"]
        if event.what != state["what"] or time.perf_counter() - state["said"] > EVERY_S:
            note()
            state["what"] = event.what

    settings = SegmentSettings.model_validate(dict(each.split("=", 1) for each in options.set))
    result = run(segment_slide(options.slide, options.out, settings, options.format, scheduler=options.scheduler), hear)
    parts = {path: [part for part in (path, *path.rglob("*")) if part.is_file()] for path in result.outputs}
    note(
        finished=True,
        nuclei=result.nuclei,
        of=result.tiles,
        lost=len(result.lost),
        bytes={path.name: sum(part.stat().st_size for part in found) for path, found in parts.items()},
        files={path.name: len(found) for path, found in parts.items()},
        provenance=result.provenance,
    )


if __name__ == "__main__":
    main()
