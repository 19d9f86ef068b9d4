"""Data sets on disk: ``images/``, ``labels/`` and an optional ``split.csv``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_nucleigan.base.errors import DatasetError, LabelsError
from napari_nucleigan.base.text import printable
from napari_nucleigan.data.datasets.splits import name_of, read_split, split_name
from napari_nucleigan.data.images.files import HEImage, list_images, read_image, read_labels
from napari_nucleigan.labels.numbering import check_nuclei

LABEL_SUFFIXES = (".tif", ".tiff", ".png")
"""Suffixes of label images; of two of one name, that of the first of these is taken."""


@dataclass(frozen=True)
class Dataset:
    """Images with one label image each.

    Attributes
    ----------
    folder : Path
        Where the data set lies.
    names : tuple of str
        Names of the images, without suffix, sorted.
    organs, splits : dict of str to str
        What ``split.csv`` says of each name; ``"unknown"`` and ``"train"`` where it says nothing.
    hidden : frozenset of str
        Names of the images whose labels count as missing.
    """

    folder: Path
    names: tuple[str, ...]
    organs: dict[str, str]
    splits: dict[str, str]
    hidden: frozenset[str] = frozenset()

    @classmethod
    def open(cls, folder: str | Path, *, labelled: bool = True) -> Dataset:
        """Open a data set.

        Parameters
        ----------
        folder : str or Path
            Holds ``images/NAME.(png|tif|...)``, ``labels/NAME.tif`` (0 = background, one integer for each
            nucleus) and optionally ``split.csv`` with the columns ``name,organ,split`` and ``regions/NAME.tif`` (see
            `regions`).
        labelled : bool
            Whether labels must be there. Where they need not, a plain folder of images will do as well.

        Returns
        -------
        Dataset

        Raises
        ------
        DatasetError
            If folders or labels are missing, or ``split.csv`` cannot be understood.
        """
        root = Path(folder)
        for part in ("images", "labels") if labelled else ():
            if not (root / part).is_dir():
                raise DatasetError(
                    f"{root} is not a data set: it has no folder {part!r}. A data set holds "
                    "images/NAME.png and labels/NAME.tif."
                )
        if not root.is_dir():
            raise DatasetError(f"There is no folder {root}; check the path.")
        images = _image_folder(root)
        names = tuple(sorted(name_of(path) for path in list_images(images)))
        if not names:
            raise DatasetError(f"{images} holds no PNG, JPEG or TIFF images.")
        there = labels_by_name(root / "labels")[0] if labelled else {}
        missing = [name for name in names if name not in there]
        if missing and labelled:
            raise DatasetError(
                f"{len(missing)} images of {root} have no label image, {missing[0]!r} first; "
                f"put it at labels/{missing[0]}.tif or remove the image."
            )
        twice = next((name for name, after in pairwise(names) if name == after), None)
        if twice is not None:
            raise DatasetError(f"{images} holds two images called {twice!r}; remove or rename one of them.")
        rows = read_split(root / "split.csv")
        if rows and rows.keys().isdisjoint(names):
            raise DatasetError(
                f"{root / 'split.csv'} names none of the images, {printable(next(iter(rows)))!r} first and the first "
                f"image is {printable(names[0])!r}; it must name them as their files are called."
            )
        return cls(
            folder=root,
            names=names,
            organs={name: rows.get(name, {}).get("organ") or "unknown" for name in names},
            splits={name: rows.get(name, {}).get("split") or "train" for name in names},
        )

    @classmethod
    def of(cls, data: str | Path | Dataset, *, labelled: bool = True) -> Dataset:
        """Return a data set as it is, or `open` the folder of one."""
        return data if isinstance(data, Dataset) else cls.open(data, labelled=labelled)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    @property
    def labelled(self) -> bool:
        """Whether every image has its labels."""
        return len(self.labelled_names) == len(self)

    @property
    def labelled_names(self) -> tuple[str, ...]:
        """Names of the images that have labels."""
        return tuple(filter(self.has_labels, self.names))

    def has_labels(self, name: str) -> bool:
        """Tell whether an image has labels."""
        return name in self._labels

    def image(self, name: str) -> HEImage:
        """Read one image."""
        return read_image(self._images[name])

    def labels(self, name: str) -> NDArray[np.int32]:
        """Read one label image, (H, W) int32."""
        return read_nuclei(self._labels[name])

    @cached_property
    def _images(self) -> dict[str, Path]:
        return {name_of(path): path for path in list_images(_image_folder(self.folder))}

    @cached_property
    def _labels(self) -> dict[str, Path]:
        files = labels_by_name(self.folder / "labels")[0]
        return {name: path for name, path in files.items() if name not in self.hidden}

    @cached_property
    def _regions(self) -> dict[str, Path]:
        return labels_by_name(self.folder / "regions")[0]

    def pair(self, name: str) -> tuple[HEImage, NDArray[np.int32]]:
        """Read an image and its labels, and make sure that they fit.

        Raises
        ------
        DatasetError
            If they differ in size.
        """
        image, labels = self.image(name), self.labels(name)
        if image.pixels.shape[:2] != labels.shape:
            raise DatasetError(
                f"In {self.folder}, image and labels of {name!r} differ in size: "
                f"{image.pixels.shape[:2]} and {labels.shape}."
            )
        return image, labels

    def regions(self, name: str) -> NDArray[np.bool_] | None:
        """Read where the labels of an image are known to be right.

        ``regions/NAME.tif`` is an image of integers, of the size of the labels; where it is 0, nobody has looked at
        them, and they count in no loss and no score.

        Returns
        -------
        (H, W) bool array or None
            None where there is no such file: the labels are right everywhere.

        Raises
        ------
        LabelsError
            If the file is no image of integers.
        """
        path = self._regions.get(name)
        return None if path is None else read_known(path)

    def subset(self, split: str) -> Dataset:
        """Return the images of one split, as ``split.csv`` names it."""
        return self.only(name for name in self.names if self.splits[name] == split_name(split))

    def part(self, split: str, purpose: str) -> Dataset:
        """Return the images of one split, of which there must be some.

        Parameters
        ----------
        split : str
            As ``split.csv`` names it.
        purpose : str
            What they are needed for, as in "to train on".

        Raises
        ------
        DatasetError
            If there are none.
        """
        found = self.subset(split)
        if not len(found):
            raise DatasetError(f"{self.folder} has no images {purpose}: split.csv calls none of them {split!r}.")
        return found

    def only(self, names: Iterable[str]) -> Dataset:
        """Return the data set of the given names."""
        chosen = set(names)
        return replace(self, names=tuple(name for name in self.names if name in chosen))

    def hide_labels(self, names: Iterable[str]) -> Dataset:
        """Return the data set in which the given images have no labels."""
        return replace(self, hidden=self.hidden | frozenset(names))

    def hold_out(self, fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Split whole images off for validation, the same share of every organ, those without labels first.

        Parameters
        ----------
        fraction : float
            Share in [0, 1). Where it is above 0 and there are two images or more, at least one image is held
            out and at least one stays.
        seed : int
            Seed of the choice.

        Returns
        -------
        training, validation : Dataset
        """
        if fraction <= 0 or len(self) < 2:
            return self, self.only(())
        random = np.random.default_rng(seed)
        held: list[str] = []
        for organ in sorted({self.organs[name] for name in self.names}):
            members = [name for name in self.names if self.organs[name] == organ]
            count = min(round(fraction * len(members)), len(members) - 1)
            # Labels are for training on: images without any go first.
            held += sorted(map(str, random.permutation(members)), key=self.has_labels)[:count]
        if not held:
            bare = [name for name in self.names if not self.has_labels(name)]
            held = [str(random.choice(bare or list(self.names)))]
        return self.only(name for name in self.names if name not in held), self.only(held)


def _image_folder(root: Path) -> Path:
    return root / "images" if (root / "images").is_dir() else root


def labels_by_name(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """List the label images of a folder, which need not be there.

    Returns
    -------
    files : dict of str to Path
        By name.
    others : list of Path
        Those whose name another one has.

    Raises
    ------
    ImageError
        If the folder may not be read.
    """
    found = list_images(folder) if folder.is_dir() else []
    files: dict[str, Path] = {}
    others = []
    for suffix in LABEL_SUFFIXES:
        for path in found:
            if path.suffix.lower() == suffix and files.setdefault(name_of(path), path) is not path:
                others.append(path)
    return files, others


def read_known(path: Path) -> NDArray[np.bool_]:
    """Read where labels are known to be right, as `Dataset.regions` has it."""
    return read_labels(path) > 0


def only_known(labels: NDArray[np.int32], known: NDArray[np.bool_] | None) -> NDArray[np.int32]:
    """Keep the labels that lie where the true ones are known; None is everywhere.

    Parameters
    ----------
    labels : (H, W) int array
        True ones, or those found in the same image.
    known : (H, W) bool array or None
        As from `Dataset.regions`.

    Raises
    ------
    LabelsError
        If the two differ in size.
    """
    if known is None:
        return labels
    if known.shape != labels.shape:
        raise LabelsError(f"Labels and the image in regions/ differ in size: {labels.shape} and {known.shape}.")
    return np.where(known, labels, 0)


def read_nuclei(path: str | Path) -> NDArray[np.int32]:
    """Read a label image of nuclei, (H, W) int32.

    Raises
    ------
    LabelsError
        As `read_labels`; also if it only tells nuclei from background, or kinds of nuclei.
    """
    labels = read_labels(path)
    check_nuclei(labels, Path(path).name)
    return labels
