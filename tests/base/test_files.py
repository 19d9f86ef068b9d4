from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.files import (
    append_records,
    atomic_folder,
    atomic_write,
    check_writable,
    disk_is_full,
    make_folder,
    read_records,
    refuse_foreign,
    write_bytes,
    write_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_text_as_utf8_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "µm.txt"
    write_text(path, "0.25 µm\n")
    assert path.read_bytes() == "0.25 µm\n".encode()
    assert names(path.parent) == ["µm.txt"]


def test_replaces_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["scores.json"]


def test_temporary_file_lies_beside_and_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "labels.tif") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".tif"
        assert temporary.name.startswith(".")
        temporary.write_bytes(b"")


def test_the_longest_name_that_the_system_takes(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".tif")
    write_bytes(path, b"whole")
    assert path.read_bytes() == b"whole"


def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="broken"), atomic_write(path) as temporary:
        temporary.write_bytes(b"half")
        raise ValueError("broken")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["labels.tif"]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "shared.bin"
    contents = [bytes([number]) * 100_000 for number in range(8)]
    start = threading.Barrier(len(contents))
    failures: list[BaseException] = []

    def write(content: bytes) -> None:
        try:
            start.wait()
            write_bytes(path, content)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert path.read_bytes() in contents
    assert names(tmp_path) == ["shared.bin"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_said_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    path.write_bytes(b"old")
    with (
        pytest.raises(OutputError, match=r"labels\.tif: the disk is full; free some space"),
        atomic_write(path) as temporary,
    ):
        temporary.symlink_to("/dev/full")
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["labels.tif"]


def test_full_file_system_keeps_what_was_there(mount: Callable[[str], Path]) -> None:
    folder = mount("size=64k")
    write_bytes(folder / "first", b"1" * 10_000)
    with pytest.raises(OutputError, match="the disk is full"):
        write_bytes(folder / "first", b"2" * 1_000_000)
    assert (folder / "first").read_bytes() == b"1" * 10_000
    assert names(folder) == ["first"]
    write_bytes(folder / "second", b"there is room again")


def test_read_only_file_system_is_said(mount: Callable[[str], Path]) -> None:
    folder = mount("ro")
    with pytest.raises(OutputError, match="the file system is read-only; choose a folder"):
        write_bytes(folder / "labels.tif", b"new")
    with pytest.raises(OutputError, match="the file system is read-only; choose a folder"):
        make_folder(folder / "deeper")


@pytest.fixture
def common_user() -> Iterator[None]:
    """Drop root's right to write everywhere for the time of a test."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs permission bits")
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


@pytest.mark.usefixtures("common_user")
def test_folder_without_permission_is_said() -> None:
    with pytest.raises(OutputError, match="permission is denied; choose a folder"):
        write_bytes("/labels.tif", b"new")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    blocker = tmp_path / "out"
    blocker.write_text("a file")
    with pytest.raises(OutputError, match="out: a file of that name is in the way"):
        write_bytes(blocker / "labels.tif", b"new")
    with pytest.raises(OutputError, match="a part of the path is a file, not a folder"):
        make_folder(blocker / "deeper")
    assert blocker.read_text() == "a file"


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "labels.tif").mkdir()
    with pytest.raises(OutputError, match="a folder of that name is in the way"):
        write_bytes(tmp_path / "labels.tif", b"new")
    assert names(tmp_path) == ["labels.tif"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_writer_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    code = (
        "import sys, time\n"
        "from napari_nucleigan.base.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as temporary, temporary.open('wb') as handle:\n"
        "    handle.write(b'new' * 10_000); handle.flush()\n"
        "    print('half', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"half\n"
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_bytes(path, b"after")
    assert path.read_bytes() == b"after"


def test_records_are_added_and_read(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    assert read_records(path) == []
    append_records(path, [{"a": 1}, {"b": "µm"}])
    append_records(path, [{"c": None}], flush=True)
    assert read_records(path) == [{"a": 1}, {"b": "µm"}, {"c": None}]


def test_half_a_record_does_not_take_the_next_one_along(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'{"a": 1}\n[2]\n{"b": \xff')
    append_records(path, [{"c": 3}])
    assert read_records(path) == [{"a": 1}, {"c": 3}]


def test_records_that_do_not_fit_leave_those_that_are_there(mount: Callable[[str], Path]) -> None:
    folder = mount("size=64k")
    append_records(folder / "records.jsonl", [{"a": 1}])
    with pytest.raises(OutputError, match="the disk is full") as caught:
        append_records(folder / "records.jsonl", [{"b": "x" * 100_000}])
    assert disk_is_full(caught.value)
    append_records(folder / "records.jsonl", [{"c": 3}])
    assert read_records(folder / "records.jsonl") == [{"a": 1}, {"c": 3}]


def test_whether_a_folder_takes_files(tmp_path: Path, mount: Callable[[str], Path]) -> None:
    check_writable(tmp_path / "new")
    assert names(tmp_path / "new") == []
    with pytest.raises(OutputError, match="the file system is read-only; choose a folder") as caught:
        check_writable(mount("ro"))
    assert not disk_is_full(caught.value)


def test_only_what_says_that_it_is_ours_is_written_over(tmp_path: Path) -> None:
    ours, packed, empty, theirs, folder = (tmp_path / name for name in ("a.tif", "a.json.gz", "b.tif", "c.tif", "d"))
    ours.write_bytes(b"II*\0" + b"\0" * 100_000 + b"napari-nucleigan 0.1.0")
    packed.write_bytes(gzip.compress(b'{"type":"FeatureCollection","nucleigan":{}}'))
    empty.touch()
    for path in (ours, packed, empty, tmp_path / "absent"):
        refuse_foreign(path)
    theirs.write_bytes(b"a photograph of a cat")
    (folder / "inside").mkdir(parents=True)
    for path in (theirs, folder):
        with pytest.raises(OutputError, match="was not made by this program"):
            refuse_foreign(path)


def test_a_folder_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    target = tmp_path / "x.zarr"
    target.mkdir()

    def is_ours(path: Path) -> bool:
        return (path / "ours").is_file()

    for content in ("ours", "ours"):  # into an empty folder, then over our own
        with atomic_folder(target, is_ours) as made:
            (made / content).touch()
        assert names(tmp_path) == ["x.zarr"]
    # What comes while we work is not ours either.
    with pytest.raises(OutputError, match="not made by this program"), atomic_folder(target, is_ours) as made:
        (target / "ours").rename(target / "thesis.docx")
    assert (names(tmp_path), names(target)) == (["x.zarr"], ["thesis.docx"])
    with pytest.raises(OutputError, match="not made by this program"), atomic_folder(target, is_ours) as made:
        raise AssertionError


def test_text_that_is_none_is_written_as_escapes(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "caf\udce9")
    assert (tmp_path / "a.txt").read_text("utf-8") == "caf\\udce9"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_or_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("pipe", "link"):
        with pytest.raises(OutputError, match="a pipe or a device"):
            write_text(tmp_path / name, "text")
        with pytest.raises(OutputError, match="a pipe or a device"):
            refuse_foreign(tmp_path / name)  # before anything is computed
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path) == ["link", "pipe"]
