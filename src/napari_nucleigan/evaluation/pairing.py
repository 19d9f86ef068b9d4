"""Which predicted file answers to which true one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan.base.errors import DatasetError, ImageError
from napari_nucleigan.base.events import Note
from napari_nucleigan.data.datasets.dataset import read_split
from napari_nucleigan.data.images.files import list_images

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_nucleigan.base.events import Job

# Where two files have one name, that of the first of these suffixes is taken.
_SUFFIXES = (".tif", ".tiff", ".png")


@dataclass(frozen=True, slots=True)
class FilePair:
    """Two label files of one image; its organ where ``split.csv`` names it."""

    name: str
    truth: Path
    pred: Path
    organ: str | None = None


@dataclass(frozen=True, slots=True)
class Pairing:
    """The files of two folders, by name.

    Attributes
    ----------
    pairs : tuple of FilePair
        What is to be compared, by name.
    missing, extra : tuple of str
        True labels without a prediction, predictions without true labels.
    """

    pairs: tuple[FilePair, ...]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


def pair_files(
    pred: Path,
    truth: Path,
    split: str | None = None,
    split_csv: str | Path | None = None,
    names: Iterable[str] | None = None,
) -> Job[Pairing]:
    """Pair files as `evaluate_folders` says; takes and raises what that does."""
    true_files = yield from _label_files(truth)
    pred_files = yield from _label_files(pred)
    if truth.is_file() and pred.is_file():
        pred_files = dict(zip(true_files, pred_files.values(), strict=True))
    elif truth.is_file() or pred.is_file():
        one = true_files.keys() & pred_files.keys()
        true_files = {name: true_files[name] for name in one}
        pred_files = {name: pred_files[name] for name in one}
    rows = split_rows(truth, split_csv)
    extra = pred_files.keys() - true_files.keys()
    wanted = set(true_files) if names is None else set(names)
    if split is not None:
        listed = {name for name, row in rows.items() if row.get("split") == split}
        # Predictions of other splits are passed over by choice; what no split knows is extra all the same.
        extra -= rows.keys() - listed
        wanted &= listed
        if not wanted:
            raise DatasetError(f"No true labels of {truth} are of the split {split!r}; {_known_splits(rows)}")
        if unlabelled := sorted(listed - true_files.keys()):
            yield Note(
                f"split.csv names images of the split {split!r} without labels: {listing(unlabelled)}.", "warning"
            )
    if names is not None:
        if unknown := sorted(wanted - true_files.keys()):
            raise DatasetError(f"{truth} holds no labels of {listing(unknown)}; check the names.")
        extra &= wanted
    chosen = sorted(wanted & true_files.keys() & pred_files.keys())
    if not chosen:
        raise DatasetError(
            f"No prediction of {pred} has the name of a label image of {truth}; let"
            " PRED/NAME.tif answer to TRUTH/NAME.tif."
        )
    return Pairing(
        tuple(
            FilePair(name, true_files[name], pred_files[name], rows.get(name, {}).get("organ") or None)
            for name in chosen
        ),
        tuple(sorted((wanted & true_files.keys()) - pred_files.keys())),
        tuple(sorted(extra)),
    )


def split_rows(truth: Path, given: str | Path | None = None) -> dict[str, dict[str, str]]:
    """Read the table of splits that is given, else that in the true folder or beside it.

    Raises
    ------
    DatasetError
        If the given one is not there, or a table cannot be understood.
    """
    if given is not None:
        if not Path(given).is_file():
            raise DatasetError(f"There is no table of splits at {given}.")
        return read_split(Path(given))
    folder = truth.parent if truth.is_file() else truth
    for place in (folder, folder.parent):
        if rows := read_split(place / "split.csv"):
            return rows
    return {}


def listing(names: Iterable[str], most: int = 10) -> str:
    """Write names in one line, the last of many as their number."""
    names = list(names)
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _known_splits(rows: dict[str, dict[str, str]]) -> str:
    known = sorted({split for row in rows.values() if (split := row.get("split"))})
    return f"split.csv names {listing(known)}." if known else "no split.csv names any split."


def _label_files(path: Path) -> Job[dict[str, Path]]:
    """Label images by name, of a folder, of its ``labels/``, or the one file."""
    if path.is_file():
        return {_name(path): path}
    folder = path / "labels" if (path / "labels").is_dir() else path
    try:
        found = list_images(folder)
    except ImageError as error:
        raise DatasetError(f"{path} is neither a label image nor a folder of them.") from error
    files: dict[str, Path] = {}
    for suffix in _SUFFIXES:
        for file in found:
            if file.suffix.lower() != suffix:
                continue
            if files.setdefault(_name(file), file) is not file:
                kept = files[_name(file)].name
                yield Note(f"{file} is passed over: {kept} has the same name.", "warning")
    if not files:
        raise DatasetError(f"{folder} holds no label images (TIFF or PNG).")
    return files


def _name(path: Path) -> str:
    return path.stem.removesuffix(".ome")
