"""Pairs of a data set: where their masks come from, and the log by which making them goes on after any end."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import LabelsError, OutputError
from napari_nucleigan.base.files import append_records, is_whole, make_folder, read_records, write_text
from napari_nucleigan.base.tables import write_csv
from napari_nucleigan.data.datasets.dataset import read_nuclei
from napari_nucleigan.data.datasets.splits import read_split
from napari_nucleigan.data.images.files import read_mpp
from napari_nucleigan.masks.polygons import (
    PolygonMasks,
    is_statistics,
    label_files,
    learn_by_organ,
    open_statistics,
    sample,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.synthesis.settings import SetSettings

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
    """

    labels: NDArray[np.int32]
    mpp: float | None


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
    """

    def __init__(self, statistics: dict[str, PolygonMasks], settings: SetSettings, mpp: float) -> None:
        side = settings.size or SIZE
        self._statistics, self._shape, self._mpp = statistics, (side, side), mpp
        self._start = int(np.random.SeedSequence(settings.seed).generate_state(1)[0])

    def mask(self, index: int, attempt: int) -> Mask:
        """Draw the mask of a pair; another attempt keeps the tissue."""
        seed = self._start + index + attempt * _RETRY
        return Mask(sample(self._statistics[self.organ(index)], self._shape, self._mpp, seed), self._mpp)

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
        labels = read_nuclei(path)
        if self._size:
            random = np.random.default_rng([self._seed, index, attempt])
            spare = [max(0, self._size - length) for length in labels.shape]
            labels = np.pad(labels, [(0, width) for width in spare])
            top, left = (int(random.integers(length - self._size + 1)) for length in labels.shape)
            labels = np.ascontiguousarray(labels[top : top + self._size, left : left + self._size])
        return Mask(labels, read_mpp(path))

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


def open_source(masks: Path | PolygonMasks | None, settings: SetSettings, model_mpp: float) -> MaskSource:
    """Find out where the masks of a data set come from.

    Parameters
    ----------
    masks : Path, PolygonMasks or None
        Label images, or what drawn masks are like, or the file of it; None draws those that the settings name.
    settings : SetSettings
        Size, seed and what drawn masks are like.
    model_mpp : float
        Microns per pixel of the synthesizer, at which masks are drawn where the settings do not say.

    Raises
    ------
    RecipeError
        If there is nothing that the masks could be like.
    LabelsError, DatasetError
        If label images are not there or cannot be read.
    """
    mpp = settings.mpp or model_mpp
    if isinstance(masks, PolygonMasks):
        return DrawnMasks({"": masks}, settings, mpp)
    if masks is not None and is_statistics(masks):
        return DrawnMasks({"": open_statistics(masks)}, settings, mpp)
    if masks is not None:
        return GivenMasks(masks, settings)
    return DrawnMasks(learn_by_organ(settings.like, mpp), settings, mpp)


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
            before = json.loads((self.out / PROVENANCE).read_text(encoding="utf-8"))
            old, new = _comparable(before), _comparable(provenance)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
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
