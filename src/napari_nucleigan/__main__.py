"""``python -m napari_nucleigan``: the command ``nucleigan``."""

from __future__ import annotations

from napari_nucleigan.cli import main

if __name__ == "__main__":
    main()
