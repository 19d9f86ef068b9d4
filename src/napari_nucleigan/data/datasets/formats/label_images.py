"""Formats of label images: MATLAB files of HoVer-Net, PNG masks of the Data Science Bowl 2018, arrays of PanNuke.

**HoVer-Net's** editions of Kumar, CPM-17 and CoNSeP: images, and MATLAB files with a label image ``inst_map``.

**Data Science Bowl 2018**: for each image a folder with ``images/`` and ``masks/``, one PNG for each nucleus.

**PanNuke**: folds of patches in three arrays, read one patch at a time. ``images.npy`` is (n, 256, 256, 3) with values
from 0 to 255; ``masks.npy`` is (n, 256, 256, 6), in whose first five channels, one for each class of cell, every
nucleus has a number of its own; the sixth tells background. ``types.npy`` names the tissue of each patch.
"""

from __future__ import annotations

import math
import re
import zlib
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from imagecodecs import png_encode
from scipy.ndimage import find_objects

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.files import atomic_write, make_folder, write_bytes
from napari_nucleigan.base.reading import FileFault, check_memory, check_regular, read_bytes, reading
from napari_nucleigan.data.datasets.formats.entries import Canvas, Entry, Found, ImportedImage, files_below, split_of
from napari_nucleigan.data.images.files import IMAGE_SUFFIXES, read_image, read_mask, write_image
from napari_nucleigan.labels.regions import Regions, check_labels, numbered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_nucleigan.data.datasets.formats import Pairs

PANNUKE_MPP = 0.25
"""Microns per pixel of all patches of PanNuke."""

_MAT_HEAD = 128  # bytes before the variables
_MAT_PACKED = 15  # kind of a variable that is compressed
_MAT_MOST = 500_000_000  # bytes of all variables, unpacked; several copies are made of them
_CLASSES = 5
_FOLD = re.compile(r"fold[ _-]?(\d+)", re.IGNORECASE)
_SPLITS = {"1": "train", "2": "val", "3": "test"}


def read_hovernet(image: Path, annotation: Path) -> ImportedImage:
    """Read an image and the label image of its .mat file; numbers stay as they are.

    Raises
    ------
    ImageError, LabelsError
        If the image cannot be read, or ``inst_map`` is no label image.
    FileFault
        If the file is of a later version, has no such array, or would take too much memory.
    Exception
        Whatever scipy raises on damaged files.
    """
    from scipy.io import loadmat, whosmat

    data = BytesIO(_unpacked(read_bytes(annotation)))
    try:
        shapes = {name: shape for name, shape, _ in whosmat(data)}
        if "inst_map" not in shapes:
            raise FileFault("it has no array 'inst_map'")
        check_memory(math.prod(map(float, shapes["inst_map"])) * np.dtype(np.float64).itemsize, 2 * _MAT_MOST)
        data.seek(0)
        content = loadmat(data, variable_names=["inst_map"])
    except NotImplementedError as error:
        raise FileFault("it is of MATLAB 7.3; save it with the option -v7") from error
    picture = read_image(image)
    return ImportedImage(
        picture.pixels, check_labels(whole_numbers(content["inst_map"]), "inst_map"), picture.mpp, notes=picture.notes
    )


def _unpacked(content: bytes) -> bytes:
    """Unpack the variables of a MATLAB file (version 5 to 7), to no more than fits into memory."""
    order: Literal["little", "big"] = "little" if content[126:128] == b"IM" else "big"
    if content[126:128] not in (b"IM", b"MI"):
        return content  # version 4 has no such head, and packs nothing
    parts, place, size = [content[:_MAT_HEAD]], _MAT_HEAD, 0
    while place + 8 <= len(content):
        kind, length = (int.from_bytes(content[place + at : place + at + 4], order) for at in (0, 4))
        if kind == _MAT_PACKED:
            packed = zlib.decompressobj()
            parts.append(packed.decompress(content[place + 8 : place + 8 + length], _MAT_MOST + 1 - size))
        else:
            parts.append(content[place : place + 8 + length])
        size += len(parts[-1])
        check_memory(size, _MAT_MOST)
        place += 8 + length
    return b"".join(parts)


def whole_numbers(values: Any) -> npt.NDArray[Any]:
    """Turn whole numbers that are stored as floats into integers.

    Raises
    ------
    FileFault
        If there are fractions, or numbers that are no labels.
    """
    array = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
    if array.dtype.kind != "f":
        return array
    if not ((array >= 0) & (array < 2**31) & (array == np.floor(array))).all():
        raise FileFault("it holds numbers that are no labels: fractions, negative or too large")
    return array.astype(np.int32)


def write_hovernet(folder: Path, pairs: Pairs) -> Iterator[str]:
    """Write ``Images/NAME.png`` and ``Labels/NAME.mat`` with ``inst_map`` and ``inst_centroid``.

    Nuclei become 1, 2, 3, ..., as programs for this format expect; row ``i`` of ``inst_centroid`` is (x, y) of nucleus
    ``i + 1``.
    """
    from scipy.io import savemat

    for name, image, labels in pairs:
        write_image(folder / "Images" / f"{name}.png", image.pixels, image.mpp)
        values, numbers = numbered(labels)
        centroids = Regions.of(numbers, len(values)).centres[:, ::-1]
        with atomic_write(folder / "Labels" / f"{name}.mat") as path:
            savemat(path, {"inst_map": numbers, "inst_centroid": centroids}, do_compression=True)
        yield name


def find_dsb2018(source: Path) -> Found:
    """List the folders that hold ``masks/``."""
    images: dict[Path, list[Path]] = {}
    masks: dict[Path, list[Path]] = {}
    others: dict[Path, str] = {}
    for path in files_below(source):
        kind = {"images": images, "masks": masks}.get(path.parent.name.lower())
        if kind is not None and path.suffix.lower() in IMAGE_SUFFIXES:
            kind.setdefault(path.parent.parent, []).append(path)
        elif kind is masks:
            others.setdefault(path.parent.parent, path.name)
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
        if not found and folder in others:
            broken[shown] = f"its masks/ holds no PNG or TIFF, but {others[folder]}; save the masks as PNG"
            continue
        entries.append(
            Entry(
                name=shown,
                read=partial(read_dsb2018, pictures[0], found),
                files=(pictures[0], *found, found[0].parent if found else folder / "masks"),
                split=split_of(parts[:-1]),
            )
        )
    bare = len(images.keys() - masks.keys())
    notes = (f"Left out, folders without masks/: {bare}.",) if bare else ()
    return Found(tuple(entries), broken, notes)


def read_dsb2018(image: Path, masks: Sequence[Path]) -> ImportedImage:
    """Read an image and the masks of its nuclei: all that is not 0.

    Raises
    ------
    ImageError, LabelsError
        If a file cannot be read.
    FileFault
        If a mask is of another size.
    """
    picture = read_image(image)
    shape = (picture.pixels.shape[0], picture.pixels.shape[1])
    canvas = Canvas(shape)
    for number, path in enumerate(masks, 1):
        mask = read_mask(path)
        if mask.shape != shape:
            raise FileFault(f"{path.name} has {mask.shape} pixels and the image {shape}")
        canvas.fill(np.flatnonzero(mask), number, "blank")
    return ImportedImage(picture.pixels, canvas.finish(), picture.mpp, canvas.tally, picture.notes)


def write_dsb2018(folder: Path, pairs: Pairs) -> Iterator[str]:
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


def find_pannuke(source: Path) -> Found:
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
        pixels, labels = _open_array(images), _open_array(path)
        _check_pannuke(pixels, labels, images, path)
        organs = [""] * len(pixels) if types is None else _pannuke_organs(types, len(pixels))
        for index, organ in enumerate(organs):
            entries.append(
                Entry(
                    name=f"fold{fold}-{index:05d}" if fold else f"patch-{index:05d}",
                    read=partial(read_pannuke, pixels, labels, index),
                    files=(images, path),
                    organ=organ,
                    split=_SPLITS.get(fold, "") if len(masks) > 1 else "",
                )
            )
    said = "The folds 1, 2 and 3 became train, val and test, the first of PanNuke's three splits; split.csv tells."
    return Found(tuple(entries), notes=(said,) if len(masks) > 1 and set(folds) & set(_SPLITS) else ())


def read_pannuke(images: npt.NDArray[Any], masks: npt.NDArray[Any], index: int) -> ImportedImage:
    """Read one patch of arrays that may be larger than the memory.

    Raises
    ------
    FileFault
        If values cannot be colours or labels.
    """
    pixels = np.asarray(images[index])
    if not ((pixels >= 0) & (pixels <= 255)).all():
        raise FileFault("its values are not colours from 0 to 255")
    if 0 < pixels.max() <= 1 and pixels.dtype.kind == "f":
        raise FileFault("its values are fractions up to 1, not colours from 0 to 255; multiply them by 255")
    channels = whole_numbers(np.asarray(masks[index][..., :_CLASSES]))
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
    return ImportedImage(np.rint(pixels).astype(np.uint8), canvas.finish(), PANNUKE_MPP, canvas.tally)


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


def _open_array(path: Path) -> npt.NDArray[Any]:
    with reading(path, DatasetError, "array of numbers"):
        check_regular(path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise FileFault("it is an archive of arrays, not one of them")
        return array


def _check_pannuke(images: npt.NDArray[Any], masks: npt.NDArray[Any], *paths: Path) -> None:
    for array, channels, path in zip((images, masks), ((3,), (_CLASSES, _CLASSES + 1)), paths, strict=True):
        if array.ndim != 4 or array.shape[-1] not in channels or 0 in array.shape or array.dtype.kind not in "uif":
            raise DatasetError(
                f"{path} is an array of {array.dtype} of shape {array.shape}; PanNuke's are numbers of shape "
                f"(patches, 256, 256, {channels[-1]})."
            )
        with reading(path, DatasetError):
            # One patch is read at a time, and its labels become numbers of 8 bytes.
            check_memory(math.prod(map(float, array.shape[1:])) * 8)
    if images.shape[:3] != masks.shape[:3]:
        raise DatasetError(f"{paths[0]} and {paths[1]} differ in shape: {images.shape} and {masks.shape}.")


def _pannuke_organs(path: Path, count: int) -> list[str]:
    names = _open_array(path)
    if names.shape != (count,) or names.dtype.kind != "U":
        raise DatasetError(f"{path} must hold {count} names of tissues; it is {names.dtype} of shape {names.shape}.")
    with reading(path, DatasetError):
        check_memory(names.nbytes)
    return [str(name).strip().lower() for name in names]
