"""Draw the figures of the guide to random masks: ``python scripts/mask_figures.py``."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np

from napari_nucleigan.base.files import write_bytes
from napari_nucleigan.masks.polygons import PRESETS, PolygonMasks, preset, sample

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIDE, RIM = 300, 6
PLAIN = PolygonMasks(density=9000, area=20, elongation=1.7, clustering=0.2, touching=0.1)
# In the order of the table of the guide: a field, a low and a high value.
CHANGES = (
    ("touching", 0, 0.9),
    ("clustering", 0, 1.4),
    ("elongation", 1, 2.5),
    ("coherence", 0, 1),
    ("similarity", 0, 1),
    ("spikiness", 0, 0.6),
)


def colours() -> np.ndarray:
    """Return colours that neighbours in number do not share, (256, 3) uint8; the first is the background's."""
    random = np.random.default_rng(4)
    found = random.integers(90, 256, (256, 3)).astype(np.uint8)
    found[0] = 24
    return found


def picture(statistics: PolygonMasks, seed: int) -> np.ndarray:
    """Draw one mask with a rim, (SIDE + 2 RIM, SIDE + 2 RIM, 3) uint8."""
    labels = sample(statistics, (SIDE, SIDE), seed=seed)
    painted = colours()[np.where(labels > 0, labels % 255 + 1, 0)]
    return np.pad(painted, ((RIM, RIM), (RIM, RIM), (0, 0)), constant_values=255)


def main() -> None:
    """Write both figures."""
    organs = np.concatenate([picture(preset(name), 12) for name in PRESETS if name != "all"], 1)
    steps = [[picture(PLAIN.changed(**{change[0]: change[i]}), 5) for change in CHANGES] for i in (1, 2)]
    changes = np.concatenate([np.concatenate(row, 1) for row in steps])
    for name, image in (("mask-presets", organs), ("mask-fields", changes)):
        path = IMAGES / f"{name}.png"
        write_bytes(path, bytes(imagecodecs.png_encode(np.ascontiguousarray(image), level=9)))
        print(path)


if __name__ == "__main__":
    main()
