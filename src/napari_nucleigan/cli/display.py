"""A virtual display for the demonstration on machines that have none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from napari_nucleigan.base.errors import NucleiganError


def wants_virtual_display() -> bool:
    """Tell whether this is a Linux without any display, on which Qt could not open a window."""
    chosen = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return sys.platform.startswith("linux") and not any(os.environ.get(name) for name in chosen)


def run_in_virtual_display(arguments: list[str]) -> int:
    """Run ``nucleigan`` again under Xvfb.

    Parameters
    ----------
    arguments : list of str
        Its arguments.

    Returns
    -------
    int
        Its exit code.

    Raises
    ------
    NucleiganError
        If there is no Xvfb.
    """
    runner = shutil.which("xvfb-run")
    if runner is None:
        raise NucleiganError(
            "There is no display to open napari on; install xvfb ('apt install xvfb') to draw into a "
            "picture, or use 'nucleigan segment' for label images."
        )
    screen = ["-a", "-s", "-screen 0 1400x900x24 +extension GLX"]
    code = "from napari_nucleigan.cli import main; main()"
    command = [runner, *screen, sys.executable, "-c", code, *arguments]
    software = {"LIBGL_ALWAYS_SOFTWARE": "1", "QT_QPA_PLATFORM": "xcb"}
    return subprocess.run(command, env=os.environ | software, check=False).returncode
