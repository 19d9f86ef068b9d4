"""Colours of outcomes and of IoU, for the picture, the canvas and the widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.metrics import OUTCOMES
from napari_nucleigan.widgets.evaluate.jobs import STEPS

if TYPE_CHECKING:
    from napari.utils.colormaps import CyclicLabelColormap

COLOURS = {
    "matched": "#1db954",
    "missed": "#ff3b30",
    "spurious": "#ffd60a",
    "split": "#32d7ff",
    "merged": "#2f6bff",
}
"""Colours that stand out from H&E and from each other; they differ in lightness too."""

MEANINGS = {
    "matched": "A true nucleus and a prediction that are a pair: their IoU is above the threshold.",
    "missed": "A true nucleus without a pair that is neither split nor merged.",
    "spurious": "A prediction without a pair that is neither a piece of a nucleus nor a merger of several.",
    "split": "A true nucleus without a pair in which several predictions lie; or pieces cut off a matched nucleus.",
    "merged": "Several true nuclei that lie in one prediction without a pair; or nuclei swallowed by a matched one.",
}
OUTLINE = "#ffffff"
_RAMP = ("#e3242b", "#f4623a", "#fd9a56", "#fdcb82", "#fff7c4")  # rising in lightness: no matter how one sees colours


def outcome_colormap() -> CyclicLabelColormap:
    """Colours by outcome for numbers as from `evaluate_work.codes`."""
    return _cyclic(np.repeat([rgba(COLOURS[name]) for name in OUTCOMES], STEPS, axis=0))


def iou_colormap() -> CyclicLabelColormap:
    """Colours by IoU for the same numbers: dark red where nothing fits, pale yellow where all does."""
    return _cyclic(np.tile([rgba(ramp(step / (STEPS - 1))) for step in range(STEPS)], (len(OUTCOMES), 1)))


def ramp(share: float) -> str:
    """Colour of an IoU from 0 to 1, as ``"#rrggbb"``."""
    stops = np.array([rgba(colour)[:3] for colour in _RAMP])
    values = [np.interp(share * (len(stops) - 1), range(len(stops)), stops[:, channel]) for channel in range(3)]
    return "#" + "".join(f"{round(255 * value):02x}" for value in values)


def rgba(colour: str) -> tuple[float, float, float, float]:
    """Red, green, blue and alpha of ``"#rrggbb"``, each from 0 to 1."""
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue, 1.0


def _cyclic(colours: np.ndarray) -> CyclicLabelColormap:
    from napari.utils.colormaps import CyclicLabelColormap

    return CyclicLabelColormap(colors=np.vstack([np.zeros((1, 4)), colours]), background_value=0)
