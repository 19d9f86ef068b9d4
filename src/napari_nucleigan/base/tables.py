"""Tables: a header and rows, as aligned text, as Markdown and as CSV; and CSV as people bring it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from napari_nucleigan.base.files import atomic_write
from napari_nucleigan.base.reading import FileFault, read_bytes
from napari_nucleigan.base.text import cell, uncell

_SEPARATORS = ",;\t"


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


@dataclass(frozen=True)
class TextTable:
    """A table as text.

    Attributes
    ----------
    header : tuple of str
        Names of the columns, in lower case.
    rows : list of (int, dict of str to str)
        Line of the file, from 1, and cells by column, without spaces around them.
    decimal : str
        Whether numbers may have a comma in the place of the point.
    """

    header: tuple[str, ...]
    rows: list[tuple[int, dict[str, str]]]
    decimal: str = "."

    def column(self, *names: str) -> str | None:
        """Return the first of some columns that is there; None where none is."""
        return next((name for name in names if name in self.header), None)

    def number(self, text: str) -> float:
        """Read a number; raises `ValueError` where it is none."""
        return float(text.replace(self.decimal, "."))


def read_csv(path: str | Path, most: int) -> TextTable:
    """Read a table as people bring it, and as spreadsheets of all countries write it.

    Columns are separated by commas, semicolons or tabs; with the latter two, numbers may have decimal commas. A byte
    order mark and empty lines are no fault.

    Parameters
    ----------
    path : str or Path
        The file, in UTF-8.
    most : int
        Bytes that it may have.

    Raises
    ------
    OSError, UnicodeError, csv.Error
        If it cannot be read.
    FileFault
        As `read_bytes`; also if a row has fewer cells than the header, or more.
    """
    text = read_bytes(path, most).decode("utf-8-sig")
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    lines = ((reader.line_num, [uncell(each.strip()) for each in row]) for row in reader)
    filled = ((line, row) for line, row in lines if any(row))
    header = tuple(name.lower() for name in next(filled, (0, []))[1])
    rows = []
    for line, row in filled:
        if len(row) < len(header) or any(row[len(header) :]):
            raise FileFault(f"row {line} has {len(row)} cells, and its header {len(header)}")
        rows.append((line, dict(zip(header, row, strict=False))))
    return TextTable(header, rows, "." if separator == "," else ",")
