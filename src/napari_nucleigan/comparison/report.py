"""Report of a comparison: Markdown in the form of the paper's table, JSON, and the chart."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING

from napari_nucleigan.base.events import duration
from napari_nucleigan.base.files import atomic_write, refuse_foreign_report, write_text
from napari_nucleigan.base.tables import to_markdown
from napari_nucleigan.base.text import as_markdown, printable
from napari_nucleigan.comparison.chart import draw
from napari_nucleigan.comparison.results import COLUMNS, OVERALL, SOURCE, Column, best, effect, ends, number, published

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nucleigan.comparison.results import MethodComparison, Outcome, Trial

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
_EFFECTS = {
    "helps": "Helps",
    "harms": "Harms",
    "unclear": "Makes no difference that this test could show",
}


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
    parts = ["# Nuclei segmentation methods side by side", _verdict(comparison), _about(comparison)]
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
    several = any(len(outcome.trials) > 1 for outcome in comparison.outcomes)
    for outcome in comparison.outcomes:
        method = outcome.method
        if not outcome.trials:
            rows.append(
                [
                    method.title,
                    method.data,
                    f"not run: {as_markdown(outcome.reason)}",
                    *[""] * (len(COLUMNS) - 1 + several),
                ]
            )
            continue
        cells = []
        for column in COLUMNS:
            mean = number(comparison.mean(outcome, column.metric), column.digits)
            interval = ends(comparison.interval(outcome, column.metric), column.digits)
            cells.append(mean + interval + _theirs(published(method.published, column.published)))
        rows.append([method.title, method.data, *cells])
        if several:
            rows[-1].append(", ".join(number(trial.mean("aji"), 3) for trial in outcome.trials))
    header = ["method", "trained on", *(column.title for column in COLUMNS)]
    return to_markdown([*header, "AJI of each seed"] if several else header, rows)


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
    rows = []
    for outcome, base in _pairs(comparison):
        cells = []
        for column in COLUMNS:
            mean, interval = comparison.gain(outcome, base, column.metric)
            cells.append(number(mean, column.digits, "+") + ends(interval, column.digits, "+"))
        rows.append([outcome.method.change or outcome.method.title, base.method.title, *cells])
    if not rows:
        return ""
    lead = (
        "Difference on the same images to the method that stands beside it: mean, and its 95 % interval. An interval "
        "that holds 0 shows no difference. Intervals tell of the choice of images, not of that of the seed."
    )
    return lead + "\n\n" + to_markdown(["what", "against", *(column.title for column in COLUMNS)], rows)


def _pairs(comparison: MethodComparison) -> list[tuple[Outcome, Outcome]]:
    """Return the methods that have scores, each with the one that it is held against."""
    there = {outcome.method.name: outcome for outcome in comparison.run}
    return [(outcome, there[base]) for outcome in comparison.run if (base := outcome.method.baseline) in there]


def _verdict(comparison: MethodComparison) -> str:
    """Say in a few lines which method is best, and what helps, what harms, and of what nobody can tell."""
    column = COLUMNS[0]
    means = [
        (mean, outcome) for outcome in comparison.run if (mean := comparison.mean(outcome, column.metric)) is not None
    ]
    if not means:
        return "No method has been run."
    mean, first = max(means, key=lambda pair: pair[0])
    interval = ends(comparison.interval(first, column.metric), column.digits)
    lines = [f"- **Best {column.title}:** {first.method.title}, {number(mean, column.digits)}{interval}."]
    found: dict[str, list[str]] = {name: [] for name in _EFFECTS}
    for outcome, base in _pairs(comparison):
        gain, between = comparison.gain(outcome, base, column.metric)
        what = outcome.method.change or f"{outcome.method.title} instead of {base.method.title}"
        found[effect(between)].append(f"{what} ({number(gain, column.digits, '+')}{ends(between, column.digits, '+')})")
    lines += [f"- **{_EFFECTS[name]}:** {'; '.join(those)}." for name, those in found.items() if those]
    if len(lines) > 1:
        lines.append(f"\nBy {column.title} on the same test images; the intervals are over images, not over seeds.")
    return "\n".join(lines)


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
    if any(len(outcome.trials) == 1 for outcome in comparison.run):
        lines.append("- Where there is one seed, what another one would change is not in the intervals.")
    return "\n".join(lines)


def _theirs(value: float | None) -> str:
    return "" if value is None else f" *{value:.3f}*"


def _validated(trial: Trial) -> str:
    scores = next((found for found in trial.validation.values() if isinstance(found, dict) and "aji" in found), {})
    return number(scores.get("aji"), 3)
