"""Palettes: the colours of nuclei, and of the lines of charts, in both themes."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.utils.colormaps import CyclicLabelColormap

CONTOUR = 2
"""Nuclei are drawn as outlines of so many pixels, so that the stain stays in view."""


def nuclei_colormap() -> CyclicLabelColormap:
    """Bright colours from orange through green to cyan, which H&E itself has none of."""
    from napari.utils.colormaps import CyclicLabelColormap

    hues = [0.08 + 0.42 * (5 * step % 12) / 11 for step in range(12)]
    colours = [(0.0, 0.0, 0.0, 0.0), *((*colorsys.hsv_to_rgb(hue, 1.0, 1.0), 1.0) for hue in hues)]
    return CyclicLabelColormap(colors=colours, background_value=0)


DARK = "#4fa3ff #ff9f40 #5fd38d #ff6b81 #c58cff #e6d24a #46d9d9 #ff8ad8 #b9c1cc #cfa27a".split()


LIGHT = "#0b62c4 #c25a00 #14803c #c4122f #7a2bc9 #857000 #00787a #b0187f #555d68 #7a4a1e".split()
