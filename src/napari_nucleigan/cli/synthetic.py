"""``nucleigan evaluate --synthetic``: how good synthetic images are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.base.events import run
from napari_nucleigan.cli.console import Bar, answer
from napari_nucleigan.cli.tables import print_table
from napari_nucleigan.evaluation.synthetic.settings import QualitySettings

_PANEL = "With --synthetic"


def _option(name: str) -> Any:
    """Make an option of a field of the settings; None stands for the field's own default."""
    field = QualitySettings.model_fields[name]
    default = "" if field.default is None else f" By default {field.default}."
    return typer.Option(help=f"{field.description}{default}", rich_help_panel=_PANEL, show_default=False)


Synthetic = Annotated[
    bool,
    typer.Option(
        "--synthetic",
        help="Judge synthetic images instead: PRED is a data set of them with their masks, TRUTH one of real images.",
        rich_help_panel=_PANEL,
    ),
]
Segmenter = Annotated[str | None, _option("segmenter")]
Features = Annotated[str | None, _option("features")]
Crop = Annotated[int | None, _option("crop")]
Device = Annotated[str | None, _option("device")]


def judge(synthetic: Path, real: Path, split: str | None, as_json: bool, options: dict[str, Any]) -> None:
    """Print how good synthetic images are.

    Parameters
    ----------
    synthetic, real : Path
        Data sets.
    split : str or None
        Split of the real images.
    as_json : bool
        Whether to answer in JSON.
    options : dict
        Fields of `QualitySettings`; None where they were not given.

    Raises
    ------
    typer.BadParameter
        If a value is not valid.
    NucleiganError
        As `napari_nucleigan.evaluation.synthetic.evaluate_synthetic`.
    """
    try:
        settings = QualitySettings.checked(**{name: value for name, value in options.items() if value is not None})
    except RecipeError as error:
        raise typer.BadParameter(str(error)) from error
    from napari_nucleigan.evaluation.synthetic import evaluate_synthetic

    with Bar() as bar:
        report = run(evaluate_synthetic(synthetic, real, settings, split=split), bar)
    if as_json:
        answer(report.to_json())
        return
    figures, distances = report.tables()
    print_table(*figures)
    print()
    print_table(*distances)
