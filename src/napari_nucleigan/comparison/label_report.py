"""Report of a comparison of label counts: Markdown, JSON, and the curves."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.files import atomic_write, refuse_foreign_report, write_text
from napari_nucleigan.base.tables import to_markdown
from napari_nucleigan.base.text import as_markdown
from napari_nucleigan.comparison.label_results import ARMS, interval_of
from napari_nucleigan.comparison.results import effect, ends, number
from napari_nucleigan.data.images.files import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_nucleigan.comparison.label_results import LabelComparison

_FILES = ("labels.json", "labels.md", "labels.png")
REPORT = "labels.md", _FILES
"""The text of a report, and all its files."""
_VERBS = {"helps": "help", "harms": "harm", "unclear": "make no difference that this test could show"}
_COLOURS = {"real": "#6e7278", "synthetic": "#00668c", "unlabelled": "#c45414"}


def write_label_report(comparison: LabelComparison, folder: Path) -> tuple[Path, Path, Path | None]:
    """Write ``labels.json``, ``labels.md`` and, where matplotlib is installed, ``labels.png``.

    Parameters
    ----------
    comparison : LabelComparison
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
            draw_labels(comparison, temporary)
    write_text(text, label_markdown(comparison, picture.name if drawn else None))
    return results, text, picture if drawn else None


def label_table(comparison: LabelComparison) -> tuple[list[str], list[list[str]]]:
    """Lay the comparison out as text: a row for each number of labelled images and each arm."""
    rows = []
    for count in comparison.counts:
        for arm in comparison.arms:
            values = comparison.values(count, arm)
            row = [str(count), ARMS[arm], number(float(values.mean()), 3) + ends(interval_of(values), 3)]
            row.append(number(float(comparison.values(count, arm, "f1").mean()), 3))
            if arm == "real":
                row.append("")
            else:
                gain = comparison.gain(count, arm)
                row.append(number(float(gain.mean()), 3, "+") + ends(interval_of(gain), 3, "+"))
            rows.append(row)
    return ["labelled images", "trained on", "AJI [95 %]", "F1", "AJI gained [95 %]"], rows


def label_markdown(comparison: LabelComparison, picture: str | None = None) -> str:
    """Lay the comparison out as Markdown, what helped in its first lines.

    Parameters
    ----------
    comparison : LabelComparison
        What was found.
    picture : str, optional
        File of its picture, to be shown.
    """
    made = comparison.provenance
    header, rows = label_table(comparison)
    shown = f"![AJI by number of labelled images]({picture})\n\n" if picture else ""
    seeds = "one seed" if made["seeds"] == 1 else f"{made['seeds']} seeds"
    return (
        "# What synthetic pairs bring where labels are few\n\n"
        f"{_verdict(comparison)}\n\n{shown}{to_markdown(header, rows)}\n\n"
        f"Tested on {len(comparison.images)} images of the split '{as_markdown(comparison.split)}' of "
        f"{as_markdown(made['data'])}; means over images and {seeds}. Intervals: both are drawn again "
        "(bootstrap, percentiles); gains are paired by image and seed.\n\n"
        f"Every segmenter saw {made['crops']} crops; with synthetic pairs, half of these were cut from "
        f"{made['pairs']['count']} pairs of {made['pairs']['size']} pixels a side, painted by a generator that was "
        f"trained on the same labelled images, on {made['generator_crops']} crops, of masks drawn like theirs. "
        f"Nothing validates: the last weights are tested, with the recipe's own decoding.{_changes(made)}\n\n"
        f"napari-nucleigan {made['version']}, {made['date']}.\n"
    )


def _changes(made: Mapping[str, Any]) -> str:
    """Say which fields of the recipes were changed."""
    told = ""
    for whose, key in (("segmenters", "changes"), ("generators", "generator_changes")):
        if fields := made[key]:
            changed = ", ".join(f"{name}={json.dumps(value)}" for name, value in fields.items())
            told += f" Changed in the recipe of the {whose}: {as_markdown(changed)}."
    return told


def _verdict(comparison: LabelComparison) -> str:
    """Say in a sentence for each arm where it helps, where it harms, and where nobody can tell."""
    lines = []
    for arm in comparison.arms[1:]:
        found: dict[str, list[str]] = {name: [] for name in _VERBS}
        for count in comparison.counts:
            gain = comparison.gain(count, arm)
            interval = interval_of(gain)
            what = f"{count} ({number(float(gain.mean()), 3, '+')}{ends(interval, 3, '+')})"
            found[effect(interval)].append(what)
        told = [f"{_VERBS[name]} with {', '.join(counts)} labelled" for name, counts in found.items() if counts]
        lines.append(f"- **{ARMS[arm].capitalize()}** instead of real pairs alone: {'; '.join(told)}.")
    return "\n".join(lines)


def draw_labels(comparison: LabelComparison, file: Path) -> None:
    """Draw the AJI against the number of labelled images, a curve with its 95 % band for each arm.

    Parameters
    ----------
    comparison : LabelComparison
        What was found.
    file : Path
        The picture, PNG; 1600 pixels wide.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    counts = comparison.counts
    with style.context(["default", {"text.parse_math": False}]):
        figure = Figure((8, 5), dpi=200, layout="constrained")
        axes = figure.subplots()
        for arm in comparison.arms:
            values = [comparison.values(count, arm) for count in counts]
            axes.plot(counts, [each.mean() for each in values], "o-", color=_COLOURS[arm], label=ARMS[arm])
            bands = [interval_of(each) for each in values]
            if all(bands):
                low, high = ([getattr(band, end) for band in bands] for end in ("low", "high"))
                axes.fill_between(counts, low, high, color=_COLOURS[arm], alpha=0.15, linewidth=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set(xlabel="labelled images", ylabel=f"AJI, mean over {len(comparison.images)} test images")
        axes.grid(color="#dee1e5")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right")
        axes.set_title("What synthetic pairs bring where labels are few", loc="left", size=12)
        figure.savefig(file, format="png", metadata={"Software": SOFTWARE})
