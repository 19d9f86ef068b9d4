"""``nucleigan evaluate``: predicted nuclei against true ones, or synthetic images against real ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_nucleigan.base.events import run
from napari_nucleigan.base.files import write_text
from napari_nucleigan.cli.console import FAILED, Bar, Stopped, answer, guarded, print_message
from napari_nucleigan.cli.synthetic import Crop, Device, Features, Segmenter, Synthetic, judge
from napari_nucleigan.cli.tables import print_table

if TYPE_CHECKING:
    from napari_nucleigan.evaluation import Report


@guarded
def evaluate(
    pred: Annotated[
        Path, typer.Argument(help="Predicted labels: a file, a folder, or a data set with labels/.", show_default=False)
    ],
    truth: Annotated[
        Path,
        typer.Argument(help="True labels: a file, a folder, or a data set with labels/.", show_default=False),
    ],
    by: Annotated[
        Literal["image", "organ"] | None,
        typer.Option(help="A row of the table for each image or organ. By default image.", show_default=False),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Only the images of this split of the data set's split.csv.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write everything there, as CSV.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Also write the table there, as Markdown.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail where a prediction or true labels are missing.")
    ] = False,
    iou: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.99, help="What the IoU of a pair has to be above. By default 0.5.", show_default=False
        ),
    ] = None,
    resamples: Annotated[
        int | None,
        typer.Option(
            min=0, help="Bootstrap draws of the intervals; 0 for no intervals. By default 2000.", show_default=False
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the intervals. By default 0.", show_default=False)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Processes; 0 for none but this. By default as many as there are cores.", show_default=False
        ),
    ] = None,
    synthetic: Synthetic = False,
    segmenter: Segmenter = None,
    features: Features = None,
    crop: Crop = None,
    device: Device = None,
) -> None:
    """Compare predicted nuclei with true ones, or synthetic images with real ones."""
    judging = {"segmenter": segmenter, "features": features, "crop": crop, "device": device}
    comparing = {
        "by": by,
        "csv": csv,
        "markdown": markdown,
        "strict": strict or None,
        "iou": iou,
        "resamples": resamples,
        "seed": seed,
        "workers": workers,
    }
    if synthetic:
        if given := [name for name, value in comparing.items() if value is not None]:
            raise typer.BadParameter(f"--{given[0]} does not go with --synthetic; for machines there is --json.")
        judge(pred, truth, split, as_json, judging)
        return
    if given := [name for name, value in judging.items() if value is not None]:
        raise typer.BadParameter(f"--{given[0]} goes with --synthetic only.")
    from napari_nucleigan.evaluation import Bootstrap, evaluate_folders

    bootstrap = Bootstrap(2000 if resamples is None else resamples, seed=seed or 0)
    job = evaluate_folders(
        pred, truth, split=split, iou=0.5 if iou is None else iou, bootstrap=bootstrap, workers=workers
    )
    try:
        with Bar() as bar:
            report = run(job, bar)
    except KeyboardInterrupt as stop:
        raise Stopped("Interrupted; nothing was written.") from stop
    _show(report, by or "image", csv, markdown, as_json)
    _complain(report, strict)


def _show(report: Report, by: str, csv: Path | None, markdown: Path | None, as_json: bool) -> None:
    if csv is not None:
        write_text(csv, report.to_csv())
    if markdown is not None:
        write_text(markdown, report.to_markdown(by))
    if as_json:
        answer(report.to_json())
        return
    if by == "organ" and not report.groups:
        print_message(
            "No organ is known: no split.csv with a column 'organ' is in the folder of true labels or beside it."
        )
    print_table(*report.table(by))


def _complain(report: Report, strict: bool) -> None:
    """List what was left out, and fail where that is a failure."""
    for names, what in ((report.missing, "without a prediction"), (report.extra, "without true labels")):
        if names:
            print_message(f"Left out, {what}: {', '.join(names)}")
    for bad in report.failed:
        print_message(f"Left out, {bad.name}: {bad.reason}")
    if report.failed:
        print_message(
            f"Error: {len(report.failed)} of {len(report.failed) + len(report.images)} pairs could not be compared."
        )
        raise typer.Exit(FAILED)
    if strict and report.incomplete:
        print_message(
            f"Error: {len(report.missing)} predictions are missing and {len(report.extra)} have no true labels."
        )
        raise typer.Exit(FAILED)
