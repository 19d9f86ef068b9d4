"""Names of files, as they are compared, and the table ``split.csv`` of their organs and splits."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.reading import FileFault, read_bytes, reading
from napari_nucleigan.base.text import printable, same_name, uncell
from napari_nucleigan.data.images.files import IMAGE_SUFFIXES

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""What people call the usual splits, in lower case, and their names here."""

_DELIMITERS = (",", ";", "\t", "|")
_SUFFIXES = (*IMAGE_SUFFIXES, ".svs", ".ndpi")
_LARGEST = 20_000_000  # bytes; a row of 50 for 400 000 images


def name_of(path: Path) -> str:
    """Name of an image or its labels: that of the file, without suffix, in composed characters."""
    return same_name(path.stem.removesuffix(".ome"))


def plain_name(text: str) -> str:
    """Name that a text means which may have folders and the suffix of an image."""
    name = same_name(PurePosixPath(text.strip().replace("\\", "/")).name)
    suffix = next((each for each in _SUFFIXES if name.lower().endswith(each)), "")
    return name[: len(name) - len(suffix)].removesuffix(".ome")


def split_name(text: str) -> str:
    """Name of a split, where people call the usual ones otherwise."""
    return SPLITS.get(text.strip().lower(), text.strip())


class SplitTable(Mapping[str, dict[str, str]]):
    """Rows of ``split.csv`` by name, which may be asked for with or without folder and suffix.

    Parameters
    ----------
    rows : mapping of str to dict of str to str
        By `plain_name`.
    """

    def __init__(self, rows: Mapping[str, dict[str, str]]) -> None:
        self._rows = rows

    def __getitem__(self, name: str) -> dict[str, str]:
        """Return the row of a name."""
        return self._rows[plain_name(name)]

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)


def read_split(path: Path) -> SplitTable:
    """Read ``split.csv``: text in UTF-8 or UTF-16, separated by commas, semicolons, tabs or upright lines.

    Parameters
    ----------
    path : Path
        Columns ``name,organ,split`` in any order; only the first must be there.

    Returns
    -------
    SplitTable
        Empty if there is nothing of that name.

    Raises
    ------
    DatasetError
        If the file is no such table, or says two things of one name.
    """
    if not os.path.lexists(path):
        return SplitTable({})
    found: dict[str, dict[str, str]] = {}
    with reading(path, DatasetError, "table of names, organs and splits"):
        for name, row in _rows(_text(read_bytes(path, _LARGEST))):
            if found.setdefault(name, row) != row:
                raise FileFault(f"it says two things of the image {name!r}; keep one of the rows")
    return SplitTable(found)


def _text(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    if b"\0" in content[:64]:
        # Half of each letter of our alphabet is 0.
        return content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le")
    try:
        return content.decode("utf-8-sig")
    except UnicodeError as error:
        raise FileFault("its text is not in UTF-8; save it as CSV in UTF-8") from error


def _rows(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    lines = text.splitlines()
    # Spreadsheets may tell themselves in a line of its own what separates the columns.
    if lines and lines[0].lower().startswith("sep="):
        del lines[0]
    first = lines[0] if lines else ""
    headers = [_fields(first, delimiter) for delimiter in _DELIMITERS]
    header, delimiter = max(zip(headers, _DELIMITERS, strict=True), key=lambda each: ("name" in each[0], len(each[0])))
    if "name" not in header:
        raise FileFault(f"its first line must name the columns name,organ,split, and is {printable(first, 80)!r}")
    for values in csv.reader(lines[1:], delimiter=delimiter, skipinitialspace=True):
        row = {key: same_name(uncell(value.strip())) for key, value in zip(header, values, strict=False)}
        row["split"] = split_name(row.get("split", ""))
        if name := plain_name(row.get("name", "")):
            yield name, row


def _fields(line: str, delimiter: str) -> list[str]:
    return [field.strip().lower() for field in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
