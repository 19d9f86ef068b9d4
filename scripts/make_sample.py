"""Make the bundled sample: a picture that the bundled synthesizer painted, and the mask that it was painted from.

Run ``python scripts/make_sample.py`` to make the files of ``src/napari_nucleigan/_sample_data`` anew. The mask is drawn
by the polygon sampler; no real image, and no part of one, is copied.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan.base.events import run
from napari_nucleigan.base.files import write_text
from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.masks.polygons import preset, sample
from napari_nucleigan.models import DEFAULT_SYNTHESIZER
from napari_nucleigan.synthesis import SynthesisSettings, synthesize

if TYPE_CHECKING:
    import numpy as np

MPP = 0.25
TISSUE = "prostate"
SEED = 7
SIZE = 1000
FOLDER = Path(__file__).resolve().parents[1] / "src" / "napari_nucleigan" / "_sample_data"


def make(size: int = SIZE, seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """Draw a mask and paint it.

    Parameters
    ----------
    size : int
        Height and width in pixels.
    seed : int
        The same seed gives the same picture.

    Returns
    -------
    rgb : ndarray of uint8, shape (size, size, 3)
    labels : ndarray of int32, shape (size, size)
    """
    labels = sample(preset(TISSUE), (size, size), MPP, seed)
    # The slower arithmetic is the same, to the last digit or two, on every processor.
    settings = SynthesisSettings(seed=seed, style=TISSUE, device="cpu", precision="float32")
    return run(synthesize(labels, settings, mpp=MPP)).pixels, labels


def main() -> None:
    rgb, labels = make()
    write_image(FOLDER / "synthetic_he.png", rgb, MPP)
    write_labels(FOLDER / "synthetic_he_labels.tif", labels, MPP)
    about = {
        "title": "Synthetic H&E with true labels",
        "made_by": f"scripts/make_sample.py: random polygons like the nuclei of the {TISSUE}, painted by "
        f"{DEFAULT_SYNTHESIZER}; not a real section",
        "seed": SEED,
        "mpp": MPP,
        "nuclei": int(labels.max()),
        "licence": "CC BY-NC-SA 4.0 (as the weights that painted it)",
    }
    write_text(FOLDER / "synthetic_he.json", json.dumps(about, indent=2) + "\n")
    print(f"{about['nuclei']} nuclei, {(FOLDER / 'synthetic_he.png').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
