"""Stain normalisation of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nucleigan.base.errors import ImageError, NucleiganError
from napari_nucleigan.base.events import Job, Note, Progress
from napari_nucleigan.segmentation.file_plan import plan_files
from napari_nucleigan.segmentation.folders import FileResult

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


FORMATS = (".tif", ".png")


def normalize_files(
    inputs: Sequence[Path], out: Path, to: Path | None = None, method: str = "vahadane"
) -> Job[list[FileResult]]:
    """Normalise image files, and go on where one fails.

    Parameters
    ----------
    inputs : sequence of Path
        Image files, and folders whose images are taken.
    out : Path
        For one image file: the file to write (``.tif`` or ``.png``). Else a folder.
    to : Path, optional
        Image whose stains to take; by default the project's reference.
    method : {"vahadane", "macenko", "reinhard"}
        How.

    Returns
    -------
    list of FileResult

    Raises
    ------
    ImageError
        If the reference cannot be read, or has no stains to take.
    OutputError
        As `plan_files`.
    """
    from dataclasses import replace

    from napari_nucleigan import stains
    from napari_nucleigan.data.images.files import read_image, write_image

    tasks = plan_files(inputs, out, FORMATS)
    target = replace(stains.REFERENCE, method=method)
    if to is not None:
        target = stains.fit(read_image(to).pixels, method)
        if target.method == "identity":
            raise ImageError(f"{to} cannot be the reference: {' '.join(target.notes)}")
        for note in target.notes:
            yield Note(f"{to.name}: {note}", "warning")
    results: list[FileResult] = []
    for index, task in enumerate(tasks):
        yield Progress(index, len(tasks), f"normalising {task.source.name}")
        try:
            image = read_image(task.source)
            source = stains.fit(image.pixels, method)
            pixels = stains.normalize(image.pixels, target, source)
            write_image(task.outputs[0], pixels, image.mpp)
        except NucleiganError as error:
            results.append(FileResult(task.source, error=str(error)))
            if len(tasks) > 1:
                yield Note(f"{task.source.name}: {error}", "warning")
            continue
        notes = (*image.notes, *source.notes)
        results.append(FileResult(task.source, task.outputs, notes=notes))
        for text in notes:
            yield Note(f"{task.source.name}: {text}")
    return results
