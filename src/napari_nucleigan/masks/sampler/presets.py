"""Presets: a tissue by its name, label images, or statistics that were saved, for masks to be like."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.base.files import write_text
from napari_nucleigan.data.datasets.dataset import read_split
from napari_nucleigan.data.images.files import list_images, read_labels, read_mpp
from napari_nucleigan.masks.sampler.parameters import PolygonMasks
from napari_nucleigan.masks.sampler.sample import PRESETS, fit, preset

DEFAULT_MPP = 0.25
"""Microns per pixel of label images that do not say theirs."""


def learn(like: str | Path, mpp: float | None = None) -> PolygonMasks:
    """Find the statistics of what masks shall be like.

    Parameters
    ----------
    like : str or Path
        A preset; a file that `save` wrote; a label image, a folder of them, or a data set. From images that
        ``split.csv`` calls ``"test"`` nothing is learnt, unless there are no others.
    mpp : float, optional
        Microns per pixel of label images that do not say theirs; by default 0.25.

    Returns
    -------
    PolygonMasks

    Raises
    ------
    RecipeError
        If there is no such thing, or a file does not hold statistics.
    LabelsError
        If label images are missing, damaged, without nuclei, or of different pixel sizes.
    DatasetError
        If ``split.csv`` cannot be understood.
    """
    if like in PRESETS:
        return preset(str(like))
    path = _found(like)
    return open_statistics(path) if is_statistics(path) else _fitted(_to_learn_from(path), path, mpp)


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
    for file in _to_learn_from(path):
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
    try:
        return PolygonMasks.model_validate_json(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise RecipeError(
            f"{path} does not hold the statistics of masks; give a file that 'nucleigan masks --save-statistics' wrote."
        ) from error


def _found(like: str | Path) -> Path:
    path = Path(like).expanduser()
    if not path.exists():
        raise RecipeError(
            f"Masks cannot be like {str(like)!r}: there is no such preset and no such file or folder. The presets are "
            f"{', '.join(PRESETS)}; a folder holds label images."
        )
    return path


def _rows(path: Path) -> dict[str, dict[str, str]]:
    return read_split(path / "split.csv") if path.is_dir() else {}


def _to_learn_from(path: Path) -> list[Path]:
    files, rows = label_files(path), _rows(path)
    # What is learnt goes into training data, and test images are for the final figure only.
    return [file for file in files if rows.get(file.stem, {}).get("split") != "test"] or files


def _fitted(files: list[Path], path: Path, mpp: float | None, organ: str = "") -> PolygonMasks:
    sizes = {read_mpp(file) or mpp or DEFAULT_MPP for file in files}
    if max(sizes) > 1.01 * min(sizes):
        raise LabelsError(
            f"The label images of {path} differ in microns per pixel, from {min(sizes):.3g} to {max(sizes):.3g}; "
            "bring them to one size first, or learn from those of one size."
        )
    try:
        return fit((read_labels(file) for file in files), min(sizes))
    except LabelsError as error:
        if not organ:
            raise
        raise LabelsError(f"{organ}: {error}") from error
