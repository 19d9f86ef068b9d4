from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.errors import ImageError, LabelsError
from napari_nucleigan.base.reading import (
    FileFault,
    check_memory,
    check_regular,
    fault,
    gunzip,
    read_bytes,
    read_json,
    reading,
)
from napari_nucleigan.base.text import printable


def read(path: Path) -> object:
    with reading(path, LabelsError, "JSON of ours"):
        return read_json(path)


def told(path: Path) -> str:
    with pytest.raises(LabelsError) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith(f"Cannot read {printable(path)}: ") and text.endswith(".") and "\n" not in text
    return text


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"[1]") + gzip.compress(b" ") + bytes(7))

    assert read(tmp_path / "a.json") == read(tmp_path / "a.json.gz") == [1]


@pytest.mark.parametrize("shown", ["<ast.Call object at 0x7f91bf87bdc0>", "<class 'NoneType'>"])
def test_objects_of_a_parser_are_not_shown(shown: str) -> None:
    with pytest.raises(LabelsError) as caught, reading("a.npy", LabelsError, "array"):
        raise ValueError(f"malformed node or string on line 1: {shown}")
    assert str(caught.value).endswith("(malformed node or string on line 1: something).")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "damaged, cut short or no JSON of ours"),
        (b'"\xff"', "not in UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
    ],
)
def test_what_a_file_holds_is_told(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)

    assert reason in told(path)


def test_what_the_system_says_is_told(tmp_path: Path) -> None:
    assert "no such file" in told(tmp_path / "none.json")
    assert "is a directory" in told(tmp_path)
    assert "file name too long" in told(tmp_path / ("x" * 300))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert "pipe" in told(tmp_path / "pipe")
    with pytest.raises(FileFault):
        check_regular(tmp_path / "pipe")


def test_errors_of_ours_pass_as_they_are(tmp_path: Path) -> None:
    error = ImageError("as it is")

    with pytest.raises(ImageError) as caught, reading(tmp_path, LabelsError):
        raise error

    assert caught.value is error


def test_an_interrupt_is_no_fault_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), reading(tmp_path, LabelsError):
        raise KeyboardInterrupt


def test_memory_is_refused_before_it_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(100))

    check_memory(100, 100)
    assert read_bytes(tmp_path / "a", 100) == bytes(100)
    for nbytes in (101, float("inf"), float("nan")):
        with pytest.raises(FileFault, match="GB"):
            check_memory(nbytes, 100)
    with pytest.raises(FileFault):
        read_bytes(tmp_path / "a", 99)


def test_a_bomb_is_unpacked_no_further_than_to_the_limit() -> None:
    bomb = gzip.compress(bytes(10_000_000))

    with pytest.raises(FileFault, match="memory"):
        gunzip(bomb, 1000)
    with pytest.raises(FileFault, match="cut short"):
        gunzip(bomb[:-20], 20_000_000)


@given(st.lists(st.binary(), min_size=1))
def test_members_are_joined(parts: list[bytes]) -> None:
    assert gunzip(b"".join(map(gzip.compress, parts))) == b"".join(parts)


@given(st.binary(max_size=64))
def test_whatever_a_file_holds_there_is_json_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.json"
    path.write_bytes(content)

    try:
        read(path)
    except LabelsError as error:
        assert "\n" not in str(error)
    else:
        json.loads(content.decode("utf-8-sig"))


@pytest.mark.parametrize("member", [b"[1,1],", b"[],", b"{},", b"1.5,"])
def test_json_of_many_values_is_refused_before_it_is_parsed(tmp_path: Path, member: bytes) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b"[" + member * (300_000_000 // len(member)) + b"1]", 1))
    with pytest.raises(FileFault, match="GB of memory"):
        read_json(path)


def test_a_decoder_that_fails_with_a_text_tells_of_damage() -> None:
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    assert fault(error, "image").startswith("it is damaged, cut short or no image")
    assert fault(error, "GeoJSON of polygons") == fault(error) == "its text is not in UTF-8"
