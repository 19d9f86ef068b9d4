"""What libraries tell developers does not reach the terminal beside our one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

_CODE = """
import logging, sys, warnings
import typer
from napari_nucleigan.cli import app as module, main

app = typer.Typer()

@app.command()
def speak():
    warnings.warn("Corrupt EXIF data")
    logging.getLogger("imagecodecs").warning("Unknown compression method")
    print("done")

module.app = app
sys.argv = ["nucleigan"]
main()
"""


@pytest.mark.parametrize(("debug", "heard"), [("", False), ("1", True)])
def test_warnings_and_logs_of_libraries(debug: str, heard: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUCLEIGAN_DEBUG", debug)
    done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "done\n"
    assert ("Corrupt EXIF data" in done.stderr and "Unknown compression" in done.stderr) is heard
    assert bool(done.stderr) is heard
