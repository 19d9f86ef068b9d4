"""A comparison as a picture: what every method reaches, overall and by organ, beside the published figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from napari_nucleigan.comparison.columns import COLUMNS, best, number
from napari_nucleigan.comparison.paper import OVERALL, published

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.comparison.columns import Column
    from napari_nucleigan.comparison.results import MethodComparison
    from napari_nucleigan.evaluation import Interval

Colour = tuple[int, int, int]

SCALE = 2
"""Pixels of a unit of length, so that the picture is sharp on any screen."""

WIDTH = 1100
_EDGE = 24
_ROW = 30
_HEAD = 30
_GAP = 28  # between blocks
_INK, _GREY, _PALE = (32, 33, 36), (110, 114, 120), (222, 225, 229)
_DOT, _THEIRS = (0, 102, 140), (196, 84, 20)
_LOW, _HIGH = (255, 255, 255), (126, 190, 205)  # of the cells
_BETTER = {True: "less is better", False: "more is better"}


def draw(comparison: MethodComparison) -> Image.Image:
    """Draw a comparison.

    On top the means over all test images with their 95 % intervals, below the means of each organ; published figures
    are orange.

    Parameters
    ----------
    comparison : MethodComparison
        What was found.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    return _Sheet(comparison).image


class _Sheet:
    """Draws from top to bottom; lengths are in units of `SCALE` pixels."""

    def __init__(self, comparison: MethodComparison) -> None:
        self._comparison = comparison
        self._organs = sorted(set(comparison.organs.values()))
        # Room for the names of the methods.
        self._names = max((_length(outcome.method.title, 14) for outcome in comparison.outcomes), default=0.0) + 14
        rows, blocks = len(comparison.outcomes), len(COLUMNS)
        table = _HEAD + 26 + _ROW * max(1, len(comparison.run)) + _GAP
        height = _EDGE + 62 + (_HEAD + 34 + _ROW * rows + _GAP) + blocks * table + _EDGE
        self.image = Image.new("RGB", (WIDTH * SCALE, height * SCALE), "white")
        self._draw = ImageDraw.Draw(self.image)
        self._top = float(_EDGE)
        self._title()
        self._intervals()
        for column in COLUMNS:
            self._table(column)

    def _title(self) -> None:
        comparison = self._comparison
        data = comparison.provenance.get("data", "")
        self._text(_EDGE, self._top, "Nuclei segmentation methods side by side", 24)
        seeds = comparison.provenance.get("seeds", [0])
        alike = "not all trained alike, see the notes" if comparison.notes else "one budget for all"
        what = (
            f"{len(comparison.organs)} images of the split '{comparison.split}' of {data}; means over images; "
            f"seed {', '.join(map(str, seeds))}; {alike}."
        )
        self._text(_EDGE, self._top + 34, what, 14, _GREY)
        self._top += 62

    def _intervals(self) -> None:
        """Means over all test images, their intervals, and the published figures."""
        comparison = self._comparison
        outcomes = comparison.outcomes
        room = (WIDTH - 2 * _EDGE - self._names) / len(COLUMNS)
        self._legend()
        top = self._top + _HEAD
        rows = top + 34
        for index, column in enumerate(COLUMNS):
            left = _EDGE + self._names + index * room
            self._panel(column, left, left + room - 18, top, rows)
        for place, outcome in enumerate(outcomes):
            middle = rows + _ROW * (place + 0.5)
            self._text(_EDGE, middle, outcome.method.title, 14, _INK if outcome.trials else _GREY, "lm")
            if not outcome.trials:
                # On the lines of the panels it could not be read.
                self._box((_EDGE + self._names, middle - 10, WIDTH - _EDGE, middle + 10), (255, 255, 255))
                self._text(
                    _EDGE + self._names, middle, self._cut(f"not run: {outcome.reason}", 3 * room), 13, _GREY, "lm"
                )
        self._top = rows + _ROW * len(outcomes) + _GAP

    def _legend(self) -> None:
        left, middle = _EDGE + 6.0, self._top + 10
        self._dot(left + 6, middle)
        self._line(left - 6, middle, left + 18, middle, _DOT, 2)
        left = self._text(
            left + 26, middle, "measured here, with its 95 % interval (bootstrap over images)", 13, anchor="lm"
        )
        self._diamond(left + 28, middle)
        self._text(left + 40, middle, "published, on another test set", 13, anchor="lm")

    def _panel(self, column: Column, left: float, right: float, top: float, rows: float) -> None:
        """One metric: a line for each method."""
        comparison = self._comparison
        points: list[tuple[float | None, Interval | None, float | None]] = []
        for outcome in comparison.outcomes:
            mean = comparison.mean(outcome, column.metric) if outcome.trials else None
            interval = comparison.interval(outcome, column.metric) if outcome.trials else None
            theirs = published(outcome.method.published, column.published) if column.published else None
            points.append((mean, interval, theirs if outcome.trials else None))
        self._text(left, top, f"{column.title}", 15)
        self._text(left, top + 17, _BETTER[column.lower], 11, _GREY)
        known = [value for mean, _, theirs in points for value in (mean, theirs) if value is not None]
        known += [end for _, interval, _ in points if interval for end in (interval.low, interval.high)]
        if not known:
            return
        ticks = _ticks(min(known), max(known))
        scale = (right - left - 50) / max(ticks[-1] - ticks[0], 1e-9)

        def at(value: float) -> float:
            return left + (value - ticks[0]) * scale

        bottom = rows + _ROW * len(points)
        for tick in ticks:
            self._line(at(tick), rows, at(tick), bottom, _PALE)
            self._text(at(tick), bottom + 3, f"{tick:g}", 11, _GREY, "mt")
        for index, (mean, interval, theirs) in enumerate(points):
            middle = rows + _ROW * (index + 0.5)
            if theirs is not None:
                self._diamond(at(theirs), middle)
            if mean is not None:
                if interval:
                    self._line(at(interval.low), middle, at(interval.high), middle, _DOT, 2)
                self._dot(at(mean), middle)
                self._text(right, middle, number(mean, column.digits), 14, anchor="rm")

    def _table(self, column: Column) -> None:
        """One metric by organ: a row for each method."""
        comparison = self._comparison
        shown = comparison.run
        groups: list[str | None] = [*self._organs, None]
        width = (WIDTH - 2 * _EDGE - self._names) / len(groups)
        heading = f"{column.title} by organ"
        end = self._text(_EDGE, self._top, heading, 15)
        self._text(
            end + 10, self._top + 3, f"{_BETTER[column.lower]}; framed: the best here; orange: published", 12, _GREY
        )
        top = self._top + _HEAD
        rows = top + 26
        values = {
            (group, outcome.method.name): comparison.mean(outcome, column.metric, group)
            for group in groups
            for outcome in shown
        }
        known = [value for value in values.values() if value is not None]
        for index, outcome in enumerate(shown):
            self._text(_EDGE, rows + _ROW * (index + 0.5), outcome.method.title, 14, anchor="lm")
        for place, group in enumerate(groups):
            left = _EDGE + self._names + place * width
            name = OVERALL if group is None else f"{group} ({len(comparison.names(group))})"
            self._text(
                left + width / 2, top + 12, self._cut(name, width, 13), 13, _INK if group is None else _GREY, "mm"
            )
            column_values = [values[group, outcome.method.name] for outcome in shown]
            for index, (outcome, value) in enumerate(zip(shown, column_values, strict=True)):
                above = rows + _ROW * index
                box = (left + 1, above + 1, left + width - 1, above + _ROW - 1)
                self._box(box, _shade(value, known, column.lower))
                if value is not None and value == best(column_values, column.lower):
                    self._box(box, None, _DOT)
                theirs = None
                if column.published:
                    theirs = published(outcome.method.published, column.published, group or OVERALL)
                middle = above + _ROW / 2
                shift = 0.0 if theirs is None else 16.0
                self._text(left + width / 2 - shift, middle, number(value, column.digits), 14, anchor="mm")
                if theirs is not None:
                    self._text(left + width / 2 + 21, middle + 1, f"{theirs:.{column.digits}f}", 11, _THEIRS, "mm")
        self._top = rows + _ROW * len(shown) + _GAP

    def _text(
        self, left: float, top: float, text: str, size: int = 14, colour: Colour = _INK, anchor: str = "la"
    ) -> float:
        """Write; return where the text ends."""
        place = (left * SCALE, top * SCALE)
        anchor = anchor.replace("mt", "ma")
        self._draw.text(place, text, fill=colour, font=_font(size), anchor=anchor)
        return left + _length(text, size)

    def _cut(self, text: str, room: float, size: int = 13) -> str:
        """Shorten a text that is too long."""
        if _length(text, size) <= room:
            return text
        while text and _length(text + "...", size) > room:
            text = text[:-1]
        return text + "..."

    def _line(
        self, left: float, top: float, right: float, bottom: float, colour: Colour = _INK, width: float = 1
    ) -> None:
        ends = [value * SCALE for value in (left, top, right, bottom)]
        self._draw.line(ends, colour, round(width * SCALE))

    def _box(self, box: Sequence[float], fill: Colour | None, outline: Colour | None = None) -> None:
        self._draw.rectangle([value * SCALE for value in box], fill, outline, 2 * SCALE if outline else 0)

    def _dot(self, left: float, top: float, radius: float = 4.5) -> None:
        box = [(value + sign * radius) * SCALE for sign in (-1, 1) for value in (left, top)]
        self._draw.ellipse(box, _DOT)

    def _diamond(self, left: float, top: float, radius: float = 6) -> None:
        corners = [(left - radius, top), (left, top - radius), (left + radius, top), (left, top + radius)]
        self._draw.polygon([(x * SCALE, y * SCALE) for x, y in corners], "white", _THEIRS, 2 * SCALE)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # Pillow's own, so that the picture is the same everywhere.
    return ImageFont.load_default(size * SCALE)


def _length(text: str, size: int) -> float:
    return _font(size).getlength(text) / SCALE


def _ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round values that span a range."""
    rough = max(high - low, 1e-6) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def _shade(value: float | None, values: list[float], lower: bool) -> Colour:
    """Colour of a cell: the better, the deeper."""
    if value is None:
        return _LOW
    low, high = min(values), max(values)
    share = (value - low) / (high - low) if high > low else 0.5
    share = 1 - share if lower else share
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(_LOW, _HIGH, strict=True))
    return red, green, blue
