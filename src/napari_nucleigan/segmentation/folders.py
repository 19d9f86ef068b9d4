"""Segmentation of files and folders of files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from napari_nucleigan.base.devices import choose_device
from napari_nucleigan.base.errors import ImageError, OutputError, explain
from napari_nucleigan.base.events import FileState, Job, Note, Progress, relay
from napari_nucleigan.base.files import check_writable, disk_is_full
from napari_nucleigan.classification import load_classifier
from napari_nucleigan.models import load_model, read_card, resolve
from napari_nucleigan.segmentation.decoding import Decoding
from napari_nucleigan.segmentation.file_plan import FileTask, ResumeLog, plan_files, results_folder
from napari_nucleigan.segmentation.formats import (
    IMAGE_FORMATS,
    SLIDE_FORMATS,
    check_results,
    files_of,
    format_of,
    write_result,
)
from napari_nucleigan.segmentation.image import segment
from napari_nucleigan.segmentation.pixel_sizes import ask_for_pixel_size, without_pixel_size
from napari_nucleigan.segmentation.scale import check_scale
from napari_nucleigan.segmentation.settings import AUTO, SegmentSettings, without_idle
from napari_nucleigan.segmentation.slides.job import segment_slide

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_nucleigan.base.events import Event
    from napari_nucleigan.data.slides import Slide
    from napari_nucleigan.models import Model, ModelCard
    from napari_nucleigan.segmentation.slides.worker import Polygons

_HOW = "give it in microns, as by --mpp 0.25"
_OTHER = f", or have it estimated from the nuclei of each such image, by --mpp {AUTO}"
_STEPS = 100  # of progress within a file
# What results do not depend on; the model stands for itself by its card.
_FREE = ("model", "device", "tile", "batch", "classifier")


@dataclass(frozen=True)
class SlideOptions:
    """How whole slides are segmented.

    Attributes
    ----------
    scheduler : str
        Address of the scheduler of a dask cluster that does the work; empty for this process.
    workers : int or None
        Threads of this process.
    region : tuple of polygons or None
        Where nuclei are wanted, as `napari_nucleigan.segmentation.slides.segment_slide` takes it.
    whole : bool
        Whether every input is one slide, such as a folder of its tiles.
    """

    scheduler: str = ""
    workers: int | None = None
    region: Polygons | None = None
    whole: bool = False


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
    seconds : float
        Time that it took, with reading and writing.
    skipped : bool
        Whether an earlier run has done it.
    """

    source: Path
    outputs: tuple[Path, ...] = ()
    nuclei: int = 0
    error: str = ""
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    skipped: bool = False

    @property
    def state(self) -> Literal["done", "skipped", "failed"]:
        """In a word what became of it."""
        return "failed" if self.error else "skipped" if self.skipped else "done"

    @property
    def event(self) -> FileState:
        """What became of it, as an event."""
        nuclei, seconds = (None, None) if self.error else (self.nuclei, self.seconds)
        return FileState(str(self.source), self.state, nuclei, seconds, self.error or " ".join(self.notes))

    def to_json(self) -> dict[str, Any]:
        """Represent the result by dictionaries, lists, numbers and strings."""
        from napari_nucleigan.data.slides import address_of

        return {
            "source": address_of(self.source) or str(self.source),
            "state": self.state,
            "outputs": [str(path) for path in self.outputs],
            "nuclei": self.nuclei,
            "seconds": round(self.seconds, 3),
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
    *,
    again: bool = False,
    recursive: bool = False,
    slides: SlideOptions | None = None,
) -> Job[list[FileResult]]:
    """Segment image files and slides: skip what an earlier run has done, and go on where one fails.

    A folder of results keeps a record, ``nucleigan-segment.jsonl``, and a report for people, ``nucleigan-segment.csv``.
    An image is done where all its results are there, and were written by a run with the same image (path, size, time
    of change), model and settings. So the work can be broken off in any way and started again.

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
    again : bool
        Whether to do again what is done.
    recursive : bool
        Whether to take the images of subfolders too, and keep these in the output.
    slides : SlideOptions, optional
        How whole slides are segmented; their results are those of `napari_nucleigan.segmentation.slides.segment_slide`.

    Yields
    ------
    Progress, Note or FileState
        Over all images.

    Returns
    -------
    list of FileResult
        One for each image, in order. Files appear whole or not at all.

    Raises
    ------
    ImageError, OutputError
        As `plan_files`, before anything is done; `ImageError` also where images have no pixel size and the settings
        give none; `OutputError` where the disk is full or the folder takes no files, which ends the work.
    ModelError, DeviceError
        If the model or the device cannot be used.
    """
    settings, slides = settings or SegmentSettings(), slides or SlideOptions()
    log = ResumeLog(results_folder(inputs, out, whole=slides.whole))
    tasks = plan_files(
        inputs,
        out,
        IMAGE_FORMATS,
        formats,
        recursive=recursive,
        results=log.results(),
        slides=SLIDE_FORMATS,
        whole=slides.whole,
    )
    asked = _asked(settings, model.card if model else read_card(resolve(settings.model)), slides.region)
    earlier = [None if again else _earlier(task, log, asked) for task in tasks]
    for task, result in zip(tasks, earlier, strict=True):
        if result is None:
            check_results(task.outputs)
    if None in earlier:
        for folder in {task.outputs[0].parent for task in tasks}:
            check_writable(folder)
        yield Progress(0, _STEPS * len(tasks), "loading the model")
        model = model or load_model(settings.model, "segmenter")
        choose_device(settings.device)  # one that is not there would fail each image
        if settings.mpp in (None, AUTO):
            begun = [task for task, result in zip(tasks, earlier, strict=True) if result is None]
            looking = Progress(0, _STEPS * len(tasks), "looking at the pixel sizes")
            missing = yield from relay(without_pixel_size(begun), lambda _: looking)
            if missing and settings.mpp == AUTO:
                if model.card.scale is not None:
                    check_scale(model.card)
            elif text := ask_for_pixel_size(len(missing), len(tasks), _HOW, _OTHER):
                raise ImageError(text)
    results: list[FileResult] = []
    course = _Course(tasks, earlier.count(None))
    try:
        for task, result in zip(tasks, earlier, strict=True):
            if result is None:
                assert model is not None
                result = yield from course.follow(_attempt(task, settings, model, log, asked, slides))
                if result.error and len(tasks) > 1:
                    yield Note(f"{task.source.name}: {result.error}", "warning")
            results.append(result)
            yield result.event
            yield course.next(result)
    except BaseException:
        with contextlib.suppress(OutputError):
            log.report()
        raise
    try:
        log.report()
    except OutputError as error:
        yield Note(str(error), "warning")
    return results


def _asked(settings: SegmentSettings, card: ModelCard, region: Polygons | None) -> str:
    """Sum up what results depend on beside the image: the settings as they are used, and the model."""
    decoding = Decoding.of(settings, card)
    used = {name: value for name, value in without_idle(decoding.used(settings)).items() if name not in _FREE}
    parts = [used, decoding.arguments, card.sha256, card.mpp, card.stain, *([region] if region else [])]
    if decoding.min_confidence:
        parts.append(card.confidence)
    if settings.classifier:
        parts.append(load_classifier(settings.classifier).card.sha256)
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _earlier(task: FileTask, log: ResumeLog, asked: str) -> FileResult | None:
    """Return what an earlier run made of an image; None where that does not serve."""
    record = log.find(task, asked)
    if record is None:
        return None
    notes, known = tuple(record.get("notes", ())), record.get("provenance", {})
    return FileResult(
        task.source,
        files_of(task.outputs),
        record["nuclei"],
        "",
        notes,
        known,
        record.get("seconds", 0.0),
        skipped=True,
    )


class _Course:
    """Where the work over all images stands."""

    def __init__(self, tasks: Sequence[FileTask], missing: int) -> None:
        self._tasks, self._missing = tasks, missing
        self._index = self._made = 0
        self._started = time.perf_counter()

    def follow(self, job: Job[FileResult]) -> Job[FileResult]:
        """Pass on what a job tells of the present image, as a part of all."""
        yield FileState(str(self._tasks[self._index].source), "running")
        return (yield from relay(job, self._placed))

    def next(self, result: FileResult) -> Progress:
        """Go on to the next image."""
        self._made += not result.skipped
        done = self._progress(1.0, result.state, self._left(0.0))
        self._index += 1
        return done

    def _placed(self, event: Event) -> Event:
        if isinstance(event, Note):
            return replace(event, text=f"{self._tasks[self._index].source.name}: {event.text}")
        if isinstance(event, Progress):
            share = event.done / max(1, event.total)
            return self._progress(share, event.what, self._left(share) or event.seconds_left)
        return event

    def _left(self, share: float) -> float | None:
        """Seconds to the end. What is skipped takes no time, and tells nothing of the time that the others take."""
        made = self._made + share
        return (time.perf_counter() - self._started) / made * max(0.0, self._missing - made) if made else None

    def _progress(self, share: float, what: str, left: float | None) -> Progress:
        total = len(self._tasks)
        prefix = f"image {self._index + 1} of {total}, {self._tasks[self._index].source.name}: " if total > 1 else ""
        return Progress(int(_STEPS * (self._index + share)), _STEPS * total, prefix + what, left)


def _attempt(
    task: FileTask, settings: SegmentSettings, model: Model, log: ResumeLog, asked: str, slides: SlideOptions
) -> Job[FileResult]:
    """Segment one file, and keep a record of it; only what no file would survive is raised."""
    begun = log.begin(task)
    started = time.perf_counter()
    try:
        segment_it = (
            _segment_slide(task, settings, model, slides) if task.slide else _segment_file(task, settings, model)
        )
        result = yield from segment_it
    except Exception as error:
        if isinstance(error, OutputError):
            if disk_is_full(error):
                raise
            check_writable(task.outputs[0].parent)
        result = FileResult(task.source, error=str(explain(error, f"segmenting {task.source.name}")))
    result = replace(result, seconds=time.perf_counter() - started)
    log.add(task, begun, asked, result.to_json())
    return result


def _segment_file(task: FileTask, settings: SegmentSettings, model: Model) -> Job[FileResult]:
    """Segment one file; whatever it raises is a failure of this file."""
    from napari_nucleigan.data.images.files import read_image

    yield Progress(0, 1, "reading")
    image = read_image(task.source)
    for note in image.notes:
        yield Note(note)
    found = yield from segment(image, settings, model)
    for path in task.outputs:
        write_result(path, found)
    count = len(found.features["label"])
    return FileResult(task.source, task.outputs, count, notes=found.notes, provenance=found.provenance)


def _segment_slide(task: FileTask, settings: SegmentSettings, model: Model, slides: SlideOptions) -> Job[FileResult]:
    """Segment one slide; one that lost tiles counts as failed, though the rest is delivered."""
    first, *others = task.outputs
    found = yield from segment_slide(
        _opened(task.source),
        first,
        settings,
        [format_of(path) for path in others],
        region=slides.region,
        scheduler=slides.scheduler,
        workers=slides.workers,
        model=model,
    )
    error = ""
    if found.lost:
        error = (
            f"{len(found.lost)} of {found.tiles} tiles could not be segmented, the first at {found.lost[0]} The others "
            "are in the results; the same again tries only those that are missing."
        )
    return FileResult(task.source, found.outputs, found.nuclei, error, found.notes, found.provenance)


def _opened(path: Path) -> Path | Slide:
    """Return a slide as `segment_slide` takes it; an image that is only said to be one is read first."""
    from napari_nucleigan.data.images.files import read_image
    from napari_nucleigan.data.slides import Slide, is_slide
    from napari_nucleigan.data.slides.slide import as_level

    if path.is_dir() or is_slide(path):
        return path
    image = read_image(path)
    return Slide(image.name, path, (as_level(image.pixels, image.name),), image.mpp, notes=image.notes)
