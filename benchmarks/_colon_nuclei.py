"""Nuclei of the colon tiles, measured once by a model and kept: what a classifier looks at, and the true types."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from _table import shared
from _tiles import COLON_MPP, MODEL, colon
from napari_nucleigan.base.events import run
from napari_nucleigan.classification import assign, read_points
from napari_nucleigan.classification.classifier import design
from napari_nucleigan.classification.training import COLUMNS
from napari_nucleigan.models import load_model
from napari_nucleigan.segmentation import SegmentSettings, segment

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class ColonTile:
    """What was found in a tile of colon.

    Attributes
    ----------
    name : str
        Its name.
    rows : ndarray of float32, shape (n, k + D)
        Measurements of the nuclei, then their embedding.
    centres : ndarray of float, shape (n, 2)
        In microns.
    types : ndarray of str, shape (n,)
        Types of the points in the nuclei; empty where there is none.
    points, point_types : ndarray, shape (m, 2) and (m,)
        All points that experts set, in microns.
    """

    name: str
    rows: npt.NDArray[np.float32]
    centres: npt.NDArray[np.float64]
    types: npt.NDArray[np.str_]
    points: npt.NDArray[np.float64]
    point_types: npt.NDArray[np.str_]


def colon_nuclei() -> list[ColonTile]:
    """Return the tiles of colon, segmented by `MODEL`; what is done is kept in a folder for temporary files."""
    model = load_model(MODEL, "segmenter")
    folder = Path(tempfile.gettempdir()) / "nucleigan-bench-colon" / model.card.sha256[:16]
    folder.mkdir(parents=True, exist_ok=True)
    known = read_points(shared("data/crchisto") / "points.csv")
    settings = SegmentSettings(model=MODEL, device="cpu", mpp=COLON_MPP, measurements="full")
    tiles = []
    for image in colon():
        path, points = folder / f"{image.name}.npz", known[image.name]
        if not path.exists():
            print(f"measuring {image.name} ...", file=sys.stderr, flush=True)
            result = run(segment(image, settings, model))
            assert result.embeddings is not None
            table = result.features
            np.savez(
                path.with_suffix(".part.npz"),
                rows=design(COLUMNS, table, result.embeddings, result.embeddings.shape[1]),
                centres=np.stack([table["centroid_y_um"], table["centroid_x_um"]], axis=1),
                types=np.array(assign(points, result.labels, result.mpp).types, dtype=str),
            )
            path.with_suffix(".part.npz").rename(path)
        with np.load(path) as kept:
            places = COLON_MPP * (points.places[:, ::-1] - 0.5)  # centroids are counted from the middle of a pixel
            tiles.append(
                ColonTile(image.name, *(kept[n] for n in ("rows", "centres", "types")), places, np.array(points.types))
            )
    return tiles
