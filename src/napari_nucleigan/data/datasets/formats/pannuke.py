"""PanNuke: folds of patches in three arrays, read one patch at a time.

``images.npy`` is (n, 256, 256, 3) with values from 0 to 255; ``masks.npy`` is (n, 256, 256, 6), in whose first five
channels, one for each class of cell, every nucleus has a number of its own; the sixth tells background. ``types.npy``
names the tissue of each patch.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.data.datasets.formats.entries import Canvas, Entry, Found, ImportedImage, files_below
from napari_nucleigan.data.datasets.formats.hovernet import whole

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

MPP = 0.25
"""Microns per pixel of all patches."""

_CLASSES = 5
_FOLD = re.compile(r"fold[ _-]?(\d+)", re.IGNORECASE)
_SPLITS = {"1": "train", "2": "val", "3": "test"}


def find(source: Path) -> Found:
    """List the patches of every fold of a folder.

    Raises
    ------
    DatasetError
        If there are no arrays, or they do not fit each other.
    """
    files = files_below(source)
    masks = [path for path in files if path.name == "masks.npy"]
    if not masks:
        raise DatasetError(f"{source} holds no masks.npy; check the path and the format.")
    entries: list[Entry] = []
    folds = [_fold(path.relative_to(source)) for path in masks]
    for path, fold in zip(masks, folds, strict=True):
        images = _partner(path, "images.npy", files, source)
        types = _partner(path, "types.npy", files, source)
        if images is None:
            raise DatasetError(f"{path} has no images.npy beside it, or in the folder images beside masks.")
        pixels, labels = _opened(images), _opened(path)
        _check(pixels, labels, images, path)
        organs = [""] * len(pixels) if types is None else _organs(types, len(pixels))
        for index, organ in enumerate(organs):
            entries.append(
                Entry(
                    name=f"fold{fold}-{index:05d}" if fold else f"patch-{index:05d}",
                    read=partial(read, pixels, labels, index),
                    files=(images, path),
                    organ=organ,
                    split=_SPLITS.get(fold, "") if len(masks) > 1 else "",
                )
            )
    said = "The folds 1, 2 and 3 became train, val and test, the first of PanNuke's three splits; split.csv tells."
    return Found(tuple(entries), notes=(said,) if len(masks) > 1 and set(folds) & set(_SPLITS) else ())


def read(images: npt.NDArray[Any], masks: npt.NDArray[Any], index: int) -> ImportedImage:
    """Read one patch of arrays that may be larger than the memory.

    Raises
    ------
    ValueError
        If values cannot be colours or labels.
    """
    pixels = np.asarray(images[index])
    if not ((pixels >= 0) & (pixels <= 255)).all():
        raise ValueError("its values are not colours from 0 to 255")
    channels = whole(np.asarray(masks[index][..., :_CLASSES]))
    canvas = Canvas((pixels.shape[0], pixels.shape[1]))
    number = 0
    for channel in np.moveaxis(channels, -1, 0):
        places = np.flatnonzero(channel)
        values = channel.reshape(-1)[places]
        order = np.argsort(values, kind="stable")
        for one in np.split(places[order], np.flatnonzero(np.diff(values[order])) + 1):
            if len(one):
                number += 1
                canvas.fill(one, number, "blank")
    return ImportedImage(np.rint(pixels).astype(np.uint8), canvas.finish(), MPP, canvas.tally)


def _fold(path: Path) -> str:
    found = _FOLD.findall(str(path))
    return found[-1].lstrip("0") if found else ""


def _partner(masks: Path, name: str, files: list[Path], source: Path) -> Path | None:
    """Find an array that belongs to masks: beside them, or where the folder is called images in place of masks."""

    def place(path: Path) -> tuple[str, ...]:
        folders = path.parent.relative_to(source).parts
        return tuple("" if part.lower() in ("images", "masks") else part.lower() for part in folders)

    near = [path for path in files if path.name == name and place(path) == place(masks)]
    return min(near, key=lambda path: path.parent != masks.parent, default=None)


def _opened(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        # Damaged headers raise errors of many kinds.
        raise DatasetError(f"Cannot read {path}: it is damaged, cut short or no array of numbers ({error}).") from error
    return array


def _check(images: npt.NDArray[Any], masks: npt.NDArray[Any], *paths: Path) -> None:
    for array, channels, path in zip((images, masks), ((3,), (_CLASSES, _CLASSES + 1)), paths, strict=True):
        if array.ndim != 4 or array.shape[-1] not in channels or 0 in array.shape or array.dtype.kind not in "uif":
            raise DatasetError(
                f"{path} is an array of {array.dtype} of shape {array.shape}; PanNuke's are numbers of shape "
                f"(patches, 256, 256, {channels[-1]})."
            )
    if images.shape[:3] != masks.shape[:3]:
        raise DatasetError(f"{paths[0]} and {paths[1]} differ in shape: {images.shape} and {masks.shape}.")


def _organs(path: Path, count: int) -> list[str]:
    names = _opened(path)
    if names.shape != (count,) or names.dtype.kind != "U":
        raise DatasetError(f"{path} must hold {count} names of tissues; it is {names.dtype} of shape {names.shape}.")
    return [str(name).strip().lower() for name in names]
