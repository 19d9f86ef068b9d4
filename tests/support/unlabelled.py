"""Images of one look: some without labels, to adapt to, and some with, to judge by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.data.images.samples import synthetic_he

if TYPE_CHECKING:
    from pathlib import Path

_CORNERS = ((0, 0), (0, 200), (200, 0), (200, 200))


def write_looks(root: Path, side: int = 160) -> tuple[Path, Path]:
    """Write two images without labels and two with, parts of the bundled sample; return both folders."""
    image, labels = synthetic_he()
    for number, (top, left) in enumerate(_CORNERS):
        box = np.s_[top : top + side, left : left + side]
        folder = root / ("plain" if number < 2 else "judged")
        write_image(folder / "images" / f"part{number}.png", image.pixels[box], image.mpp)
        if number >= 2:
            write_labels(folder / "labels" / f"part{number}.tif", labels[box], image.mpp)
    return root / "plain", root / "judged"
