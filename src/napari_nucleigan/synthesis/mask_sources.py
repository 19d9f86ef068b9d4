"""Where the masks of synthetic pairs come from: they are drawn, or those of a file, a folder or a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.data.datasets.dataset import read_nuclei
from napari_nucleigan.data.datasets.splits import read_split
from napari_nucleigan.data.images.files import read_labels, read_mpp
from napari_nucleigan.masks.polygons import (
    TISSUE,
    PolygonMasks,
    is_statistics,
    label_files,
    learn_by_organ,
    open_statistics,
    sample_tissue,
)
from napari_nucleigan.models.tissue import classes_on, masks_on
from napari_nucleigan.tissue.features import grid_shape
from napari_nucleigan.tissue.record import CELL, UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.models import ModelCard
    from napari_nucleigan.synthesis.settings import SetSettings
    from napari_nucleigan.tissue.record import TissueClasses

MODEL = "model"
"""What `SetSettings.like` calls the masks, with their tissue, that the model learnt to paint."""

SIZE = 256
"""Side of drawn masks where no other is asked for, in pixels."""

_RETRY = 2**32  # a step of the sampler's seed that keeps the tissue


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask of a data set.

    Attributes
    ----------
    labels : ndarray of int32, shape (H, W)
        0 is background.
    mpp : float or None
        Microns per pixel; None where its file does not say.
    tissue : ndarray of uint8, shape (h, w), or None
        A tissue map that covers the mask; None where the tissue is unknown.
    """

    labels: NDArray[np.int32]
    mpp: float | None
    tissue: NDArray[np.uint8] | None = None


class MaskSource(ABC):
    """Gives the mask of each pair; a function of the pair's number and the attempt alone.

    Attributes
    ----------
    count : int or None
        How many there are by themselves; None where there is no end of them.
    steady : bool
        Whether all have one size.
    organs : int
        How many organs take turns.
    """

    count: int | None = None
    steady: bool = True
    organs: int = 1

    @abstractmethod
    def mask(self, index: int, attempt: int) -> Mask:
        """Return the mask of a pair. Another attempt gives another mask, where there is one."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Return the name of a pair."""

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """Say where masks come from, ready for JSON."""

    def organ(self, index: int) -> str:
        """Return the organ that a pair shows; empty where that is not known."""
        return ""

    def split(self, index: int) -> str:
        """Return the part of the data set that a pair is of; empty where it is not settled."""
        return ""

    def file(self, index: int) -> Path | None:
        """Return the file that holds exactly the mask of a pair, where there is one."""
        return None


class DrawnMasks(MaskSource):
    """Masks that the polygon sampler draws.

    Parameters
    ----------
    statistics : dict of str to PolygonMasks
        What they are like, by the organ; the organs take turns.
    settings : SetSettings
        Size and seed.
    mpp : float
        Microns per pixel.
    classes : TissueClasses, optional
        Those that the model knows; maps of others would tell it nonsense.
    """

    def __init__(
        self,
        statistics: dict[str, PolygonMasks],
        settings: SetSettings,
        mpp: float,
        classes: TissueClasses | None = None,
    ) -> None:
        self._classes = classes
        side = settings.size or SIZE
        self._statistics, self._shape, self._mpp = statistics, (side, side), mpp
        self.organs = len(statistics)
        self._start = int(np.random.SeedSequence(settings.seed).generate_state(1)[0])

    def mask(self, index: int, attempt: int) -> Mask:
        """Draw the mask of a pair; another attempt keeps the tissue."""
        seed = self._start + index + attempt * _RETRY
        statistics = self._statistics[self.organ(index)]
        labels, cells = sample_tissue(statistics, self._shape, self._mpp, seed)
        known = statistics.layout is not None and statistics.layout.classes == self._classes
        return Mask(labels, self._mpp, cells if known else None)

    def name(self, index: int) -> str:
        """Return the name of a pair."""
        return f"pair-{index + 1:05d}"

    def organ(self, index: int) -> str:
        """Return the organ whose turn it is; empty where masks are like those of no organ."""
        return list(self._statistics)[index % len(self._statistics)]

    def record(self) -> dict[str, Any]:
        """Return the statistics."""
        return {"drawn": {organ: each.model_dump(mode="json") for organ, each in self._statistics.items()}}


class GivenMasks(MaskSource):
    """Label images that are there, whole or cut.

    Parameters
    ----------
    masks : Path
        A label image, a folder of them, or a data set.
    settings : SetSettings
        Size and seed.

    Raises
    ------
    LabelsError
        If there are none.
    DatasetError
        If the data set's ``split.csv`` cannot be understood.
    """

    def __init__(self, masks: Path, settings: SetSettings) -> None:
        self._masks, self._size, self._seed = masks, settings.size, settings.seed
        self._files = label_files(masks)
        self._names = [path.stem for path in self._files]
        twice = {name for name in self._names if self._names.count(name) > 1}
        if twice:
            raise LabelsError(f"{masks} holds two label images called {min(twice)!r}; remove or rename one of them.")
        self._rows = read_split(masks / "split.csv")
        self.count = len(self._files)
        self.steady = self._size is not None

    def mask(self, index: int, attempt: int) -> Mask:
        """Read the mask of a pair; where it is cut, another attempt cuts elsewhere."""
        path = self._files[index % len(self._files)]
        labels, tissue = read_nuclei(path), _tissue_beside(path)
        if self._size:
            random = np.random.default_rng([self._seed, index, attempt])
            shape = labels.shape[0], labels.shape[1]
            spare = [max(0, self._size - length) for length in labels.shape]
            labels = np.pad(labels, [(0, width) for width in spare])
            top, left = (int(random.integers(length - self._size + 1)) for length in labels.shape)
            labels = np.ascontiguousarray(labels[top : top + self._size, left : left + self._size])
            tissue = None if tissue is None else _cut_tissue(tissue, shape, (top, left), self._size)
        return Mask(labels, read_mpp(path), tissue)

    def name(self, index: int) -> str:
        """Return the name of the file, and after the first round its number."""
        turn, place = divmod(index, len(self._files))
        name = self._names[place]
        while turn and f"{name}-{turn + 1}" in self._names:
            name += "-"
        return f"{name}-{turn + 1}" if turn else name

    def organ(self, index: int) -> str:
        """Return what ``split.csv`` says."""
        return self._row(index).get("organ") or ""

    def split(self, index: int) -> str:
        """Return what ``split.csv`` says."""
        return self._row(index).get("split") or ""

    def file(self, index: int) -> Path | None:
        """Return the file, where the mask is the whole of it."""
        return None if self._size or index >= len(self._files) else self._files[index]

    def record(self) -> dict[str, Any]:
        """Return where the files lie."""
        return {"given": str(self._masks.resolve())}

    def _row(self, index: int) -> dict[str, str]:
        return self._rows.get(self._names[index % len(self._files)], {})


def _tissue_beside(labels: Path) -> NDArray[np.uint8] | None:
    """Read the tissue map of a label image, where there is one."""
    path = labels.parent.parent / TISSUE / labels.name
    if labels.parent.name != "labels" or not path.is_file():
        return None
    return np.clip(read_labels(path), 0, 255).astype(np.uint8)


def _cut_tissue(
    tissue: NDArray[np.uint8], shape: tuple[int, int], corner: tuple[int, int], side: int
) -> NDArray[np.uint8]:
    """Cut, out of the tissue map of a mask of that shape, the map of a square of it; beyond the mask it is unknown."""
    cells = np.arange(grid_shape((side, side))[0])
    places = [start + np.minimum(CELL * cells + CELL // 2, side - 1) for start in corner]
    rows, columns = (place * length // total for place, length, total in zip(places, tissue.shape, shape, strict=True))
    padded = np.pad(tissue, (0, 1), constant_values=UNKNOWN)
    rows, columns = (np.minimum(place, length) for place, length in zip((rows, columns), tissue.shape, strict=True))
    return np.asarray(padded[np.ix_(rows, columns)])


def open_source(masks: Path | PolygonMasks | None, settings: SetSettings, card: ModelCard) -> MaskSource:
    """Find out where the masks of a data set come from.

    Parameters
    ----------
    masks : Path, PolygonMasks or None
        Label images, or what drawn masks are like, or the file of it; None draws those that the settings name.
    settings : SetSettings
        Size, seed and what drawn masks are like.
    card : ModelCard
        Of the synthesizer: masks are drawn at its microns per pixel where the settings do not say, and with the tissue
        that it knows.

    Raises
    ------
    RecipeError
        If there is nothing that the masks could be like, or the model has learnt of none.
    LabelsError, DatasetError
        If label images are not there or cannot be read.
    """
    mpp = settings.mpp or card.mpp
    if isinstance(masks, Path) and not is_statistics(masks):
        return GivenMasks(masks, settings)
    if isinstance(masks, PolygonMasks):
        drawn = {"": masks}
    elif masks is not None:
        drawn = {"": open_statistics(masks)}
    elif settings.like == MODEL:
        learnt = masks_on(card)
        if learnt is None:
            raise RecipeError(f"The model {card.name!r} has learnt of no masks; say what they shall be like instead.")
        drawn = {"": learnt}
    else:
        drawn = learn_by_organ(settings.like, mpp)
    return DrawnMasks(drawn, settings, mpp, classes_on(card))
