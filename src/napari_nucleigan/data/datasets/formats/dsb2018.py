"""Data Science Bowl 2018: for each image a folder with ``images/`` and ``masks/``, one PNG for each nucleus."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from imagecodecs import png_encode
from scipy.ndimage import find_objects

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.files import make_folder, write_bytes
from napari_nucleigan.data.datasets.formats.entries import Canvas, Entry, Found, ImportedImage, files_below, split_of
from napari_nucleigan.data.images.files import IMAGE_SUFFIXES, read_image, read_mask, write_image
from napari_nucleigan.labels.regions import numbered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_nucleigan.data.datasets.formats import Pairs


def find(source: Path) -> Found:
    """List the folders that hold ``masks/``."""
    images: dict[Path, list[Path]] = {}
    masks: dict[Path, list[Path]] = {}
    for path in files_below(source):
        kind = {"images": images, "masks": masks}.get(path.parent.name.lower())
        if kind is not None and path.suffix.lower() in IMAGE_SUFFIXES:
            kind.setdefault(path.parent.parent, []).append(path)
    for folder in images:
        if (folder / "masks").is_dir():
            masks.setdefault(folder, [])  # an image without nuclei
    if not masks:
        raise DatasetError(f"{source} holds no folders NAME/masks with an image for each nucleus; check the path.")
    entries: list[Entry] = []
    broken: dict[str, str] = {}
    for folder, found in sorted(masks.items()):
        parts = folder.relative_to(source).parts
        shown = "/".join(parts) or source.name
        pictures = images.get(folder, [])
        if len(pictures) != 1:
            broken[shown] = f"its images/ must hold one image, not {len(pictures)}"
            continue
        entries.append(
            Entry(
                name=shown,
                read=partial(read, pictures[0], found),
                files=(pictures[0], *found, found[0].parent if found else folder / "masks"),
                split=split_of(parts[:-1]),
            )
        )
    bare = len(images.keys() - masks.keys())
    notes = (f"Left out, folders without masks/: {bare}.",) if bare else ()
    return Found(tuple(entries), broken, notes)


def read(image: Path, masks: Sequence[Path]) -> ImportedImage:
    """Read an image and the masks of its nuclei: all that is not 0.

    Raises
    ------
    ImageError, LabelsError
        If a file cannot be read.
    ValueError
        If a mask is of another size.
    """
    picture = read_image(image)
    shape = (picture.pixels.shape[0], picture.pixels.shape[1])
    canvas = Canvas(shape)
    for number, path in enumerate(masks, 1):
        mask = read_mask(path)
        if mask.shape != shape:
            raise ValueError(f"{path.name} has {mask.shape} pixels and the image {shape}")
        canvas.fill(np.flatnonzero(mask), number, "blank")
    return ImportedImage(picture.pixels, canvas.finish(), picture.mpp, canvas.tally, picture.notes)


def write(folder: Path, pairs: Pairs) -> Iterator[str]:
    """Write ``NAME/images/NAME.png`` and ``NAME/masks/NUMBER.png``, with 255 in the nucleus."""
    for name, image, labels in pairs:
        write_image(folder / name / "images" / f"{name}.png", image.pixels, image.mpp)
        make_folder(folder / name / "masks")
        numbers = numbered(labels)[1]
        for number, box in enumerate(find_objects(numbers), 1):
            mask = np.zeros(labels.shape, np.uint8)
            mask[box] = np.where(numbers[box] == number, 255, 0)
            write_bytes(folder / name / "masks" / f"{number:05d}.png", bytes(png_encode(mask)))
        yield name
