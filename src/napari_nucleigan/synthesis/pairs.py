"""Pairs of a data set: where their masks come from, and the log by which making them goes on after any end."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import LabelsError, OutputError, RecipeError
from napari_nucleigan.base.files import append_records, is_whole, make_folder, read_records, write_text
from napari_nucleigan.base.reading import read_json
from napari_nucleigan.base.tables import write_csv
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
    """

    count: int | None = None
    steady: bool = True

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


PROVENANCE, PAIRS, SPLIT = "provenance.json", "pairs.jsonl", "split.csv"

_FREE = ("count", "device", "tile")  # settings that may change between two runs


class PairLog:
    """The records of a data set that is being made.

    A pair is done when its line stands in ``pairs.jsonl``, which is written after its files.

    Parameters
    ----------
    out : Path
        Folder of the data set.
    provenance : dict
        How pairs are made, ready for JSON, with the settings under ``"settings"``.
    own_labels : bool
        Whether the masks are those of `out` itself.

    Attributes
    ----------
    records : dict of int to dict
        What is known of each pair that is done, by its number.

    Raises
    ------
    OutputError
        If the folder holds something else, or a set that was made otherwise, or cannot be written to.
    """

    def __init__(self, out: Path, provenance: dict[str, Any], own_labels: bool) -> None:
        self.out = out
        self._adding = Lock()
        self._own_labels = own_labels
        self.records: dict[int, dict[str, Any]] = {}
        if (out / PROVENANCE).is_file():
            differs = self._difference(provenance)
            found = self._read()
            # Where an attempt with other settings came to nothing, nothing would be mixed.
            if differs and (found or _holds(out / "images") or (_holds(out / "labels") and not own_labels)):
                raise OutputError(
                    f"The pairs of {out} were made {differs}; choose another folder, or the same settings to go on."
                )
            self.records = {record["index"]: record for record in found if self._is_there(record)}
        else:
            held = [name for name in ("images", "labels", SPLIT, PAIRS) if _holds(out / name)]
            if held and not (own_labels and "images" not in held):
                raise OutputError(
                    f"{out} holds {held[0]} that this command did not make; choose another folder, so that nothing of "
                    "yours is overwritten."
                )
        folders = (out / "images", out / "labels", out)
        self._made = [folder for folder in folders if not folder.exists()]
        for folder in folders:
            make_folder(folder)
        write_text(out / PROVENANCE, _json(provenance) + "\n")
        # Drops what a sudden end has left of a line.
        self._write_pairs()

    def tissue(self, name: str) -> Path:
        """Path of a tissue map."""
        return self.out / TISSUE / f"{name}.tif"

    def image(self, name: str) -> Path:
        """Path of an image."""
        return self.out / "images" / f"{name}.png"

    def labels(self, name: str) -> Path:
        """Path of a label image."""
        return self.out / "labels" / f"{name}.tif"

    def add(self, records: list[dict[str, Any]]) -> None:
        """Record pairs whose files are written; several threads may.

        Raises
        ------
        OutputError
            If that cannot be written.
        """
        with self._adding:
            append_records(self.out / PAIRS, records)
            for record in records:
                self.records[record["index"]] = record

    def close(self) -> None:
        """Put the records in order, and write ``split.csv``; of a set that came to nothing, nothing stays."""
        if not (self.records or _holds(self.out / "images") or (_holds(self.out / "labels") and not self._own_labels)):
            self._discard()
            return
        header = "name", "organ", "split"
        with self._adding:
            self._write_pairs()
            kept = (record for record in self._sorted() if not record.get("dropped"))
            write_csv(self.out / SPLIT, header, ([record[name] for name in header] for record in kept))

    def _discard(self) -> None:
        files = [PAIRS, PROVENANCE, *(() if self._own_labels else (SPLIT,))]
        with suppress(OSError):
            for name in files:
                (self.out / name).unlink(missing_ok=True)
        for folder in self._made:
            with suppress(OSError):  # what holds something else stays
                folder.rmdir()

    def _sorted(self) -> list[dict[str, Any]]:
        return [self.records[index] for index in sorted(self.records)]

    def _write_pairs(self) -> None:
        write_text(self.out / PAIRS, "".join(map(_line, self._sorted())))

    def _read(self) -> list[dict[str, Any]]:
        return [record for record in read_records(self.out / PAIRS) if _is_valid(record)]

    def _is_there(self, record: dict[str, Any]) -> bool:
        if record.get("dropped"):
            return True
        return is_whole(self.image(record["name"])) and is_whole(self.labels(record["name"]))

    def _difference(self, provenance: dict[str, Any]) -> str:
        """Say in what the set that is there was made otherwise; nothing where it was not."""
        try:
            before = read_json(self.out / PROVENANCE)
            old, new = _comparable(before), _comparable(provenance)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise OutputError(
                f"{self.out / PROVENANCE} is damaged, so it cannot be told how the pairs of {self.out} were made; "
                "choose another folder."
            ) from error
        key = next((key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)), None)
        if key is None or key == "masks":
            return "from other masks" if key else ""
        return f"with another {key.replace('_', ' ')}: {old.get(key)!r} there, {new.get(key)!r} now"


def _is_valid(record: dict[str, Any]) -> bool:
    """Tell whether a line says what is needed; another, which a sudden end or a hand has left, is no pair."""
    texts = [record.get(name) for name in ("name", "organ", "split")]
    score = record.get("consistency")
    return (
        isinstance(record.get("index"), int)
        and all(isinstance(text, str) for text in texts)
        and os.path.basename(str(record["name"])) == record["name"]
        and (score is None or isinstance(score, int | float))
        and "consistency" in record
    )


def _comparable(provenance: dict[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = json.loads(_json({key: provenance[key] for key in ("model", "sha256", "masks")}))
    return own | {key: value for key, value in provenance["settings"].items() if key not in _FREE}


def _holds(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True)


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"
