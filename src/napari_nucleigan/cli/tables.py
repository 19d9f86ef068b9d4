"""Tables on the terminal."""

from __future__ import annotations

import sys


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
