"""The command ``nucleigan``: the headless twin of every widget."""

from __future__ import annotations


def main() -> None:
    """Run the command; the exit code is 0 done, 1 failed, 2 usage, 130 interrupted."""
    from napari_nucleigan.cli.app import app

    app()
