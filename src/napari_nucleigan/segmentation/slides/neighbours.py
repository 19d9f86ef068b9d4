"""What nuclei of a slide get when all are known: neighbours, in other tiles too, class and artefact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.pixels import sides
from napari_nucleigan.labels.neighbourhood import neighbourhood
from napari_nucleigan.segmentation.embedding import EMBEDDING

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_nucleigan.classification import Classifier
    from napari_nucleigan.segmentation.artefacts import ArtefactMap

    Table = dict[str, NDArray[Any]]

_FULL = "ring_eosin_mean_od"  # is there where all was measured


class SlideTable:
    """The measurements of the nuclei of a slide, tile by tile, with what only all of them together tell.

    Parameters
    ----------
    centres : callable
        Returns the centroids of all nuclei, (n, 2), in pixels of the slide; the centre of the first is (0, 0).
    shape : (int, int)
        Height and width of the slide in pixels.
    mpp : float
        Its microns per pixel.
    classifier : Classifier, optional
        What gives them a class.
    artefacts : ArtefactMap, optional
        Artefacts of the slide.
    """

    def __init__(
        self,
        centres: Callable[[], NDArray[np.float64]],
        shape: tuple[int, int],
        mpp: float,
        classifier: Classifier | None = None,
        artefacts: ArtefactMap | None = None,
    ) -> None:
        self._centres, self._classifier, self._artefacts = centres, classifier, artefacts
        height, width = sides(mpp)
        self._sides, self._extent = np.array([height, width]), (shape[0] * height, shape[1] * width)
        self._near: Table | None = None

    def completed(self, table: Table, place: slice) -> Table:
        """Complete the measurements of nuclei of one tile.

        Parameters
        ----------
        table : dict of str to ndarray, shape (n, ...)
            As the tile has them.
        place : slice
            Places of these nuclei among all.

        Returns
        -------
        dict of str to ndarray, shape (n,)
        """
        found = {name: values for name, values in table.items() if name != EMBEDDING}
        named = self._artefacts.column(found) if self._artefacts is not None and found else {}
        if _FULL not in found:
            return found | named
        if self._near is None:
            self._near = neighbourhood((self._centres() + 0.5) * self._sides, self._extent)
        found |= {name: values[place] for name, values in self._near.items()}
        if self._classifier is not None:
            found |= self._classifier.columns(found, table.get(EMBEDDING))
        return found | named
