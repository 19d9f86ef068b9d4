"""``nucleigan masks`` and ``synthesize``: folders of random polygon masks, and data sets of H&E painted from masks."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_nucleigan.base.errors import NucleiganError, OutputError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.base.files import is_whole, refuse_foreign, write_text
from napari_nucleigan.base.reading import read_json
from napari_nucleigan.base.text import printable
from napari_nucleigan.cli.console import (
    CONTINUES_TEXT,
    FAILED,
    handle_errors,
    print_answer,
    print_json,
    print_line,
    print_message,
    run_with_bar,
    usage_errors,
)
from napari_nucleigan.cli.options import Json, with_options
from napari_nucleigan.masks.sampler.parameters import PolygonMasks
from napari_nucleigan.synthesis.settings import SetSettings

RECORD = "masks.json"
"""Says what the masks of a folder were drawn from."""

LARGEST = 16384
"""Largest side of a mask in pixels: with more, memory may not do."""


@dataclass(frozen=True)
class MaskReport:
    """What was drawn.

    Attributes
    ----------
    out : str
        The folder.
    made, kept : int
        Masks that were drawn, and that were there.
    nuclei : int
        Nuclei of the drawn ones.
    seconds : float
        How long it took.
    """

    out: str
    made: int
    kept: int
    nuclei: int
    seconds: float


def draw_masks(
    out: Path, count: int, size: tuple[int, int], statistics: PolygonMasks, mpp: float = 0.25, seed: int = 0
) -> Job[MaskReport]:
    """Draw masks into a folder: ``labels/mask-00001.tif`` and so on. What is there of the same masks is kept.

    Where the statistics know the tissue, its maps go to ``tissue/mask-00001.tif`` and so on.

    Parameters
    ----------
    out : Path
        The folder.
    count : int
        How many masks it shall hold.
    size : (int, int)
        Height and width in pixels.
    statistics : PolygonMasks
        What they are like.
    mpp : float
        Microns per pixel.
    seed : int
        Of the first mask; each next one has the next.

    Returns
    -------
    MaskReport

    Raises
    ------
    OutputError
        If the folder holds labels of another origin, or cannot be written.
    RecipeError
        If `mpp`, `size` or `seed` cannot be used.
    """
    from napari_nucleigan.data.images.files import write_labels
    from napari_nucleigan.masks.polygons import TISSUE, sample_tissue
    from napari_nucleigan.tissue.record import CELL

    began = time.perf_counter()
    record = {"size": list(size), "mpp": mpp, "seed": seed, "statistics": statistics.model_dump(mode="json")}
    _refuse_other(out, record)
    made = kept = nuclei = 0
    for number in range(count):
        path = out / "labels" / f"mask-{number + 1:05d}.tif"
        left = (time.perf_counter() - began) / made * (count - number) if made else None
        yield Progress(number, count, "drawing masks", left)
        if is_whole(path):
            kept += 1
            continue
        labels, cells = sample_tissue(statistics, size, mpp, seed + number)
        if not made:
            write_text(out / RECORD, json.dumps(record, indent=1) + "\n")
        if cells is not None and statistics.layout is not None:
            # First: a mask that is there is done.
            write_labels(out / TISSUE / path.name, cells.astype("int32"), CELL * statistics.layout.classes.mpp)
        write_labels(path, labels, mpp)
        made += 1
        nuclei += int(labels.max())
    return MaskReport(str(out), made, kept, nuclei, round(time.perf_counter() - began, 2))


def _refuse_other(out: Path, record: dict[str, Any]) -> None:
    there = None
    with suppress(OSError, ValueError, RecursionError):
        there = read_json(out / RECORD)
    if not (out / "labels").is_dir() or not any((out / "labels").iterdir()):
        refuse_foreign(out / RECORD, lambda _: isinstance(there, dict) and there.keys() == record.keys())
        return
    if there != record:
        raise OutputError(
            f"{out / 'labels'} holds label images that were not drawn from these settings; choose another folder, or "
            "remove them."
        )


def _is_statistics(path: Path) -> bool:
    from napari_nucleigan.masks.polygons import open_statistics

    try:
        open_statistics(path)
    except NucleiganError:
        return False
    return True


def _shape(size: str) -> tuple[int, int]:
    sides = size.lower().split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() and 0 < int(side) <= LARGEST for side in sides):
        raise typer.BadParameter(
            f"--size is a number of pixels up to {LARGEST}, or height x width such as 256x512, not "
            f"{printable(size, 80)!r}."
        )
    return int(sides[0]), int(sides[-1])


@handle_errors
@with_options(PolygonMasks, dict, without=["tissues", "layout"], unset=True)
def masks(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder: labels/mask-00001.tif, ...", show_default=False)],
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10**6, help="How many masks.")] = 1,
    size: Annotated[str, typer.Option(help="Side in pixels, or height x width such as 256x512.")] = "256",
    like: Annotated[
        str,
        typer.Option(
            help="What they are like: a preset (all, breast, kidney, liver, prostate), a label image, a folder of "
            "them, a data set, or saved statistics. Further options change it."
        ),
    ] = "all",
    tissue: Annotated[
        bool,
        typer.Option(
            help="Lay out tissue first, then the nuclei of each: glands with lumens, stroma, crowds. --like is then a "
            "data set with H&E, or statistics learnt from one. Its maps go to tissue/.",
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="Seed of the first mask, each next one has the next. The same seeds give the same masks."
        ),
    ] = 0,
    mpp: Annotated[
        float,
        typer.Option(
            min=0.02,
            max=20,
            help="Microns per pixel of the masks, and of label images to learn from that do not say.",
        ),
    ] = 0.25,
    save_statistics: Annotated[
        Path | None, typer.Option(help="Also save there (.json) what the masks are like, for --like.")
    ] = None,
    as_json: Json = False,
    *,
    settings: dict[str, Any],
) -> None:
    """Draw random polygon masks. Broken off, the same command goes on."""
    from napari_nucleigan.masks.polygons import learn, save

    shape = _shape(size)
    if save_statistics is not None and save_statistics.suffix.lower() != ".json":
        raise typer.BadParameter("--save-statistics takes a name that ends in .json.")
    statistics = learn(like, mpp, tissue)
    with usage_errors():
        statistics = statistics.changed(**settings) if settings else statistics
    if save_statistics is not None:
        refuse_foreign(save_statistics, _is_statistics)
        save(statistics, save_statistics)
    report = run_with_bar(draw_masks(out, count, shape, statistics, mpp, seed))
    there = f", {report.kept} were there" if report.kept else ""
    text = f"{report.made} masks with {report.nuclei} nuclei drawn in {report.seconds:.1f} s{there} -> {out}"
    print_answer(as_json, asdict(report), text)


@handle_errors
@with_options(SetSettings, usage_errors()(SetSettings.checked))
def synthesize(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder of the data set: images/, labels/, split.csv.", show_default=False),
    ],
    masks: Annotated[
        Path | None,
        typer.Argument(
            metavar="MASKS",
            help="What to paint: a label image, a folder of them, or a data set. Without it masks are drawn by the "
            "polygon sampler, as --like says.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    *,
    settings: SetSettings,
) -> None:
    """Paint H&E from masks: a data set of pairs. Broken off, the same command goes on."""
    if masks is None and settings.count is None:
        raise typer.BadParameter("Say how many pairs to make (-n), or give masks to be painted.")
    from napari_nucleigan.synthesis import synthesize_set

    report = run_with_bar(synthesize_set(out, settings, masks), CONTINUES_TEXT)
    if as_json:
        print_json(report.to_json())
    else:
        kept = f", {report.kept} were there" if report.kept else ""
        pace = f" ({report.made / report.seconds:.1f} a second)" if report.made else ""
        scored = "" if report.consistency is None else f"; mean consistency {report.consistency:.3f}"
        print_line(f"{report.made} pairs made{pace}{kept}{scored} -> {report.out}")
        if report.redrawn:
            print_message(
                f"{report.redrawn} pictures were drawn again, their consistency was below {settings.min_consistency}."
            )
    if report.dropped:
        print_message(f"Left out, not consistent even when drawn again: {', '.join(report.dropped)}")
    if report.failed:
        name, reason = next(iter(report.failed.items()))
        print_message(f"Error: {len(report.failed)} masks could not be painted; the first, {name}: {reason}")
        raise typer.Exit(FAILED)
