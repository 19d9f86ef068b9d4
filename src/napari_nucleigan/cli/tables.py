"""Tables on the terminal and in files."""

from __future__ import annotations

import csv
import io
import sys
from typing import TYPE_CHECKING

from napari_nucleigan.errors import OutputError
from napari_nucleigan.files import write_text

if TYPE_CHECKING:
    from pathlib import Path


def write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    """Write a table as CSV, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    if path.is_dir():
        raise OutputError(f"Cannot write {path}: a folder of that name is in the way; choose another name.")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print a table on stdout: the first column to the left, the others to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(header[0], box=None)
    for name in header[1:]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    # A pipe or a file takes lines of any length.
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200).print(table)
