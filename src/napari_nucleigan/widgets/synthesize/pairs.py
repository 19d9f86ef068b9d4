"""Write a picture and its mask into a data set: both, or neither."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.base.files import make_folder, output_error
from napari_nucleigan.data.images.files import IMAGE_SUFFIXES, write_image, write_labels

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True, eq=False)
class SavedPair:
    """A picture and its mask.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        RGB.
    labels : ndarray of integers, shape (H, W)
        The mask.
    mpp : float
        Microns per pixel.
    """

    pixels: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    mpp: float


def pair_files(folder: Path, name: str) -> list[Path]:
    """Return the files that a data set has under a name."""
    images = [folder / "images" / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES]
    return [path for path in (*images, folder / "labels" / f"{name}.tif") if path.exists()]


def save_pair(pair: SavedPair, folder: Path, name: str, suffix: str, replace: bool) -> Job[Path]:
    """Write ``images/NAME.SUFFIX`` and ``labels/NAME.tif``.

    Parameters
    ----------
    pair : SavedPair
        What to write.
    folder : Path
        The data set; it may be new.
    name : str
        Name without suffix.
    suffix : {".png", ".tif"}
        Format of the picture.
    replace : bool
        Whether files of that name are written over.

    Returns
    -------
    Path
        The picture.

    Raises
    ------
    OutputError
        If there are such files and they are not to be replaced, or the folder cannot be written to.
    LabelsError
        If the mask is no label image.
    """
    yield Progress(0, 2, "writing the picture")
    before = pair_files(folder, name)
    if before and not replace:
        raise OutputError(f"{folder} has a pair {name!r} already; give another name, or replace it.")
    image, labels = folder / "images" / f"{name}{suffix}", folder / "labels" / f"{name}.tif"
    # Aside first: what can fail has then happened before anything in the data set is touched.
    aside = make_folder(folder) / f".{token_hex(4)}.part"
    try:
        write_image(aside / image.name, pair.pixels, pair.mpp)
        yield Progress(1, 2, "writing the mask")
        write_labels(aside / "labels.tif", pair.labels, pair.mpp)
        for target in (image, labels):
            make_folder(target.parent)
        # A mask without a picture is no part of a data set, so a stop between the two leaves a whole one.
        os.replace(aside / "labels.tif", labels)
        os.replace(aside / image.name, image)
        for path in before:
            if path not in (image, labels):
                path.unlink()
    except OSError as error:
        raise output_error(image, error) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(aside)
    return image
