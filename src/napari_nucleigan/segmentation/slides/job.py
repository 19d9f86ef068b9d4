"""Slide segmentation: from a whole slide to its nuclei, in memory that does not grow with it."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from concurrent.futures import wait
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.devices import kept_memory
from napari_nucleigan.base.errors import LabelsError, OutputError, explain
from napari_nucleigan.base.events import Job, Note, Progress
from napari_nucleigan.base.files import make_folder, write_text
from napari_nucleigan.base.locks import FileLock
from napari_nucleigan.base.pixels import sides
from napari_nucleigan.base.version import __version__
from napari_nucleigan.data.slides import address_of
from napari_nucleigan.models import load_model
from napari_nucleigan.segmentation.artefacts import find_artefacts
from napari_nucleigan.segmentation.file_plan import plan_outputs
from napari_nucleigan.segmentation.formats import check_results, files_of, write_slide_results
from napari_nucleigan.segmentation.scale import pixel_size
from napari_nucleigan.segmentation.segmenter import Segmenter
from napari_nucleigan.segmentation.settings import SegmentSettings, without_idle
from napari_nucleigan.segmentation.slides import executors
from napari_nucleigan.segmentation.slides.assembly import GrowingSlide, TileStore
from napari_nucleigan.segmentation.slides.executors import TICK, TRIES, segmented
from napari_nucleigan.segmentation.slides.nuclei import SlideNuclei
from napari_nucleigan.segmentation.slides.results import LostTile, SlideResult
from napari_nucleigan.segmentation.slides.tissue import find_tissue, tissue_samples
from napari_nucleigan.segmentation.slides.worker import SlideRequest, TileWorker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from napari_nucleigan.data.slides import Slide
    from napari_nucleigan.data.slides.label_pyramids import LabelPyramid
    from napari_nucleigan.models import Model
    from napari_nucleigan.segmentation.slides.tissue import TissueMask
    from napari_nucleigan.segmentation.slides.worker import Polygons
    from napari_nucleigan.tiling import Tile

CORE = {"bfloat16": 1728, "float32": 1216}
"""Side of the cores of the tiles, in pixels at the model's scale: as large as 2.5 GB of memory allow.

With its halo a pixel takes 170 to 220 bytes in the networks, twice that in float32, and 50 when nuclei are cut apart.
"""

TRIM = 2
"""Tiles after which free memory goes back to the system, so that it does not grow with the slide."""

HOPELESS = 3
"""If so many tiles fail before one is done, none will be."""

_FREE = {"device", "batch"}  # settings that change nothing of what is found


def segment_slide(
    source: str | Path | Slide,
    out: str | Path,
    settings: SegmentSettings | None = None,
    formats: Sequence[str] = (),
    *,
    region: Polygons | None = None,
    scheduler: str = "",
    workers: int | None = None,
    model: Model | None = None,
    live: bool = False,
    compute: bool = True,
) -> Job[SlideResult]:
    """Segment a whole slide, tile by tile, and write what is found.

    Finished tiles wait in a hidden folder beside the results. If the work ends early, however it does, the same call
    goes on from there.

    Parameters
    ----------
    source : str, Path or Slide
        A slide as `napari_nucleigan.data.slides.open_slide` takes it, or an open one.
    out : str or Path
        As for `napari_nucleigan.segmentation.file_plan.plan_outputs`.
    settings : SegmentSettings, optional
        How to segment.
    formats : sequence of str
        As for `plan_outputs`.
    region : tuple of polygons, optional
        Where nuclei are wanted: corners (row, column) in pixels of the slide. A nucleus counts if its centroid lies
        inside. By default everywhere.
    scheduler : str
        Address of the scheduler of a dask cluster that does the work; empty for this process. Its workers must find
        slide and model under the same paths.
    workers : int, optional
        Threads in this process, without a cluster.
    model : Model, optional
        A loaded model; by default the one that the settings name.
    live : bool
        Whether to paint labels, with numbers of their own, while the work goes on; `Painted` says where.
    compute : bool
        False to make the results of those tiles only that are done already.

    Yields
    ------
    Progress, Note or Painted
        Closing the generator stops the work; finished tiles are kept.

    Returns
    -------
    SlideResult

    Raises
    ------
    ImageError
        If the slide cannot be opened, or its scale cannot be right.
    LabelsError
        If the region lies wholly outside the slide.
    ModelError, DeviceError
        If the model or the device cannot be used.
    OutputError
        If results cannot be written.
    RunError, ExtraError
        If the cluster cannot be reached.
    """
    settings = settings or SegmentSettings()
    if model is None:
        yield Progress(0, 1, "loading the model")
        model = load_model(settings.model, "segmenter")
    with _opened(source) as slide:
        job = _SlideJob(slide, model, settings, region, plan_outputs_of(slide, out, formats))
        return (yield from job.run(scheduler, workers, live, compute))


def plan_outputs_of(slide: Slide, out: str | Path, formats: Sequence[str]) -> tuple[Path, ...]:
    """Decide which files are made of a slide, and refuse to overwrite it, or what is not this program's."""
    paths = plan_outputs(slide.name, out, formats)
    for path in paths:
        if slide.path.exists() and path.exists() and path.samefile(slide.path):
            raise OutputError(f"{path} is the slide itself; choose another folder or name.")
    check_results(paths)
    return paths


@contextmanager
def _kept_if_begun(work: Path) -> Iterator[None]:
    """Remove the folder of the work where it fails before a tile is done: the next call has nothing to go on from."""
    try:
        yield
    except Exception:
        if not any((work / "tiles").glob("*")):
            shutil.rmtree(work, ignore_errors=True)
        raise


class _SlideJob:
    def __init__(
        self,
        slide: Slide,
        model: Model,
        settings: SegmentSettings,
        region: Polygons | None,
        paths: tuple[Path, ...],
    ) -> None:
        self.slide, self.model, self.settings, self.region, self.paths = slide, model, settings, region, paths
        self.segmenter = Segmenter(model, settings)
        self.notes: list[str] = []
        self.lost: list[LostTile] = []
        self.begun = time.perf_counter()

    def run(self, scheduler: str, workers: int | None, live: bool, compute: bool) -> Job[SlideResult]:
        yield from self._say(*self.slide.notes)
        if self.region is not None and not _reaches(self.region, (0, self.slide.shape[0], 0, self.slide.shape[1])):
            raise LabelsError(
                f"The region lies wholly outside {self.slide.name}, which is {self.slide.shape[1]} x "
                f"{self.slide.shape[0]} pixels; draw it on this slide, in pixels of its full resolution."
            )
        size, notes = pixel_size(self.slide, self.segmenter)
        mpp = size.mpp
        for note in notes:
            yield from self._say(note.text, level=note.level)
        yield Progress(0, 1, "looking for tissue")
        tissue = find_tissue(self.slide, mpp)
        yield from self._say(*tissue.notes, level="warning")
        artefacts = yield from find_artefacts(self.slide, mpp, partial(self._is_wanted, tissue))
        yield from self._say(*filter(None, [artefacts.note()]))
        stains = yield from self._stains(tissue, mpp)
        request = SlideRequest(
            self.slide.path.absolute(), self.model.path, self.model.card.sha256, self.settings, mpp, stains, self.region
        )
        worker = TileWorker(self.slide, self.model, request, self.segmenter)
        tiles = self.segmenter.tiles(worker.view.shape, self._core)
        wanted = [number for number, tile in enumerate(tiles) if self._is_wanted(tissue, *self._on_slide(tile, worker))]
        work = self._work_folder(request, tissue)
        with FileLock(work / "lock").held(self._refused), _kept_if_begun(work):
            picture = self._picture(work, worker, mpp) if live else None
            yield Progress(0, 1, "looking at finished tiles")
            whole = GrowingSlide(TileStore(work / "tiles"), tiles, wanted, picture)
            resumed = len(whole.done)
            if resumed:
                yield from self._say(f"{resumed} of {len(wanted)} tiles were done already.")
            equipment = worker.equipment()
            if compute and len(whole.done) < len(wanted):
                opened = executors.cluster(request, scheduler) if scheduler else executors.threads(worker, workers)
                with opened as executor:
                    equipment = yield from self._equipment(executor)
                    yield from self._segment(executor, equipment.batch, tiles, wanted, whole, worker)
            yield from whole.grow(skip=True)
            seconds = time.perf_counter() - self.begun
            provenance = self.segmenter.provenance(size, seconds) | {
                "device": equipment.device,
                "precision": equipment.precision,
                "slide": address_of(self.slide.path) or str(self.slide.path),
                "tissue": round(tissue.share, 4),
                "artefacts": {kind: round(share, 4) for kind, share in artefacts.shares().items()},
                "lost": [str(one) for one in self.lost],
            }
            found = SlideNuclei(worker.view, whole.assembly, mpp, provenance, self.segmenter.classifier, artefacts)
            yield from write_slide_results(self.paths, found)
            if compute and not self.lost:
                shutil.rmtree(work, ignore_errors=True)
        seconds = time.perf_counter() - self.begun
        return SlideResult(
            self.slide.name,
            files_of(self.paths),
            whole.assembly.count,
            tuple(self.lost),
            len(wanted),
            resumed,
            tuple(self.notes),
            {**provenance, "seconds": round(seconds, 3)},
            seconds,
            artefacts,
        )

    @property
    def _core(self) -> int:
        return self.settings.tile or CORE[self.segmenter.predictor.precision]

    def _refused(self, owner: str) -> OutputError:
        return OutputError(
            f"Another process is segmenting {self.slide.name} into {self.paths[0].parent} ({owner}); wait for it, or "
            "choose another folder."
        )

    def _say(self, *texts: str, level: str = "info") -> Iterator[Note]:
        for text in texts:
            self.notes.append(text)
            yield Note(text, level)

    def _stains(self, tissue: TissueMask, mpp: float) -> Job[tuple[dict[str, Any], dict[str, Any]] | None]:
        target = self.segmenter.stain_target()
        if target is None:
            return None
        from napari_nucleigan import stains

        yield Progress(0, 1, "reading the stains")
        source = stains.fit(tissue_samples(self.slide, tissue, mpp), target.method)
        yield from self._say(*source.notes, level="warning")
        return source.to_json(), target.to_json()

    def _is_wanted(self, tissue: TissueMask, *box: float) -> bool:
        """Whether there is tissue, and the region, in a box of pixels of the slide: top, bottom, left, right."""
        return (self.region is None or _reaches(self.region, box)) and tissue.meets(*box)

    def _on_slide(self, tile: Tile, worker: TileWorker) -> tuple[float, float, float, float]:
        (vertical, horizontal), core = worker.view.factors, tile.core
        return core.top * vertical, core.bottom * vertical, core.left * horizontal, core.right * horizontal

    def _work_folder(self, request: SlideRequest, tissue: TissueMask) -> Path:
        """Return where the tiles of this very slide, model and settings wait."""
        known = {
            "version": __version__,
            "slide": str(request.slide),
            "stamp": _stamp(request.slide),
            "shape": list(self.slide.shape),
            "model": request.sha256,
            "settings": without_idle(self.settings.model_dump(mode="json", by_alias=True, exclude=_FREE)),
            "mpp": request.mpp,
            "stains": request.stains,
            "region": request.region,
            "core": self._core,
            "tissue": hashlib.sha256(tissue.mask.tobytes()).hexdigest(),
        }
        if least := self.segmenter.decoding.min_confidence:
            known["confidence"] = [least, self.model.card.confidence]
        if (classifier := self.segmenter.classifier) is not None:
            known["classifier"] = classifier.card.sha256
        text = json.dumps(known, indent=2)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        folder = make_folder(self.paths[0].parent / f".{self.slide.name[:40]}-{digest}.nucleigan")
        write_text(folder / "slide.json", text, flush=False)
        return folder

    def _picture(self, work: Path, worker: TileWorker, mpp: float) -> LabelPyramid:
        from napari_nucleigan.data.slides.label_pyramids import LabelPyramid

        height, width = sides(mpp)
        scale = height * worker.view.factors[0], width * worker.view.factors[1]
        return LabelPyramid(work / "live.ome.zarr", worker.view.shape, scale, {}, sharded=False)

    def _equipment(self, executor: executors.TileExecutor) -> Job[Any]:
        future = executor.equipment()
        while not future.done():
            executor.room()  # says if nobody will come any more
            yield Progress(0, 1, "waiting for workers")
            wait([future], TICK)
        return future.result()

    def _segment(
        self,
        executor: executors.TileExecutor,
        batch: int,
        tiles: Sequence[Tile],
        wanted: Sequence[int],
        whole: GrowingSlide,
        worker: TileWorker,
    ) -> Job[None]:
        """Have all tiles segmented that are not done, and take them over in their order."""
        left = [number for number in wanted if number not in whole.done]
        before, given_up, begun = len(wanted) - len(left), 0, time.perf_counter()
        with kept_memory() as give_back, closing(segmented(executor, tiles, left, batch)) as dispatched:
            for news in dispatched:
                if news is not None:
                    number, found = news
                    if isinstance(found, Exception):
                        given_up += 1
                        if given_up == len(whole.done) - before + 1 and given_up in (HOPELESS, len(wanted)):
                            raise found
                        yield from self._give_up(number, tiles[number], found, worker)
                    whole.settle(number, None if isinstance(found, Exception) else found)
                    if len(whole.done) % TRIM == 0:
                        give_back()
                yield from whole.grow()
                finished = len(whole.done) - before
                rest = (time.perf_counter() - begun) / finished * (len(left) - finished) if finished else None
                yield Progress(before + finished, len(wanted), "segmenting tiles", rest)

    def _give_up(self, number: int, tile: Tile, error: Exception, worker: TileWorker) -> Iterator[Note]:
        top, bottom, left, right = (round(value) for value in self._on_slide(tile, worker))
        reason = explain(error, "segmenting it")
        self.lost.append(LostTile(top, bottom, left, right, str(reason)))
        yield from self._say(f"A tile was given up after {TRIES} tries, {self.lost[-1]}", level="warning")


def _opened(source: str | Path | Slide) -> AbstractContextManager[Slide]:
    from napari_nucleigan.data.slides import Slide, open_slide

    return nullcontext(source) if isinstance(source, Slide) else open_slide(source)


def _reaches(region: Polygons, box: tuple[float, ...]) -> bool:
    """Whether what is around a polygon of a region meets a box: top, bottom, left, right."""
    top, bottom, left, right = box
    bounds = (tuple(zip(*polygon, strict=True)) for polygon in region)
    return any(min(y) < bottom and max(y) > top and min(x) < right and max(x) > left for y, x in bounds)


def _stamp(path: Path) -> list[int]:
    """Tell apart versions of a file."""
    with suppress(OSError):
        known = path.stat()
        return [known.st_size, known.st_mtime_ns]
    return []
