"""Exchange of data sets: those of others to our own layout, and back."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import DatasetError, NucleiganError, OutputError
from napari_nucleigan.base.events import Job, Note, Progress
from napari_nucleigan.base.files import append_records, output_error, read_records, write_text
from napari_nucleigan.base.reading import FileFault, reading
from napari_nucleigan.base.staging import discard_folder, publish_folder, stage_folder
from napari_nucleigan.base.tables import write_csv
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.datasets.formats import EXPORTS, FORMATS
from napari_nucleigan.data.datasets.formats.entries import Entry, Found, ImportedImage, sentences, with_unique_names
from napari_nucleigan.data.datasets.splits import SplitTable, read_split
from napari_nucleigan.data.images.files import SOFTWARE, write_image, write_labels
from napari_nucleigan.data.images.headers import MPP_RANGE
from napari_nucleigan.labels.numbering import check_nuclei, remarks_on
from napari_nucleigan.labels.regions import check_labels

if TYPE_CHECKING:
    from napari_nucleigan.data.datasets.formats import Pairs

LINES = "import.jsonl"
"""What was met in each pair, a line of JSON each; kept beside the pairs."""

_LEVEL = 3  # of PNG; half the time of the usual 6, and 2 % larger


@dataclass(frozen=True)
class ImportReport:
    """What was imported.

    Attributes
    ----------
    out : str
        Folder of the data set.
    format : str
        Name of the format.
    images, kept, nuclei : int
        Pairs of the data set, how many of them an earlier attempt had made, and nuclei in all.
    tally : dict of str to (int, int)
        What was met, by the keys of `canvas.SENTENCES`: how often, and in how many images.
    left_out : dict of str to str
        Why something could not be imported, by what it is called.
    notes : tuple of str
        What else is to be said.
    """

    out: str
    format: str
    images: int
    kept: int
    nuclei: int
    tally: dict[str, tuple[int, int]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Represent the report by dictionaries, lists, numbers and strings."""
        return asdict(self)

    def sentences(self) -> list[str]:
        """Say what was met, in sentences."""
        return [*self.notes, *sentences(self.tally)]


def import_dataset(
    form: str,
    source: str | Path,
    out: str | Path,
    *,
    mpp: float | None = None,
    table: str | Path | None = None,
    skip_broken: bool = False,
) -> Job[ImportReport]:
    """Import a data set: ``images/NAME.png``, ``labels/NAME.tif`` and ``split.csv``.

    The folder appears when it is whole. What an attempt that was broken off, or met something damaged, has converted
    is kept in the hidden folder ``.NAME.importing`` beside it, and the next attempt goes on from there.

    Parameters
    ----------
    form : str
        A name of `formats.FORMATS`.
    source : str or Path
        Folder (or file, of COCO) to be imported.
    out : str or Path
        Folder of the data set: absent, or empty.
    mpp : float, optional
        Microns per pixel; by default as annotations and images say.
    table : str or Path, optional
        CSV file with the columns ``name,organ,split``; by default ``split.csv`` of `source`, where there is one. Where
        it says nothing, the names of folders and PanNuke's types may.
    skip_broken : bool
        Whether to leave out what cannot be imported, and say so; else nothing appears then.

    Yields
    ------
    Progress or Note
        Closing the generator stops the work; what is converted is kept for the next attempt.

    Returns
    -------
    ImportReport

    Raises
    ------
    DatasetError
        If there is nothing to import, or a part cannot be imported.
    OutputError
        If `out` holds something, or cannot be written.
    """
    source, out = Path(source), Path(out)
    if form not in FORMATS:
        raise DatasetError(f"There is no format {form!r}; the formats are {', '.join(FORMATS)}.")
    if mpp is not None and not MPP_RANGE[0] <= mpp <= MPP_RANGE[1]:
        raise DatasetError(f"Microns per pixel must be {MPP_RANGE[0]:g} to {MPP_RANGE[1]:g}, not {mpp:g}.")
    if out.exists() and source.exists() and out.resolve() == source.resolve():
        raise OutputError(f"{out} is what is to be imported; choose another folder for the data set.")
    yield Progress(0, 1, f"looking through {source.name}")
    if table is not None and not Path(table).is_file():
        raise DatasetError(f"There is no file {table}; check the path.")
    folder = source if source.is_dir() else source.parent
    rows = read_split(Path(table) if table is not None else folder / "split.csv")
    found = _find(form, source)
    work = stage_folder(out, "importing", {"software": SOFTWARE, "format": form, "source": str(source), "mpp": mpp})
    return (yield from _Import(work, out, form, found, rows, mpp, skip_broken).run())


def _find(form: str, source: Path) -> Found:
    with reading(source, DatasetError, f"data set of the format {form}"):
        return FORMATS[form].find(source)


@dataclass
class _Import:
    """One import; see `import_dataset`."""

    work: Path
    out: Path
    form: str
    found: Found
    rows: SplitTable
    mpp: float | None
    skip: bool

    def __post_init__(self) -> None:
        self._entries, self._broken = with_unique_names(self.found.entries), dict(self.found.broken)
        self._lines = {line["name"]: line for line in read_records(self.work / LINES)}

    def run(self) -> Job[ImportReport]:
        for text in self.found.notes:
            yield Note(text, "warning")
        done: list[tuple[Entry, dict[str, Any]]] = []
        began, kept = time.perf_counter(), 0
        for index, entry in enumerate(self._entries):
            made = len(done) - kept
            left = (time.perf_counter() - began) / made * (len(self._entries) - index) if made else None
            yield Progress(index, len(self._entries), f"importing {entry.name}", left)
            line = self._convert(entry)
            if line is not None:
                done.append((entry, line))
                kept += line is self._lines.get(entry.name)
        if not done:
            discard_folder(self.work)  # the next attempt has nothing to go on from
        self._judge(len(done))
        lines = [line for _, line in done]
        report = self._report(lines, kept)
        self._tidy({entry.name for entry, _ in done})
        write_text(self.work / LINES, "".join(json.dumps(line) + "\n" for line in lines))
        rows = (self._split_row(entry) for entry, _ in done)
        write_csv(self.work / "split.csv", ["name", "organ", "split"], rows)
        publish_folder(self.work, self.out, {"report": report.to_json()})
        yield Progress(len(self._entries), len(self._entries), "imported", 0.0)
        return report

    def _convert(self, entry: Entry) -> dict[str, Any] | None:
        """Write a pair and its line, unless an earlier attempt has; None where it is broken."""
        shown = entry.files[-1]
        try:
            with reading(shown, DatasetError):
                stamp = _stamp(entry)
            known = self._lines.get(entry.name)
            if known is not None and known["stamp"] == stamp:
                return known
            with reading(shown, DatasetError, f"annotation of the format {self.form}"):
                tile = entry.read()
                labels = check_labels(tile.labels, entry.name)
                check_nuclei(labels, entry.name)
                if tile.pixels.shape[:2] != labels.shape:
                    raise FileFault(f"its size is {labels.shape}, and that of the image {tile.pixels.shape[:2]}")
        except NucleiganError as error:
            self._broken[entry.name] = str(error)
            return None
        self._write(entry.name, tile)
        line = {
            "name": entry.name,
            "stamp": stamp,
            "nuclei": int(np.count_nonzero(np.unique(labels))),
            "tally": {key: count for key, count in tile.tally.items() if count},
            "notes": [*tile.notes, *remarks_on(labels)],
        }
        append_records(self.work / LINES, [line])
        return line

    def _write(self, name: str, tile: ImportedImage) -> None:
        mpp = self.mpp or tile.mpp
        write_image(self.work / "images" / f"{name}.png", tile.pixels, mpp, _LEVEL)
        write_labels(self.work / "labels" / f"{name}.tif", tile.labels, mpp)

    def _tidy(self, names: set[str]) -> None:
        """Remove what earlier attempts have made of sources that are gone or broken now."""
        for path in [*self.work.glob("images/*"), *self.work.glob("labels/*")]:
            if path.stem not in names:
                path.unlink()

    def _judge(self, done: int) -> None:
        total = done + len(self._broken)
        if not self._broken or (self.skip and done):
            return
        name, reason = next(iter(self._broken.items()))
        what = f"{len(self._broken)} of {total} pairs cannot be imported; the first, {name}: " if total > 1 else ""
        advice = " Repair them, or leave them out (--skip-broken)." if done else ""
        raise DatasetError(f"{what}{reason.rstrip('.')}.{advice}")

    def _report(self, lines: list[dict[str, Any]], kept: int) -> ImportReport:
        tally: dict[str, tuple[int, int]] = {}
        notes: dict[str, int] = {}
        for line in lines:
            for key, count in line["tally"].items():
                before = tally.get(key, (0, 0))
                tally[key] = (before[0] + count, before[1] + 1)
            for note in line["notes"]:
                notes[note] = notes.get(note, 0) + 1
        said = tuple(
            note if len(lines) == 1 else f"{note} (In {count} of the images.)" for note, count in notes.items()
        )
        return ImportReport(
            out=str(self.out),
            format=self.form,
            images=len(lines),
            kept=kept,
            nuclei=sum(line["nuclei"] for line in lines),
            tally=tally,
            left_out=self._broken,
            notes=said,
        )

    def _split_row(self, entry: Entry) -> tuple[str, str, str]:
        row = self.rows.get(entry.name, {})
        return entry.name, row.get("organ") or entry.organ or "unknown", row.get("split") or entry.split or "train"


def _stamp(entry: Entry) -> str:
    """Digest of size and time of the files of an entry: a pair is made again where they have changed."""
    states = [os.stat(path) for path in entry.files]
    return hashlib.sha256(repr([(state.st_size, state.st_mtime_ns) for state in states]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ExportReport:
    """What was exported.

    Attributes
    ----------
    out : str
        The folder.
    format : str
        Name of the format.
    images, nuclei : int
        How many.
    """

    out: str
    format: str
    images: int
    nuclei: int

    def to_json(self) -> dict[str, Any]:
        """Represent the report by a dictionary."""
        return asdict(self)


def export_dataset(form: str, source: str | Path, out: str | Path, *, split: str | None = None) -> Job[ExportReport]:
    """Export a data set, with its ``split.csv``. The folder appears when it is whole, or not at all.

    Parameters
    ----------
    form : str
        A name of `formats.EXPORTS`.
    source : str or Path
        Folder of the data set.
    out : str or Path
        Folder to make: absent, or empty.
    split : str, optional
        Only the images of this split.

    Yields
    ------
    Progress
        Closing the generator stops the work and removes what was written.

    Returns
    -------
    ExportReport

    Raises
    ------
    DatasetError, ImageError, LabelsError
        If the data set cannot be read, or has no images of this split.
    OutputError
        If `out` holds something, or cannot be written.
    """
    source, out = Path(source), Path(out)
    if form not in EXPORTS:
        advice = "it is for import only; " if form in FORMATS else ""
        raise DatasetError(f"Cannot export to {form!r}: {advice}the formats are {', '.join(EXPORTS)}.")
    data = Dataset.open(source)
    chosen = data if split is None else data.subset(split)
    if not len(chosen):
        there = ", ".join(sorted(set(data.splits.values())))
        raise DatasetError(f"{source} has no images of the split {split!r}; its splits are {there}.")
    work = stage_folder(
        out, "exporting", {"software": SOFTWARE, "format": form, "source": str(source), "split": split}, afresh=True
    )
    nuclei = 0

    def pairs() -> Pairs:
        nonlocal nuclei
        for name in chosen.names:
            image, labels = chosen.pair(name)
            nuclei += int(np.count_nonzero(np.unique(labels)))
            yield name, image, labels

    try:
        began = time.perf_counter()
        yield Progress(0, len(chosen), f"exporting {chosen.names[0]}")
        for done, name in enumerate(FORMATS[form].write(work, pairs()), 1):
            left = (time.perf_counter() - began) / done * (len(chosen) - done)
            yield Progress(done, len(chosen), f"exporting {name}", left)
        if (source / "split.csv").is_file():
            shutil.copyfile(source / "split.csv", work / "split.csv")
        report = ExportReport(str(out), form, len(chosen), nuclei)
        publish_folder(work, out, {"report": report.to_json()})
    except OSError as error:
        raise output_error(out, error) from error
    finally:
        discard_folder(work)
    return report
