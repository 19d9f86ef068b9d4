"""Run the benchmarks and print one table: ``python benchmarks/run.py [--only NAME ...] [--write PART]``.

Each ``bench_NAME.py`` beside this file has a function ``measure() -> list[Row]``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from importlib import import_module
from pathlib import Path

from _table import Row, Skip, machine, markdown, print_table


def main() -> int:
    """Run what was asked for; 1 if a bar is missed or a benchmark fails."""
    known = sorted(path.stem[6:] for path in Path(__file__).parent.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description="Measure speed, memory and accuracy.")
    parser.add_argument("--only", nargs="+", choices=known, metavar="NAME", help=", ".join(known))
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--write", metavar="PART", help="write the table into that part of docs/benchmarks.md")
    arguments = parser.parse_args()
    for variable in ("NUCLEIGAN_BENCH_MODEL", "NUCLEIGAN_DATA"):  # processes of their own work elsewhere
        if (place := os.environ.get(variable)) and Path(place).exists():
            os.environ[variable] = str(Path(place).resolve())
    rows: list[Row] = []
    broken = False
    for name in arguments.only or known:
        print(f"{name} ...", file=sys.stderr, flush=True)
        begun, before = time.perf_counter(), len(rows)
        try:
            rows += import_module(f"bench_{name}").measure()
        except Skip as reason:
            rows.append(Row(name, None, note=f"skipped: {reason}"))
        except Exception as error:  # one broken benchmark must not hide the others
            broken = True
            rows.append(Row(name, None, note=f"failed: {type(error).__name__}: {error}"))
        for row in rows[before:]:  # what is broken off later is not lost
            print("  " + "  ".join(filter(None, row.cells())), file=sys.stderr)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    print(machine())
    if arguments.write:
        write(arguments.write, markdown(rows))
    if arguments.markdown:
        print(markdown(rows))
    else:
        print_table(rows)
    return int(broken or any(row.met is False for row in rows))


def write(part: str, table: str) -> None:
    """Put a table into the page of benchmarks, between the comments of a part."""
    page = Path(__file__).resolve().parents[1] / "docs/benchmarks.md"
    text = page.read_text("utf-8")
    begin, end = f"<!-- {part}: written by benchmarks/run.py -->", f"<!-- end of {part} -->"
    if begin not in text or end not in text:
        sys.exit(f"{page} has no part {part!r}.")
    head, rest = text.split(begin, 1)
    page.write_text(f"{head}{begin}\n\n{table.strip()}\n\n{end}{rest.split(end, 1)[1]}", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
