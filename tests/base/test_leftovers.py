from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from napari_nucleigan.base import leftovers
from napari_nucleigan.base.files import write_text
from napari_nucleigan.base.leftovers import aside

KILLED = """
import os, signal, sys
from pathlib import Path
from napari_nucleigan.base.files import atomic_folder, atomic_write
from napari_nucleigan.base.leftovers import aside
folder = Path(sys.argv[1])
os.replace(folder / "moved.ome.zarr", aside(folder / "moved.ome.zarr", "old"))
with atomic_write(folder / "labels.tif") as file, atomic_folder(folder / "new.ome.zarr", Path.exists) as made:
    file.write_bytes(b"half")
    (made / "0").mkdir()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="signals are sent as POSIX has them")
def test_what_a_killed_writer_has_left_is_swept_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "moved.ome.zarr" / "0").mkdir(parents=True)
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    left = names(tmp_path)
    assert [name.split(".")[-2] for name in left] == ["part", "old", "part"]
    # Of writers that are alive, or on other machines, nothing is touched; nor what only looks alike.
    mine = aside(tmp_path / "mine.json")
    far = tmp_path / left[0].replace(leftovers._this_machine(), "abcdef")
    other = tmp_path / ".labels.part.tif"
    for path in (mine, far, other):
        path.touch()
    write_text(tmp_path / "next.json", "{}")
    assert names(tmp_path) == sorted([mine.name, far.name, other.name, "moved.ome.zarr", "next.json"])
    assert (tmp_path / "moved.ome.zarr" / "0").is_dir()


@pytest.mark.parametrize("name", ["a.tif", "n" * 251 + ".tif", "ü" * 120 + ".json", "x." + "y" * 250, ".hidden", "a"])
def test_names_fit_whatever_they_stand_for(tmp_path: Path, name: str) -> None:
    path = aside(tmp_path / name)
    path.write_bytes(b"")
    assert leftovers._NAME.fullmatch(path.name)
    assert aside(tmp_path / name) != path
