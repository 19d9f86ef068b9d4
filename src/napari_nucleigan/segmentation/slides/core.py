"""From a whole slide to its nuclei, in memory that does not grow with it."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_nucleigan import __version__
from napari_nucleigan.errors import NucleiganError, OutputError
from napari_nucleigan.events import Job, Note, Painted, Progress
from napari_nucleigan.files import make_folder, write_text
from napari_nucleigan.masks.splitting import GRID
from napari_nucleigan.models import load_model
from napari_nucleigan.segmentation.core import stain_reference, used_settings
from napari_nucleigan.segmentation.settings import SegmentSettings
from napari_nucleigan.segmentation.slides import crews, outputs
from napari_nucleigan.segmentation.slides.assembly import Assembly, stamp
from napari_nucleigan.segmentation.slides.records import Shelf
from napari_nucleigan.segmentation.slides.tissue import find_tissue, tissue_samples
from napari_nucleigan.segmentation.slides.worker import Order, TileWorker
from napari_nucleigan.segmentation.tiles import plan_tiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from napari_nucleigan.data.slides import Slide
    from napari_nucleigan.data.slides.pyramids import LabelPyramid
    from napari_nucleigan.models import Model
    from napari_nucleigan.segmentation.slides.records import TileRecord
    from napari_nucleigan.segmentation.slides.tissue import Tissue
    from napari_nucleigan.segmentation.slides.worker import Region
    from napari_nucleigan.segmentation.tiles import Tile

CORE = 2048
"""Side of the cores of the tiles, in pixels at the model's scale."""

TRIES = 3
"""Times that a tile is tried before it is given up."""

_TICK = 0.2  # seconds between looks at whether the job is still wanted
_FREE = {"device", "batch"}  # settings that change nothing of what is found


@dataclass(frozen=True)
class LostTile:
    """A part of a slide that could not be segmented.

    Attributes
    ----------
    top, bottom, left, right : int
        First row, last row + 1, first and last column + 1, in pixels of the slide.
    error : str
        Why.
    """

    top: int
    bottom: int
    left: int
    right: int
    error: str

    def __str__(self) -> str:
        """Say it to people."""
        return f"x {self.left} to {self.right}, y {self.top} to {self.bottom}: {self.error}"


@dataclass(frozen=True)
class SlideResult:
    """What became of a slide.

    Attributes
    ----------
    name : str
        Name of the slide.
    outputs : tuple of Path
        What was written.
    nuclei : int
        How many were found.
    lost : tuple of LostTile
        Parts that could not be segmented, after several tries; all else was delivered.
    tiles, resumed : int
        Tiles with tissue, and how many of them an earlier run had done.
    notes : tuple of str
        What the user should know.
    provenance : dict
        Model, checksum, version, settings as used, device, precision and seconds; ready for JSON.
    seconds : float
        Time that it took, without loading the model.
    """

    name: str
    outputs: tuple[Path, ...]
    nuclei: int
    lost: tuple[LostTile, ...] = ()
    tiles: int = 0
    resumed: int = 0
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def segment_slide(
    source: str | Path | Slide,
    out: str | Path,
    settings: SegmentSettings | None = None,
    formats: Sequence[str] = (),
    *,
    region: Region | None = None,
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
        As for `napari_nucleigan.segmentation.slides.outputs.plan_outputs`.
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
    """Decide which files are made of a slide, and refuse to overwrite it."""
    paths = outputs.plan_outputs(slide.name, out, formats)
    for path in paths:
        if slide.path.exists() and path.exists() and path.samefile(slide.path):
            raise OutputError(f"{path} is the slide itself; choose another folder or name.")
    return paths


class _SlideJob:
    def __init__(
        self,
        slide: Slide,
        model: Model,
        settings: SegmentSettings,
        region: Region | None,
        paths: tuple[Path, ...],
    ) -> None:
        self.slide, self.model, self.settings, self.region, self.paths = slide, model, settings, region, paths
        self.notes: list[str] = []
        self.lost: list[LostTile] = []
        self.begun = time.perf_counter()

    def run(self, scheduler: str, workers: int | None, live: bool, compute: bool) -> Job[SlideResult]:
        yield from self._say(*self.slide.notes)
        mpp = yield from self._mpp()
        yield Progress(0, 1, "looking for tissue")
        tissue = find_tissue(self.slide, mpp)
        stains = yield from self._stains(tissue, mpp)
        order = Order(
            self.slide.path.absolute(), self.model.path, self.model.card.sha256, self.settings, mpp, stains, self.region
        )
        worker = TileWorker(self.slide, self.model, order)
        tiles = plan_tiles(
            worker.view.shape,
            self.settings.tile or CORE,
            int(self.model.network.halo),
            math.lcm(worker.predictor.stride, GRID),
        )
        wanted = [number for number, tile in enumerate(tiles) if self._has_tissue(tile, tissue, worker)]
        work = self._work_folder(order, tissue)
        shelf = Shelf(work / "tiles")
        done = shelf.numbers() & set(wanted)
        resumed = len(done)
        if resumed:
            yield from self._say(f"{resumed} of {len(wanted)} tiles were done already.")
        assembly = Assembly(tiles, shelf.get)
        picture = self._picture(work, worker, mpp) if live else None
        equipment = worker.equipment()
        if compute and len(done) < len(wanted):
            crew = crews.cluster(order, scheduler) if scheduler else crews.threads(worker, workers)
            with crew as hands:
                equipment = yield from self._equipment(hands)
                yield from self._segment(hands, equipment.batch, tiles, wanted, done, shelf, assembly, worker, picture)
        for number in wanted:
            yield from self._assemble(number, shelf, assembly, picture)
        seconds = time.perf_counter() - self.begun
        provenance = {
            "model": self.model.card.name,
            "sha256": self.model.card.sha256,
            "version": __version__,
            "settings": used_settings(self.settings, worker.cutting, worker.predictor.views),
            "mpp": mpp,
            "device": equipment.device,
            "precision": equipment.precision,
            "seconds": round(seconds, 3),
            "slide": str(self.slide.path),
            "tissue": round(tissue.share, 4),
            "lost": [str(one) for one in self.lost],
        }
        found = outputs.Findings(worker.view, assembly, mpp, provenance)
        for count, path in enumerate(self.paths):
            yield from outputs.write_findings(path, found, count, len(self.paths))
        if compute and not self.lost:
            shutil.rmtree(work, ignore_errors=True)
        seconds = time.perf_counter() - self.begun
        return SlideResult(
            self.slide.name,
            self.paths,
            assembly.count,
            tuple(self.lost),
            len(wanted),
            resumed,
            tuple(self.notes),
            {**provenance, "seconds": round(seconds, 3)},
            seconds,
        )

    def _say(self, *texts: str, level: str = "info") -> Iterator[Note]:
        for text in texts:
            self.notes.append(text)
            yield Note(text, level)

    def _mpp(self) -> Job[float]:
        mpp = self.settings.mpp or self.slide.mpp
        if mpp is None:
            mpp = self.model.card.mpp
            yield from self._say(
                f"{self.slide.name} does not say its microns per pixel; {mpp:g} was taken, as the model was trained "
                "at. Give the right value if nuclei look cut up or merged.",
                level="warning",
            )
        return mpp

    def _stains(self, tissue: Tissue, mpp: float) -> Job[tuple[dict[str, Any], dict[str, Any]] | None]:
        target = stain_reference(self.settings, self.model.card)
        if target is None:
            return None
        from napari_nucleigan import stains

        yield Progress(0, 1, "reading the stains")
        source = stains.fit(tissue_samples(self.slide, tissue, mpp), target.method)
        yield from self._say(*source.notes, level="warning")
        return source.to_json(), target.to_json()

    def _has_tissue(self, tile: Tile, tissue: Tissue, worker: TileWorker) -> bool:
        top, bottom, left, right = self._on_slide(tile, worker)
        if self.region is not None and not any(
            min(row for row, _ in polygon) < bottom
            and max(row for row, _ in polygon) > top
            and min(column for _, column in polygon) < right
            and max(column for _, column in polygon) > left
            for polygon in self.region
        ):
            return False
        return tissue.meets(top, bottom, left, right)

    def _on_slide(self, tile: Tile, worker: TileWorker) -> tuple[float, float, float, float]:
        (vertical, horizontal), core = worker.view.factors, tile.core
        return core.top * vertical, core.bottom * vertical, core.left * horizontal, core.right * horizontal

    def _work_folder(self, order: Order, tissue: Tissue) -> Path:
        """Return where the tiles of this very slide, model and settings wait."""
        known = {
            "version": __version__,
            "slide": str(order.slide),
            "stamp": _stamp(order.slide),
            "shape": list(self.slide.shape),
            "model": order.sha256,
            "settings": self.settings.model_dump(mode="json", exclude=_FREE),
            "mpp": order.mpp,
            "stains": order.stains,
            "region": order.region,
            "core": self.settings.tile or CORE,
            "tissue": hashlib.sha256(tissue.mask.tobytes()).hexdigest(),
        }
        text = json.dumps(known, indent=2)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        folder = make_folder(self.paths[0].parent / f".{self.slide.name[:40]}-{digest}.nucleigan")
        write_text(folder / "slide.json", text, flush=False)
        return folder

    def _picture(self, work: Path, worker: TileWorker, mpp: float) -> LabelPyramid:
        from napari_nucleigan.data.slides.pyramids import LabelPyramid

        scale = mpp * worker.view.factors[0], mpp * worker.view.factors[1]
        return LabelPyramid(work / "live.ome.zarr", worker.view.shape, scale, {})

    def _equipment(self, crew: crews.Crew) -> Job[Any]:
        future = crew.equipment()
        while not future.done():
            yield Progress(0, 1, "waiting for workers")
            wait([future], _TICK)
        return future.result()

    def _segment(
        self,
        crew: crews.Crew,
        batch: int,
        tiles: Sequence[Tile],
        wanted: Sequence[int],
        done: set[int],
        shelf: Shelf,
        assembly: Assembly,
        worker: TileWorker,
        picture: LabelPyramid | None,
    ) -> Job[None]:
        """Have all tiles segmented that are not done, and take them over in their order."""
        left = [number for number in wanted if number not in done]
        groups = deque(tuple(left[start : start + batch]) for start in range(0, len(left), batch))
        tries: dict[tuple[int, ...], int] = {}
        under_way: dict[Future[list[TileRecord]], tuple[int, ...]] = {}
        next_up = iter(wanted)
        waiting = next(next_up, None)
        begun, finished, nuclei = time.perf_counter(), 0, 0
        try:
            while groups or under_way:
                while groups and len(under_way) < crew.room():
                    group = groups.popleft()
                    under_way[crew.submit([tiles[number] for number in group])] = group
                ready, _ = wait(under_way, _TICK, FIRST_COMPLETED)
                for future in ready:
                    group = under_way.pop(future)
                    try:
                        records = future.result()
                    except Exception as error:
                        tries[group] = tries.get(group, 0) + 1
                        yield from self._failed(group, error, tries, groups, tiles, done, worker)
                        continue
                    for number, record in zip(group, records, strict=True):
                        shelf.put(number, record)
                        nuclei += len(record)
                    done.update(group)
                    finished += len(group)
                while waiting is not None and waiting in done:
                    yield from self._assemble(waiting, shelf, assembly, picture)
                    waiting = next(next_up, None)
                spent = time.perf_counter() - begun
                rest = spent / finished * (len(left) - finished) if finished else None
                yield Progress(len(wanted) - len(left) + finished, len(wanted), "segmenting tiles", rest)
        finally:
            for future in under_way:
                future.cancel()

    def _failed(
        self,
        group: tuple[int, ...],
        error: Exception,
        tries: dict[tuple[int, ...], int],
        groups: deque[tuple[int, ...]],
        tiles: Sequence[Tile],
        done: set[int],
        worker: TileWorker,
    ) -> Iterator[Note]:
        """Try tiles again, each by itself, until they are given up."""
        if tries[group] < TRIES:
            again = [(number,) for number in group]
            tries.update(dict.fromkeys(again, tries[group]))
            groups.extend(again)
            return
        for number in group:
            top, bottom, left, right = (round(value) for value in self._on_slide(tiles[number], worker))
            reason = str(error) if isinstance(error, NucleiganError) else f"{type(error).__name__}: {error}"
            lost = LostTile(top, bottom, left, right, reason)
            self.lost.append(lost)
            done.add(number)
            yield from self._say(f"A tile was given up after {TRIES} tries, {lost}", level="warning")

    def _assemble(
        self, number: int, shelf: Shelf, assembly: Assembly, picture: LabelPyramid | None
    ) -> Iterator[Painted]:
        """Take a tile into the whole, unless it is there already, or lost."""
        if assembly.has(number):
            return
        record = shelf.get(number)
        if record is None:
            return
        assembly.add(number, record)
        if picture is None or not len(record):
            return
        top, bottom, left, right = assembly.extents[number].tolist()
        box = picture.levels[0][top:bottom, left:right]
        _, _, place, masks = assembly.nuclei(number)
        for value, (row, column, mask) in enumerate(masks, start=place.start + 1):
            stamp(box, row - top, column - left, mask, value)
        picture.update(top, left, box)
        yield Painted(str(picture.folder), top, bottom, left, right, assembly.count)


def _opened(source: str | Path | Slide) -> AbstractContextManager[Slide]:
    from napari_nucleigan.data.slides import Slide, open_slide

    return nullcontext(source) if isinstance(source, Slide) else open_slide(source)


def _stamp(path: Path) -> list[int]:
    """Tell apart versions of a file."""
    with suppress(OSError):
        known = path.stat()
        return [known.st_size, known.st_mtime_ns]
    return []
