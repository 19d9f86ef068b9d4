"""Embeddings: what the decoder of the segmenter saw of each nucleus, in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_nucleigan.segmentation.predictor import EMBEDDED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.tiling import Tile


EMBEDDING = "embedding"
"""Among the measurements of a tile of a slide: the embeddings, (n, D); they are no column of a table."""


def coarse_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of the features of an image of some shape at the model's scale."""
    return -(-shape[0] // EMBEDDED), -(-shape[1] // EMBEDDED)


def coarse(tile: Tile) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where the core of a tile lies in the features of the image, and in those of the tile's window."""
    core, window = tile.core, tile.window
    rows, columns = (
        (start // EMBEDDED, -(-stop // EMBEDDED), first // EMBEDDED)
        for start, stop, first in (
            (core.top, core.bottom, window.top),
            (core.left, core.right, window.left),
        )
    )
    whole = slice(rows[0], rows[1]), slice(columns[0], columns[1])
    inner = slice(rows[0] - rows[2], rows[1] - rows[2]), slice(columns[0] - columns[2], columns[1] - columns[2])
    return whole, inner


def pooled(
    labels: NDArray[np.int32], features: NDArray[np.floating[Any]], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Average features over the pixels of each nucleus.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        Nuclei 1, 2, ... without gaps, at the image's own pixels.
    features : ndarray of float, shape (D, h, w)
        What was seen where; a pixel of them is `EMBEDDED` pixels of the model's scale long.
    shape : (int, int)
        Height and width of the image in pixels of the model's scale.

    Returns
    -------
    ndarray of float32, shape (n, D)
    """
    count = int(labels.max(initial=0))
    rows, columns = np.nonzero(labels)
    own = labels[rows, columns] - 1
    # The pixel of the features that the middle of each pixel of the image lies in.
    row_of, column_of = (
        np.minimum((np.arange(length) + 0.5) * inner / length / EMBEDDED, last - 1).astype(np.intp)
        for length, inner, last in zip(labels.shape, shape, features.shape[1:], strict=True)
    )
    place = row_of[rows] * features.shape[2] + column_of[columns]
    cells, weights = np.unique(own * np.int64(features.shape[1] * features.shape[2]) + place, return_counts=True)
    own, place = np.divmod(cells, features.shape[1] * features.shape[2])
    seen, back = np.unique(place, return_inverse=True)
    flat = features.reshape(len(features), -1)[:, seen].T.astype(np.float32)
    matrix = sparse.csr_matrix((weights.astype(np.float32), (own, back)), shape=(count, len(seen)))
    areas = np.bincount(own, weights, count)[:, None]
    means: NDArray[np.float32] = (matrix @ flat / np.maximum(areas, 1)).astype(np.float32)
    return means
