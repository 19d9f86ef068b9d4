"""``nucleigan evaluate``: nuclei against true ones, and synthetic images against real ones."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_nucleigan.base.files import refuse_foreign, says_so, write_text
from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.cli.console import (
    FAILED,
    handle_errors,
    print_json,
    print_message,
    print_table,
    run_with_bar,
    usage_errors,
)
from napari_nucleigan.cli.options import Json
from napari_nucleigan.evaluation.synthetic.settings import QualitySettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.evaluation import ClassReport, Report

_PANEL = "With --synthetic"


def _option(name: str) -> Any:
    """Make an option of a field of the settings; None stands for the field's own default."""
    field = field_facts(QualitySettings)[name]
    default = "" if field.default is None else f" By default {field.default}."
    return typer.Option(help=f"{field.description}{default}", rich_help_panel=_PANEL, show_default=False)


@handle_errors
def evaluate(
    pred: Annotated[
        Path, typer.Argument(help="Predicted labels: a file, a folder, or a data set with labels/.", show_default=False)
    ],
    truth: Annotated[
        Path,
        typer.Argument(help="True labels: a file, a folder, or a data set with labels/.", show_default=False),
    ],
    by: Annotated[
        Literal["image", "organ", "class"] | None,
        typer.Option(
            help="A row of the table for each image or organ, by default image; or class, which compares the classes "
            "of nuclei: of GeoJSON, of label images with a table (label, class) beside them, or of tables of points "
            "(x, y, class).",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Only the images of this split of the data set's split.csv.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write everything there, as CSV.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Also write the table there, as Markdown.")] = None,
    as_json: Json = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail where a prediction or true labels are missing.")
    ] = False,
    iou: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.99, help="What the IoU of a pair has to be above. By default 0.5.", show_default=False
        ),
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="MICRONS",
            help="With --by class: how far points may be from each other to be one nucleus. By default 6.",
            show_default=False,
        ),
    ] = None,
    mpp: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            help="With --by class: microns per pixel, of points whose files do not say them.",
            show_default=False,
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
    synthetic: Annotated[
        bool,
        typer.Option(
            "--synthetic",
            help="Judge synthetic images instead: PRED is a data set of them with their masks, TRUTH one of real "
            "images.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    segmenter: Annotated[str | None, _option("segmenter")] = None,
    features: Annotated[str | None, _option("features")] = None,
    crop: Annotated[int | None, _option("crop")] = None,
    device: Annotated[str | None, _option("device")] = None,
) -> None:
    """Compare predicted nuclei with true ones, or synthetic images with real ones."""
    for_synthetic = {"segmenter": segmenter, "features": features, "crop": crop, "device": device}
    for_labels = {
        "by": by,
        "csv": csv,
        "markdown": markdown,
        "strict": strict or None,
        "iou": iou,
        "resamples": resamples,
        "seed": seed,
        "workers": workers,
        "within": within,
        "mpp": mpp,
    }
    if synthetic:
        if given := [name for name, value in for_labels.items() if value is not None]:
            raise typer.BadParameter(f"--{given[0]} does not go with --synthetic; for machines there is --json.")
        _evaluate_synthetic(pred, truth, split, as_json, for_synthetic)
        return
    if given := [name for name, value in for_synthetic.items() if value is not None]:
        raise typer.BadParameter(f"--{given[0]} goes with --synthetic only.")
    if by == "class":
        if given := [name for name in ("resamples", "seed", "workers") if for_labels[name] is not None]:
            raise typer.BadParameter(f"--{given[0]} does not go with --by class.")
        _evaluate_classes(pred, truth, split, iou, within, mpp, csv, markdown, as_json, strict)
        return
    if given := [name for name in ("within", "mpp") if for_labels[name] is not None]:
        raise typer.BadParameter(f"--{given[0]} goes with --by class only.")
    from napari_nucleigan.evaluation import Bootstrap, evaluate_folders

    bootstrap = Bootstrap(2000 if resamples is None else resamples, seed=seed or 0)
    job = evaluate_folders(
        pred, truth, split=split, iou=0.5 if iou is None else iou, bootstrap=bootstrap, workers=workers
    )
    report = run_with_bar(job, "Interrupted; nothing was written.")
    _show(report, by or "image", csv, markdown, as_json)
    _fail_if_incomplete(report, strict)


def _show(report: Report, by: str, csv: Path | None, markdown: Path | None, as_json: bool) -> None:
    _write(csv, report.to_csv, b"level,name,organ,averaging,")
    _write(markdown, partial(report.to_markdown, by), b"*: mean over images")
    if as_json:
        print_json(report.to_json())
        return
    if by == "organ" and not report.groups:
        print_message(
            "No organ is known: no split.csv with a column 'organ' is in the folder of true labels or beside it."
        )
    print_table(*report.table(by))


def _write(path: Path | None, text: Callable[[], str], mark: bytes) -> None:
    """Write a report over nothing but one of its kind, which has the mark."""
    if path is not None:
        refuse_foreign(path, partial(says_so, mark=mark))
        write_text(path, text())


def _evaluate_classes(
    pred: Path,
    truth: Path,
    split: str | None,
    iou: float | None,
    within: float | None,
    mpp: float | None,
    csv: Path | None,
    markdown: Path | None,
    as_json: bool,
    strict: bool,
) -> None:
    """Compare the classes of nuclei; an option that is None was not given."""
    from napari_nucleigan.evaluation import evaluate_classes
    from napari_nucleigan.metrics.classes import RADIUS

    for name, value in (("within", within), ("mpp", mpp)):
        if value is not None and not math.isfinite(value):
            raise typer.BadParameter(f"--{name} needs a number of microns, not {value}.")
    radius = RADIUS if within is None else within
    job = evaluate_classes(pred, truth, split=split, iou=0.5 if iou is None else iou, radius=radius, mpp=mpp)
    report = run_with_bar(job, "Interrupted; nothing was written.")
    _write(csv, report.to_csv, b"level,name,class,n_truth")
    _write(markdown, report.to_markdown, b"*mean of classes*")
    if as_json:
        print_json(report.to_json())
    else:
        print_table(*report.table())
        print()
        print_table(*report.confusion())
    _fail_if_incomplete(report, strict)


def _fail_if_incomplete(report: Report | ClassReport, strict: bool) -> None:
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
    if strict and (report.missing or report.extra):
        print_message(
            f"Error: {len(report.missing)} predictions are missing and {len(report.extra)} have no true labels."
        )
        raise typer.Exit(FAILED)


def _evaluate_synthetic(synthetic: Path, real: Path, split: str | None, as_json: bool, options: dict[str, Any]) -> None:
    """Print how good synthetic images are; an option that is None was not given."""
    with usage_errors():
        settings = QualitySettings.checked(**{name: value for name, value in options.items() if value is not None})
    from napari_nucleigan.evaluation.synthetic import evaluate_synthetic

    report = run_with_bar(evaluate_synthetic(synthetic, real, settings, split=split))
    if as_json:
        print_json(report.to_json())
        return
    figures, distances = report.tables()
    print_table(*figures)
    print()
    print_table(*distances)
