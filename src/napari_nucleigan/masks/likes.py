"""What masks can be like: a preset, label images, or statistics that were saved."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from napari_nucleigan.data.images import list_images, read_labels, read_mpp
from napari_nucleigan.errors import LabelsError, RecipeError
from napari_nucleigan.files import write_text
from napari_nucleigan.masks.parameters import PolygonMasks
from napari_nucleigan.masks.polygons import PRESETS, fit, preset

DEFAULT_MPP = 0.25
"""Microns per pixel of label images that do not say theirs."""


def learn(like: str, mpp: float | None = None) -> PolygonMasks:
    """Find the statistics of what masks shall be like.

    Parameters
    ----------
    like : str
        A preset; a file that `save` wrote; a label image, a folder of them, or a data set.
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
        If label images are missing, damaged, empty, or of different pixel sizes.
    """
    if like in PRESETS:
        return preset(like)
    path = Path(like).expanduser()
    if not path.exists():
        raise RecipeError(
            f"Masks cannot be like {like!r}: there is no such preset and no such file or folder. The presets are "
            f"{', '.join(PRESETS)}; a folder holds label images."
        )
    if path.suffix.lower() == ".json":
        return _saved(path)
    files = _label_files(path)
    sizes = {read_mpp(file) or mpp or DEFAULT_MPP for file in files}
    if max(sizes) > 1.01 * min(sizes):
        raise LabelsError(
            f"The label images of {path} differ in microns per pixel, from {min(sizes):.3g} to {max(sizes):.3g}; "
            "bring them to one size first, or learn from those of one size."
        )
    return fit((read_labels(file) for file in files), min(sizes))


def save(statistics: PolygonMasks, path: str | Path) -> None:
    """Write statistics as JSON, whole or not at all, for `learn` to read.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_text(path, statistics.model_dump_json(indent=1) + "\n")


def _saved(path: Path) -> PolygonMasks:
    try:
        return PolygonMasks.model_validate_json(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise RecipeError(
            f"{path} does not hold the statistics of masks; give a file that 'nucleigan masks --save-statistics' wrote."
        ) from error


def _label_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    folder = path / "labels" if (path / "labels").is_dir() else path
    files = list_images(folder)
    if not files:
        raise LabelsError(f"There are no label images in {folder}; choose another folder.")
    return files
