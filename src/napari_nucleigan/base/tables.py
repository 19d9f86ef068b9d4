"""Tables: a header and rows, as aligned text, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from napari_nucleigan.base.files import atomic_write
from napari_nucleigan.base.text import cell


def to_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay a table out in columns of equal width, for the terminal; no line ends in a space or a line break.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : iterable of sequence of str
        Cells, as many in each row as there are columns.

    Returns
    -------
    str
    """
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def to_markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay a table out as Markdown: the first column to the left, the others, which hold numbers, to the right.

    Cells may have marks; texts from files are to come through `napari_nucleigan.base.text.as_markdown`.

    Parameters
    ----------
    header, rows
        As for `to_text`.

    Returns
    -------
    str
        Without a line break at its end.
    """
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def to_csv(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Lay a table out as CSV: comma, point, a line break after each row.

    Parameters
    ----------
    header : iterable of str
        Names of the columns.
    rows : iterable of iterable
        Cells; None is written as nothing, anything else as its `str`. A text that a spreadsheet would take for a
        formula gets an apostrophe before it.

    Returns
    -------
    str
    """
    text = io.StringIO()
    _write(text, header, rows)
    return text.getvalue()


def delimiter_of(text: str) -> str:
    """Tell by its first line what separates the columns of a table: spreadsheets write commas, semicolons or tabs."""
    first = text.partition("\n")[0]
    return max(",;\t", key=first.count)


def write_csv(path: str | Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table as CSV (UTF-8), whole or not at all; of its rows only one is held at a time.

    Parameters
    ----------
    path : str or Path
        The file.
    header, rows
        As for `to_csv`.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as handle,
    ):
        _write(handle, header, rows)


def _write(handle: TextIO, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    writer = csv.writer(handle, lineterminator="\n")
    writer.writerow([cell(name) for name in header])
    writer.writerows([cell(value) for value in row] for row in rows)
