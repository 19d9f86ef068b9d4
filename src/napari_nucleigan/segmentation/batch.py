"""Segmenting files and folders of files."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleigan.errors import NucleiganError
from napari_nucleigan.events import Job, Note, Progress
from napari_nucleigan.files import make_folder
from napari_nucleigan.models import load_model
from napari_nucleigan.segmentation.core import Segmentation, segment
from napari_nucleigan.segmentation.plan import FileTask, known_suffix, plan_files
from napari_nucleigan.segmentation.settings import SegmentSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.models import Model

FORMATS = (".tif", ".geojson", ".csv")
"""What can be written: label images, polygons that QuPath opens, one row for each nucleus."""

_STEPS = 100  # of progress within a file


@dataclass(frozen=True)
class FileResult:
    """What became of one image.

    Attributes
    ----------
    source : Path
        The image.
    outputs : tuple of Path
        What was written.
    nuclei : int
        How many were found.
    error : str
        Why it failed; empty where it did not.
    notes : tuple of str
        What the user should know.
    provenance : dict
        As in `Segmentation`.
    """

    source: Path
    outputs: tuple[Path, ...] = ()
    nuclei: int = 0
    error: str = ""
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Represent the result by dictionaries, lists, numbers and strings."""
        return {
            "source": str(self.source),
            "outputs": [str(path) for path in self.outputs],
            "nuclei": self.nuclei,
            "error": self.error or None,
            "notes": list(self.notes),
            "provenance": self.provenance,
        }


def segment_files(
    inputs: Sequence[str | Path],
    out: str | Path,
    settings: SegmentSettings | None = None,
    formats: Sequence[str] = (),
    model: Model | None = None,
) -> Job[list[FileResult]]:
    """Segment image files, and go on where one fails.

    Parameters
    ----------
    inputs : sequence of str or Path
        Image files, and folders whose images are taken.
    out : str or Path
        As for `plan_files`.
    settings : SegmentSettings, optional
        How to segment.
    formats : sequence of str
        As for `plan_files`.
    model : Model, optional
        A loaded model; by default the one that the settings name.

    Yields
    ------
    Progress or Note
        Over all images.

    Returns
    -------
    list of FileResult
        One for each image, in order. Files appear whole or not at all.

    Raises
    ------
    ImageError, OutputError
        As `plan_files`, before anything is done.
    ModelError
        If the model cannot be used.
    """
    settings = settings or SegmentSettings()
    tasks = plan_files(inputs, out, FORMATS, formats)
    for folder in {task.outputs[0].parent for task in tasks}:
        make_folder(folder)
    yield Progress(0, _STEPS * len(tasks), "loading the model")
    model = model or load_model(settings.model, "segmenter")
    results: list[FileResult] = []
    started = time.perf_counter()
    for index, task in enumerate(tasks):
        prefix = f"{index + 1} of {len(tasks)}, {task.source.name}: " if len(tasks) > 1 else ""
        with contextlib.closing(_segment_file(task, settings, model)) as job:
            while True:
                try:
                    event = next(job)
                except StopIteration as stop:
                    results.append(stop.value)
                    if stop.value.error and len(tasks) > 1:
                        yield Note(f"{task.source.name}: {stop.value.error}", "warning")
                    break
                if isinstance(event, Note):
                    yield replace(event, text=f"{task.source.name}: {event.text}")
                elif isinstance(event, Progress):
                    share = index + event.done / max(1, event.total)
                    spent = time.perf_counter() - started
                    left = spent / share * (len(tasks) - share) if share > 0 else event.seconds_left
                    steps = (int(_STEPS * share), _STEPS * len(tasks))
                    yield Progress(*steps, prefix + event.what, left)
    return results


def _segment_file(task: FileTask, settings: SegmentSettings, model: Model) -> Job[FileResult]:
    from napari_nucleigan.data.images import read_image

    try:
        yield Progress(0, 1, "reading")
        image = read_image(task.source)
        for note in image.notes:
            yield Note(note)
        found = yield from segment(image, settings, model)
        for path in task.outputs:
            write_result(path, found)
    except NucleiganError as error:
        return FileResult(task.source, error=str(error))
    return FileResult(
        task.source,
        task.outputs,
        len(found.features["label"]),
        notes=found.notes,
        provenance=found.provenance,
    )


def write_result(path: str | Path, segmentation: Segmentation) -> None:
    """Write a segmentation in the format that the suffix tells: ``.tif``, ``.geojson``, ``.csv``.

    Raises
    ------
    OutputError
        If the format is not known, or the file cannot be written.
    """
    path = Path(path)
    suffix = known_suffix(path.suffix, FORMATS)
    if suffix == ".tif":
        from napari_nucleigan.data.images import write_labels

        write_labels(path, segmentation.labels, segmentation.mpp)
    elif suffix == ".geojson":
        from napari_nucleigan.data.geojson import write_geojson

        write_geojson(path, segmentation.labels, segmentation.features, segmentation.mpp)
    else:
        from napari_nucleigan.features import write_csv

        write_csv(path, segmentation.features)
