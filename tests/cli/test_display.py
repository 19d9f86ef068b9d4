from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.cli.app import run_in_virtual_display, wants_virtual_display

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")


@pytest.mark.parametrize("name", ["DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"])
def test_a_display_or_a_platform_of_qt_is_used(no_display: None, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert wants_virtual_display()
    monkeypatch.setenv(name, "x")
    assert not wants_virtual_display()


def test_without_xvfb_the_demo_says_what_to_do(
    no_display: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nucleigan: Callable[..., object]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NucleiganError, match="apt install xvfb"):
        run_in_virtual_display(["demo"])
    done = nucleigan("demo")
    assert done.exit_code == 1
    assert "apt install xvfb" in done.stderr


def test_the_command_runs_again_under_xvfb_with_software_opengl(
    no_display: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runner = tmp_path / "xvfb-run"
    runner.write_text('#!/bin/sh\necho "$@" "$LIBGL_ALWAYS_SOFTWARE" > "$(dirname "$0")/seen"\nexit 7\n')
    runner.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert run_in_virtual_display(["demo", "--labels", "a.tif"]) == 7
    seen = (tmp_path / "seen").read_text()
    assert seen.startswith("-a -s -screen")
    assert seen.rstrip().endswith("demo --labels a.tif 1")
