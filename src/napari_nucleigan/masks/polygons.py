"""Random masks of closed polygons, laid out like the nuclei of a tissue.

`sample` draws a mask, `fit` learns from label images. What masks shall be like is a preset (a tissue by its name),
label images, or statistics that were saved.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from skimage.measure import label

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.base.files import write_text
from napari_nucleigan.base.reading import FileFault, read_bytes, reading
from napari_nucleigan.data.datasets.dataset import Dataset, read_nuclei
from napari_nucleigan.data.datasets.splits import SplitTable, read_split
from napari_nucleigan.data.images.files import list_images, read_mpp
from napari_nucleigan.masks.sampler.adjustment import tissue_of
from napari_nucleigan.masks.sampler.fit import MOST_TISSUES, fit
from napari_nucleigan.masks.sampler.layout import Layout, lay_out
from napari_nucleigan.masks.sampler.parameters import PolygonMasks
from napari_nucleigan.masks.sampler.random_outlines import fill, walk
from napari_nucleigan.masks.sampler.statistics import LayoutStatistics, describe, neighbouring
from napari_nucleigan.masks.sampler.tissue_fit import fit_tissue, fit_tissue_map
from napari_nucleigan.masks.sampler.tissue_nuclei import lay_out_tissue

__all__ = [
    "MOST_TISSUES",
    "PRESETS",
    "TISSUE",
    "LayoutStatistics",
    "PolygonMasks",
    "describe",
    "fit",
    "fit_tissue",
    "fit_tissue_map",
    "is_statistics",
    "label_files",
    "label_files_to_learn_from",
    "learn",
    "learn_by_organ",
    "open_statistics",
    "preset",
    "sample",
    "sample_tissue",
    "save",
]

TISSUE = "tissue"
"""Folder of tissue maps, beside that of the label images that they belong to and of the same names."""

PRESETS = ("all", "breast", "kidney", "liver", "prostate")
"""Names of what was learnt from the training tiles of the Kumar data set, by organ; "all" from all of them."""

_LARGEST = 50_000_000  # bytes of statistics; those of a hundred tissues have one million

# 2**32 over the golden ratio: its multiples fill the circle evenly, however many are taken.
_GOLDEN = 2654435769


def sample(statistics: PolygonMasks, shape: tuple[int, int], mpp: float = 0.25, seed: int = 0) -> NDArray[np.int32]:
    """Draw a random mask.

    The same arguments give the same mask. Seeds that follow one another go evenly through the tissues of a fit. The
    mask of a fit with a `layout` is that of `sample_tissue`.

    Parameters
    ----------
    statistics : PolygonMasks
        What it shall look like.
    shape : (int, int)
        Height and width in pixels.
    mpp : float
        Microns per pixel.
    seed : int
        0 or more.

    Returns
    -------
    (H, W) array of int32
        0 is background; nuclei are numbered 1, 2, ... without gaps, each of one piece (of pixels that share a side).

    Raises
    ------
    RecipeError
        If the shape, `mpp` or the seed cannot be used.
    """
    return sample_tissue(statistics, shape, mpp, seed)[0]


def sample_tissue(
    statistics: PolygonMasks,
    shape: tuple[int, int],
    mpp: float = 0.25,
    seed: int = 0,
    known: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.uint8] | None]:
    """Draw a random mask and the tissue map that it was laid out on.

    Parameters
    ----------
    statistics : PolygonMasks
        What it shall look like.
    shape : (int, int)
        Height and width in pixels.
    mpp : float
        Microns per pixel.
    seed : int
        0 or more.
    known : ndarray of uint8, shape (h, w), optional
        What is known of the tissue, such as what a user has painted: only cells of 0 are drawn. Statistics without a
        layout take no notice of it.

    Returns
    -------
    labels : (H, W) array of int32
        As `sample` returns it.
    cells : (h, w) array of uint8, or None
        Numbers of `statistics.layout.classes`, one for each cell of 16 pixels at their scale; None where the statistics
        have no layout.

    Raises
    ------
    RecipeError
        If the shape, `mpp`, the seed or what is known of the tissue cannot be used.
    """
    height, width = shape
    if height < 1 or width < 1:
        raise RecipeError(f"A mask has at least one pixel each way, not {height} x {width}.")
    if not (mpp > 0 and np.isfinite(mpp)):
        raise RecipeError(f"Microns per pixel must be above 0, not {mpp}.")
    if seed < 0:
        raise RecipeError(f"The seed must be 0 or more, not {seed}.")
    random = np.random.Generator(np.random.PCG64(seed))
    draw = seed * _GOLDEN % 2**32 / 2**32
    cells = None
    if statistics.layout is None:
        layout = lay_out(random, tissue_of(statistics, draw), (height * mpp, width * mpp), mpp)
    else:
        layout, cells = lay_out_tissue(random, statistics, statistics.layout, shape, draw, seed, mpp, known)
    count = len(layout.centres)
    outlines = walk(
        random, count, statistics.vertices, statistics.irregularity, statistics.spikiness, statistics.smoothed
    )
    labels = fill(_turned(outlines, layout) / mpp - 0.5, (height, width))
    return _whole(_parted(labels, layout)), cells


def _turned(outlines: NDArray[np.float64], layout: Layout) -> NDArray[np.float64]:
    # A circle of area 1 has the diameter 2 / sqrt(pi).
    along = outlines[..., 1] * (layout.length * np.sqrt(np.pi) / 2)[:, None]
    across = outlines[..., 0] * (layout.width * np.sqrt(np.pi) / 2)[:, None]
    cosine, sine = np.cos(layout.angle)[:, None], np.sin(layout.angle)[:, None]
    turned = np.stack([along * sine + across * cosine, along * cosine - across * sine], -1)
    return np.asarray(turned + layout.centres[:, None])


def _parted(labels: NDArray[np.int32], layout: Layout) -> NDArray[np.int32]:
    # Nuclei that shall not touch but do, for the corners of their outlines, lose the pixels of contact: the larger one.
    area = np.concatenate([[0], layout.length * layout.width])
    meets = np.concatenate([[False], layout.meets])
    for first, second in neighbouring(labels):
        near = np.flatnonzero((first != second).ravel() & (first.ravel() > 0) & (second.ravel() > 0))
        one, other = first.ravel()[near], second.ravel()[near]
        wrong = ~(meets[one] & meets[other])
        near, larger = near[wrong], (area[one] >= area[other])[wrong]
        for side, chosen in ((first, near[larger]), (second, near[~larger])):
            side[np.unravel_index(chosen, side.shape)] = 0
    return labels


def _whole(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    # What another nucleus or the border has cut in pieces keeps the largest; then number without gaps.
    pieces, count = label(labels, background=0, connectivity=1, return_num=True)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    owner = np.zeros(count + 1, np.int64)
    owner[pieces.ravel()] = labels.ravel()
    order = np.lexsort((np.arange(count + 1), -sizes, owner))
    first = np.ones(count + 1, bool)
    first[1:] = owner[order][1:] != owner[order][:-1]
    kept = order[first]
    kept = kept[owner[kept] > 0]
    numbers = np.zeros(count + 1, np.int32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return np.asarray(numbers[pieces])


@cache
def preset(name: str) -> PolygonMasks:
    """Return what was learnt from an organ.

    Raises
    ------
    RecipeError
        If there is no such preset.
    """
    if name not in PRESETS:
        raise RecipeError(f"There is no mask preset {name!r}; there are {', '.join(PRESETS)}.")
    text = (files("napari_nucleigan.masks.sampler") / "organs" / f"{name}.json").read_text("utf-8")
    return PolygonMasks.model_validate_json(text)


DEFAULT_MPP = 0.25
"""Microns per pixel of label images that do not say theirs."""


def learn(like: str | Path, mpp: float | None = None, tissue: bool = False) -> PolygonMasks:
    """Find the statistics of what masks shall be like.

    Parameters
    ----------
    like : str or Path
        A preset; a file that `save` wrote; a label image, a folder of them, or a data set. From images that
        ``split.csv`` calls ``"test"`` nothing is learnt, unless there are no others.
    mpp : float, optional
        Microns per pixel of label images that do not say theirs; by default 0.25.
    tissue : bool
        Learn the tissue around the nuclei too. That takes a data set, with H&E; statistics that were saved know it
        already, or do not.

    Returns
    -------
    PolygonMasks

    Raises
    ------
    RecipeError
        If there is no such thing, a file does not hold statistics, or nothing tells of the tissue.
    LabelsError
        If label images are missing, damaged, without nuclei, or of different pixel sizes.
    DatasetError
        If ``split.csv`` cannot be understood.
    """
    path = None if like in PRESETS else _found(like)
    if tissue and path is not None and not is_statistics(path):
        return _fitted_tissue(path, mpp)
    if path is None:
        statistics = preset(str(like))
    else:
        statistics = (
            open_statistics(path) if is_statistics(path) else _fitted(label_files_to_learn_from(path), path, mpp)
        )
    if tissue and statistics.layout is None:
        raise RecipeError(
            f"Nothing is known of the tissue around the nuclei of {str(like)!r}; give a data set with H&E images and "
            "labels, or statistics that were learnt from one with the tissue."
        )
    return statistics


def learn_by_organ(like: str | Path, mpp: float | None = None) -> dict[str, PolygonMasks]:
    """Find the statistics of what masks shall be like, of each organ by itself.

    Parameters
    ----------
    like : str or Path
        As for `learn`. The organs of the preset "all" are the other presets; those of a data set are what
        ``split.csv`` says.
    mpp : float, optional
        As for `learn`.

    Returns
    -------
    dict of str to PolygonMasks
        By the organ; empty where it is not known.

    Raises
    ------
    RecipeError, LabelsError, DatasetError
        As `learn`.
    """
    if like in PRESETS:
        return {name: preset(name) for name in PRESETS if like in (name, "all") and name != "all"}
    path = _found(like)
    if is_statistics(path):
        return {"": open_statistics(path)}
    rows = _rows(path)
    by_organ: dict[str, list[Path]] = {}
    for file in label_files_to_learn_from(path):
        by_organ.setdefault(rows.get(file.stem, {}).get("organ") or "", []).append(file)
    return {organ: _fitted(files, path, mpp, organ) for organ, files in sorted(by_organ.items())}


def label_files(path: Path) -> list[Path]:
    """List the label images that a path means: itself, those of a data set, or those of a folder.

    Raises
    ------
    LabelsError
        If there are none.
    """
    if not path.exists():
        raise LabelsError(f"There are no masks at {path}; check the path.")
    if not path.is_dir():
        return [path]
    folder = path / "labels" if (path / "labels").is_dir() else path
    files = list_images(folder)
    if not files:
        raise LabelsError(f"There are no label images in {folder}; choose another folder.")
    return files


def label_files_to_learn_from(path: Path) -> list[Path]:
    """List what `label_files` does, without those that ``split.csv`` calls ``"test"``, unless there are no others.

    What is learnt goes into training data, and test images are for the final figure only.

    Raises
    ------
    LabelsError, DatasetError
        If there are none, or ``split.csv`` cannot be understood.
    """
    files, rows = label_files(path), _rows(path)
    return [file for file in files if rows.get(file.stem, {}).get("split") != "test"] or files


def save(statistics: PolygonMasks, path: str | Path) -> None:
    """Write statistics as JSON, whole or not at all, for `learn` to read.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_text(path, statistics.model_dump_json(indent=1) + "\n")


def is_statistics(path: Path) -> bool:
    """Tell by its name whether a file holds statistics, and no label image."""
    return path.suffix.lower() == ".json" and not path.is_dir()


def open_statistics(path: Path) -> PolygonMasks:
    """Read what `save` wrote.

    Raises
    ------
    RecipeError
        If the file is missing or holds something else.
    """
    with reading(path, RecipeError):
        content = read_bytes(path, _LARGEST)
        try:
            return PolygonMasks.model_validate_json(content)
        except ValidationError as error:
            raise FileFault(
                "it does not hold the statistics of masks; give a file that 'nucleigan masks --save-statistics' wrote"
            ) from error


def _found(like: str | Path) -> Path:
    path = Path(like).expanduser()
    if not path.exists():
        raise RecipeError(
            f"Masks cannot be like {str(like)!r}: there is no such preset and no such file or folder. The presets are "
            f"{', '.join(PRESETS)}; a folder holds label images."
        )
    return path


def _rows(path: Path) -> SplitTable:
    return read_split(path / "split.csv")


def _fitted_tissue(path: Path, mpp: float | None) -> PolygonMasks:
    data = Dataset.open(path)
    # What is learnt goes into training data, and test images are for the final figure only.
    names = [name for name in data.names if data.splits[name] != "test"] or list(data.names)
    pairs = [data.pair(name) for name in names]
    size = _one_size({image.mpp or mpp or DEFAULT_MPP for image, _ in pairs}, path)
    return fit_tissue([image.pixels for image, _ in pairs], [labels for _, labels in pairs], size)


def _one_size(sizes: set[float], path: Path) -> float:
    if max(sizes) > 1.01 * min(sizes):
        raise LabelsError(
            f"The label images of {path} differ in microns per pixel, from {min(sizes):.3g} to {max(sizes):.3g}; "
            "bring them to one size first, or learn from those of one size."
        )
    return min(sizes)


def _fitted(files: list[Path], path: Path, mpp: float | None, organ: str = "") -> PolygonMasks:
    size = _one_size({read_mpp(file) or mpp or DEFAULT_MPP for file in files}, path)
    try:
        return fit((read_nuclei(file) for file in files), size)
    except LabelsError as error:
        if not organ:
            raise
        raise LabelsError(f"{organ}: {error}") from error
