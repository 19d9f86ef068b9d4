"""The command ``nucleigan``: the headless twin of every widget."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from contextlib import suppress


def main() -> None:
    """Run the command; exit codes: 0 done, 1 failed, 2 usage, 130 and 143 interrupted by Ctrl-C and SIGTERM."""
    for stream in (sys.stdout, sys.stderr):
        # Names of files need not be text, and a terminal need not know a micron's sign.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _hush()
    sys.exit(_finished(_run()))


def _hush() -> None:
    """Keep from the terminal what libraries tell developers of a file, in warnings and logs; one line tells all."""
    from napari_nucleigan.base.errors import DEBUG

    if os.environ.get(DEBUG) == "1":
        return
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # A logger for which nobody cares writes to stderr.
    logging.getLogger().addHandler(logging.NullHandler())


def _run() -> int:
    doing = "reading the command line"
    try:
        from napari_nucleigan.cli.app import app

        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except (Exception, KeyboardInterrupt) as error:  # what typer stumbles over before a command begins
        from napari_nucleigan.cli.console import tell_end

        return tell_end(error, doing)
    return 0


def _finished(code: int) -> int:
    """Write out what stdout holds back; the system may refuse that too."""
    try:
        sys.stdout.flush()
    except OSError as error:
        from napari_nucleigan.cli.console import tell_end

        # Python would try once more at its end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code or tell_end(error, "writing the result")
    return code
