"""Bad inputs of every command and reader: the right answer, or one clear line with exit code 1 or 2.

``python benchmarks/bad_inputs.py [--only FILTER] [--json FILE] [--real N]``

Each case makes its input, runs the command on it and says what is right; see `_bad_case.Case`. What is wrong is named
with its output. Nothing may take more than 2 GB of memory or 60 s, leave something half-made behind, or touch what is
there. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from _bad_case import MEMORY, SECONDS
from _bad_server import make_models, preload, run_case
from _table import machine

if TYPE_CHECKING:
    from _bad_case import Case, Outcome

GROUPS = (
    "pictures",
    "tiffs",
    "tags",
    "slides",
    "scanners",
    "labels",
    "points",
    "datasets",
    "imports",
    "models",
    "synthesis",
    "runs",
    "options",
    "outputs",
    "programs",
)
"""Modules ``_bad_NAME.py`` with a function ``cases() -> Iterator[Case]``."""


def main() -> int:
    """Run what was asked for; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description="Try bad inputs.")
    parser.add_argument("--only", default="", metavar="FILTER", help="cases with this in their names")
    parser.add_argument("--group", choices=GROUPS, help="cases of this module")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what became of each case there")
    parser.add_argument("--part", type=_part, default=(1, 1), metavar="K/N", help="the K-th of N cases each, as 1/2")
    parser.add_argument("--again", type=Path, metavar="FILE", help="those that were wrong, as --json told")
    parser.add_argument("--real", type=int, default=40, metavar="N", help="every N-th as a process of its own too")
    parser.add_argument("--list", action="store_true", help="only show the cases")
    arguments = parser.parse_args()
    chosen = [case for case in all_cases(arguments.group) if arguments.only in case.name]
    if arguments.again:
        wrong = {each["name"] for each in json.loads(arguments.again.read_text("utf-8")) if each["wrong"]}
        chosen = [case for case in chosen if case.name in wrong]
    chosen = chosen[arguments.part[0] - 1 :: arguments.part[1]]
    if arguments.list:
        for case in chosen:
            print(f"{case.name}: nucleigan {' '.join(map(ascii, case.arguments))}")
        print(f"{len(chosen)} cases")
        return 0
    os.environ.update({"COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"})
    os.environ.pop("NUCLEIGAN_DEBUG", None)
    preload()
    # Not one that removes itself: the forks would do it at their end.
    # In memory, where there is such a place: a busy disk takes longer to flush a file than most cases take.
    memory = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="bad-inputs-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        make_models(place / "models")
        results = _run_all(chosen, place, arguments.real)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    _show(results)
    if arguments.json:
        arguments.json.write_text(json.dumps([_record(*result) for result in results], indent=1), "utf-8")
    _check_devices()
    return int(any(wrong for _, _, _, wrong in results))


def _part(text: str) -> tuple[int, int]:
    number, count = map(int, text.split("/"))
    if not 1 <= number <= count:
        raise ValueError
    return number, count


Result = tuple["Case", bool, "Outcome", list[str]]


def all_cases(group: str | None = None) -> list[Case]:
    """Return all cases, or those of a group; no two have the same name, or the same command and input."""
    found = [case for name in ((group,) if group else GROUPS) for case in import_module(f"_bad_{name}").cases()]
    twice = [name for name, count in Counter(case.name for case in found).items() if count > 1]
    if twice:
        raise SystemExit(f"Two cases have the same name: {', '.join(twice)}")
    return found


def _run_all(cases: list[Case], place: Path, every: int) -> list[Result]:
    results: list[Result] = []
    began = time.monotonic()
    for number, case in enumerate(cases):
        for real in (False, True):
            # A process of its own gets back the rights that a fork gives up.
            if real and (not every or number % every or case.bound):
                continue
            outcome, wrong = run_case(case, place / f"{number % 8}", place / "models", real=real)
            results.append((case, real, outcome, wrong))
            if wrong:
                _name(case, real, outcome, wrong)
        if number % 50 == 49:
            print(f"{number + 1} of {len(cases)}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return results


def _name(case: Case, real: bool, outcome: Outcome, wrong: list[str]) -> None:
    print(f"WRONG {case.name}{' (the command itself)' if real else ''}: {'; '.join(wrong)}")
    print(f"  nucleigan {' '.join(map(ascii, case.arguments))}")
    for line in (outcome.stderr or outcome.stdout).splitlines()[-12:]:
        print(f"    {line[:400]}")
    sys.stdout.flush()


def _show(results: list[Result]) -> None:
    groups: dict[str, list[Result]] = {}
    for result in results:
        if not result[1]:
            groups.setdefault(result[0].name.split("/")[0], []).append(result)
    rows = list(groups.items())
    rows.append(("all", [result for result in results if not result[1]]))
    rows.append(("of these, as processes of their own", [result for result in results if result[1]]))
    print(machine())
    print("| bad inputs | cases | right | answered | exit 1 | exit 2 | most MB | most seconds |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, found in rows:
        codes = Counter(outcome.code for _, _, outcome, _ in found)
        right = sum(not wrong for *_, wrong in found)
        most = [max((getattr(outcome, of) for _, _, outcome, _ in found), default=0) for of in ("megabytes", "seconds")]
        counts = " | ".join(str(codes[code]) for code in (0, 1, 2))
        print(f"| {name} | {len(found)} | {right} | {counts} | {most[0]:.0f} | {most[1]:.1f} |")
    print(f"The bar: all right, at most {MEMORY:.0f} MB and {SECONDS:.0f} s.")


def _record(case: Case, real: bool, outcome: Outcome, wrong: list[str]) -> dict[str, object]:
    return {"name": case.name, "arguments": list(case.arguments), "real": real, **asdict(outcome), "wrong": wrong}


def _check_devices() -> None:
    """Make sure that no case has removed a device of the machine."""
    for name, number in (("full", 7), ("null", 3), ("zero", 5)):
        state = os.stat(f"/dev/{name}")
        if not stat.S_ISCHR(state.st_mode) or state.st_rdev != os.makedev(1, number):
            raise SystemExit(f"/dev/{name} is no longer the device that it was.")


if __name__ == "__main__":
    sys.exit(main())
