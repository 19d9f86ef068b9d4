"""What every benchmark shares: a row of the table, timing, and where the data lie."""

from __future__ import annotations

import operator
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HEADER = ("benchmark", "value", "unit", "bar", "met", "note")
_COMPARE = {"<=": operator.le, ">=": operator.ge}


class Skip(Exception):
    """A benchmark that cannot run here; its text says why."""


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Attributes
    ----------
    name : str
        What was measured.
    value : float or None
        The figure; None where it could not be had.
    unit : str
        Its unit.
    bar : str
        What it must reach, such as ``"<= 0.3"``; empty where there is no bar.
    note : str
        How it was measured.
    """

    name: str
    value: float | None
    unit: str = ""
    bar: str = ""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the value meets the bar; None where there is no bar or no value."""
        if not self.bar or self.value is None:
            return None
        sign, limit = self.bar.split()
        return bool(_COMPARE[sign](self.value, float(limit)))

    def cells(self) -> tuple[str, ...]:
        """Return the row as text, in the order of `HEADER`."""
        value = "-" if self.value is None else f"{self.value:.4g}"
        met = {None: "", True: "yes", False: "NO"}[self.met]
        return self.name, value, self.unit, self.bar, met, self.note


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, the best of several: on the clock, and of the processor.

    The second tells more on a busy machine; with several threads it counts each of them.
    """

    wall: float
    cpu: float

    def row(self, name: str, bar: str = "", note: str = "") -> Row:
        """Make a row of the time on the clock, with the processor's in its note."""
        spent = f"{self.cpu:.3g} s of processor time"
        return Row(name, self.wall, "s", bar, f"{note}; {spent}" if note else spent)


def timed(call: Callable[[], Any], repeats: int = 15) -> Timing:
    """Time a call several times, after one that does not count."""
    call()
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Timing(min(walls), min(cpus))


def shared(part: str) -> Path:
    """Locate shared data, below ``NUCLEIGAN_DATA`` or beside the repository.

    Raises
    ------
    Skip
        If they are not there.
    """
    beside = Path(__file__).resolve().parents[2] / "shared"
    path = Path(os.environ.get("NUCLEIGAN_DATA", beside)) / part
    if not path.exists():
        raise Skip(f"{part} is absent; NUCLEIGAN_DATA names the folder that holds it")
    return path


def machine() -> str:
    """Describe the machine in one line."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{model}, {usable} cores{load}, Python {platform.python_version()}"


def markdown(rows: Sequence[Row]) -> str:
    """Lay rows out as a Markdown table."""
    lines = [HEADER, ("---", "---:", "---", "---", "---", "---"), *(row.cells() for row in rows)]
    clean = (" | ".join(" ".join(cell.replace("|", "/").split()) for cell in cells) for cells in lines)
    return "\n".join(f"| {row} |" for row in clean)


def print_table(rows: Sequence[Row]) -> None:
    """Print rows as a table for the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*HEADER)
    for row in rows:
        style = {None: None, True: "green", False: "bold red"}[row.met]
        table.add_row(*row.cells(), style=style)
    console = Console()
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no width of its own
    console.print(table)
