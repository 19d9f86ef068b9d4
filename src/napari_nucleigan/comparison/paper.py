"""The figures that the paper published, to be set beside measured ones."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

SOURCE = (
    "F. Mahmood et al., Deep Adversarial Training for Multi-Organ Nuclei Segmentation in Histopathology Images, "
    "IEEE Transactions on Medical Imaging 39(11):3257-3267, 2020, doi:10.1109/TMI.2019.2927182"
)
"""Where the published figures come from."""

OVERALL = "overall"
"""The row of the published table over all of its organs."""

_SAME = {"colon": "colorectal"}  # what data sets call the organs of the published table


@cache
def _table() -> dict[tuple[str, str], dict[str, float]]:
    text = (files("napari_nucleigan.comparison") / "published.csv").read_text("utf-8")
    table: dict[tuple[str, str], dict[str, float]] = {}
    for row in csv.DictReader(text.splitlines()):
        key = row.pop("method"), row.pop("organ")
        table[key] = {metric: float(value) for metric, value in row.items()}
    return table


def published(method: str | None, metric: str, organ: str = OVERALL) -> float | None:
    """Look a published figure up.

    Parameters
    ----------
    method : str or None
        Name of a method in the published table: ``"FCN"``, ``"U-Net"``, ``"Mask R-CNN"``, ``"proposed cGAN"``.
    metric : str
        ``"aji"``, ``"average_hausdorff"`` (in pixels; the paper does not define it) or ``"f1"``.
    organ : str
        An organ, or `OVERALL`.

    Returns
    -------
    float or None
        None where the table has no such figure.
    """
    return _table().get((method or "", _SAME.get(organ, organ)), {}).get(metric)
