"""Pixel sizes of images that are about to be segmented: what does not say its microns per pixel is asked for, first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.segmentation.file_plan import FileTask


def without_pixel_size(tasks: Sequence[FileTask]) -> Job[list[FileTask]]:
    """Find the images whose files do not say their microns per pixel, by their headers.

    Those that cannot be read are left out: what is wrong with them is said when it is their turn.

    Parameters
    ----------
    tasks : sequence of FileTask
        The images.

    Yields
    ------
    Progress

    Returns
    -------
    list of FileTask
    """
    missing = []
    for number, task in enumerate(tasks):
        yield Progress(number, len(tasks), "looking at the pixel sizes")
        try:
            if not _mpp(task):
                missing.append(task)
        except NucleiganError:
            continue
    return missing


def ask_for_pixel_size(missing: int, total: int, how: str, other: str = "") -> str:
    """Say how many images have no pixel size, and how one is given, or had otherwise; empty where all have one."""
    if not missing:
        return ""
    have = f"{missing} of {total} images have" if total > 1 else "The image has"
    holds = ", which then holds for all images" if 1 < total != missing else ""
    return f"{have} no pixel size, without which nuclei would be sought at a wrong scale: {how}{holds}{other}."


def _mpp(task: FileTask) -> float | None:
    from napari_nucleigan.data.images.files import read_mpp
    from napari_nucleigan.data.slides import is_slide, open_slide

    if task.source.is_dir() or (task.slide and is_slide(task.source)):
        with open_slide(task.source) as slide:
            return slide.mpp
    return read_mpp(task.source)
