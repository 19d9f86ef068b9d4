"""Imported pairs: finding images and annotations that belong together, drawing the nuclei, counting what is lost."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import DatasetError, listing
from napari_nucleigan.base.reading import FileFault, fault
from napari_nucleigan.base.text import printable, same_name
from napari_nucleigan.data.datasets.splits import SPLITS, name_of, plain_name
from napari_nucleigan.data.images.files import IMAGE_SUFFIXES
from napari_nucleigan.labels.outlines import pixels
from napari_nucleigan.labels.regions import numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from napari_nucleigan.labels.tracing import Ints

    Rings = Sequence[npt.ArrayLike]
    """Corners (x, y) of an outer ring and of its holes, in pixel edges: the first pixel's centre is (0.5, 0.5)."""

_SUFFIXES = (*IMAGE_SUFFIXES, ".svs")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
# Folders that say what lies in them but not from where.
_PLAIN = re.compile(r"(tissue[ _-]?)?(images?|labels?|annotations?|masks?|geojson|mat|xml|png|tiff?)", re.IGNORECASE)
_RESERVED = re.compile(r'[<>:"/\\|?*\x00-\x1f]')

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

_MOST = 300_000_000  # pixels of nuclei, half a minute's work
_FAR = 1e6  # pixels; corners beyond belong to no image, and would only fill the memory


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
        Its name in the data set, once `with_unique_names` has made all of them differ.
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
        raise DatasetError(f"Cannot list {printable(error.filename)}: {fault(error)}.") from error

    for folder, folders, names in os.walk(source, onerror=refuse):
        # Archives made on a Mac hold a shadow of every file.
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return found


def find_pairs(source: Path, suffix: str, read: Callable[[Path, Path], ImportedImage]) -> Found:
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
            images.setdefault(name_of(path), []).append(path)
    entries: list[Entry] = []
    broken: dict[str, str] = {}
    used: dict[Path, Path] = {}
    for annotation in annotations:
        shown = str(annotation.relative_to(source))
        name = _annotated(annotation, images)
        ranked = sorted(images.get(name, ()), key=lambda path: _nearness(path, annotation), reverse=True)
        if not ranked:
            broken[shown] = f"there is no image {name}.tif, .png or .jpg for it"
        elif len(ranked) > 1 and _nearness(ranked[0], annotation) == _nearness(ranked[1], annotation):
            both = " and ".join(str(path.relative_to(source)) for path in ranked[:2])
            broken[shown] = f"it may belong to {both}; keep one of them only"
        elif ranked[0] in used:
            broken[shown] = f"its image has another annotation, {used[ranked[0]].relative_to(source)}; keep one of them"
        else:
            used[ranked[0]] = annotation
            parts = annotation.relative_to(source).parts[:-1]
            full = "/".join([*(part for part in parts if not _PLAIN.fullmatch(part)), name])
            pair = (ranked[0], annotation)
            entries.append(Entry(full, partial(read, *pair), pair, split=split_of(parts)))
    known = {_annotated(annotation, images) for annotation in annotations}
    idle = sorted(str(paths[0].relative_to(source)) for name, paths in images.items() if name not in known)
    notes = (f"Left out, images without annotation: {listing(idle, 5)}.",) if idle else ()
    return Found(tuple(entries), broken, notes)


def _annotated(annotation: Path, images: Mapping[str, object]) -> str:
    """Name of the image that an annotation belongs to: ``a.xml`` and, where that is none, ``a.tif.xml`` to ``a``."""
    name = name_of(annotation)
    return name if name in images else plain_name(name)


def _nearness(image: Path, annotation: Path) -> tuple[int, bool, int]:
    common = len(os.path.commonpath([image.parent, annotation.parent]))
    beside = image.parent == annotation.parent or "image" in image.parent.name.lower()
    return common, beside, -_SUFFIXES.index(image.suffix.lower())


def split_of(folders: Iterable[str]) -> str:
    """Tell ``train``, ``val`` or ``test`` by a word in the names of folders; empty where they do not say."""
    words = (word.lower() for folder in folders for word in _WORD.findall(folder))
    return next((SPLITS[word] for word in words if word in SPLITS), "")


def with_unique_names(entries: Iterable[Entry]) -> list[Entry]:
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
    # Room for a number and a suffix: systems take 255 bytes.
    short = _RESERVED.sub("_", same_name(name)).encode()[:200].decode(errors="ignore")
    return short.strip(". ") or "image"


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
        self._filled = 0
        self._drawn: set[int] = set()
        self._overlapping: set[int] = set()
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
        FileFault
            If a corner is not finite or lies absurdly far away, or there are far too many.
        """
        polygons = [rings for nucleus in nuclei for rings in nucleus]
        for rings in polygons:
            for ring in rings:
                if not (np.abs(np.asarray(ring, np.float64)) < _FAR).all():
                    raise FileFault("an outline has a corner that is not finite or far outside of any image")
        whose = np.repeat(np.arange(len(nuclei)), [len(nucleus) for nucleus in nuclei])
        # Parts of a nucleus may come in several batches; no more than one nucleus is held.
        waiting: list[Ints] = []
        present = 0
        for row, column, polygon in pixels(polygons, self._shape):
            owner, place = whose[polygon], row * self._shape[1] + column
            for index, places in _split(owner, place):
                for nucleus in range(present, index):
                    self.fill(_joined(waiting), ids[nucleus], "empty")
                    waiting = []
                present = index
                waiting.append(places)
        for nucleus in range(present, len(nuclei)):
            self.fill(_joined(waiting), ids[nucleus], "empty")
            waiting = []

    def fill(self, places: Ints, number: int, otherwise: str) -> None:
        """Give pixels to a nucleus.

        Parameters
        ----------
        places : ndarray of int64
            Flat indices of its pixels, in any order; one may occur twice.
        number : int
            Its number; 0 cuts out what is below.
        otherwise : str
            What to count if there are no pixels.
        """
        if not len(places):
            self.tally[otherwise] += 1
            return
        self._filled += len(places)
        if self._filled > _MOST:
            raise FileFault("its nuclei cover the image too many times over")
        flat = self._labels.reshape(-1)
        if number:
            self._drawn.add(number)
            below = flat[places]
            if below.any():
                self._overlapping.update((*np.unique(below[below > 0]).tolist(), number))
        flat[places] = number

    def finish(self, *, renumber: bool = True) -> npt.NDArray[np.int32]:
        """Count what overlaps and return the labels.

        Parameters
        ----------
        renumber : bool
            Whether the numbers become 1, 2, 3, ... in their order.
        """
        self.tally["overlapping"] += len(self._overlapping)
        left = np.unique(self._labels)
        self.tally["hidden"] += len(self._drawn) - int((left > 0).sum())
        if not renumber:
            return self._labels
        return numbered(self._labels)[1]


def _split(owner: Ints, place: Ints) -> Iterator[tuple[int, Ints]]:
    """Places by their owner, who are sorted."""
    begins = np.flatnonzero(np.diff(owner, prepend=-1))
    for begin, end in pairwise([*begins.tolist(), len(owner)]):
        yield int(owner[begin]), place[begin:end]


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


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
