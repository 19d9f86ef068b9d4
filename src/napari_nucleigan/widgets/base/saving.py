"""Ask where to save something, and save it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_nucleigan.widgets.base.preferences import recall, remember

if TYPE_CHECKING:
    from collections.abc import Callable

_PATTERNS = {".csv": "Tables (*.csv)", ".json": "JSON (*.json)", ".md": "Markdown (*.md)"}


def ask_and_save(parent: QWidget, memory: str, name: str, save: Callable[[Path], object]) -> Path | None:
    """Ask for a file, write it, and say so.

    Parameters
    ----------
    parent : QWidget
        Who asks.
    memory : str
        Under which word the folder is remembered for the next time.
    name : str
        Name of the file that is proposed.
    save : callable
        Writes the file.

    Returns
    -------
    Path or None
        The file; None where the user has thought better of it.

    Raises
    ------
    NucleiganError
        As `save` does.
    """
    start = Path(recall(memory, "")) / name
    chosen, _ = QFileDialog.getSaveFileName(parent, "Save", str(start), _PATTERNS[start.suffix])
    if not chosen:
        return None
    path = Path(chosen)
    remember(memory, str(path.parent))
    save(path)
    show_info(f"Saved {path}.")
    return path
