"""Follow the tutorial "Make 1 000 labelled H&E tiles like mine": ``python scripts/tutorial_tiles.py FOLDER``.

The commands are those of the page itself, in order; so the page cannot say what does not work. ``--pairs`` makes fewer
tiles than the page says.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan.data.datasets.dataset import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAGE = Path(__file__).resolve().parents[1] / "docs/guide/tutorial-tiles.md"
MADE = ("tiles", "checked")


def commands(page: str) -> list[list[str]]:
    """Take the commands out of a page: the lines of its blocks of shell code."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line.strip()]


def fewer(command: list[str], pairs: int) -> list[str]:
    """Let a command make no more than so many pairs."""
    before = ["", *command[:-1]]
    return [str(min(int(word), pairs)) if flag == "-n" else word for flag, word in zip(before, command, strict=True)]


def start(command: list[str], folder: Path) -> int:
    """Call a command in a folder, as a user does; return how it ended."""
    program = Path(sys.executable).with_name(command[0])
    return subprocess.run([program, *command[1:]], cwd=folder, check=False).returncode


def main(words: Sequence[str] | None = None, call: Callable[[list[str], Path], int] = start) -> int:
    """Follow the page; `call` takes each command and the folder of its work, and returns how it ended."""
    parser = argparse.ArgumentParser(description="Follow the tutorial from start to end.")
    parser.add_argument("folder", type=Path, help="where to work; must be new or empty")
    parser.add_argument("--pairs", type=int, default=1000, help="how many tiles to make (default: 1000)")
    parser.add_argument("--device", default="auto", help="where the commands compute (default: auto)")
    arguments = parser.parse_args(words)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if any(arguments.folder.iterdir()):
        parser.error(f"{arguments.folder} is not empty")
    for command in commands(PAGE.read_text(encoding="utf-8")):
        called = [*fewer(command, arguments.pairs), "--device", arguments.device]
        print("$", shlex.join(called), flush=True)
        begun = time.perf_counter()
        code = call(called, arguments.folder)
        print(f"  {time.perf_counter() - begun:.1f} s", flush=True)
        if code:
            return code
    for name in MADE:
        check(arguments.folder / name, arguments.pairs)
    return 0


def check(folder: Path, pairs: int) -> None:
    """Make sure that a data set holds what was ordered."""
    data = Dataset.open(folder)
    labels = [data.pair(name)[1] for name in data.names]
    nuclei = sum(int(each.max()) for each in labels)
    print(f"{folder}: {len(data)} pairs, {nuclei} nuclei")
    if folder.name == MADE[0] and len(data) != pairs:
        raise SystemExit(f"{pairs} pairs were ordered")


if __name__ == "__main__":
    sys.exit(main())
