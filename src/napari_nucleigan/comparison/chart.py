"""Chart of a comparison of methods: means with their intervals, and the means of each organ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_nucleigan.comparison.results import COLUMNS, OVERALL, Column, best, number, published
from napari_nucleigan.data.images.files import SOFTWARE

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from napari_nucleigan.comparison.results import MethodComparison

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
