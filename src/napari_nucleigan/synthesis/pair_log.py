"""The log of a data set of synthetic pairs, by which making it goes on after any end."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.files import append_records, is_whole, make_folder, read_records, write_text
from napari_nucleigan.base.reading import read_json
from napari_nucleigan.base.tables import write_csv
from napari_nucleigan.masks.polygons import (
    TISSUE,
)

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
