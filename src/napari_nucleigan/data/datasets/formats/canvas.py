"""Drawing the nuclei of others as labels, and counting what is lost on the way."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nucleigan.labels.outlines import pixels
from napari_nucleigan.labels.regions import numbered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_nucleigan.labels.outlines import Ints

    Rings = Sequence[npt.ArrayLike]
    """Corners (x, y) of an outer ring and of its holes, in pixel edges: the first pixel's centre is (0.5, 0.5)."""

SENTENCES = {
    "overlapping": "nuclei overlap others; where they do, the later one in the file lies on top",
    "hidden": "nuclei lie wholly below later ones and were left out",
    "short": "outlines of fewer than 3 corners were left out",
    "empty": "outlines that hold no pixel's centre, or lie outside the image, were left out",
    "ambiguous": "regions that are marked as ambiguous were left out",
    "cut": "regions that are marked as negative were cut out",
    "crowd": "regions of several nuclei (crowds) were left out",
    "bare": "annotations without an outline were left out",
    "blank": "masks without a nucleus were left out",
}
"""What an importer meets, with a sentence that a number begins."""

_FAR = 1e6  # pixels; corners beyond belong to no image, and would only fill the memory


class Canvas:
    """Labels that nuclei are drawn on, one after the other.

    Parameters
    ----------
    shape : (int, int)
        Height and width.

    Attributes
    ----------
    tally : Counter of str
        How often something was met, by the keys of `SENTENCES`.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._labels = np.zeros(shape, np.int32)
        self._layers = np.zeros(shape, np.uint16)
        self._places: list[tuple[int, Ints]] = []
        self.tally: Counter[str] = Counter()

    def draw(self, nuclei: Sequence[Sequence[Rings]], ids: Sequence[int]) -> None:
        """Draw outlines; a pixel belongs to a nucleus if its centre does.

        Parameters
        ----------
        nuclei : sequence of sequences of rings
            The polygons of each nucleus, which cover what any of them covers; a polygon is an outer ring and holes,
            filled by the even-odd rule.
        ids : sequence of int
            The number of each; 0 cuts out what is below.

        Raises
        ------
        ValueError
            If a corner is not finite or lies absurdly far away.
        """
        polygons = [rings for nucleus in nuclei for rings in nucleus]
        for rings in polygons:
            for ring in rings:
                if not (np.abs(np.asarray(ring, np.float64)) < _FAR).all():
                    raise ValueError("an outline has a corner that is not finite or far outside of any image")
        whose = np.repeat(np.arange(len(nuclei)), [len(nucleus) for nucleus in nuclei])
        filled: list[tuple[Ints, Ints]] = []
        for row, column, polygon in pixels(polygons, self._shape):
            filled.append((whose[polygon], row * self._shape[1] + column))
        if not filled:
            self.tally["empty"] += len(nuclei)
            return
        owner, place = (np.concatenate(part) for part in zip(*filled, strict=True))
        bounds = np.searchsorted(owner, np.arange(len(nuclei) + 1))
        for index, number in enumerate(ids):
            self.fill(place[bounds[index] : bounds[index + 1]], number, "empty")

    def fill(self, places: Ints, number: int, otherwise: str) -> None:
        """Give pixels to a nucleus.

        Parameters
        ----------
        places : ndarray of int64
            Flat indices of its pixels, in any order; none may be double counted if it occurs twice.
        number : int
            Its number; 0 cuts out what is below.
        otherwise : str
            What to count if there are no pixels.
        """
        places = np.unique(places)
        if not len(places):
            self.tally[otherwise] += 1
            return
        self._labels.reshape(-1)[places] = number
        if number:
            self._layers.reshape(-1)[places] += 1
            self._places.append((number, places))

    def finish(self, *, renumber: bool = True) -> npt.NDArray[np.int32]:
        """Count what overlaps and return the labels.

        Parameters
        ----------
        renumber : bool
            Whether the numbers become 1, 2, 3, ... in their order.
        """
        several = self._layers.reshape(-1) > 1
        self.tally["overlapping"] += sum(bool(several[places].any()) for _, places in self._places)
        drawn = {number for number, _ in self._places}
        left = np.unique(self._labels)
        self.tally["hidden"] += len(drawn) - int((left > 0).sum())
        if not renumber:
            return self._labels
        return numbered(self._labels)[1]


def sentences(tallies: Mapping[str, tuple[int, int]]) -> list[str]:
    """Say what was met.

    Parameters
    ----------
    tallies : mapping of str to (int, int)
        Number of times and of images, by the keys of `SENTENCES`.
    """
    return [
        f"{count} {SENTENCES[key]} (in {images} image{'s' if images > 1 else ''})."
        for key, (count, images) in tallies.items()
        if count
    ]
