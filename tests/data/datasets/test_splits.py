from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.tables import write_csv
from napari_nucleigan.base.text import same_name
from napari_nucleigan.data.datasets.splits import plain_name, read_split

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = {"a": {"name": "a", "organ": "breast", "split": "train"}, "b": {"name": "b", "organ": "", "split": "test"}}


def saved(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "split.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ; "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_as_spreadsheets_write_it(tmp_path: Path, delimiter: str, encoding: str, end: str) -> None:
    lines = [["name", "organ", "split"], ["a", "breast", "train"], ["b", "", "test"]]
    text = end.join(map(delimiter.join, lines))
    assert dict(read_split(saved(tmp_path, text + end, encoding))) == ROWS


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nname;organ;split\na;breast;train\nb;;test\n",
        '"Name","Organ","Split"\n"a","breast","Training"\n"b","","TEST"\n',
        "split,organ,name\ntrain,breast,a\ntest,,b\n",
        "name,organ,split\n\na,breast,train\na,breast,train\n,,\nb,,test,more\n",
    ],
    ids=["separator told", "quotes and capitals", "other order", "empty and equal rows"],
)
def test_as_people_write_it(tmp_path: Path, text: str) -> None:
    assert dict(read_split(saved(tmp_path, text))) == ROWS


@pytest.mark.parametrize("name", ["a.png", "images/a.png", "C:\\data\\images\\a.TIF", "a.ome.tif", "./a.svs", " a "])
def test_names_with_folder_and_suffix(tmp_path: Path, name: str) -> None:
    rows = read_split(saved(tmp_path, f"name,split\n{name},test\n"))
    assert list(rows) == ["a"]
    assert rows["a"]["split"] == rows[name]["split"] == "test"


def test_only_suffixes_of_images_are_taken_off() -> None:
    assert plain_name("c.1") == "c.1"
    assert plain_name("TCGA-01.2.png") == "TCGA-01.2"


def test_composed_and_decomposed_names_are_one(tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", "Mägen")
    rows = read_split(saved(tmp_path, f"name,split\n{apart},test\n"))
    assert "Mägen" in rows
    assert apart in rows


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_not_taken_for_no_table(tmp_path: Path, put: Callable[[Path], object]) -> None:
    put(tmp_path / "split.csv")
    with pytest.raises(DatasetError, match=r"Cannot read .*split\.csv: (it is a pipe|is a directory)"):
        read_split(tmp_path / "split.csv")


def test_no_table_has_no_rows(tmp_path: Path) -> None:
    assert dict(read_split(tmp_path / "split.csv")) == {}
    assert dict(read_split(tmp_path / "a.tif" / "split.csv")) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,split\na,train\na.png,test\n", "two things of the image 'a'"),
        ("a,breast,train\nb,breast,test\n", "first line must name the columns .* is 'a,breast,train'"),
        ("", "first line must name"),
        ("\x1b[31mname\x1b[0m\n", r"\\x1b\[31mname"),
        ("name\n" + "a" * 200_000, "field"),
    ],
)
def test_what_is_no_table(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DatasetError, match=reason):
        read_split(saved(tmp_path, text))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"]), min_size=1, max_size=20))
def test_organs_that_spreadsheets_take_for_formulas_come_back(tmp_path: Path, organ: str) -> None:
    write_csv(tmp_path / "split.csv", ["name", "organ", "split"], [["a", organ, "train"]])
    assert read_split(tmp_path / "split.csv")["a"]["organ"] == same_name(organ.strip())
