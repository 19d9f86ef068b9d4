"""Report of a comparison: Markdown in the form of the paper's table, JSON, and the chart."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.events import duration
from napari_nucleigan.base.files import atomic_write, refuse_foreign_report, write_text
from napari_nucleigan.base.tables import to_markdown
from napari_nucleigan.base.text import as_markdown, printable
from napari_nucleigan.comparison.results import COLUMNS, OVERALL, SOURCE, Column, best, ends, number, published
from napari_nucleigan.data.images.files import SOFTWARE

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from napari_nucleigan.comparison.results import MethodComparison, Trial

_MORE = (
    Column("aji_plus", "AJI+"),
    Column("pq", "PQ"),
    Column("dice", "Dice"),
    Column("hausdorff", "HD px", 2, lower=True),
    Column("average_hausdorff", "AHD px", 2, lower=True),
    Column("average_hausdorff_penalised", "AHDp px", 2, lower=True),
)
_FILES = ("results.json", "report.md", "report.png")
REPORT = "report.md", _FILES
"""The text of a report, and all its files."""
_BASE = "cgan"  # what ablations are held against


def write_report(comparison: MethodComparison, folder: Path) -> tuple[Path, Path, Path | None]:
    """Write ``results.json``, ``report.md`` and, where matplotlib is installed, ``report.png``.

    Parameters
    ----------
    comparison : MethodComparison
        What was found.
    folder : Path
        Where the files go.

    Returns
    -------
    results, text : Path
        The first two files.
    picture : Path or None
        The third; None without matplotlib, which comes with the extra ``charts``.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    refuse_foreign_report(folder, *REPORT)
    results, text, picture = (folder / name for name in _FILES)
    write_text(results, json.dumps(comparison.to_json(), indent=2, allow_nan=False) + "\n")
    drawn = find_spec("matplotlib") is not None
    if drawn:
        with atomic_write(picture) as temporary:
            draw(comparison, temporary)
    write_text(text, markdown(comparison, picture.name if drawn else None))
    return results, text, picture if drawn else None


def markdown(comparison: MethodComparison, picture: str | None = None) -> str:
    """Lay a comparison out as Markdown.

    Parameters
    ----------
    comparison : MethodComparison
        What was found.
    picture : str, optional
        File of its picture, to be shown.

    Returns
    -------
    str
    """
    parts = ["# Nuclei segmentation methods side by side", _about(comparison)]
    if picture:
        parts.append(f"![AJI, average Hausdorff distance and F1 of every method by organ]({picture})")
    parts += ["## Overall", _overall(comparison)]
    for column in COLUMNS:
        parts += [f"## {column.title[0].upper()}{column.title[1:]} by organ", _organs(comparison, column)]
    if gains := _gains(comparison):
        parts += ["## What each ingredient changes", gains]
    parts += ["## More figures", _more(comparison), "## Costs", _costs(comparison)]
    parts += ["## The methods, and how they differ from the published ones", _methods(comparison)]
    parts += ["## How to read this", _reading(comparison)]
    return "\n\n".join(parts) + "\n"


def _about(comparison: MethodComparison) -> str:
    provenance = comparison.provenance
    seeds = ", ".join(map(str, provenance.get("seeds", ())))
    organs = ", ".join(f"{as_markdown(organ)} {len(comparison.names(organ))}" for organ in comparison.groups if organ)
    alike = ", but for what the notes say," if comparison.notes else ""
    text = (
        f"Every method was trained on the same images with the same budget{alike} and tested once on the "
        f"{len(comparison.organs)} images of the split {_code(comparison.split)} of the data set "
        f"{_code(provenance.get('data', '?'))} ({organs}). Figures are means over images; in "
        f"brackets their 95 % interval (bootstrap over images). *In italics: what the paper published.* "
        f"Seed {seeds}; napari-nucleigan {provenance.get('version', '')}, {provenance.get('date', '')}."
    )
    return "\n\n".join([text, *(f"**Note.** {as_markdown(note)}" for note in comparison.notes)])


def _code(text: object) -> str:
    return f"`{printable(text).replace('`', chr(39))}`"


def _overall(comparison: MethodComparison) -> str:
    rows = []
    for outcome in comparison.outcomes:
        method = outcome.method
        if not outcome.trials:
            rows.append(
                [method.title, method.data, f"not run: {as_markdown(outcome.reason)}", *[""] * (len(COLUMNS) - 1)]
            )
            continue
        cells = []
        for column in COLUMNS:
            mean = number(comparison.mean(outcome, column.metric), column.digits)
            interval = ends(comparison.interval(outcome, column.metric), column.digits)
            cells.append(mean + interval + _theirs(published(method.published, column.published)))
        rows.append([method.title, method.data, *cells])
    return to_markdown(["method", "trained on", *(column.title for column in COLUMNS)], rows)


def _organs(comparison: MethodComparison, column: Column) -> str:
    shown = comparison.run
    rows = []
    for organ in comparison.groups:
        values = [comparison.mean(outcome, column.metric, organ) for outcome in shown]
        cells = []
        for outcome, value in zip(shown, values, strict=True):
            text = number(value, column.digits)
            if value is not None and value == best(values, column.lower):
                text = f"**{text}**"
            cells.append(text + _theirs(published(outcome.method.published, column.published, organ or OVERALL)))
        rows.append(
            [f"**{OVERALL}**" if organ is None else f"{as_markdown(organ)} ({len(comparison.names(organ))})", *cells]
        )
    return to_markdown(["organ (images)", *(outcome.method.title for outcome in shown)], rows)


def _gains(comparison: MethodComparison) -> str:
    base = next((outcome for outcome in comparison.run if outcome.method.name == _BASE), None)
    others = [outcome for outcome in comparison.run if outcome is not base]
    if base is None or not others:
        return ""
    rows = []
    for outcome in others:
        cells = []
        for column in COLUMNS:
            mean, interval = comparison.gain(outcome, base, column.metric)
            cells.append(number(mean, column.digits, "+") + ends(interval, column.digits, "+"))
        rows.append([outcome.method.title, *cells])
    lead = (
        f"Difference to *{base.method.title}* on the same images: mean, and its 95 % interval. An interval that holds "
        "0 shows no difference. Intervals tell of the choice of images, not of that of the seed."
    )
    return lead + "\n\n" + to_markdown(["method", *(column.title for column in COLUMNS)], rows)


def _more(comparison: MethodComparison) -> str:
    rows = []
    for outcome in comparison.run:
        cells = [number(comparison.mean(outcome, column.metric), column.digits) for column in _MORE]
        pooled = [trial.pooled for trial in outcome.trials]
        found = sum(scores.n_pred for scores in pooled) / len(pooled)
        cells.append(number(sum(scores.aji for scores in pooled) / len(pooled), 3))
        cells += [str(pooled[0].n_truth), f"{found:.0f}"]
        rows.append([outcome.method.title, *cells])
    header = ["method", *(column.title for column in _MORE), "AJI, pooled", "nuclei", "found"]
    return to_markdown(header, rows)


def _costs(comparison: MethodComparison) -> str:
    rows = []
    for outcome in comparison.run:
        for trial in outcome.trials:
            budget = trial.budget
            images = f"{budget.training} + {budget.validation}"
            counts = [budget.synthetic or "-", budget.epochs, budget.steps, budget.crops]
            spent = [duration(budget.seconds), budget.where or "-", f"{trial.parameters / 1e6:.1f} M"]
            rows.append([outcome.method.title, str(trial.seed), images, *map(str, counts), *spent, _validated(trial)])
    header = ["method", "seed", "images (train + validate)", "synthetic pairs", "epochs", "steps", "crops"]
    return to_markdown([*header, "time", "on", "parameters", "AJI on validation"], rows)


def _methods(comparison: MethodComparison) -> str:
    lines = []
    for outcome in comparison.outcomes:
        method = outcome.method
        stands = f" Stands for *{method.published}* of the paper." if method.published else ""
        lines.append(f"- **{method.title}** (`{method.name}`).{stands} {method.differences}")
    return "\n".join(lines)


def _reading(comparison: MethodComparison) -> str:
    base = comparison.provenance
    lines = [
        f"- Published figures: {SOURCE}; the table as its authors' slides give it. They were measured on another test "
        "set (with ovary and esophagus), after other trainings, and with an F1 and an average Hausdorff distance that "
        "are not defined there: read them beside ours, not against them.",
        "- Ours: AJI as MoNuSeg has it, F1 of objects at IoU above 0.5, the average Hausdorff distance with missed "
        "and spurious nuclei charged (AHDp). AHD without this charge, and HD (the mean over nuclei of the Hausdorff "
        "distance), are under *More figures*. The documentation's page on metrics defines all.",
        "- Means are over images, each organ's over its own; *pooled* counts all nuclei as if they lay in one image.",
        "- Weights and decoding of each method were chosen on the validation images, which are training images held "
        "out; nothing was chosen by the test images.",
        "- Time is that of the updates alone, by the clock, on a machine that may have had other work to do.",
    ]
    if any(outcome.method.data != "real" for outcome in comparison.run):
        lines.append(
            "- The bundled synthesizer, which paints the synthetic pairs where no others are given, was itself trained "
            "on all training images of the Kumar split, those held out here for validation included, and on no test "
            "image. So validation may flatter methods trained on such pairs; the test figures are free of this."
        )
    if len(base.get("seeds", ())) < 2:
        lines.append("- One seed: what another seed would change is not in the intervals.")
    return "\n".join(lines)


def _theirs(value: float | None) -> str:
    return "" if value is None else f" *{value:.3f}*"


def _validated(trial: Trial) -> str:
    scores = next((found for found in trial.validation.values() if isinstance(found, dict) and "aji" in found), {})
    return number(scores.get("aji"), 3)


MISSING = 'The picture needs matplotlib, which is not installed; run: pip install "napari-nucleigan[charts]"'
"""What whoever asks for a chart without the extra is told."""

_WIDTH, _ROW = 11.0, 0.3  # inches
_GREY, _MEASURED, _PUBLISHED = "#6e7278", "#00668c", "#c45414"
_CELLS = ("#ffffff", "#7ebecd")  # the better, the deeper
_BESIDE = 14  # points from the middle of a cell to a measured and a published figure


def draw(comparison: MethodComparison, file: Path) -> None:
    """Draw a comparison.

    On top the means over all test images with their 95 % intervals, below the means of each organ; published figures
    are orange.

    Parameters
    ----------
    comparison : MethodComparison
        What was found.
    file : Path
        The picture, PNG; 2200 pixels wide.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows, shown = len(comparison.outcomes), max(1, len(comparison.run))
    heights = [2.0, rows + 1, *[shown + 2] * len(COLUMNS)]  # in rows
    layout: list[Any] = [["head"] * len(COLUMNS), [column.metric for column in COLUMNS]]
    layout += [[column.title] * len(COLUMNS) for column in COLUMNS]
    # The same whatever the user's own style is; a dollar in a name begins no formula.
    with style.context(["default", {"text.parse_math": False}]):
        figure = Figure(
            (_WIDTH, (sum(heights) + 2) * _ROW), dpi=200, layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.1)
        )
        axes = figure.subplot_mosaic(layout, height_ratios=heights)
        _draw_head(axes["head"], comparison)
        for column in COLUMNS:
            _draw_means(axes[column.metric], comparison, column)
            _draw_organs(axes[column.title], comparison, column)
        first = axes[COLUMNS[0].metric]
        first.set_yticks(range(rows), [outcome.method.title for outcome in comparison.outcomes])
        first.set_zorder(1)  # why a method was not run is written across the other panels
        for place, outcome in enumerate(comparison.outcomes):
            if not outcome.trials:
                text = _cut(f"not run: {outcome.reason}", 100)
                why = first.text(0.01, place, text, va="center", color=_GREY, size=9, backgroundcolor="white")
                why.set(transform=first.get_yaxis_transform(), in_layout=False)
        figure.savefig(file, format="png", metadata={"Software": SOFTWARE})


def _draw_head(axes: Axes, comparison: MethodComparison) -> None:
    """Title, what was tested on, and the legend."""
    provenance = comparison.provenance
    alike = "not all trained alike, see the notes" if comparison.notes else "one budget for all"
    what = (
        f"{len(comparison.organs)} images of the split '{comparison.split}' of {provenance.get('data', '')}; means "
        f"over images; seed {', '.join(map(str, provenance.get('seeds', [0])))}; {alike}."
    )
    axes.axis("off")
    measured, theirs = _mark(axes, [], _MEASURED), _mark(axes, [], _PUBLISHED)
    names = ["measured here, with its 95 % interval (bootstrap over images)", "published, on another test set"]
    axes.legend([measured, theirs], names, loc="lower left", ncols=2, frameon=False, borderpad=0, borderaxespad=0)
    above = "axes fraction", "offset points"
    axes.annotate("Nuclei segmentation methods side by side", (0, 0), (0, 45), *above, size=17)
    axes.annotate(what, (0, 0), (0, 26), *above, size=10, color=_GREY)


def _draw_means(axes: Axes, comparison: MethodComparison, column: Column) -> None:
    """One metric over all images: a line for each method."""
    axes.set_title(column.title, loc="left", size=11, pad=16)
    axes.annotate(column.better, (0, 1), (0, 4), "axes fraction", "offset points", color=_GREY, size=8)
    axes.set(ylim=(len(comparison.outcomes) - 0.5, -0.5), yticks=[])
    axes.grid(axis="x", color="#dee1e5")
    axes.set_axisbelow(True)
    axes.margins(x=0.1)
    axes.tick_params(length=0, labelsize=9)
    axes.tick_params("x", labelcolor=_GREY, labelsize=8)
    axes.spines[:].set_visible(False)
    for place, outcome in enumerate(comparison.outcomes):
        if not outcome.trials:
            continue
        theirs = published(outcome.method.published, column.published)
        if theirs is not None:
            _mark(axes, [theirs], _PUBLISHED, place)
        mean, interval = comparison.mean(outcome, column.metric), comparison.interval(outcome, column.metric)
        if interval:
            axes.plot([interval.low, interval.high], [place, place], color=_MEASURED, linewidth=2)
        if mean is not None:
            _mark(axes, [mean], _MEASURED, place)
            text = number(mean, column.digits)
            axes.text(1.03, place, text, va="center", size=9, transform=axes.get_yaxis_transform())
    if not axes.lines:
        axes.set_xticks([])


def _mark(axes: Axes, values: list[float], colour: str, place: int = 0) -> Line2D:
    """Mark a measured figure by a dot on a line, a published one by an open diamond."""
    if colour == _MEASURED:
        return axes.plot(values, [place] * len(values), "o-", color=colour)[0]
    return axes.plot(values, [place] * len(values), "D", color=colour, markerfacecolor="white")[0]


def _draw_organs(axes: Axes, comparison: MethodComparison, column: Column) -> None:
    """One metric by organ: a row for each method."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    shown = comparison.run
    groups = comparison.groups
    table = [[comparison.mean(outcome, column.metric, group) for group in groups] for outcome in shown]
    axes.set_title(f"{column.title} by organ", loc="left", size=11)
    axes.set_title(f"{column.better}; framed: the best here; orange: published", loc="right", size=8, color=_GREY)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9, top=False, labeltop=True, labelbottom=False)
    axes.set_yticks(range(len(shown)), [outcome.method.title for outcome in shown])
    names = [OVERALL if group is None else f"{group} ({len(comparison.names(group))})" for group in groups]
    axes.set_xticks(range(len(groups)), [_cut(name, 110 // len(groups)) for name in names])
    axes.set_xlim(-0.5, len(groups) - 0.5)
    if shown:
        colours = LinearSegmentedColormap.from_list("cells", _CELLS[::-1] if column.lower else _CELLS)
        axes.imshow([[math.nan if v is None else v for v in row] for row in table], colours, aspect="auto")
    for place, group in enumerate(groups):
        values = [row[place] for row in table]
        for row, (outcome, value) in enumerate(zip(shown, values, strict=True)):
            theirs = published(outcome.method.published, column.published, group or OVERALL)
            axes.add_patch(Rectangle((place - 0.5, row - 0.5), 1, 1, fill=False, color="white"))
            if value is not None and value == best(values, column.lower):
                frame = Rectangle((place - 0.46, row - 0.44), 0.92, 0.88, fill=False, color=_MEASURED, linewidth=1.5)
                axes.add_patch(frame)
            shift = 0 if theirs is None else _BESIDE
            _write_figure(axes, (place, row), number(value, column.digits), -shift, 9, "black")
            if theirs is not None:
                _write_figure(axes, (place, row), number(theirs, column.digits), shift, 7, _PUBLISHED)


def _write_figure(axes: Axes, cell: tuple[int, int], text: str, shift: int, size: int, colour: str) -> None:
    axes.annotate(text, cell, (shift, 0), textcoords="offset points", ha="center", va="center", size=size, color=colour)


def _cut(text: str, most: int) -> str:
    """Shorten a text that is too long."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
