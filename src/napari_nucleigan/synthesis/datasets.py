"""Data sets of masks and the H&E painted from them, made pair by pair and resumable."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import LabelsError, NucleiganError, OutputError, RecipeError
from napari_nucleigan.base.events import Job, Note, Progress, relay
from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.models import load_model
from napari_nucleigan.networks.network_runner import network_errors
from napari_nucleigan.synthesis.mask_sources import SIZE, MaskSource, open_source
from napari_nucleigan.synthesis.pair_log import PairLog
from napari_nucleigan.synthesis.picture import SynthesisContext
from napari_nucleigan.synthesis.settings import SetSettings
from napari_nucleigan.synthesis.tiled_generator import Window
from napari_nucleigan.tiling import resize_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.masks.polygons import PolygonMasks
    from napari_nucleigan.models import Model
    from napari_nucleigan.segmentation.segmenter import Segmenter
    from napari_nucleigan.tiling import Scale

GROUP = 8
"""Pairs that are painted together. Pairs are always grouped alike, because what a batch holds can change how a
device rounds; a pair is thus a function of the settings and its number, however often the work was broken off."""

ATTEMPTS = 10
"""Times that a pair is drawn before it is given up for lack of consistency."""

_PIXELS = 2048 * 2048  # of a group, at most; more are held in memory several times over
_LEVEL = 3  # of PNG; half the time of the usual 6, and 2 % larger


@dataclass(frozen=True)
class SetReport:
    """What became of a data set.

    Attributes
    ----------
    out : Path
        Its folder.
    made, kept : int
        Pairs made now, and those that were there.
    dropped : tuple of str
        Names of pairs that were given up for lack of consistency.
    failed : dict of str to str
        Why a mask could not be used, by the name of its pair.
    redrawn : int
        Pictures that were drawn again for lack of consistency.
    consistency : float or None
        Mean over the pairs of the set, where it was asked for.
    seconds : float
        Time that it took.
    """

    out: Path
    made: int
    kept: int
    dropped: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    redrawn: int = 0
    consistency: float | None = None
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Represent the report by dictionaries, lists, numbers and strings."""
        changed = {"out": str(self.out), "dropped": list(self.dropped), "seconds": round(self.seconds, 3)}
        return asdict(self) | changed


def synthesize_set(
    out: str | Path,
    settings: SetSettings | None = None,
    masks: str | Path | PolygonMasks | None = None,
    model: Model | None = None,
) -> Job[SetReport]:
    """Make a data set of masks and the H&E painted from them.

    Each pair is a function of the settings, the mask and its number alone. So the work can be broken off in any way and
    started again: pairs that are there are kept, and the whole comes out the same.

    Parameters
    ----------
    out : str or Path
        Folder of the data set: ``images/NAME.png``, ``labels/NAME.tif``, ``split.csv``, ``pairs.jsonl`` (seed, style,
        nuclei and consistency of each pair) and ``provenance.json``.
    settings : SetSettings, optional
        How many, of what size, and how they are painted.
    masks : str, Path or PolygonMasks, optional
        A label image, a folder of them or a data set, to be painted; or what drawn masks are like. By default masks
        are drawn as the settings say.
    model : Model, optional
        A loaded synthesizer; by default the one that the settings name.

    Yields
    ------
    Progress or Note
        Closing the generator stops the work; what is finished is kept.

    Returns
    -------
    SetReport

    Raises
    ------
    RecipeError
        If the settings do not say what to make.
    LabelsError, DatasetError
        If there are no masks.
    OutputError
        If the folder cannot be written to, or holds something else.
    ModelError, DeviceError, ImageError
        As `synthesize`.
    """
    settings = settings or SetSettings()
    yield Progress(0, 1, "loading the model")
    model = model or load_model(settings.model, "synthesizer")
    source = open_source(Path(masks) if isinstance(masks, str) else masks, settings, model.card)
    count = settings.count or source.count
    if count is None:
        raise RecipeError("Say how many pairs to make, or give masks to be painted.")
    with network_errors(LabelsError("The masks do not fit into memory; make smaller ones.")):
        return (yield from _SetMaker(Path(out), settings, source, model, count).run())


@dataclass(eq=False)
class _Pair:
    """A pair on its way: a mask that is ready to be painted, then its picture and record."""

    index: int
    attempt: int
    labels: NDArray[np.int32]
    scale: Scale
    field: NDArray[np.float32]
    tissue: NDArray[np.uint8] | None = None
    pixels: NDArray[np.uint8] | None = None
    consistency: float | None = None


class _SetMaker:
    """Makes one data set; see `synthesize_set`."""

    def __init__(self, out: Path, settings: SetSettings, source: MaskSource, model: Model, count: int) -> None:
        self._settings, self._source, self._count = settings, source, count
        self._context = SynthesisContext(settings, model)
        self._group = max(1, min(GROUP, _PIXELS // (settings.size or SIZE) ** 2)) if source.steady else 1
        generator = self._context.generator
        # On a CPU pictures one by one are as quick as in batches.
        generator.batch = 1 if generator.on_cpu else self._group
        self._segmenter: Segmenter | None = None
        own = _same(source.file(0), out / "labels" / f"{source.name(0)}.tif")
        if own and count > (source.count or 0):
            raise OutputError(
                f"{out} is to hold one picture of each of its masks; choose another folder for {count} pairs."
            )
        self._log = PairLog(out, self._context.provenance() | {"masks": source.record()}, own)
        # A pair is known by its number, so masks that came or went in between would change places.
        for index, record in sorted(self._log.records.items()):
            if index < count and record["name"] != source.name(index):
                raise OutputError(
                    f"The pairs of {out} were made from other masks: {record['name']!r} was there where "
                    f"{source.name(index)!r} is now; choose another folder."
                )
        self._failed: dict[str, str] = {}
        self._redrawn = 0
        self._said: set[str] = set()
        self._now = Progress(0, count, "painting pairs")

    def run(self) -> Job[SetReport]:
        """Make what is missing."""
        started = time.perf_counter()
        known = dict(self._log.records)  # before this call: those who write add to it
        kept = sum(index < self._count and not record.get("dropped") for index, record in known.items())
        starts = range(0, self._count, self._group)
        groups = [range(start, min(start + self._group, self._count)) for start in starts]
        groups = [group for group in groups if any(index not in known for index in group)]
        missing = total = sum(index not in known for group in groups for index in group)
        yield from self._new(self._context.notes())
        writes: list[Future[None]] = []
        with ExitStack() as stack:
            # Last of all: what is being written when this is broken off is still to be told of.
            stack.callback(self._log.close)
            drawing = stack.enter_context(ThreadPoolExecutor(1, "nucleigan-masks"))
            writing = stack.enter_context(ThreadPoolExecutor(2, "nucleigan-files"))
            ahead = [drawing.submit(self._prepare, group, 0) for group in groups[:1]]
            for place, group in enumerate(groups):
                prepared = ahead.pop()
                ahead += [drawing.submit(self._prepare, after, 0) for after in groups[place + 1 : place + 2]]
                left = _left(started, total, missing)
                self._now = Progress(self._count - missing, self._count, self._now.what, left)
                yield self._now
                pairs = yield from self._painted(group, prepared.result(), drawing)
                _settle(writes)
                new = [(pair, self._record(pair)) for pair in pairs if pair.index not in known]
                writes += [writing.submit(self._write, pair, record) for pair, record in new]
                missing -= sum(index not in known for index in group)
            _settle(writes)
        yield Progress(self._count, self._count, self._now.what, 0.0)
        return self._report(kept, time.perf_counter() - started)

    def _prepare(self, indices: Sequence[int], attempt: int) -> tuple[list[_Pair], list[Note]]:
        """Draw or read masks, and encode them."""
        pairs: list[_Pair] = []
        notes: list[Note] = []
        for index in indices:
            name = self._source.name(index)
            try:
                mask = self._source.mask(index, attempt)
                scale, said = self._context.scale((mask.labels.shape[0], mask.labels.shape[1]), mask.mpp)
                encoded = self._context.encode(mask.labels, scale, mask.tissue)
                pairs.append(_Pair(index, attempt, mask.labels, scale, encoded, mask.tissue))
                notes += said
            except NucleiganError as error:
                if self._count == 1:
                    raise
                self._failed[name] = str(error)
                notes.append(Note(f"{name}: {error}", "warning"))
        return pairs, notes

    def _painted(
        self, group: Sequence[int], prepared: tuple[list[_Pair], list[Note]], drawing: ThreadPoolExecutor
    ) -> Job[list[_Pair]]:
        """Paint a group, and what is not consistent again."""
        least = self._settings.min_consistency
        done: dict[int, _Pair] = {}
        for attempt in range(ATTEMPTS):
            pairs, notes = prepared
            yield from self._new(notes)
            yield from self._paint(pairs)
            if least is not None:
                self._score(pairs)
            done.update((pair.index, pair) for pair in pairs)
            poor = [pair.index for pair in pairs if _poor(pair, least)]
            yield from self._new(self._context.notes())
            if not poor or attempt == ATTEMPTS - 1:
                break
            self._redrawn += len(poor)
            prepared = drawing.submit(self._prepare, poor, attempt + 1).result()
        return [done[index] for index in group if index in done]

    def _paint(self, pairs: list[_Pair]) -> Job[None]:
        context = self._context
        styles = [self._style(pair)[1] for pair in pairs]
        seeds = [self._noise_seed(pair) for pair in pairs]
        # One by one where batches bring nothing, so that the work can be stopped after each.
        if pairs and context.generator.batch > 1 and max(pairs[0].field.shape) <= context.generator.tile:
            parts = zip(pairs, seeds, styles, strict=True)
            windows = [Window(pair.field, seed, style) for pair, seed, style in parts]
            pictures = context.generator.windows(windows)
        else:
            pictures = []
            for pair, seed, style in zip(pairs, seeds, styles, strict=True):
                # The tiles of a pair are places to stop at, but no progress of the set.
                painting = context.generator.painting(pair.field, seed, style)
                picture = yield from relay(painting, lambda event: event if isinstance(event, Note) else self._now)
                pictures.append(picture)
        for pair, picture in zip(pairs, pictures, strict=True):
            pair.pixels = resize_image(context.restain(picture, context.source_stains(picture)), pair.scale.shape)

    def _score(self, pairs: list[_Pair]) -> None:
        from napari_nucleigan.evaluation.synthetic import consistency
        from napari_nucleigan.segmentation.segmenter import Segmenter
        from napari_nucleigan.segmentation.settings import SegmentSettings

        if self._segmenter is None:
            name, device = self._settings.segmenter, self._settings.device
            segmenter = load_model(name, "segmenter")
            self._segmenter = Segmenter.of_patches(segmenter, SegmentSettings(model=name, device=device))
        for mpp in {pair.scale.mpp for pair in pairs}:
            alike = [pair for pair in pairs if pair.scale.mpp == mpp]
            pictures = [pair.pixels for pair in alike if pair.pixels is not None]
            scores = consistency(pictures, [pair.labels for pair in alike], self._segmenter, mpp=mpp)
            for pair, score in zip(alike, scores, strict=True):
                pair.consistency = round(float(score), 4)

    def _record(self, pair: _Pair) -> dict[str, Any]:
        style, _ = self._style(pair)
        share = self._settings.validation
        # Of each organ by itself, one organ's turn after another's.
        turn, place = divmod(pair.index, self._source.organs)
        start = place / self._source.organs
        held = int((turn + 1) * share + start) > int(turn * share + start)
        named = style if style in self._context.card.styles else "synthetic"
        record = {
            "index": pair.index,
            "name": self._source.name(pair.index),
            "organ": self._source.organ(pair.index) or named,
            "split": self._source.split(pair.index) or ("val" if held else "train"),
            "style": style,
            "seed": self._noise_seed(pair),
            "attempt": pair.attempt,
            "nuclei": int(np.count_nonzero(np.unique(pair.labels))),
            "mpp": pair.scale.mpp,
            "consistency": pair.consistency,
        }
        return record | ({"dropped": True} if _poor(pair, self._settings.min_consistency) else {})

    def _style(self, pair: _Pair) -> tuple[str, NDArray[np.float32]]:
        return self._context.styles.draw([self._settings.seed, pair.index], self._source.organ(pair.index))

    def _noise_seed(self, pair: _Pair) -> int:
        sequence = np.random.SeedSequence([self._settings.seed, pair.index, pair.attempt])
        return int(sequence.generate_state(1)[0]) >> 1  # a seed that settings take, to paint the pair by itself

    def _write(self, pair: _Pair, record: dict[str, Any]) -> None:
        """Write the files of a pair, and its record at once: in this thread Ctrl-C does not come between the two."""
        if not record.get("dropped"):
            self._write_files(pair)
        self._log.add([record])

    def _write_files(self, pair: _Pair) -> None:
        name = self._source.name(pair.index)
        target = self._log.labels(name)
        own = _same(self._source.file(pair.index), target)
        if not own:
            write_labels(target, pair.labels, pair.scale.mpp)
        if pair.tissue is not None and not own:
            cell = pair.scale.mpp * pair.labels.shape[0] / pair.tissue.shape[0]
            write_labels(self._log.tissue(name), pair.tissue.astype(np.int32), cell)
        if pair.pixels is not None:
            write_image(self._log.image(name), pair.pixels, pair.scale.mpp, _LEVEL)

    def _new(self, notes: list[Note]) -> Job[None]:
        """Say what has not been said before: with thousands of pairs, once is enough."""
        for note in notes:
            if note.text not in self._said:
                self._said.add(note.text)
                yield note

    def _report(self, kept: int, seconds: float) -> SetReport:
        records = [record for index, record in sorted(self._log.records.items()) if index < self._count]
        there = [record for record in records if not record.get("dropped")]
        scores = [record["consistency"] for record in there if record["consistency"] is not None]
        return SetReport(
            out=self._log.out,
            made=len(there) - kept,
            kept=kept,
            dropped=tuple(record["name"] for record in records if record.get("dropped")),
            failed=self._failed,
            redrawn=self._redrawn,
            consistency=round(float(np.mean(scores)), 4) if scores else None,
            seconds=seconds,
        )


def _settle(writes: list[Future[None]]) -> None:
    """Wait until pairs are written; an error is that of the first that could not be."""
    wait(writes)
    done = writes.copy()
    writes.clear()
    for future in done:
        future.result()


def _poor(pair: _Pair, least: float | None) -> bool:
    return least is not None and pair.consistency is not None and pair.consistency < least


def _same(one: Path | None, other: Path) -> bool:
    return one is not None and one.resolve() == other.resolve()


def _left(started: float, total: int, missing: int) -> float | None:
    made = total - missing
    return (time.perf_counter() - started) / made * missing if made else None
