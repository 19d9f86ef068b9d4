"""What an importer finds, and finding images and annotations that belong together."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.data.images.files import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

_SUFFIXES = (*IMAGE_SUFFIXES, ".svs")
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
# Folders that say what lies in them but not from where.
_PLAIN = re.compile(r"(tissue[ _-]?)?(images?|labels?|annotations?|masks?|geojson|mat|xml|png|tiff?)", re.IGNORECASE)
_RESERVED = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


@dataclass(frozen=True, eq=False)
class ImportedImage:
    """An image and its nuclei, as read.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        RGB.
    labels : ndarray of integers, shape (H, W)
        0 is background.
    mpp : float or None
        Microns per pixel, where they are known.
    tally : dict of str to int
        What was met, by the keys of `canvas.SENTENCES`.
    notes : tuple of str
        What else is to be said.
    """

    pixels: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    mpp: float | None = None
    tally: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A pair that can be imported.

    Attributes
    ----------
    name : str
        Its name in the data set, once `named` has made all of them differ.
    read : callable
        Reads it as a `ImportedImage`; may raise anything.
    files : tuple of Path
        What it is read from; the last is the one to name in an error.
    organ, split : str
        Where the source says so; else empty.
    """

    name: str
    read: Callable[[], ImportedImage]
    files: tuple[Path, ...]
    organ: str = ""
    split: str = ""


@dataclass(frozen=True)
class Found:
    """What a source holds.

    Attributes
    ----------
    entries : tuple of Entry
        What can be imported.
    broken : dict of str to str
        Why something cannot be, by what it is called.
    notes : tuple of str
        What is left out or assumed.
    """

    entries: tuple[Entry, ...]
    broken: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def files_below(source: Path) -> list[Path]:
    """List all files of a folder and its folders, sorted; what is hidden is left out.

    Raises
    ------
    DatasetError
        If there is no such folder, or a part of it may not be read.
    """
    if not source.is_dir():
        raise DatasetError(f"There is no folder {source}; check the path.")
    found: list[Path] = []

    def refuse(error: OSError) -> None:
        raise DatasetError(f"Cannot list {error.filename}: {(error.strerror or str(error)).lower()}.") from error

    for folder, folders, names in os.walk(source, onerror=refuse):
        # Archives made on a Mac hold a shadow of every file.
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return found


def paired(source: Path, suffix: str, read: Callable[[Path, Path], ImportedImage]) -> Found:
    """Find annotations and the images of the same names, wherever they lie below a folder.

    Of several images of that name, the one is taken that lies nearest: with the longest common path, then beside the
    annotation or in a folder of images. ``train``, ``val`` and ``test`` in the names of folders tell the split.

    Parameters
    ----------
    source : Path
        The folder.
    suffix : str
        Of the annotations, with its dot, in lower case.
    read : callable
        Reads an image and its annotation.

    Returns
    -------
    Found

    Raises
    ------
    DatasetError
        If there are none.
    """
    files = files_below(source)
    annotations = [path for path in files if path.suffix.lower() == suffix]
    if not annotations:
        raise DatasetError(f"{source} holds no {suffix} files; check the path and the format.")
    images: dict[str, list[Path]] = {}
    for path in files:
        if path.suffix.lower() in _SUFFIXES:
            images.setdefault(path.stem, []).append(path)
    entries: list[Entry] = []
    broken: dict[str, str] = {}
    used: dict[Path, Path] = {}
    for annotation in annotations:
        shown = str(annotation.relative_to(source))
        ranked = sorted(images.get(annotation.stem, ()), key=lambda path: _nearness(path, annotation), reverse=True)
        if not ranked:
            broken[shown] = f"there is no image {annotation.stem}.tif, .png or .jpg for it"
        elif len(ranked) > 1 and _nearness(ranked[0], annotation) == _nearness(ranked[1], annotation):
            both = " and ".join(str(path.relative_to(source)) for path in ranked[:2])
            broken[shown] = f"it may belong to {both}; keep one of them only"
        elif ranked[0] in used:
            broken[shown] = f"its image has another annotation, {used[ranked[0]].relative_to(source)}; keep one of them"
        else:
            used[ranked[0]] = annotation
            parts = annotation.relative_to(source).parts[:-1]
            name = "/".join([*(part for part in parts if not _PLAIN.fullmatch(part)), annotation.stem])
            pair = (ranked[0], annotation)
            entries.append(Entry(name, partial(read, *pair), pair, split=split_of(parts)))
    stems = {annotation.stem for annotation in annotations}
    idle = sorted(str(paths[0].relative_to(source)) for stem, paths in images.items() if stem not in stems)
    notes = (f"Left out, images without annotation: {_listed(idle)}.",) if idle else ()
    return Found(tuple(entries), broken, notes)


def _nearness(image: Path, annotation: Path) -> tuple[int, bool, int]:
    common = len(os.path.commonpath([image.parent, annotation.parent]))
    beside = image.parent == annotation.parent or "image" in image.parent.name.lower()
    return common, beside, -_SUFFIXES.index(image.suffix.lower())


def split_of(folders: Iterable[str]) -> str:
    """Tell ``train``, ``val`` or ``test`` by a word in the names of folders; empty where they do not say."""
    words = (word.lower() for folder in folders for word in _WORD.findall(folder))
    return next((_SPLITS[word] for word in words if word in _SPLITS), "")


def named(entries: Iterable[Entry]) -> list[Entry]:
    """Give each entry a name of its own that can be a file's on every system.

    A name is the last part of the entry's own, where no other has the same; else with the folders before it.
    """
    entries = list(entries)
    short = Counter(_clean(entry.name.rsplit("/", 1)[-1]).casefold() for entry in entries)
    taken: set[str] = set()
    result = []
    for entry in entries:
        name = _clean(entry.name.rsplit("/", 1)[-1])
        if short[name.casefold()] > 1:
            name = _clean(entry.name.replace("/", "-"))
        free, number = name, 1
        while free.casefold() in taken:
            number += 1
            free = f"{name}-{number}"
        taken.add(free.casefold())
        result.append(replace(entry, name=free))
    return result


def _clean(name: str) -> str:
    return _RESERVED.sub("_", name).strip(". ") or "image"


def _listed(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
