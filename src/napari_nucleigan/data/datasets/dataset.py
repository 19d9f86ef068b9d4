"""Data sets on disk: ``images/``, ``labels/`` and an optional ``split.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.data.images.files import HEImage, list_images, read_image, read_labels


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
    """

    folder: Path
    names: tuple[str, ...]
    organs: dict[str, str]
    splits: dict[str, str]

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
        names = tuple(sorted(path.stem for path in list_images(images)))
        if not names:
            raise DatasetError(f"{images} holds no PNG, JPEG or TIFF images.")
        missing = [name for name in names if not (root / "labels" / f"{name}.tif").is_file()]
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
                f"{root / 'split.csv'} names none of the images, {next(iter(rows))!r} first; it must name "
                "them without folder and suffix."
            )
        return cls(
            folder=root,
            names=names,
            organs={name: rows.get(name, {}).get("organ") or "unknown" for name in names},
            splits={name: rows.get(name, {}).get("split") or "train" for name in names},
        )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    @property
    def labelled(self) -> bool:
        """Whether every image has its labels."""
        return all((self.folder / "labels" / f"{name}.tif").is_file() for name in self.names)

    def image(self, name: str) -> HEImage:
        """Read one image."""
        path = next(p for p in list_images(_image_folder(self.folder)) if p.stem == name)
        return read_image(path)

    def labels(self, name: str) -> NDArray[np.int32]:
        """Read one label image, (H, W) int32."""
        return read_labels(self.folder / "labels" / f"{name}.tif")

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
        them, and nothing is learnt or scored there.

        Returns
        -------
        (H, W) bool array or None
            None where there is no such file: the labels are right everywhere.

        Raises
        ------
        LabelsError
            If the file is no image of integers.
        """
        path = self.folder / "regions" / f"{name}.tif"
        return read_labels(path) > 0 if path.is_file() else None

    def subset(self, split: str) -> Dataset:
        """Return the images of one split, as ``split.csv`` names it."""
        return self.only(name for name in self.names if self.splits[name] == split)

    def only(self, names: Iterable[str]) -> Dataset:
        """Return the data set of the given names."""
        chosen = set(names)
        return replace(self, names=tuple(name for name in self.names if name in chosen))

    def hold_out(self, fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Split whole images off for validation, the same share of every organ.

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
            held += [str(name) for name in random.permutation(members)[:count]]
        if not held:
            held = [str(random.choice(list(self.names)))]
        return self.only(name for name in self.names if name not in held), self.only(held)


def _image_folder(root: Path) -> Path:
    return root / "images" if (root / "images").is_dir() else root


def read_split(path: Path) -> dict[str, dict[str, str]]:
    """Read ``split.csv``.

    Parameters
    ----------
    path : Path
        Columns ``name,organ,split``; only the first must be there.

    Returns
    -------
    dict of str to dict
        The row of each name; empty if there is no such file.

    Raises
    ------
    DatasetError
        If the file is no CSV text or has no column ``name``.
    """
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle, skipinitialspace=True)
            if "name" not in (reader.fieldnames or ()):
                raise DatasetError(f"{path} has no column 'name'; its columns are name,organ,split.")
            return {row["name"]: row for row in reader}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read: {error}. Save it as CSV text in UTF-8.") from error
