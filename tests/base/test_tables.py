from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.tables import to_csv, to_markdown, to_text, write_csv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_text_in_columns() -> None:
    text = to_text(("run", "state"), [["a long name", "ok"], ["b", ""]])
    assert text == "run          state\na long name  ok\nb"


def test_text_of_no_rows_is_the_header() -> None:
    assert to_text(("run", "state"), []) == "run  state"


def test_markdown_escapes_its_own_mark() -> None:
    text = to_markdown(["name", "AJI", "F1"], [["a|b", "0.5", "-"]])
    assert text == "| name | AJI | F1 |\n| --- | ---: | ---: |\n| a\\|b | 0.5 | - |"


def test_csv_quotes_and_leaves_none_empty() -> None:
    text = to_csv(["name", "value"], [["a, b", 0.1], ['say "c"', None], ["two\nlines", 3]])
    assert text == 'name,value\n"a, b",0.1\n"say ""c""",\n"two\nlines",3\n'


def test_csv_file_is_the_text(tmp_path: Path) -> None:
    path = tmp_path / "new" / "µm.csv"
    header, rows = ["µm", "b"], [["a\nb", 1.5], ["c", None]]
    write_csv(path, header, iter(rows))
    assert path.read_bytes() == to_csv(header, rows).encode()


def test_csv_that_fails_on_the_way_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("before")

    def rows() -> Iterator[list[int]]:
        yield [1]
        raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        write_csv(path, ["a"], rows())
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["a.csv"]


def test_csv_where_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(OutputError, match=r"a\.csv"):
        write_csv(tmp_path / "a.csv", ["a"], [])


def test_names_that_are_no_text_are_written_as_escapes(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["name"], [["caf\udce9"]])
    assert (tmp_path / "a.csv").read_text("utf-8") == "name\ncaf\\udce9\n"
