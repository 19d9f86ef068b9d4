"""Masks that users draw: labels and polygons kept alike, and edits of single nuclei.

It imports `masks.sampler` and what is below `masks`.
"""

from __future__ import annotations

from napari_nucleigan.masks.editing.edits import copy, grow, jitter, shrink, split

__all__ = ["copy", "grow", "jitter", "shrink", "split"]
